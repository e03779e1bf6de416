"""Strategies on tables: runs of many seeds in processes, kept as they come, then medians and quartiles.

Each run is one strategy on one table with one seed. Its record, a line of a file of JSON lines, has the validation rank
of the best network seen so far after each evaluation, and at some checkpoints two test metrics: of the network that the
strategy would hand over then, and of the best by validation. What stands in the file isn't run again, so a benchmark
that was stopped goes on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from gnas.crew import begin_worker
from gnas.space import Genotype
from gnas.strategy import STRATEGIES, BlackBox, labels
from gnas.tabular import Tabular

CHECKPOINTS = (10, 20, 30, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750, 1000)
"""After so many evaluations the network that would be handed over is tested."""
SHOWN = (50, 100, 150, 200, 300, 1000)
"""Columns of the printed table."""
Record = dict[str, Any]
PARTS = {"run", "strategy", "data", "seed", "ranks", "tests", "observed"}
"""What every record has."""


@dataclass(frozen=True)
class Run:
    """One strategy on one table with one seed.

    Args:
        label: What the strategy is called in tables.
        strategy: The strategy, with its evaluator.
        seed: Of all that it draws.
    """

    label: str
    strategy: BlackBox
    seed: int

    @property
    def table(self) -> Tabular:
        """What the networks are looked up in."""
        table = self.strategy.evaluator
        if not isinstance(table, Tabular):
            raise TypeError(f"{self.label} has the evaluator {table!r}; expected a Tabular")
        return table

    def key(self) -> str:
        """What names the run in the file of records: all settings, the table and the seed, not where it lies."""
        settings = {name: value for name, value in self.strategy.describe().items() if name != "evaluator"}
        return json.dumps([self.label, settings, self.table.table().name, self.seed], sort_keys=True)

    def run(self) -> Record:
        """Search, and keep count."""
        table, strategy = self.table, self.strategy
        space, task = table.space(), table.task()
        start = time.perf_counter()
        state = strategy.init(space, task, torch.Generator().manual_seed(self.seed))  # type: ignore[arg-type]
        handed: dict[int, Genotype] = {}
        observed: dict[int, Genotype] = {}
        while not strategy.done(state):
            strategy.step(task, state)  # type: ignore[arg-type]
            count = len(state.trials)
            if count in CHECKPOINTS or strategy.done(state):
                handed[count] = strategy.derive(task, state)  # type: ignore[arg-type]
                observed[count] = strategy.best(state).genotype
        ranks = np.minimum.accumulate([table.rank(space, trial.genotype) for trial in state.trials])
        return {
            "run": self.key(),
            "strategy": self.label,
            "data": table.table().name,
            "seed": self.seed,
            "seconds": round(time.perf_counter() - start, 2),
            "ranks": ranks.tolist(),
            # Looked up when the search is over, so that nothing in it can have seen them.
            "tests": {str(count): table.test(space, genotype) for count, genotype in handed.items()},
            "observed": {str(count): table.test(space, genotype) for count, genotype in observed.items()},
        }


def strategy_of(label: str, data: str, evaluations: int, root: str | None) -> BlackBox:
    """A strategy by name, which looks up a table; ``"surrogate:batch=1:final=left_out"`` has settings besides."""
    name, settings = labels.split(label)
    kind = STRATEGIES[name]
    if not issubclass(kind, BlackBox):
        usable = [known for known, other in STRATEGIES.items() if issubclass(other, BlackBox)]
        raise ValueError(
            f"got the strategy {name!r}, which trains a supernet and looks no network up; expected some of {usable}"
        )
    strategy = labels.make(kind, settings, {"evaluations": evaluations, "evaluator": Tabular(data, root)})
    assert isinstance(strategy, BlackBox)
    return strategy


def measure(
    runs: Sequence[Run], path: Path, workers: int = 1, tell: Callable[[Record], None] = lambda record: None
) -> list[Record]:
    """Records of the runs, in their order; those that the file has are read, the others run and appended.

    Args:
        runs: What to run.
        path: File of JSON lines; made if it is not there.
        workers: Processes, each with one thread.
        tell: Called with each new record.
    """
    known = read(path)
    missing = [run for run in runs if run.key() not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for record in _results(missing, workers):
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
            file.flush()
            known[record["run"]] = record
            tell(record)
    return [known[run.key()] for run in runs]


def _results(runs: Sequence[Run], workers: int) -> Iterable[Record]:
    if workers == 1 or len(runs) < 2:
        yield from (run.run() for run in runs)
        return
    # A process keeps what it knows of a space, so it is given one table after another and not all in turn.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(runs)), mp_context=context, initializer=_begin) as pool:
        futures = [pool.submit(run.run) for run in runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _begin() -> None:
    from threadpoolctl import threadpool_limits

    begin_worker()
    threadpool_limits(1)


def read(path: Path) -> dict[str, Record]:
    """The records of a file by their run; a last line that was cut off is cut from the file, to be run again."""
    if not path.exists():
        return {}
    whole, found = 0, dict[str, Record]()
    content = path.read_bytes()
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            record = json.loads(line)
            if not line.endswith(b"\n") or not {"run", "strategy", "data", "seed", "ranks", "tests", "observed"} <= set(
                record
            ):
                raise ValueError("it is no record")
            found[record["run"]] = record
        except (ValueError, TypeError, UnicodeDecodeError):
            if whole + len(line) < len(content) or line.endswith(b"\n"):
                raise ValueError(
                    f"line {number} of {path} is no record of a benchmark; expected a file that gnas bench wrote, try "
                    "another --output"
                ) from None
            os.truncate(path, whole)
            break
        whole += len(line)
    return found


def summary(records: Sequence[Record], at: Sequence[int]) -> list[dict[str, Any]]:
    """Median and quartiles over seeds for each table and strategy: one row for each number of evaluations.

    Ranks are of the best network seen, tests of the network that was handed over at the last checkpoint so far, and
    ``mean_observed`` of the best by validation there.
    """
    rows = []
    for data, label in dict.fromkeys((record["data"], record["strategy"]) for record in records):
        own = [record for record in records if (record["data"], record["strategy"]) == (data, label)]
        for count in at:
            # A search that came to its end early stands still.
            ranks = [record["ranks"][min(count, len(record["ranks"])) - 1] for record in own]
            tests = [_latest(record["tests"], count) for record in own]
            done = [test for test in tests if test is not None]
            plain = [test for record in own if (test := _latest(record["observed"], count)) is not None]
            row = {"data": data, "strategy": label, "evaluations": count, "seeds": len(own), "rank": quartiles(ranks)}
            row |= {"test": quartiles(done), "mean_test": _mean(done), "mean_observed": _mean(plain)}
            rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _latest(tests: dict[str, float], count: int) -> float | None:
    before = [int(at) for at in tests if int(at) <= count]
    return tests[str(max(before))] if before else None


def quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Lower quartile, median and upper quartile; ``None`` of nothing."""
    if not values:
        return None
    low, middle, high = np.quantile(np.array(values, dtype=float), [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def tables(records: Sequence[Record], evaluations: int) -> list[Table]:
    """A table for each data set: validation rank of the best (median, quartiles), then mean test metric x100."""
    at = [count for count in SHOWN if count < evaluations] + [evaluations]
    rows = summary(records, at)
    found = []
    for data in dict.fromkeys(row["data"] for row in rows):
        seeds = min(row["seeds"] for row in rows if row["data"] == data)
        table = Table(title=f"{data}: validation rank of the best (quartiles) and test metric x100, {seeds} seeds")
        table.add_column("strategy")
        for count in at:
            table.add_column(str(count), justify="right")
        for label in dict.fromkeys(row["strategy"] for row in rows if row["data"] == data):
            own = [row for row in rows if (row["data"], row["strategy"]) == (data, label)]
            table.add_row(label, *(_cell(row) for row in own))
        found.append(table)
    return found


def _cell(row: dict[str, Any]) -> str:
    low, middle, high = row["rank"]
    test = "" if row["mean_test"] is None else f"\n{100 * row['mean_test']:.1f}"
    return f"{middle:.4g} ({low:.4g}-{high:.4g}){test}"


def draw(records: Sequence[Record], path: Path) -> None:
    """Rank and test metric against evaluations, a column for each table: medians as lines, quartiles as bands."""
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            "a picture was asked for and matplotlib is not installed; try pip install 'gnas[plots]', or no --picture"
        ) from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(record["data"] for record in records))
    labels = list(dict.fromkeys(record["strategy"] for record in records))
    longest = max(len(record["ranks"]) for record in records)
    at = [*range(10, longest, 10), longest]
    rows = summary(records, at)
    figure, axes = plt.subplots(2, len(names), figsize=(3.4 * len(names), 6), squeeze=False, sharex=True)
    for column, data in enumerate(names):
        for label in labels:
            own = [row for row in rows if (row["data"], row["strategy"]) == (data, label)]
            for axis, what, scale in ((axes[0][column], "rank", 1), (axes[1][column], "test", 100)):
                points = [(row["evaluations"], *(scale * v for v in row[what])) for row in own if row[what]]
                if points:
                    xs, low, middle, high = zip(*points)
                    (line,) = axis.plot(xs, middle, label=label)
                    axis.fill_between(xs, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        axes[0][column].set(title=data, yscale="symlog", ylim=(0, None))
        axes[1][column].set(xlabel="evaluations")
    axes[0][0].set(ylabel="validation rank of the best")
    axes[1][0].set(ylabel="test metric x100")
    axes[0][-1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def runs_of(
    names: Sequence[str], tables_: Sequence[str], seeds: Iterable[int], evaluations: int, root: str | None
) -> list[Run]:
    """All runs of some strategies on some tables, table by table."""
    seeds = tuple(seeds)
    return [
        Run(name, strategy_of(name, data, evaluations, root), seed)
        for data in tables_
        for name in names
        for seed in seeds
    ]
