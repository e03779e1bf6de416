"""Search on every kind of task, beside hand-made networks and random search: one result file for each search.

    python -m benchmarks.tasks --data texas ogbg-molesol
    python -m benchmarks.tasks --table

Each data set has its published split and metric (docs/data.md); of those with several splits or folds each is searched
and evaluated for itself, ``--splits`` says how many. ``cora-links`` and ``pubmed-links`` ask which edges are missing
(85/5/10 %). Default settings but for ``--budget``. What was measured is kept, in the runs' folders and in
``benchmarks/results/tasks``, so a call that was broken off goes on when it is repeated; ``--table`` prints the tables.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

RESULTS = Path(__file__).parent / "results" / "tasks"
SPLITS = dict.fromkeys(("minesweeper", "actor", "texas", "chameleon_filtered"), 10)
FOLDS = dict.fromkeys(("proteins", "enzymes", "imdb-binary", "mutag"), 10)
ONE = (
    "pubmed",
    "computers",
    "physics",
    "ogbg-molesol",
    "ogbg-mollipo",
    "ogbg-molbbbp",
    "ogbg-moltox21",
    "ogbg-molhiv",
    "aqsol",
)
LINKS = {"cora-links": "cora", "pubmed-links": "pubmed"}
COUNTS = {**dict.fromkeys((*ONE, *LINKS), 1), **SPLITS, **FOLDS}
"""Data sets, and how many splits each has."""


def measure(name: str, split: int, args: argparse.Namespace) -> None:
    """Search one split of a data set and evaluate what was found."""
    target = RESULTS / f"{name}-{args.space}-{split}.json"
    if target.exists():
        return
    import torch

    import gnas
    from gnas import compare
    from gnas.space import SPACES

    torch.set_num_threads(args.threads)
    data = gnas.load(LINKS.get(name, name), args.root, split if COUNTS[name] > 1 else None)
    task = gnas.Task.from_data(data, name=name, level="link" if name in LINKS else None, metric=args.metric)
    folder = args.runs / target.stem
    run = gnas.search(task, SPACES[args.space](), seed=split, budget=args.budget, folder=folder, resume=True)
    evaluation = compare.evaluate(
        folder, data=task, seeds=args.seeds, baselines=args.baselines, random=args.random, workers=args.workers
    )
    info = run.journal.run()
    result = {"data": name, "space": args.space, "split": split, "budget": args.budget, "seconds": info["seconds"]}
    result |= {"genotype": dict(run.genotype.choices), "task": info["task"], **evaluation}
    RESULTS.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{target.stem}: {evaluation['verdict']}", flush=True)


def rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each network: its tests in all splits, and for each split their mean."""
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        for row in result["rows"]:
            name = f"gnas, {result['space']}" if row["kind"] == "found" else row["name"]
            line = found.setdefault(name, {"name": name, "tests": [], "architecture": [], "parameters": []})
            line["tests"] += row["test"]
            line["architecture"].append(row["architecture_mean"])
            line["parameters"].append(row["parameters"])
    return list(found.values())


def table() -> str:
    """One table for each data set as Markdown, from the result files."""
    from gnas.scale import Scale

    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    results.sort(key=lambda result: (list(COUNTS).index(result["data"]), result["split"]))
    parts = []
    for name, group in groupby(results, key=lambda result: str(result["data"])):
        own = list(group)
        scale = Scale.of(own[0]["task"])
        lines = [
            f"### {name}",
            "",
            f"| network | splits x trainings | test, {scale.titled} | architecture split | parameters |",
            "| --- " * 5 + "|",
        ]
        for row in rows(own):
            tests = row["tests"]
            spread = scale.spread(fmean(tests), stdev(tests))
            count = f"{len(row['architecture'])} x {len(tests) // len(row['architecture'])}"
            lines.append(
                f"| {row['name']} | {count} | {spread} | {scale.number(fmean(row['architecture']))} | "
                f"{fmean(row['parameters']):,.0f} |"
            )
        verdicts = [f"- {r['verdict']}" if COUNTS[name] == 1 else f"- split {r['split']}: {r['verdict']}" for r in own]
        parts.append("\n".join([*lines, "", *verdicts]))
    return "\n\n".join(parts)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(COUNTS), choices=list(COUNTS))
    parser.add_argument("--splits", type=int, default=10, help="at most so many of a data set's splits or folds")
    parser.add_argument("--space", default="layered", help="layered, gap, pooling or relational")
    parser.add_argument("--budget", help="of each search, such as 5min; the strategy's own end if not given")
    parser.add_argument("--metric", help="another metric than the published one, such as ap for links")
    parser.add_argument("--seeds", type=int, default=10, help="trainings of each network")
    parser.add_argument("--baselines", nargs="*", default=None, help="hand-made networks; all if not given")
    parser.add_argument("--no-random", dest="random", action="store_false", help="leave out random search for now")
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"), help="folder of the runs")
    parser.add_argument("--root", default=None, help="folder of raw data; GNAS_DATA if not given")
    parser.add_argument("--threads", type=int, default=1, help="threads of a search")
    parser.add_argument("--workers", type=int, default=1, help="trainings side by side in the evaluation")
    parser.add_argument("--table", action="store_true", help="print the tables from the result files")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    for name in args.data:
        for split in range(min(args.splits, COUNTS[name])):
            measure(name, split, args)


if __name__ == "__main__":
    main()
