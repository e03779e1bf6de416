"""Every one-shot strategy on five graphs in two spaces, beside random search at equal cost: one file for each search.

    python -m benchmarks.one_shot --data cora citeseer pubmed computers minesweeper --spaces layered gap --seeds 0 1 2
    python -m benchmarks.one_shot --table --picture docs/one-shot.svg

For each graph the recipe of trainings is the one of ``gnas.recipe.recipes_of`` it with which a GCN does best on the
architecture split; all networks of that graph are trained by it, to be compared on five seeds. For each graph and space
there is a pool of random networks (``--pool``). Then for each search, all in one process:

* the network that it hands over in two ways. By ``alpha``: the most probable one (or what the strategy itself settles
  on, if it learns no alpha), as the papers do. By ``lean`` derivation: the 128 most probable ones, judged by the
  supernet's weights, and short trainings of the best eight of them, then of each depth; all of it counts as cost, and
  the space's own starts, which a random search doesn't know either, are left out;
* time and memory of the search, over those of training one GCN (the median of three trainings before and three after
  it; the memory is what the process takes above what it had before), and its time over that of training what it found.

Random search at equal cost trains networks of the pool, in a drawn order, once each, as many as could have been trained
in the search's time, at least one, and keeps the best on the architecture split; its test is the mean of that network's
five. It is drawn four thousand times for each row. The p-value is that of the hypothesis that the strategy's searches
are such random searches: how often the mean of as many of them, each at the cost of the search beside it, lies as far
from the middle of all, to either side. It is not corrected for the number of rows.

The improvement is relative to the mean random network, 100 (a - r) / r, as in "NAS evaluation is frustratingly hard"
(Yang and others, arXiv 1912.12522).

The stabilisers of ``Darts`` are compared where it collapses, in ``benchmarks/collapse.py``.

A process has one thread, so two graphs can be measured side by side on two cores, each process on a core of its own.
Rows lie in ``benchmarks/results/one_shot``; what is there is not made again.
"""

from __future__ import annotations

import argparse
import functools
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, TypeAlias

import numpy as np
import torch

import gnas
from benchmarks import files, measuring
from gnas import kernels
from gnas.derive import Derivation
from gnas.evaluate import TrainFromScratch, builder
from gnas.headed import hand_made
from gnas.recipe import Recipe, recipes_of
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
DRAWS = 4000
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


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
            recipes = recipes_of(self.task)
            for recipe in recipes:
                results = [replace(tuning, recipe=recipe)(build, self.task, FIRST_SEED - 1 - i) for i in range(2)]
                scores.append(fmean(self.task.metric.merit(result.metric_architecture) for result in results))
            files.keep(
                path,
                {"recipe": asdict(recipes[max(range(len(scores)), key=scores.__getitem__)]), "scores": scores},
                indent=None,
            )
        return Recipe(**files.read(path)["recipe"])

    def pool(self, name: str) -> None:
        """Random networks of a space: each trained once, as a random search would, then on all seeds."""
        path, space = self.args.results / f"pool-{self.data}-{name}.json", BUILDERS[name]()
        rows: list[dict[str, Any]] = files.read(path)["networks"] if path.exists() else []
        seen = {space.bind(space.genotype(row["genotype"])).digest() for row in rows}
        generator = random.Random(0)
        while len(rows) < self.args.pool:
            genotype = space.sample(generator)
            if space.bind(genotype).digest() in seen:
                continue
            seen.add(space.bind(genotype).digest())
            result = self.train(builder(space.bind(genotype)), self.task, FIRST_SEED - 1000 - len(rows))
            row: dict[str, Any] = {"genotype": dict(genotype.choices), "seconds": result.seconds}
            rows.append({**row, "architecture": result.metric_architecture})
            files.keep(path, {"data": self.data, "space": name, "networks": rows}, indent=None)
        for row in rows:
            if "test" not in row:
                row["test"], _ = self.trained(space, space.genotype(row["genotype"]))
                files.keep(path, {"data": self.data, "space": name, "networks": rows}, indent=None)

    def trained(self, space: Space, genotype: Genotype) -> tuple[list[float], float]:
        """Test metrics of a network over training seeds, and the mean seconds of a training."""
        key = f"{space.name} {space.bind(genotype).digest()}"
        if key not in self.known:
            build, seeds = builder(space.bind(genotype)), range(FIRST_SEED, FIRST_SEED + self.args.trainings)
            results = [self.train(build, self.task, seed, test=True) for seed in seeds]
            tests = [float(result.test) for result in results if result.test is not None]
            self.known[key] = tests, fmean(result.seconds for result in results)
        return self.known[key]

    def search(self, name: str, which: str, seed: int) -> dict[str, Any]:
        """One search, and what it hands over in each way."""
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
                "seconds": cost,
                "multiple": cost / one,
                "own_multiple": cost / training,
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
            if data not in benches:
                benches[data] = Bench(data, args)
            bench = benches[data]
            for name in args.spaces:
                bench.pool(name)
                for which in args.strategies:
                    target = args.results / f"{data}-{name}-{which}-s{seed}.json"
                    if target.exists():
                        continue
                    keys = {"data": data, "space": name, "strategy": which, "seed": seed}
                    row = {**keys, **bench.search(name, which, seed), **about}
                    files.keep(target, row, indent=None)
                    told = [
                        f"{way} {fmean(own['test']):.3f} at {own['multiple']:.1f} x a GCN"
                        for way, own in row["ways"].items()
                    ]
                    print(f"{target.stem}: {', '.join(told)}", flush=True)


class Pool:
    """The random networks of a graph and space, and random search among them."""

    def __init__(self, results: Path, data: str, space: str, higher_is_better: bool) -> None:
        self.networks: list[dict[str, Any]] = files.read(results / f"pool-{data}-{space}.json")["networks"]
        self.tests = [test for row in self.networks for test in row["test"]]
        self.sign, count = 1 if higher_is_better else -1, len(self.networks)
        self.spent, self.found = np.empty((DRAWS, count)), np.empty((DRAWS, count))
        merits = self.sign * np.array([row["architecture"] for row in self.networks])
        seconds = np.array([row["seconds"] for row in self.networks])
        means = np.array([fmean(row["test"]) for row in self.networks])
        generator = np.random.default_rng(0)
        for draw in range(DRAWS):
            order = generator.permutation(count)
            self.spent[draw] = seconds[order].cumsum()
            best = np.maximum.accumulate(merits[order])
            # Where the best so far is a new one; of those that are as good the first stays.
            new = np.diff(best, prepend=-np.inf) > 0
            self.found[draw] = means[order][np.maximum.accumulate(np.where(new, np.arange(count), 0))]

    def search(self, seconds: float) -> tuple[Array, Array]:
        """For each order what random search hands over after so many seconds, and how many networks it trained."""
        tried = np.maximum((self.spent <= seconds).sum(axis=1), 1)
        return self.found[np.arange(DRAWS), tried - 1], tried

    def good(self, points: float = 0.03) -> float:
        """Share of the networks whose mean test is so near to the best one's."""
        means = np.array([self.sign * fmean(row["test"]) for row in self.networks])
        return float((means >= means.max() - points).mean())

    def probability(self, tests: Sequence[float], seconds: Sequence[float]) -> float:
        """Of a mean as far out, to either side, if the searches were random searches of these costs."""
        generator = np.random.default_rng(1)
        drawn = np.mean([generator.choice(self.search(each)[0], 20_000) for each in seconds], axis=0)
        above, below = (
            float((1 + tail.sum()) / (1 + len(tail))) for tail in (drawn >= fmean(tests), drawn <= fmean(tests))
        )
        return min(1.0, 2 * min(above, below))


@functools.cache
def pool_of(results: Path, data: str, space: str) -> Pool:
    """The random networks beside the searches that there are."""
    searches = files.every(results, f"{data}-{space}-*-s*.json")
    return Pool(results, data, space, searches[0]["higher_is_better"])


def compared(results: Path, data: str, space: str) -> bool:
    """Whether there are searches, and random networks to compare them with."""
    pool = results / f"pool-{data}-{space}.json"
    trained = pool.exists() and all("test" in row for row in files.read(pool)["networks"])
    return trained and bool(files.every(results, f"{data}-{space}-*-s*.json"))


def summary(results: Path, data: str, space: str, way: str) -> list[dict[str, Any]]:
    """A row for each strategy over its searches, for one way to derive."""
    found = []
    searches = files.every(results, f"{data}-{space}-*-s*.json")
    pool = pool_of(results, data, space)
    for which in STRATEGIES:
        rows = [{**row, **row["ways"][way]} for row in searches if row["strategy"] == which and way in row["ways"]]
        if not rows:
            continue
        sign, mean = 1 if rows[0]["higher_is_better"] else -1, fmean(pool.tests)
        ours, costs = [fmean(row["test"]) for row in rows], [row["seconds"] for row in rows]
        beside, tried = (np.concatenate(parts) for parts in zip(*map(pool.search, costs), strict=True))
        found.append(
            {
                "strategy": which,
                "searches": len(rows),
                "test": [value for row in rows for value in row["test"]],
                "random": beside.tolist(),
                "tried": float(tried.mean()),
                "exhausted": bool((tried == len(pool.networks)).any()),
                "improvement": sign * 100 * (fmean(ours) - mean) / mean,
                "gain": sign * (fmean(ours) - float(beside.mean())),
                "p": pool.probability(ours, costs),
                "multiple": fmean(row["multiple"] for row in rows),
                "own_multiple": fmean(row["own_multiple"] for row in rows),
                "memory": fmean(row["memory_multiple"] for row in rows),
            }
        )
    return found


def table(results: Path, data: str, space: str) -> str:
    """One graph and space as Markdown."""
    by_way = {way: {row["strategy"]: row for row in summary(results, data, space, way)} for way in WAYS}
    pool = pool_of(results, data, space)
    lines = [
        f"### {data}, {space}",
        "",
        f"{len(pool.networks)} random networks: {_shown(pool.tests)}; "
        f"{pool.good():.0%} are within three points of the best.",
        "",
        f"| strategy | searches | {' | '.join(_titles(way) for way in WAYS)} | memory |",
        "|---" * (3 + 6 * len(WAYS)) + "|",
    ]
    for which, row in by_way["alpha"].items():
        cells = [cell for way in WAYS for cell in _cells(by_way[way].get(which))]
        cells = [which, str(row["searches"]), *cells, f"{row['memory']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _titles(way: str) -> str:
    return f"{way} | over random network % | random search | p | GCNs | own"


def _cells(row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return [""] * 6
    tried = f"{_shown(row['random'])} of {row['tried']:.0f}{', all' if row['exhausted'] else ''}"
    figures = [f"{row[key]:.2g}" if key == "p" else f"{row[key]:.3g}" for key in ("p", "multiple", "own_multiple")]
    return [_shown(row["test"]), f"{row['improvement']:+.1f}", tried, *figures]


def _shown(tests: Sequence[float]) -> str:
    return f"{100 * fmean(tests):.1f} ± {100 * (stdev(tests) if len(tests) > 1 else 0.0):.1f}"


def picture(target: Path, results: Path, known: Sequence[tuple[str, str]]) -> None:
    """Draw what each strategy's networks reach against its cost, and random search as it goes on."""
    from matplotlib import pyplot

    columns = min(3, len(known))
    shape = (-(-len(known) // columns), columns)
    figure, axes = pyplot.subplots(
        *shape, figsize=(max(8.4, 4.2 * columns), 3.4 * shape[0]), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(known) :]:
        axis.set_axis_off()
    for axis, (data, space) in zip(axes.flat, known, strict=False):
        rows = files.every(results, f"{data}-{space}-*-s*.json")
        pool, one = pool_of(results, data, space), median(s for row in rows for s in row["gcn"]["seconds"])
        costs = np.geomspace(pool.spent[:, 0].mean(), pool.spent[:, -1].mean(), 60)
        middle = [100 * pool.search(cost)[0].mean() for cost in costs]
        axis.plot(costs / one, middle, color="black", linewidth=1.2, label="random search")
        alpha, lean = ({r["strategy"]: r for r in summary(results, data, space, way)} for way in WAYS)
        for i, which in enumerate(STRATEGIES):
            style = {"color": f"C{i % 10}", "marker": "os^"[i // 10], "linestyle": "", "markersize": 6}
            # What a strategy settles on by itself is all that it has: it is drawn full.
            last = lean.get(which, alpha.get(which))
            for row in [alpha.get(which), last] if which in lean else [last]:
                if row is not None:
                    fill, label = ("full", which) if row is last else ("none", None)
                    at = [row["multiple"]], [100 * fmean(row["test"])]
                    axis.plot(*at, fillstyle=fill, label=label, **style)
        axis.set_xscale("log")
        axis.set_title(f"{data}, {space}", fontsize=10)
        axis.set_xlabel("cost, trainings of a GCN")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("test x 100")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def claims(results: Path, spaces: Sequence[str], way: str) -> str:
    """What the rows say on the questions that were asked beforehand."""
    lines = []
    for space in spaces:
        known = [data for data in DATA if compared(results, data, space)]
        rows = [(data, row) for data in known for row in summary(results, data, space, way)]
        if not rows:
            continue
        won = {which: [d for d, r in rows if r["strategy"] == which and _won(r)] for which in STRATEGIES}
        best = {which: own for which, own in won.items() if len(own) >= 3}
        told = ", ".join(f"{which} ({', '.join(own)})" for which, own in best.items()) or "none"
        lines.append(f"{space} by {way}, beats random search on three graphs or more, p < {SIGNIFICANT}: {told}.")
        for key, what in (("own_multiple", "the network that it found"), ("multiple", "a GCN")):
            costs = [f"{row[key]:.2f} on {data}" for data, row in rows if row["strategy"] == "nac"]
            if costs and way == "alpha":
                lines.append(f"{space} by {way}, nac's search over one training of {what}: {', '.join(costs)}.")
    return "\n".join(lines)


def _won(row: dict[str, Any]) -> bool:
    return bool(row["gain"] > 0 and row["p"] < SIGNIFICANT)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA))
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), choices=SPACES)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="search seeds")
    parser.add_argument("--trainings", type=int, default=5, help="training seeds of each network")
    parser.add_argument("--pool", type=int, default=150, help="random networks of each graph and space")
    parser.add_argument(
        "--epochs", type=int, default=None, help="epochs of a search, for a trial; its own if not given"
    )
    parser.add_argument("--training-epochs", type=int, default=300, help="at most, of a training")
    parser.add_argument("--picture", type=Path, default=None, help="draw accuracy against cost; needs matplotlib")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows lie")
    args = parser.parse_args()
    if not args.table and not args.picture:
        measure(args)
        return
    pairs = [(data, space) for space in args.spaces for data in args.data]
    known = [pair for pair in pairs if compared(args.results, *pair)]
    if args.table:
        for data, space in known:
            print(table(args.results, data, space), end="\n\n")
        for way in WAYS:
            print(claims(args.results, args.spaces, way))
    if args.picture:
        picture(args.picture, args.results, known)


if __name__ == "__main__":
    main()
