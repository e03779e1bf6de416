"""A search by mini-batches on power-law graphs that grow: memory beyond the data, one result file each.

    python -m benchmarks.large --nodes 250000 500000 1000000 2000000
    python -m benchmarks.large --table

Ten edges a node, 32 features, 8 classes; half of the nodes train the weights, a quarter the architecture. Parts of
20,000 nodes each (PyG's ``RandomNodeLoader``), one epoch of warm-up and one of search in ``layered(4)``, then the most
probable genotype is trained for an epoch. Networks are measured by the same parts (``measure="parts"``), on the whole
graph (``--measure full``), or plain ones layer by layer in blocks of 20,000 nodes (``--measure layers``), which keeps
rows of all nodes between the layers. Every size runs in a process of its own (Linux).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import files
from benchmarks.measuring import about, memory, peak, settle

RESULTS = Path(__file__).parent / "results" / "large"
DEGREE, FEATURES, CLASSES, PART = 10, 32, 8, 20_000


def graph(nodes: int) -> Any:
    """A power-law graph of random edges; a node's features tell its label a little."""
    import torch
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(0)
    target = torch.randint(nodes, (nodes * DEGREE,), generator=generator)
    source = (nodes * torch.rand(nodes * DEGREE, generator=generator) ** 3).long()
    y = torch.randint(CLASSES, (nodes,), generator=generator)
    x = torch.randn(nodes, FEATURES, generator=generator)
    x[torch.arange(nodes), y] += 1
    role = torch.rand(nodes, generator=generator)
    masks = {"train_mask": role < 0.5, "val_mask": (role >= 0.5) & (role < 0.75), "test_mask": role >= 0.75}
    return Data(x=x, edge_index=torch.stack([source, target]), y=y, **masks)


def _search(task: Any) -> float:
    """The shortest whole search: the found network's metric on the architecture split."""
    import gnas

    with tempfile.TemporaryDirectory() as folder:
        run = gnas.search(
            task,
            gnas.layered(max_depth=4),
            gnas.Darts(epochs=2, warmup=1),
            derivation=gnas.Derivation(listed=1, best_of=1, seeds=1, evidence=()),
            evaluator=gnas.TrainFromScratch(epochs=1),
            folder=Path(folder) / "run",
            progress=False,
        )
    return run.metric


def measure(nodes: int, way: str, threads: int) -> dict[str, Any]:
    """Search a graph of this size; MiB of its data, and MiB that everything else took at most."""
    import torch

    import gnas

    torch.set_num_threads(threads)
    # What importing and a first search load is not the data's.
    _search(gnas.Task.from_data(graph(1000), loader="random", batch_size=500, measure=way))
    settle()
    before = memory("VmRSS")
    task = gnas.Task.from_data(graph(nodes), name=f"power-law-{nodes}", loader="random", batch_size=PART, measure=way)
    settle()
    data = memory("VmRSS") - before
    began = time.perf_counter()
    metrics: list[float] = []
    beyond = peak(lambda: metrics.append(_search(task)))
    return {
        "nodes": nodes,
        "edges": nodes * DEGREE,
        "measure": way,
        "data_mib": data,
        "beyond_mib": beyond,
        "seconds": time.perf_counter() - began,
        "metric_architecture": metrics[0],
        **about(threads, retained=True),
    }


def table() -> str:
    """The results as Markdown."""
    lines = [
        "| measured by | nodes | edges | data, MiB | beyond the data, MiB |",
        "| --- " * 5 + "|",
    ]
    results = files.every(RESULTS)
    for row in sorted(results, key=lambda row: (row["measure"], row["nodes"])):
        sizes = (f"{row[key]:,.0f}" for key in ("nodes", "edges", "data_mib", "beyond_mib"))
        lines.append(f"| {' | '.join([row['measure'], *sizes])} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__, root=False)
    parser.add_argument("--nodes", nargs="+", type=int, default=[250_000, 500_000, 1_000_000, 2_000_000])
    parser.add_argument("--measure", nargs="+", default=["parts", "full"], choices=("parts", "full", "layers"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help="measure the first size here and print the result")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    if args.one:
        print(json.dumps(measure(args.nodes[0], args.measure[0], args.threads)))
        return
    for way in args.measure:
        for nodes in args.nodes:
            target = RESULTS / f"{nodes}-{way}.json"
            if target.exists():
                continue
            command = [sys.executable, "-m", "benchmarks.large", "--one", "--nodes", str(nodes), "--measure", way]
            done = subprocess.run(
                [*command, "--threads", str(args.threads)], check=True, stdout=subprocess.PIPE, text=True
            )
            files.keep(target, json.loads(done.stdout.splitlines()[-1]))
            print(target.stem, flush=True)


if __name__ == "__main__":
    main()
