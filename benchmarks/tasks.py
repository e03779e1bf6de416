"""Search on every kind of task, beside hand-made networks and random search: one result file for each search.

    python -m benchmarks.tasks --data texas ogbg-molesol
    python -m benchmarks.tasks --table

Each data set has its published split and metric (docs/data.md); of those with several splits or folds each is searched
and evaluated for itself, ``--splits`` says how many. ``cora-links`` and ``pubmed-links`` ask which edges are missing
(85/5/10 %), once by ROC-AUC and once by average precision (``-ap``). Default settings but for ``--budget`` and
``--epochs``, which shortens every training alike; on AQSOL networks are wider, as those of Dwivedi and others (arXiv
2003.00982) have about 100,000 parameters. What was measured is kept, in the runs' folders and in
``benchmarks/results/tasks``, so a call that was broken off goes on when it is repeated; ``--table`` prints the tables,
and at their end what was gained on how many of the data sets.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import files

RESULTS = Path(__file__).parent / "results" / "tasks"


@dataclass(frozen=True)
class Entry:
    """What is searched.

    Args:
        splits: How many splits or folds it has.
        source: The data set's name, where the entry has another.
        level, metric: Other than what the data say.
        width: Other than the default.
    """

    splits: int = 1
    source: str | None = None
    level: str | None = None
    metric: str | None = None
    width: int | None = None


ENTRIES = {
    "pubmed": Entry(),
    "computers": Entry(),
    "physics": Entry(),
    "minesweeper": Entry(10),
    "actor": Entry(10),
    "texas": Entry(10),
    "chameleon_filtered": Entry(10),
    "ogbg-molesol": Entry(),
    "ogbg-mollipo": Entry(),
    "ogbg-molbbbp": Entry(),
    "ogbg-moltox21": Entry(),
    "ogbg-molhiv": Entry(),
    "aqsol": Entry(width=128),
    "proteins": Entry(10),
    "enzymes": Entry(10),
    "imdb-binary": Entry(10),
    "mutag": Entry(10),
    "cora-links": Entry(source="cora", level="link"),
    "cora-links-ap": Entry(source="cora", level="link", metric="ap"),
    "pubmed-links": Entry(source="pubmed", level="link"),
    "pubmed-links-ap": Entry(source="pubmed", level="link", metric="ap"),
}


def measure(name: str, split: int, args: argparse.Namespace) -> None:
    """Search one split of a data set and evaluate what was found."""
    target, entry = RESULTS / f"{name}-{args.space}-{split}.json", ENTRIES[name]
    if target.exists():
        return
    import torch

    import gnas
    from gnas import compare
    from gnas.recipe import recipes_of
    from gnas.usual import usual_space

    torch.set_num_threads(args.threads)
    data = gnas.load(entry.source or name, args.root, split if entry.splits > 1 else None)
    task = gnas.Task.from_data(data, name=name, level=entry.level, metric=entry.metric)
    folder = args.runs / target.stem
    recipes = [replace(recipe, hidden_channels=entry.width or recipe.hidden_channels) for recipe in recipes_of(task)]
    evaluator = gnas.TrainFromScratch(recipes[0], epochs=args.epochs)
    run = gnas.search(
        task,
        usual_space(task, args.space),
        gnas.Darts(hidden_channels=recipes[0].hidden_channels),
        evaluator=evaluator,
        seed=split,
        budget=args.budget,
        folder=folder,
        resume=True,
    )
    evaluation = compare.evaluate(
        folder,
        data=task,
        seeds=args.seeds,
        tuning_seeds=args.tuning_seeds,
        evaluator=evaluator,
        baselines=args.baselines,
        random=args.random,
        recipes=recipes,
        workers=args.workers,
    )
    info = run.journal.run()
    result = {"data": name, "space": args.space, "split": split, "budget": args.budget, "seconds": info["seconds"]}
    result |= {"genotype": dict(run.genotype.choices), "task": info["task"], **evaluation}
    files.keep(target, result)
    print(f"{target.stem}: {evaluation['verdict']}", flush=True)


def rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each network that all splits have: its tests in each split, and on the architecture split their mean.

    ``test`` is what is compared: of a single split the trainings, of several their mean in each.
    """
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        for row in result["rows"]:
            name = f"gnas, {result['space']}" if row["kind"] == "found" else row["name"]
            line = found.setdefault(
                name, {"name": name, "kind": row["kind"], "tests": [], "architecture": [], "parameters": []}
            )
            line["tests"].append(row["test"])
            line["architecture"].append(row["architecture_mean"])
            line["parameters"].append(row["parameters"])
    lines = [line for line in found.values() if len(line["tests"]) == len(results)]
    for line in lines:
        single = len(results) == 1
        line["test"] = line["tests"][0] if single else [fmean(tests) for tests in line["tests"]]
        line["architecture_mean"] = fmean(line["architecture"])
    return sorted(lines, key=lambda line: line["kind"] != "found")


def section(name: str, results: list[dict[str, Any]]) -> tuple[str, dict[str, Any] | None]:
    """A data set's table with the sentence on what was gained, and the difference from the best hand-made network."""
    from gnas.compare.statistics import BASELINE, compare, verdict
    from gnas.scale import Scale

    scale = Scale.of(results[0]["task"])
    lines = [
        f"### {name}",
        "",
        f"| network | splits x trainings | test, {scale.titled} | architecture split | parameters |",
        "| --- " * 5 + "|",
    ]
    own = rows(results)
    for row in own:
        tests = [test for split in row["tests"] for test in split]
        spread = scale.spread(fmean(tests), stdev(tests) if len(tests) > 1 else 0.0)
        lines.append(
            f"| {row['name']} | {len(row['tests'])} x {len(row['tests'][0])} | {spread} | "
            f"{scale.number(row['architecture_mean'])} | {fmean(row['parameters']):,.0f} |"
        )
    if len(results) == 1:
        differences, sentence = results[0]["comparisons"], results[0]["verdict"]
    else:
        differences = compare(own, scale=scale)
        sentence = verdict(own, differences, f"over {len(results)} splits, paired by split: ", scale)
    by_name = {row["name"]: row["architecture_mean"] for row in own}
    hand_made = [one for one in differences if one["kind"] == BASELINE]
    best = max(hand_made, key=lambda one: scale.merit(by_name[one["against"]]), default=None)
    if best is not None:
        error = best["std"] / math.sqrt(len(own[0]["test"]))
        best = {**best, "shown": scale.number(best["gain"]), "error": scale.number(error)}
        best["level"] = best["gain"] >= -error
    return "\n".join([*lines, "", sentence, "", protocol(results[0])]), best


def protocol(result: dict[str, Any]) -> str:
    """How long the search might take, and how the networks were tuned and trained."""
    settings = result["settings"]
    budget = f"a search of at most {result['budget']}" if result["budget"] else "a whole search"
    each = len(settings["tuning_seeds"])
    tuning = f"{len(settings['recipes'])} recipes with {each} training{'s' if each > 1 else ''} each"
    return f"({budget}; {tuning}; at most {settings['training']['epochs']} epochs)"


def table() -> str:
    """One table for each data set as Markdown, from the result files, and one over all of them."""
    from gnas.compare.statistics import SIGNIFICANT, probability

    results = files.every(RESULTS)
    results.sort(key=lambda result: (list(ENTRIES).index(result["data"]), result["space"], result["split"]))
    parts, summary = [], []
    for (name, space), group in groupby(results, key=lambda result: (str(result["data"]), str(result["space"]))):
        part, best = section(name if space == "layered" else f"{name}, {space}", list(group))
        parts.append(part)
        summary += [] if best is None else [(name, space, best)]
    lines = [
        "### Against the best hand-made network on the architecture split",
        "",
        "| data | space | against | gain | standard error | level within it | p, corrected |",
        "| --- " * 7 + "|",
    ]
    for name, space, best in summary:
        level = "yes" if best["level"] else "no"
        figures = [best["shown"], best["error"], level, probability(best["p"]).removeprefix("p = ")]
        lines.append(f"| {' | '.join([name, space, best['against'], *figures])} |")
    level = sum(best["level"] for _, _, best in summary)
    better = sum(best["gain"] > 0 and best["p"] < SIGNIFICANT for _, _, best in summary)
    count = f"Of {len(summary)}, {level} are level within a standard error or better, {better} better with p < 0.05."
    return "\n\n".join([*parts, "\n".join([*lines, "", count])])


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(ENTRIES), choices=list(ENTRIES))
    parser.add_argument("--splits", type=int, default=10, help="at most so many of a data set's splits or folds")
    parser.add_argument("--space", default="layered", help="layered, gap, pooling or relational")
    parser.add_argument("--budget", help="of each search, such as 5min; the strategy's own end if not given")
    parser.add_argument("--seeds", type=int, default=10, help="trainings of each network")
    parser.add_argument("--tuning-seeds", type=int, default=2, help="trainings of each network under each recipe")
    parser.add_argument("--epochs", type=int, default=300, help="of each training, at most")
    parser.add_argument("--baselines", nargs="*", default=None, help="hand-made networks; all if not given")
    parser.add_argument("--no-random", dest="random", action="store_false", help="leave out random search for now")
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"), help="folder of the runs")
    parser.add_argument("--threads", type=int, default=1, help="threads of a search")
    parser.add_argument("--workers", type=int, default=1, help="trainings side by side in the evaluation")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    for name in args.data:
        for split in range(min(args.splits, ENTRIES[name].splits)):
            measure(name, split, args)


if __name__ == "__main__":
    main()
