"""Strategies on tables: records, going on, and what is said of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gnas.cli import app
from gnas.space.bench import WIRINGS, canonical, key
from gnas.tabulating import measure, quartiles, read, runs_of, summary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a made-up table of all networks of five operations, named as that of proteins."""
    ops = (1, 4, 5, 7, 8)
    generator = random.Random(0)
    keys = set()
    for wiring in WIRINGS:
        for _ in range(60_000 // len(WIRINGS)):
            keys.add(key(*canonical(wiring, [generator.choice(ops) for _ in range(4)])))
    numbers = np.array(sorted(keys - {88888}))
    valid = np.random.default_rng(0).permutation(len(numbers)) / len(numbers)
    folder = tmp_path / "nas-bench-graph"
    folder.mkdir()
    np.savez(folder / "proteins.npz", key=numbers, valid_perf=valid, perf=1 - valid, latency=valid, para=valid)
    assert len(numbers) == 2021
    return tmp_path


def test_records_tell_the_truth_and_are_not_made_twice(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.jsonl"
    runs = runs_of(["random"], ["proteins"], range(3), 30, str(root))
    told: list[str] = []
    first = measure(runs[:2], path, tell=lambda record: told.append(record["run"]))
    assert told == [run.key() for run in runs[:2]]
    for record in first:
        assert len(record["ranks"]) == 30 and record["ranks"] == sorted(record["ranks"], reverse=True)
        # In this table the test metric is what validation lacks.
        assert record["tests"]["30"] == pytest.approx(1 - (2020 - record["ranks"][-1]) / 2021)
        assert set(record["tests"]) == {"10", "20", "30"}
    told.clear()
    again = measure(runs, path, tell=lambda record: told.append(record["run"]))
    assert told == [runs[2].key()] and again[:2] == first
    assert runs[2].run() | {"seconds": 0} == again[2] | {"seconds": 0}, "the same seed, the same run"


def test_a_line_that_was_cut_off_is_run_again(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    runs = runs_of(["random"], ["proteins"], range(2), 10, str(root))
    measure(runs, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert set(read(path)) == {runs[0].key()}
    assert [r["ranks"] for r in measure(runs, path)] == [json.loads(line)["ranks"] for line in whole.splitlines()]
    path.write_bytes(b"something else\n" + whole)
    with pytest.raises(ValueError, match="line 1 of .* is no record of a benchmark"):
        read(path)


def test_settings_and_seeds_name_a_run(root: Path) -> None:
    few, more = (runs_of(["random"], ["proteins"], range(2), count, str(root)) for count in (10, 20))
    assert len({run.key() for run in (*few, *more)}) == 4
    assert few[0].key() == runs_of(["random"], ["proteins"], range(1), 10, str(root))[0].key()


def test_medians_and_quartiles() -> None:
    records = [
        {"data": "d", "strategy": "s", "ranks": [9, rank], "tests": {"1": 0.0, "2": rank / 10}} for rank in range(5)
    ]
    for record in records:
        record["observed"] = {"2": 0.5}
    one, two, late = summary(records, [1, 2, 50])
    assert one["rank"] == (9, 9, 9) and one["mean_test"] == 0 and one["mean_observed"] is None
    assert two["rank"] == (1, 2, 3) and two["mean_test"] == pytest.approx(0.2) and two["seeds"] == 5
    assert two["mean_observed"] == 0.5
    assert late["rank"] == two["rank"], "a search that ended early stands still"
    assert quartiles([]) is None


def test_the_command(root: Path, tmp_path: Path) -> None:
    output, picture = tmp_path / "results.jsonl", tmp_path / "results.svg"
    options = ["bench", "strategies", "--data", "proteins", "--strategies", "random", "--seeds", "2"]
    options += ["--evaluations", "12", "--root", str(root), "--output", str(output), "--workers", "1", "--quiet"]
    pytest.importorskip("matplotlib")
    done = CliRunner().invoke(app, [*options, "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    assert len(output.read_text().splitlines()) == 2 and picture.read_text().startswith("<?xml")
    for changed, message in (("--data=cora", "was looked for"), ("--strategies=darts", "trains a supernet")):
        done = CliRunner().invoke(app, [*options, changed])
        assert done.exit_code == 2 and message in done.output
    done = CliRunner().invoke(app, [*options, "--strategies=random:evaluations=3:share=1"])
    assert done.exit_code == 2 and "got the setting 'share=1'; expected one such as" in done.output


def test_settings_may_be_named_and_do_not_change_what_is_asked(root: Path, tmp_path: Path) -> None:
    labels = ["surrogate:initial=5", "surrogate:initial=5:final=left_out"]
    plain, rule = (run.run() for run in runs_of(labels, ["proteins"], range(1), 30, str(root)))
    assert (plain["strategy"], rule["strategy"]) == tuple(labels)
    assert plain["ranks"] == rule["ranks"] and plain["observed"] == rule["observed"] == plain["tests"]
