"""Search on the citation graphs, beside hand-made networks and random search: one result file for each search.

    python -m benchmarks.citation --data cora --spaces layered gap --orders 1 2 --seeds 0 1 2

The public split, default settings, 10 training seeds. Every part that was measured is kept, in the runs' folders and in
``benchmarks/results/citation``, so a call that was broken off goes on when it is repeated. ``--table`` prints the
tables of benchmarks/README.md from the result files and measures nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import files

RESULTS = Path(__file__).parent / "results" / "citation"
DATA = ("cora", "citeseer", "pubmed")
SPACES = ("layered", "gap")


def measure(data: str, space: str, order: int, seed: int, args: argparse.Namespace) -> None:
    """Search once and evaluate what was found; the row goes into a result file of its own."""
    target = RESULTS / f"{data}-{space}-darts{order}-s{seed}.json"
    # Random search gets the first-order search's cost; the second-order rows stand beside the same rows.
    random = order == 1 and args.random
    if target.exists():
        kept = files.read(target)
        if not random or any(row["kind"] == "random search" for row in kept["rows"]):
            return
    import torch

    import gnas
    from gnas import compare
    from gnas.space import SPACES as BUILDERS

    torch.set_num_threads(args.threads)
    folder = args.runs / target.stem
    graph = gnas.load(data, root=args.root)
    task = gnas.Task.from_data(graph, name=data)
    run = gnas.search(task, BUILDERS[space](), gnas.Darts(order=order), seed=seed, folder=folder, resume=True)
    reuse = [other for other in args.runs.glob(f"{data}-*") if other != folder]
    evaluation = compare.evaluate(
        folder, data=task, random=random, baselines=args.baselines, reuse=reuse, workers=args.workers
    )
    info = run.journal.run()
    result = {
        "data": data,
        "space": space,
        "order": order,
        "seed": seed,
        "threads": args.threads,
        "workers": args.workers,
        "seconds": info["seconds"],
        "genotype": dict(run.genotype.choices),
        "derived": run.journal.events()[-1],
        **evaluation,
    }
    files.keep(target, result)
    print(f"{target.stem}: {evaluation['verdict']}", flush=True)


def rows(data: str) -> list[dict[str, Any]]:
    """Rows of one data set's table: every searched network over its search seeds, then the hand-made ones."""
    results = files.every(RESULTS, f"{data}-*.json")
    table: list[dict[str, Any]] = []
    for space in SPACES:
        for order in (1, 2):
            found = [r for r in results if r["space"] == space and r["order"] == order]
            for kind, name in (("found", f"gnas {space}, DARTS order {order}"), ("random search", f"random, {space}")):
                own = [row for r in found for row in r["rows"] if row["kind"] == kind]
                if own:
                    table.append(_row(name, own))
    hand = {row["name"]: row for r in results for row in r["rows"] if row["kind"] == "baseline"}
    return table + [_row(name, [row]) for name, row in hand.items()]


def _row(name: str, own: Sequence[dict[str, Any]]) -> dict[str, Any]:
    every = [100 * value for row in own for value in row["test"]]
    means = [100 * fmean(row["test"]) for row in own]
    return {
        "name": name,
        "searches": len(own),
        "test": fmean(every),
        "std": stdev(every) if len(every) > 1 else math.nan,
        "between": stdev(means) if len(means) > 1 else None,
        "architecture": 100 * fmean(row["architecture_mean"] for row in own),
        "parameters": fmean(row["parameters"] for row in own),
    }


def table(data: str) -> str:
    """One data set's table as Markdown."""
    lines = [
        f"### {data}",
        "",
        "| network | searches x trainings | test % | std between searches | architecture split % | parameters |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows(data):
        between = "" if row["between"] is None else f"{row['between']:.1f}"
        lines.append(
            f"| {row['name']} | {row['searches']} x 10 | {row['test']:.1f} ± {row['std']:.1f} | {between} | "
            f"{row['architecture']:.1f} | {row['parameters']:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), choices=SPACES)
    parser.add_argument("--orders", nargs="+", type=int, default=[1, 2], choices=(1, 2))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="search seeds")
    parser.add_argument("--baselines", nargs="*", default=None, help="hand-made networks; all if not given")
    parser.add_argument("--no-random", dest="random", action="store_false", help="leave out random search for now")
    parser.add_argument("--runs", type=Path, default=Path("runs/citation"), help="folder of the runs")
    parser.add_argument("--threads", type=int, default=1, help="threads of a search")
    parser.add_argument("--workers", type=int, default=1, help="trainings side by side in the evaluation")
    args = parser.parse_args()
    if args.table:
        print("\n\n".join(table(data) for data in args.data if list(RESULTS.glob(f"{data}-*.json"))))
        return
    for seed in args.seeds:
        for order in args.orders:
            for data in args.data:
                for space in args.spaces:
                    measure(data, space, order, seed, args)


if __name__ == "__main__":
    main()
