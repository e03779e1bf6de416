"""The front of what a search trained, in the report."""

from __future__ import annotations

from pathlib import Path

import pytest

import gnas
from gnas import pareto, record
from gnas.testing import Scores, example_task


def test_the_front_is_what_nothing_dominates() -> None:
    points = [(1.0, 5.0), (2.0, 2.0), (2.0, 3.0), (5.0, 1.0), (2.0, 2.0), (6.0, 6.0)]
    assert pareto.front(points) == [0, 1, 3]
    assert pareto.front([]) == []


def test_a_report_shows_the_networks_that_no_other_one_beats(tmp_path: Path) -> None:
    strategy = gnas.Random(evaluations=12, evaluator=Scores(), objectives=("macs", "parameters"))
    space = gnas.layered(max_depth=3)
    evaluator = gnas.TrainFromScratch(gnas.Recipe(hidden_channels=8), epochs=2)
    run = gnas.search(
        example_task(), space, strategy, evaluator=evaluator, folder=tmp_path / "run", progress=False, seed=1
    )
    rows = pareto.networks(record.load(run.folder))
    assert len(rows) == 12 and 0 < sum(row.front for row in rows) < 12
    for row in rows:
        better = [
            other
            for other in rows
            if other.metric >= row.metric
            and all(other.costs[name] <= cost for name, cost in row.costs.items())
            and (other.metric, other.costs) != (row.metric, row.costs)
        ]
        assert row.front == (not better)
    section = pareto.section(record.load(run.folder))
    assert section is not None and section["names"] == ["macs", "parameters"]
    assert len(section["rows"]) == sum(row.front for row in rows)
    page = run.report.read_text(encoding="utf-8")
    assert "Quality against cost" in page and section["sentence"].split(":")[0] in page


def test_short_trainings_count_once_by_their_mean(tmp_path: Path) -> None:
    derivation = gnas.Derivation(listed=4, best_of=4, rounds=2, seeds=1, epochs=2, evidence=())
    run = gnas.search(
        example_task(),
        gnas.layered(max_depth=2),
        gnas.Darts(epochs=2, warmup=1),
        derivation,
        evaluator=gnas.TrainFromScratch(epochs=2),
        folder=tmp_path / "run",
        progress=False,
    )
    rows = pareto.networks(record.load(run.folder))
    events = [event for event in run.journal.events() if event["event"] == "best_of"]
    assert len(rows) == 4 < len(events)
    for row in rows:
        own = [event for event in events if event["genotype"] == dict(row.choices)]
        assert row.metric == pytest.approx(sum(event["metric_architecture"] for event in own) / len(own))
        assert row.costs == {"parameters": own[0]["parameters"]}
