"""The networks of the citation table on the nodes that have no role in the public split.

    python -m benchmarks.roleless --data pubmed

The public split tests on 1,000 nodes, so that a difference of a point may well be chance. On PubMed 18,157 nodes are
in none of its three masks. Here each network that :mod:`benchmarks.citation` found, and the hand-made ones beside it,
is trained once more with the same recipe and seeds, and measured on those. Nothing is chosen by these figures. What
was measured is kept in ``benchmarks/results/roleless``; ``--table`` prints it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import files
from benchmarks.citation import DATA
from benchmarks.citation import RESULTS as CITATION

RESULTS = Path(__file__).parent / "results" / "roleless"
HAND = ("GCN", "APPNP", "GAT")


def networks(data: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, row and evaluation of each network of a data set: the found ones, then the hand-made ones."""
    results = {p.stem: files.read(p) for p in sorted(CITATION.glob(f"{data}-*.json"))}
    for stem, result in results.items():
        for row in result["rows"]:
            if row["kind"] in ("found", "random search"):
                yield stem if row["kind"] == "found" else f"{stem}-random", row, result
    hand = {row["name"]: (row, r) for r in results.values() for row in r["rows"] if row["name"] in HAND}
    for name, (row, result) in hand.items():
        yield f"{data}-{name}", row, result


def measure(data: str, root: str | None) -> None:
    """Train each network that has no result yet, and measure it on the nodes without a role."""
    import torch
    from torch_geometric.data import Data

    import gnas
    from gnas.baselines import BASELINES
    from gnas.evaluate import Builder, TrainFromScratch, builder
    from gnas.recipe import Recipe
    from gnas.space import SPACES

    torch.set_num_threads(1)
    graph = gnas.load(data, root=root)
    assert isinstance(graph, Data)
    graph.test_mask = ~(graph.train_mask | graph.val_mask | graph.test_mask)
    task = gnas.Task.from_data(graph, name=data)
    for name, row, result in networks(data):
        target = RESULTS / f"{name}.json"
        if target.exists():
            continue
        evaluator = TrainFromScratch(Recipe(**row["recipe"]), **result["settings"]["training"])
        build: Builder
        if row["genotype"] is None:
            build = BASELINES[row["name"]]
        else:
            space = SPACES[result["space"]]()
            build = builder(space.bind(space.genotype(row["genotype"])))
        trainings = [evaluator(build, task, seed, test=True) for seed in result["seeds"]]
        kept = {
            "data": data,
            "name": name,
            "kind": row["kind"],
            "nodes": task.roles["test"].numel(),
            "roleless": [training.test for training in trainings],
            "architecture": [training.metric_architecture for training in trainings],
            "test": row["test"],
            "versions": result["versions"],
        }
        files.keep(target, kept)
        print(f"{name}: {fmean(kept['roleless']):.2%}", flush=True)


def table(data: str) -> str:
    """One data set's table as Markdown; searches that differ in their seed alone are one row."""
    kept = files.every(RESULTS, f"{data}-*.json")
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in kept:
        name = result["name"].removeprefix(f"{data}-").replace("-random", " random").split("-s")[0]
        groups.setdefault(f"random beside {name}" if result["kind"] == "random search" else name, []).append(result)
    lines = [
        f"### {data}",
        "",
        f"| network | searches x trainings | test nodes % | the {kept[0]['nodes']:,} nodes without a role % |",
        "| --- | --- | --- | --- |",
    ]
    for name, group in groups.items():
        cells = []
        for key in ("test", "roleless"):
            every = [100 * value for result in group for value in result[key]]
            cells.append(f"{fmean(every):.1f} ± {stdev(every) if len(every) > 1 else math.nan:.1f}")
        lines.append(f"| {name} | {len(group)} x {len(group[0]['test'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    args = parser.parse_args()
    if args.table:
        print("\n\n".join(table(data) for data in args.data if list(RESULTS.glob(f"{data}-*.json"))))
        return
    for data in args.data:
        measure(data, args.root)


if __name__ == "__main__":
    main()
