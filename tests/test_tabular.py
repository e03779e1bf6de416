"""Tables: what a look-up gives, and that no file can mislead or run."""

from __future__ import annotations

import math
import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gnas.costs import Limit, cost
from gnas.space import gap
from gnas.space.bench import OPS, WIRINGS, key
from gnas.strategy import Evolution, Nsga2
from gnas.tabular import TABLES, Tabular

RANKED = {"0123": 0.9, "0122": 0.8, "0001": 0.8, "0012": 0.7}
"""Wirings of four networks of GCNs, with their validation metric; the test metric is half of it."""


def write(folder: Path, name: str = "cora", **changed: Any) -> Path:
    keys = [key(wiring, [OPS.index("gcn")] * 4) for wiring in RANKED]
    valid = np.array(list(RANKED.values()))
    columns = {"key": np.array(keys), "valid_perf": valid, "perf": valid / 2, "latency": valid, "para": valid}
    path = folder / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{**columns, **changed})
    return path


def choices(wiring: str, *ops: str) -> dict[str, str]:
    return {"wiring": f"wiring{wiring}", **{f"op.{i}": op for i, op in enumerate(ops or ["gcn"] * 4, start=1)}}


def test_a_row_is_found_whatever_the_seed_and_the_test_metric_apart(tmp_path: Path) -> None:
    table = Tabular(str(write(tmp_path)))
    space = table.space()
    best, second = (space.genotype(choices(wiring)) for wiring in ("0123", "0001"))
    result = table.evaluate(space, best, table.task(), 0)
    assert result.metric_architecture == 0.9 and result.parameters == 900_000 and result.test is None
    assert math.isnan(result.loss_architecture)
    assert table.evaluate(space, best, table.task(), 7).metric_architecture == 0.9
    assert table.test(space, best) == 0.45
    assert [table.rank(space, each) for each in (best, second)] == [0, 1]
    assert table.rank(space, space.genotype(choices("0122"))) == 1, "equals share a rank"
    assert table.rank(space, space.genotype(choices("0012"))) == 3


def test_four_skips_count_as_the_worst(tmp_path: Path) -> None:
    table = Tabular(str(write(tmp_path)))
    space = table.space()
    nothing = space.genotype(choices("0000", *["skip"] * 4))
    assert table.evaluate(space, nothing, table.task(), 0).metric_architecture == 0.7
    assert table.test(space, nothing) == 0.35 and table.rank(space, nothing) == 3


def test_a_network_or_space_that_the_table_lacks(tmp_path: Path) -> None:
    table = Tabular(str(write(tmp_path)))
    space = table.space()
    with pytest.raises(ValueError, match=r"has no network of wiring 0123 and operations gin, gcn, gcn, gcn"):
        table.rank(space, space.genotype(choices("0123", "gin", "gcn", "gcn", "gcn")))
    other = gap(1)
    with pytest.raises(ValueError, match=r"a genotype of the space 'gap'; expected one of the space 'bench'"):
        table.rank(other, other.genotype({name: c.options[0] for name, c in other.choices.items()}))


def test_where_tables_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "nas-bench-graph")
    monkeypatch.delenv("GNAS_DATA", raising=False)
    assert Tabular("cora", str(tmp_path)).table().name == "cora"
    with pytest.raises(ValueError, match="was looked for in no folder"):
        Tabular("cora")
    monkeypatch.setenv("GNAS_DATA", str(tmp_path))
    assert Tabular("cora").table().valid.max() == 0.9
    with pytest.raises(ValueError, match="pubmed.npz"):
        Tabular("pubmed")
    with pytest.raises(ValueError, match=r"got the table 'coro'; expected one of .* did you mean 'cora'"):
        Tabular("coro")
    with pytest.raises(ValueError, match="there is no such file"):
        Tabular(str(tmp_path / "none.npz"))


@pytest.mark.parametrize("scalar", [float, np.float64, np.float32])
def test_the_authors_pickles_are_read(tmp_path: Path, scalar: Any) -> None:
    keys = [key(wiring, [1] * 4) for wiring in RANKED]
    rows = [{name: scalar(value) for name in ("valid_perf", "perf", "latency", "para")} for value in RANKED.values()]
    path = tmp_path / "cora.bench"
    path.write_bytes(pickle.dumps(dict(zip(keys, rows))))
    assert Tabular(str(path)).table().valid == pytest.approx(list(RANKED.values()))


class Evil:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.made,)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    path, made = tmp_path / "cora.bench", tmp_path / "made"
    path.write_bytes(pickle.dumps({1: Evil(made)}))
    with pytest.raises(ValueError, match="it is no pickle of plain values"):
        Tabular(str(path))
    assert not made.exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": np.array([1111, 1111, 2222, 3333])}, "a key occurs twice"),
        ({"key": np.array([11111, 81111, 1212, 71111])}, "name no network in its canonical form, such as 1212"),
        ({"key": np.array([1.0, 2.0, 3.0, 4.0])}, "its keys are float64"),
        ({"perf": np.array([0.1, 0.2])}, r"its 'perf' are float64 of shape \[2\]"),
        ({"valid_perf": np.array([0.1, 0.2, np.nan, 0.3])}, "its 'valid_perf' are not all finite"),
        ({"perf": np.array(["a", "b", "c", "d"])}, "its 'perf' are <U1"),
    ],
)
def test_damaged_tables(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tabular(str(write(tmp_path, **changed)))


def test_no_table_at_all(tmp_path: Path) -> None:
    path = tmp_path / "cora.npz"
    path.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="can't be read as arrays"):
        Tabular(str(path))
    path = tmp_path / "cora.bench"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="it is no dictionary of records"):
        Tabular(str(path))


def test_the_published_tables(data_root: Path) -> None:
    folder = data_root / "nas-bench-graph"
    if not folder.is_dir():
        pytest.skip("GNAS_DATA has no folder nas-bench-graph")
    for name in TABLES:
        if (folder / f"{name}.npz").is_file():
            table = Tabular(name, str(data_root))
            assert table.space().size == (9 * 5**4 if name == "proteins" else 59_049)
            assert int(table.table().ranks.min()) == 0 and table.table().valid.max() <= 1


def test_what_a_network_costs_is_looked_up(tmp_path: Path) -> None:
    table = Tabular(str(write(tmp_path)))
    space, task = table.space(), table.task()
    best = space.genotype(choices("0123"))
    assert cost("parameters", space, best, task) == 900_000  # type: ignore[arg-type]
    assert cost("latency", space, best, task) == 900  # type: ignore[arg-type]
    nothing = space.genotype(choices("0000", *["skip"] * 4))
    assert cost("parameters", space, nothing, task) == 900_000, "the dearest"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got the cost 'macs'; expected one of \['parameters', 'latency'\]"):
        cost("macs", space, best, task)  # type: ignore[arg-type]


def test_limits_and_objectives_hold_on_a_table(tmp_path: Path) -> None:
    keys = sorted({key(wiring, ops) for wiring in WIRINGS for ops in product(range(len(OPS)), repeat=4)} - {8888})
    drawn = np.random.default_rng(0).random((4, len(keys)))
    columns = dict(zip(("valid_perf", "perf", "latency", "para"), drawn, strict=True))
    table = Tabular(str(write(tmp_path, key=np.array(keys), **{**columns, "para": columns["para"] / 10})))
    space, task = table.space(), table.task()
    limit = Limit("parameters", 60_000)
    for strategy in (
        Nsga2(evaluations=20, population=5, evaluator=table, objectives=("parameters", "latency"), conditions=(limit,)),
        Evolution(evaluations=20, population=5, evaluator=table, conditions=(limit,)),
    ):
        state = strategy.init(space, task, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        events = []
        while not strategy.done(state):
            events.append(strategy.step(task, state))  # type: ignore[arg-type]
        assert len(state.trials) == 20 and all(trial.parameters <= 60_000 for trial in state.trials)
        for event in events if strategy.objectives else ():
            assert round(event["costs"]["parameters"]) == event["parameters"]
