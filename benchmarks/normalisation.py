"""Networks with batch normalisation on one whole graph, trained in three ways: what each does to the same networks.

    python -m benchmarks.normalisation
    python -m benchmarks.normalisation --table

Plain stacks and random networks of ``gap`` on Cora, each trained once from scratch with the usual recipe:

* as gnas does: no dropout within the cells, and each measuring takes the graph's own statistics (:mod:`gnas.settling`),
* with BatchNorm's running averages, as PyTorch has them,
* with these, and with dropout at the end of each cell as well.

Judged by the architecture split; no test node is read. Results are kept in ``benchmarks/results/normalisation``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from unittest import mock

from benchmarks import files

RESULTS = Path(__file__).parent / "results" / "normalisation"
WAYS = ("as it is", "running averages", "running averages, dropout in cells")


@contextmanager
def way(name: str) -> Iterator[None]:
    """Within, networks are trained and measured in one of the three ways."""
    from gnas.ops.base import dropout
    from gnas.ops.cell import CellMerge

    with ExitStack() as changes:
        if "averages" in name:
            changes.enter_context(mock.patch("gnas.task.settled", lambda network: nullcontext()))
        if "dropout" in name:
            merge: Callable[..., Any] = CellMerge.forward

            def dropped(self: CellMerge, layers: Any, inputs: Any, settings: Any, context: Any) -> Any:
                return dropout(merge(self, layers, inputs, settings, context), context.dropout, context.training)

            changes.enter_context(mock.patch.object(CellMerge, "forward", dropped))
        yield


def measure(data: str, root: str | None) -> None:
    """Train every network in every way that has no result yet."""
    import torch

    import gnas
    from gnas.evaluate import TrainFromScratch
    from gnas.space import gap

    torch.set_num_threads(1)
    task = gnas.Task.from_data(gnas.load(data, root=root), name=data)
    space, generator = gap(), random.Random(1)
    plain = [space.genotype(space.starts[i]) for i in (0, 3, 4, 5, 9)]
    networks = plain + [space.sample(generator) for _ in range(5)]
    path = RESULTS / f"{data}.json"
    kept = files.read(path) if path.exists() else {}
    for name in WAYS:
        for i, genotype in enumerate(networks):
            key = f"{name}, {i}"
            if key in kept:
                continue
            with way(name):
                result = TrainFromScratch().evaluate(space, genotype, task, 0)
            versions = {"gnas": gnas.__version__, "torch": torch.__version__}
            kept[key] = {"way": name, "network": dict(genotype.choices), "seed": 0, "versions": versions}
            kept[key] |= {"architecture": result.metric_architecture, "epochs": result.epochs}
            files.keep(path, kept)
            print(f"{key}: {result.metric_architecture:.3f}", flush=True)


def table(data: str) -> str:
    """The ways side by side as Markdown."""
    kept = files.read(RESULTS / f"{data}.json").values()
    found = {name: [100 * row["architecture"] for row in kept if row["way"] == name] for name in WAYS}
    lines = [f"| {data} | networks | architecture split % | less than as it is |", "| --- | --- | --- | --- |"]
    for name, values in found.items():
        less = [a - b for a, b in zip(found[WAYS[0]], values, strict=False)]
        paired = f"{fmean(less):.1f} ± {stdev(less):.1f}" if name != WAYS[0] else ""
        lines.append(f"| {name} | {len(values)} | {fmean(values):.1f} ± {stdev(values):.1f} | {paired} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", default="cora", choices=("cora", "citeseer"))
    args = parser.parse_args()
    if not args.table:
        measure(args.data, args.root)
    print(table(args.data))


if __name__ == "__main__":
    main()
