"""Every one-shot strategy on five graphs in two spaces, beside random search at equal cost: one file for each search.

    python -m benchmarks.one_shot --data cora citeseer pubmed computers minesweeper --spaces layered gap --seeds 0 1 2
    python -m benchmarks.one_shot --table

For each graph the recipe of trainings is the one of ``gnas.evaluate.RECIPES`` with which a GCN does best on the
architecture split; all networks of that graph are trained by it. For each graph and space a pool of random networks is
trained once each. Then for each search, all in one process:

* the network that it hands over in two ways. By ``alpha``: the most probable one (or what the strategy itself settles
  on, if it learns no alpha), as the papers do. By ``lean`` derivation: the 128 most probable ones, judged by the
  supernet's weights, and short trainings of the best eight of them, then of each depth; all of it counts as cost, and
  the space's own starts, which a random search doesn't know either, are left out;
* time and memory of the search, over those of training one GCN (the median of three trainings before and three after
  it; the memory is what the process takes above what it had before), and its time over that of training what it found;
* each network trained from scratch on five seeds;
* for each way random search at equal cost: from the pool, in an order that the search's seed draws, as many networks as
  could have been trained in the search's time, at least one; the best of them on the architecture split, on the same
  five seeds.

The improvement is relative to the mean random network, 100 (a - r) / r, as in "NAS evaluation is frustratingly hard"
(Yang and others, arXiv 1912.12522). The paired t-test's unit is a search: the means over trainings of the searches and
of the random searches beside them. Three searches are few, so the p over single trainings stands beside it; those of
one search are no independent samples.

The stabilisers of ``Darts`` are compared where it collapses, in ``benchmarks/collapse.py``.

A process has one thread, so two graphs can be measured side by side on two cores, each process on a core of its own.
Rows lie in ``benchmarks/results/one_shot``; what is there is not made again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import torch

import gnas
from benchmarks import files, measuring
from gnas import kernels
from gnas.compare.statistics import paired
from gnas.derive import Derivation
from gnas.evaluate import RECIPES, Recipe, TrainFromScratch, builder
from gnas.headed import hand_made
from gnas.space import SPACES as BUILDERS
from gnas.space import Genotype, Space
from gnas.strategy import (
    Darts,
    DrNas,
    FewShot,
    Gdas,
    GoldNas,
    Manas,
    Nac,
    PcDarts,
    Progressive,
    Proxyless,
    RandomSharing,
    SinglePath,
    Strategy,
)
from gnas.strategy.progressive import sgas
from gnas.task import Task

RESULTS = Path(__file__).parent / "results" / "one_shot"
DATA = ("cora", "citeseer", "pubmed", "computers", "minesweeper")
SPACES = ("layered", "gap")
STRATEGIES: dict[str, Strategy[Any]] = {
    "nac": Nac(),
    "darts": Darts(),
    "darts-order2": Darts(order=2),
    "gdas": Gdas(),
    "snas": Gdas(hard=False, schedule="exponential"),
    "proxyless": Proxyless(),
    "drnas": DrNas(),
    "pc-darts": PcDarts(),
    "gold-nas": GoldNas(),
    "manas": Manas(),
    "single-path": SinglePath(),
    "random-sharing": RandomSharing(),
    "progressive": Progressive(),
    "sgas": sgas(Darts()),
    "few-shot": FewShot(),
}
ALPHA = Derivation(listed=1, best_of=1, seeds=1, evidence=(), inherited=False)
LEAN = Derivation(listed=128, steps=100, best_of=8, starts=False, rounds=2, seeds=1, inherited=False)
WAYS = ("alpha", "lean")
FIRST_SEED = 7_000_000
SIGNIFICANT = 0.05


def gcn(task: Task, train: TrainFromScratch) -> tuple[list[float], float]:
    """Seconds of each of three trainings of a GCN, and MiB of one."""
    seconds: list[float] = []
    measuring.settle()
    memory = measuring.peak(
        lambda: seconds.extend(train(hand_made(task)["GCN"], task, FIRST_SEED).seconds for _ in range(3))
    )
    return seconds, memory


class Bench:
    """One graph: its task, how networks are trained on it, and its pools of random networks."""

    def __init__(self, data: str, args: argparse.Namespace) -> None:
        self.data, self.args = data, args
        self.task = Task.from_data(gnas.load(data, root=args.root), name=data)
        self.train = replace(TrainFromScratch(), epochs=args.training_epochs, recipe=self.recipe())
        self.known: dict[str, tuple[list[float], float]] = {}

    def recipe(self) -> Recipe:
        """The recipe with which a GCN does best on the architecture split."""
        path = self.args.results / f"recipe-{self.data}.json"
        if not path.exists():
            tuning = replace(TrainFromScratch(), epochs=self.args.training_epochs)
            build, scores = hand_made(self.task)["GCN"], []
            for recipe in RECIPES:
                results = [replace(tuning, recipe=recipe)(build, self.task, FIRST_SEED - 1 - i) for i in range(2)]
                scores.append(fmean(self.task.metric.merit(result.metric_architecture) for result in results))
            files.keep(
                path,
                {"recipe": asdict(RECIPES[max(range(len(scores)), key=scores.__getitem__)]), "scores": scores},
                indent=None,
            )
        return Recipe(**files.read(path)["recipe"])

    def pool(self, name: str) -> list[dict[str, Any]]:
        """Random networks of a space, each trained once."""
        path, space = self.args.results / f"pool-{self.data}-{name}.json", BUILDERS[name]()
        rows: list[dict[str, Any]] = files.read(path)["networks"] if path.exists() else []
        seen = {space.bind(space.genotype(row["genotype"])).digest() for row in rows}
        generator = random.Random(0)
        while len(rows) < self.args.pool:
            genotype = space.sample(generator)
            if space.bind(genotype).digest() in seen:
                continue
            seen.add(space.bind(genotype).digest())
            result = self.train(builder(space.bind(genotype)), self.task, FIRST_SEED + len(rows), test=True)
            row = {"genotype": dict(genotype.choices), "seconds": result.seconds, "test": result.test}
            rows.append({**row, "architecture": result.metric_architecture})
            files.keep(path, {"data": self.data, "space": name, "networks": rows}, indent=None)
        return rows

    def trained(self, space: Space, genotype: Genotype) -> tuple[list[float], float]:
        """Test metrics of a network over training seeds, and the mean seconds of a training."""
        key = f"{space.name} {space.bind(genotype).digest()}"
        if key not in self.known:
            build, seeds = builder(space.bind(genotype)), range(FIRST_SEED, FIRST_SEED + self.args.trainings)
            results = [self.train(build, self.task, seed, test=True) for seed in seeds]
            tests = [float(result.test) for result in results if result.test is not None]
            self.known[key] = tests, fmean(result.seconds for result in results)
        return self.known[key]

    def random(self, name: str, seconds: float, seed: int) -> dict[str, Any]:
        """Random search in the pool for as long as a search took."""
        order = random.Random(seed).sample(self.pool(name), len(self.pool(name)))
        spent, tried = 0.0, list[dict[str, Any]]()
        for row in order:
            if tried and spent + row["seconds"] > seconds:
                break
            spent += row["seconds"]
            tried.append(row)
        best = max(tried, key=lambda row: self.task.metric.merit(row["architecture"]))
        space = BUILDERS[name]()
        test, _ = self.trained(space, space.genotype(best["genotype"]))
        return {"tried": len(tried), "seconds": spent, "exhausted": len(tried) == len(order), "test": test}

    def search(self, name: str, which: str, seed: int) -> dict[str, Any]:
        """One search, what it hands over in each way, and the random search beside each."""
        strategy, space = STRATEGIES[which], BUILDERS[name]()
        if self.args.epochs is not None and which != "nac":
            strategy = shortened(strategy, self.args.epochs)
        before = gcn(self.task, self.train)
        measuring.settle()
        runs: list[Any] = []
        with tempfile.TemporaryDirectory() as folder:
            settings: dict[str, Any] = {
                "evaluator": self.train,
                "seed": seed,
                "folder": Path(folder) / "run",
                "progress": False,
            }
            memory = measuring.peak(lambda: runs.append(gnas.search(self.task, space, strategy, LEAN, **settings)))
            taken, events = runs[0].journal.run()["seconds"], runs[0].journal.events()
        after = gcn(self.task, self.train)
        one = median((*before[0], *after[0]))
        weights = next((event["weights"] for event in reversed(events) if "weights" in event), None)
        found = {"alpha": (runs[0].genotype if weights is None else ALPHA.choose(space, weights, []), taken["search"])}
        if weights is not None:
            found["lean"] = (runs[0].genotype, taken["search"] + taken["derivation"])
        ways = {}
        for way, (genotype, cost) in found.items():
            test, training = self.trained(space, genotype)
            ways[way] = {
                "genotype": dict(genotype.choices),
                "test": test,
                "multiple": cost / one,
                "own_multiple": cost / training,
                "random": self.random(name, cost, seed),
            }
        return {
            "ways": ways,
            "seconds": taken,
            "memory": memory,
            "memory_multiple": memory / max(before[1], after[1]),
            "gcn": {"seconds": [*before[0], *after[0]], "memory": [before[1], after[1]]},
            "diagnostics": [finding.plain() for finding in runs[0].diagnostics],
            "higher_is_better": self.task.higher_is_better,
        }


def shortened(strategy: Strategy[Any], epochs: int) -> Strategy[Any]:
    """A strategy with fewer epochs, for a trial."""
    assert "epochs" in {entry.name for entry in fields(strategy)}
    return replace(strategy, epochs=epochs)  # type: ignore[call-arg]


def measure(args: argparse.Namespace) -> None:
    """Make every row that isn't there."""
    torch.set_num_threads(1)
    about = measuring.about(1, kernels.retain())
    benches: dict[str, Bench] = {}
    for seed in args.seeds:
        for data in args.data:
            for name in args.spaces:
                for which in args.strategies:
                    target = args.results / f"{data}-{name}-{which}-s{seed}.json"
                    if target.exists():
                        continue
                    if data not in benches:
                        benches[data] = Bench(data, args)
                    bench = benches[data]
                    bench.pool(name)
                    keys = {"data": data, "space": name, "strategy": which, "seed": seed}
                    row = {**keys, **bench.search(name, which, seed), **about}
                    files.keep(target, row, indent=None)
                    told = [
                        f"{way} {fmean(own['test']):.3f} (random {fmean(own['random']['test']):.3f}, "
                        f"{own['multiple']:.1f} x a GCN)"
                        for way, own in row["ways"].items()
                    ]
                    print(f"{target.stem}: {', '.join(told)}", flush=True)


def summary(results: Path, data: str, space: str, way: str) -> list[dict[str, Any]]:
    """A row for each strategy over its searches, for one way to derive."""
    found = []
    mean = fmean(row["test"] for row in files.read(results / f"pool-{data}-{space}.json")["networks"])
    for which in STRATEGIES:
        searches = files.every(results, f"{data}-{space}-{which}-s*.json")
        rows = [{**row, **row["ways"][way]} for row in searches if way in row["ways"]]
        if not rows:
            continue
        sign = 1 if rows[0]["higher_is_better"] else -1
        ours, theirs = ([fmean(row["test"]) for row in own] for own in (rows, [row["random"] for row in rows]))
        pairs = [pair for row in rows for pair in zip(row["test"], row["random"]["test"], strict=True)]
        found.append(
            {
                "strategy": which,
                "searches": len(rows),
                "test": [value for row in rows for value in row["test"]],
                "random": [value for row in rows for value in row["random"]["test"]],
                "tried": fmean(row["random"]["tried"] for row in rows),
                "exhausted": any(row["random"]["exhausted"] for row in rows),
                "improvement": sign * 100 * (fmean(ours) - mean) / mean,
                "random_improvement": sign * 100 * (fmean(theirs) - mean) / mean,
                "gain": sign * (fmean(ours) - fmean(theirs)),
                "p": paired(ours, theirs).p,
                "p_trainings": paired(*zip(*pairs)).p,
                "multiple": fmean(row["multiple"] for row in rows),
                "own_multiple": fmean(row["own_multiple"] for row in rows),
                "memory": fmean(row["memory_multiple"] for row in rows),
            }
        )
    return found


def table(results: Path, data: str, space: str, way: str) -> str:
    """One graph and space as Markdown."""
    lines = [
        f"### {data}, {space}, by {way}",
        "",
        "| strategy | searches | test x100 | over the mean random network % | random search at equal cost x100 "
        "| its networks | p of searches | p of trainings | time, GCNs | time, trainings of what was found "
        "| memory, GCNs |",
        "|---" * 11 + "|",
    ]
    for row in summary(results, data, space, way):
        ours, theirs = (f"{100 * fmean(row[k]):.1f} ± {100 * _spread(row[k]):.1f}" for k in ("test", "random"))
        tried = f"{row['tried']:.0f}{' (all)' if row['exhausted'] else ''}"
        lines.append(
            f"| {row['strategy']} | {row['searches']} | {ours} | {row['improvement']:+.1f} | {theirs} | {tried} | "
            f"{row['p']:.3f} | {row['p_trainings']:.3f} | {row['multiple']:.1f} | {row['own_multiple']:.1f} | "
            f"{row['memory']:.1f} |"
        )
    return "\n".join(lines)


def claims(results: Path, spaces: Sequence[str], way: str) -> str:
    """What the rows say on the questions that were asked beforehand."""
    lines = []
    for space in spaces:
        known = [data for data in DATA if (results / f"pool-{data}-{space}.json").exists()]
        rows = [(data, row) for data in known for row in summary(results, data, space, way)]
        for key, unit in (("p", "searches"), ("p_trainings", "trainings")):
            won = {which: [d for d, r in rows if r["strategy"] == which and _won(r, key)] for which in STRATEGIES}
            best = {which: own for which, own in won.items() if len(own) >= 3}
            told = ", ".join(f"{which} ({', '.join(own)})" for which, own in best.items()) or "none"
            lines.append(
                f"{space} by {way}, beats random search on three graphs or more, p < {SIGNIFICANT} by {unit}: {told}."
            )
        for key, what in (("own_multiple", "the network that it found"), ("multiple", "a GCN")):
            costs = [f"{row[key]:.2f} on {data}" for data, row in rows if row["strategy"] == "nac"]
            if costs:
                lines.append(f"{space} by {way}, nac's search over one training of {what}: {', '.join(costs)}.")
    return "\n".join(lines)


def _won(row: dict[str, Any], key: str) -> bool:
    return bool(row["gain"] > 0 and row[key] < SIGNIFICANT)


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA))
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), choices=SPACES)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="search seeds")
    parser.add_argument("--trainings", type=int, default=5, help="training seeds of each network")
    parser.add_argument("--pool", type=int, default=60, help="random networks of each graph and space")
    parser.add_argument(
        "--epochs", type=int, default=None, help="epochs of a search, for a trial; its own if not given"
    )
    parser.add_argument("--training-epochs", type=int, default=300, help="at most, of a training")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows lie")
    args = parser.parse_args()
    if not args.table:
        measure(args)
        return
    for data in args.data:
        for space in args.spaces:
            if (args.results / f"pool-{data}-{space}.json").exists():
                for way in WAYS:
                    print(table(args.results, data, space, way), end="\n\n")
    for way in WAYS:
        print(claims(args.results, args.spaces, way))


if __name__ == "__main__":
    main()
