"""Hard and mild regularisation on few labels and on many: what :func:`gnas.recipe.recipes_of` rests on.

    python -m benchmarks.recipes
    python -m benchmarks.recipes --table

A GCN by hand and two points of ``layered``, plain and with batch normalisation and residuals, are trained once under
each recipe of both grids, and of the mild one with dropout of the features besides, on data sets of every level (the
first of several splits). Of each grid the best on the architecture split is told, and the mean; no test label is read.
What was measured is kept in ``benchmarks/results/recipes``, so a call that was broken off goes on when it is repeated.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks import files
from benchmarks.tasks import ENTRIES, Entry

if TYPE_CHECKING:
    from gnas.evaluate import Builder
    from gnas.recipe import Recipe
    from gnas.task import Task

RESULTS = Path(__file__).parent / "results" / "recipes"
DATA = (
    "cora",
    "chameleon_filtered",
    "actor",
    "minesweeper",
    "mutag",
    "enzymes",
    "imdb-binary",
    "ogbg-molesol",
    "cora-links",
)
DROPPED = "mild, features too"
POINTS: dict[str, dict[str, Any]] = {
    "gcn, two layers": {"aggregate": "gcn", "depth": "layer2", "previous": 0.0, "norm": "identity"},
    "sage_mean, four layers, normalised": {
        "aggregate": "sage_mean",
        "depth": "layer4",
        "previous": 0.5,
        "norm": "batch_norm",
    },
}


def networks(task: Task) -> dict[str, Builder]:
    """What is trained."""
    from gnas.evaluate import builder
    from gnas.headed import hand_made
    from gnas.space import for_level, layered
    from gnas.usual import NORMS

    space = for_level(layered(norms=NORMS), task.level)
    first = {name: choice.options[0] for name, choice in space.choices.items()}
    found: dict[str, Builder] = {"GCN": hand_made(task)["GCN"]}
    for name, point in POINTS.items():
        found[name] = builder(space.bind(space.genotype({**first, "transform": True, **point})))
    return found


def grids() -> dict[str, tuple[Recipe, ...]]:
    """What is compared."""
    from dataclasses import replace

    from gnas.recipe import HARD, MILD

    return {"hard": HARD, "mild": MILD, DROPPED: tuple(replace(recipe, drop_inputs=True) for recipe in MILD)}


def measure(name: str, root: str | None) -> None:
    """Train every network of a data set under every recipe that it was not yet trained under."""
    from dataclasses import asdict

    import torch

    import gnas
    from gnas.evaluate import TrainFromScratch

    torch.set_num_threads(1)
    gnas.kernels.retain()
    entry = ENTRIES.get(name, Entry())
    data = gnas.load(entry.source or name, root)
    task = gnas.Task.from_data(data, name=name, level=entry.level, metric=entry.metric)
    target = RESULTS / f"{name}.json"
    rows = files.read(target)["rows"] if target.exists() else []
    about = {"data": name, "task": task.describe(), "labels": task.index("weights").numel()}
    for network, build in networks(task).items():
        for grid, recipes in grids().items():
            for recipe in recipes:
                row = {"network": network, "grid": grid, "recipe": asdict(recipe)}
                if any(kept.items() >= row.items() for kept in rows):
                    continue
                metric = TrainFromScratch(recipe)(build, task, 0).metric_architecture
                rows.append({**row, "metric": metric, "versions": files.versions()})
                files.keep(target, {**about, "rows": rows})
    print(f"{name}: done", flush=True)


def table() -> str:
    """The best of each grid on the architecture split and its mean, as Markdown."""
    from gnas.scale import Scale

    lines = [
        f"| data | labels to train on | network | metric | {' | '.join(grids())} |",
        "| --- " * (4 + len(grids())) + "|",
    ]
    results = {result["data"]: result for result in files.every(RESULTS)}
    for result in (results[name] for name in DATA if name in results):
        scale = Scale.of(result["task"])
        for network in dict.fromkeys(row["network"] for row in result["rows"]):
            own = [row for row in result["rows"] if row["network"] == network]
            found = [[row["metric"] for row in own if row["grid"] == grid] for grid in grids()]
            if not all(found):
                continue
            cells = [
                f"{scale.number(max(metrics, key=scale.merit))} ({scale.number(fmean(metrics))})" for metrics in found
            ]
            shown = [result["data"], f"{result['labels']:,}", network, scale.titled, *cells]
            lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    for name in args.data:
        measure(name, args.root)


if __name__ == "__main__":
    main()
