"""What zero-cost scores know of the truth: their rank correlation with the tables of NAS-Bench-Graph.

    python -m benchmarks.zero_cost --data cora

Three hundred networks of the space ``bench``, drawn at random, are built for real on the data set with the public split
and scored untrained; the table says how good each is when trained. Scores read the features, the graph and the labels
of the role ``weights``. Printed are the rank correlations with the table's test and validation metric, what is left
when a filter has refused the worst, whether the scores help the model of :class:`gnas.Surrogate` to predict, and with
``--seeds`` whether they help it to search.

What was scored is kept in ``benchmarks/results/zero_cost``, a file for every 25 networks; called again, the command
makes what is missing. ``--table`` prints the tables from the files.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, spearmanr, wilcoxon

from benchmarks import files

RESULTS = Path(__file__).parent / "results" / "zero_cost"
DATA = ("cora", "citeseer", "pubmed")
NETWORKS, PART = 300, 25
RESAMPLES = 1000
MEAN = "mean of ranks"
TRUTHS = ("test", "valid")
DRAWS, SHARE = 20, 0.5
KNOWN, SPLITS = 100, 40
EVALUATIONS, SCORED = 100, 25
SEARCHED: dict[str, tuple[str, ...]] = {"none": (), "synflow": ("synflow",)}

Vector = NDArray[np.float64]
Record = dict[str, Any]


def drawn(data: str, root: str | None) -> list[dict[str, Any]]:
    """Networks that the table has, no two alike, always the same: their choices and metrics."""
    import gnas

    table = gnas.Tabular(data, root)
    space, generator, found = table.space(), random.Random(0), dict[Any, Record]()
    while len(found) < NETWORKS:
        genotype = space.canonical(space.sample(generator))
        row = table.table().row(space, genotype)
        if row is not None and genotype not in found:
            metrics = {"test": float(table.table().test[row]), "valid": float(table.table().valid[row])}
            found[genotype] = {"choices": dict(genotype.choices), **metrics}
    return list(found.values())


def measure(data: str, root: str | None) -> None:
    """Score each network that is in no result file yet."""
    import torch
    from torch_geometric.data import Data

    import gnas
    from benchmarks import measuring
    from gnas.zero_cost import SCORES, score

    torch.set_num_threads(1)
    graph = gnas.load(data, root=root)
    assert isinstance(graph, Data)
    task, space = gnas.Task.from_data(graph, name=data), gnas.Tabular(data, root).space()
    networks = drawn(data, root)
    for part in range(0, NETWORKS, PART):
        target = RESULTS / f"{data}-{part:03d}.json"
        if target.exists():
            continue
        for record in networks[part : part + PART]:
            genotype = space.genotype(record["choices"])
            record["scores"], record["seconds"] = {}, {}
            for name in SCORES:
                began = time.perf_counter()
                record["scores"][name] = score(name, space, genotype, task)
                record["seconds"][name] = round(time.perf_counter() - began, 4)
        content = {"data": data, "networks": networks[part : part + PART], **measuring.about(1)}
        files.keep(target, content)
        print(f"{target.name}", flush=True)


def read(data: str) -> tuple[list[Record], dict[str, Vector], dict[str, Vector]]:
    """The networks, the columns of scores and those of metrics."""
    networks = [record for part in files.every(RESULTS, f"{data}-*.json") for record in part["networks"]]
    scores = {name: np.array([record["scores"][name] for record in networks]) for name in networks[0]["scores"]}
    # What can't be scored comes last.
    scores = {name: np.where(np.isnan(column), -np.inf, column) for name, column in scores.items()}
    scores[MEAN] = np.mean([rankdata(column) for column in scores.values()], axis=0)
    truths = {name: np.array([record[name] for record in networks]) for name in TRUTHS}
    return networks, scores, truths


def spread(statistic: Callable[[NDArray[np.int64]], float], count: int) -> tuple[float, float]:
    """A statistic of all networks, and its standard deviation over resamples with replacement."""
    generator = np.random.default_rng(0)
    found = [statistic(generator.integers(count, size=count)) for _ in range(RESAMPLES)]
    return statistic(np.arange(count)), float(np.std(found))


def correlations(data: str) -> str:
    """The table of rank correlations as Markdown."""
    networks, scores, truths = read(data)
    lines = [
        f"| score | Spearman, {TRUTHS[0]} | Kendall, {TRUTHS[0]} | Spearman, {TRUTHS[1]} | Kendall, {TRUTHS[1]} | s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, column in scores.items():
        cells = []
        for truth in TRUTHS:
            for measured in (spearmanr, kendalltau):

                def statistic(rows: NDArray[np.int64], measured: Any = measured, truth: str = truth) -> float:
                    return float(measured(column[rows], truths[truth][rows]).statistic)  # noqa: B023

                cells.append("{:.2f} ± {:.2f}".format(*spread(statistic, len(networks))))
        seconds = [record["seconds"].get(name) for record in networks]
        cells.append("" if name == MEAN else f"{np.median(seconds):.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    between = spread(
        lambda rows: float(spearmanr(truths["valid"][rows], truths["test"][rows]).statistic), len(networks)
    )
    lines += ["", sixths("synflow", scores["synflow"], truths)]
    lines += ["", f"The two metrics' own rank correlation (Spearman) is {between[0]:.2f} ± {between[1]:.2f}."]
    return "\n".join(lines)


def sixths(name: str, column: Vector, truths: dict[str, Vector]) -> str:
    """The mean metrics of each sixth of the networks in the order of a score, the lowest first, in a sentence."""
    groups = np.array_split(np.argsort(column, kind="stable"), 6)
    means = [" ".join(f"{100 * truths[truth][group].mean():.1f}" for group in groups) for truth in TRUTHS]
    return f"By sixths in the order of {name}: {TRUTHS[0]} {means[0]}; {TRUTHS[1]} {means[1]}."


def best_of(valid: Vector, value: Vector, draws: int) -> float:
    """Expected value of the network with the best validation metric among so many draws with replacement."""
    order, count = np.argsort(valid, kind="stable"), len(valid)
    shares = np.arange(count + 1) / count
    return float(value[order] @ np.diff(shares**draws))


def filters(data: str) -> str:
    """What random search finds when a filter refuses the worse half, as Markdown."""
    _, scores, truths = read(data)
    count = len(truths["valid"])
    columns: dict[str, Vector | None] = {"no filter": None, **scores}
    lines = [
        f"| filter | mean valid | mean test | valid of the best of {DRAWS} | its test | gain in it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]

    def kept(rows: NDArray[np.int64], column: Vector | None) -> NDArray[np.int64]:
        if column is None:
            return rows
        return rows[np.argsort(column[rows], kind="stable")[int(SHARE * len(rows)) :]]

    for name, column in columns.items():
        cells = []
        for draws in (1, DRAWS):
            for truth in ("valid", "test"):

                def statistic(
                    rows: NDArray[np.int64], draws: int = draws, truth: str = truth, column: Any = column
                ) -> float:
                    left = kept(rows, column)
                    return 100 * best_of(truths["valid"][left], truths[truth][left], draws)

                cells.append(f"{statistic(np.arange(count)):.1f}")

        def gain(rows: NDArray[np.int64], column: Any = column) -> float:
            left = kept(rows, column)
            with_, without = (best_of(truths["valid"][r], truths["test"][r], DRAWS) for r in (left, rows))
            return 100 * (with_ - without)

        cells.append("" if column is None else "{:+.2f} ± {:.2f}".format(*spread(gain, count)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def models(data: str) -> str:
    """How well the model of ``Surrogate`` orders networks that it has not seen, as Markdown."""
    import gnas
    from gnas.strategy.features import encoder
    from gnas.strategy.gaussian import Kernel, Posterior
    from gnas.strategy.score_features import places, widened
    from gnas.strategy.surrogate import standing

    networks, scores, truths = read(data)
    space, weight = gnas.bench(), gnas.Surrogate().weight
    encode = encoder(space)
    features = encode([encode.trace(space.genotype(record["choices"])) for record in networks])
    names = [name for name in scores if name != MEAN]
    sets: dict[str, tuple[str, ...]] = {"none": (), **{name: (name,) for name in names}, "all seven": tuple(names)}
    found: dict[str, list[float]] = {name: [] for name in sets}
    generator = np.random.default_rng(0)
    for _ in range(SPLITS):
        order = generator.permutation(len(networks))
        known, rest = order[:KNOWN], order[KNOWN:]
        targets = standing(list(-truths["valid"][known]))
        for name, chosen in sets.items():
            trials, new = features[known], features[rest]
            compared, across = trials.compare(trials), cast(Any, new.compare(trials))
            own: tuple[Any, Any] = (compared[0].astype(float), compared[1].astype(float))
            if chosen:
                columns = np.stack([scores[each] for each in chosen], axis=1)
                there, here = places(columns[known], columns[known]), places(columns[rest], columns[known])
                own, across = widened(compared, there, there, weight), widened(across, here, there, weight)
            kernel = Kernel().fitted(own[0], own[1], targets)
            means = kernel(across[0], across[1]) @ Posterior(kernel, own[0], own[1], targets).weights
            found[name].append(float(kendalltau(means, truths["valid"][rest]).statistic))
    lines = ["| scores beside the pieces | Kendall, valid | gain |", "| --- | --- | --- |"]
    for name, values in found.items():
        gains = np.array(values) - np.array(found["none"])
        gain = "" if name == "none" else f"{gains.mean():+.3f} ± {gains.std():.3f}"
        lines.append(f"| {name} | {np.mean(values):.3f} | {gain} |")
    return "\n".join(lines)


def search(data: str, root: str | None, seeds: int) -> None:
    """Search the table with and without a score in the model, for each seed that has no result file yet."""
    import torch

    import gnas

    torch.set_num_threads(1)
    task, table = gnas.Task.from_data(gnas.load(data, root=root), name=data), gnas.Tabular(data, root)
    space = table.space()
    for seed in range(seeds):
        for name, scores in SEARCHED.items():
            target = RESULTS / f"search-{data}-{name}-{seed:02d}.json"
            if target.exists():
                continue
            began = time.process_time()
            strategy = gnas.Surrogate(
                evaluations=EVALUATIONS, evaluator=table, scores=scores, scored=SCORED, final="left_out"
            )
            state = strategy.init(space, task, torch.Generator().manual_seed(seed))
            while not strategy.done(state):
                strategy.step(task, state)
            content = {
                "data": data,
                "scores": name,
                "seed": seed,
                "ranks": [table.rank(space, trial.genotype) for trial in state.trials],
                "test": table.test(space, strategy.derive(task, state)),
                "seconds": round(time.process_time() - began, 1),
            }
            files.keep(target, content, indent=None)
            print(target.name, flush=True)


def searches(data: str) -> str:
    """What searches with and without a score found, as Markdown."""
    marks = (40, 60, 80, 100)
    head = " | ".join(f"rank at {mark}" for mark in marks)
    lines = [f"| scores | searches | {head} | test of what is handed over | s |", "| --- " * (len(marks) + 4) + "|"]
    last: list[Vector] = []
    for name in SEARCHED:
        kept = files.every(RESULTS, f"search-{data}-{name}-*.json")
        if kept:
            best = np.array([np.minimum.accumulate(one["ranks"]) for one in kept])
            cells = ["{1:g} ({0:g}-{2:g})".format(*np.percentile(best[:, mark - 1], (25, 50, 75))) for mark in marks]
            test, seconds = (np.array([one[key] for one in kept]) for key in ("test", "seconds"))
            cells += [f"{100 * test.mean():.1f} ± {100 * test.std():.1f}", f"{np.median(seconds):.0f}"]
            lines.append(f"| {name} | {len(kept)} | {' | '.join(cells)} |")
            last.append(np.log1p(best[:, marks[-1] - 1]))
    if len(last) > 1 and len(last[0]) == len(last[1]):
        better, worse = int((last[1] < last[0]).sum()), int((last[1] > last[0]).sum())
        p = float(wilcoxon(last[1], last[0]).pvalue)
        lines += ["", f"With the score {better} searches end better and {worse} worse (Wilcoxon, p = {p:.2f})."]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=["cora"], choices=DATA)
    parser.add_argument("--seeds", type=int, default=0, help="also search the table by Surrogate, for so many seeds")
    args = parser.parse_args()
    for data in args.data:
        if not args.table:
            measure(data, args.root)
            search(data, args.root, args.seeds)
        print("\n\n".join([f"### {data}", correlations(data), filters(data), models(data), searches(data)]))


if __name__ == "__main__":
    main()
