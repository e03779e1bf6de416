"""Scores as an evaluator, as a yardstick and as a filter."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

import gnas
from gnas.batch import Batch
from gnas.evaluate import builder, parameters
from gnas.recipe import Recipe
from gnas.scale import Scale
from gnas.space import Choice, Node, Space, layered
from gnas.strategy import Local, Random
from gnas.tabular import TableTask
from gnas.task import Task
from gnas.testing import example_graph, example_task
from gnas.zero_cost import Promising, Score, Yardstick, ZeroCost, narrow, score

SMALL = Recipe(hidden_channels=8)


@dataclass(frozen=True)
class Linears(Score):
    """A score of one's own: how many projections a network has."""

    name: ClassVar[str] = "linears"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        return float(sum(isinstance(module, nn.Linear) for module in net.modules()))


@dataclass(frozen=True)
class Broken(Score):
    name: ClassVar[str] = "broken"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        return float("nan")


def projections() -> Space:
    """Four layers, each a projection or nothing: 16 networks of 0 to 4 projections."""
    nodes = [
        Node(f"h{i}", Choice(f"op.{i}", ("identity", "linear")), (f"h{i - 1}" if i > 1 else "x",)) for i in range(1, 5)
    ]
    return Space("projections", tuple(nodes), "h4")


def numbers_task() -> Task:
    """The same graph with numbers for labels: a lower error is better."""
    data = example_graph()
    return Task.from_data(Data(**{**data.to_dict(), "y": data.x[:, 0].clone()}))


@pytest.mark.parametrize("strategy", [Random, Local])
@pytest.mark.parametrize("lower", [False, True])
def test_a_search_by_a_score_finds_the_highest(strategy: type[Random] | type[Local], lower: bool) -> None:
    task, space = numbers_task() if lower else example_task(), projections()
    assert task.higher_is_better is not lower
    search = strategy(evaluations=16, evaluator=ZeroCost(Linears(), SMALL))
    state = search.init(space, task, torch.Generator().manual_seed(0))
    while not search.done(state):
        event = search.step(task, state)
        assert event["loss_architecture"] is None and event["epochs"] == 0
    found = search.derive(task, state)
    assert {option for _, option in found.choices} == {"linear"}
    assert abs(search.best(state).metric) == 4 + 2  # the encoder and the decoder


def test_a_score_that_is_no_number_loses() -> None:
    result = ZeroCost(Broken(), SMALL).evaluate(
        space := projections(), space.sample(random.Random(0)), example_task(), 0
    )
    assert result.metric_architecture != result.metric_architecture


@dataclass(frozen=True)
class Overflowing(Score):
    """A score of some networks that is beyond all numbers."""

    name: ClassVar[str] = "overflowing"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        return math.inf


def test_a_score_beyond_all_numbers_loses_and_draws_nothing() -> None:
    space, before = projections(), torch.random.get_rng_state()
    result = ZeroCost(Overflowing(), SMALL).evaluate(space, space.sample(random.Random(0)), example_task(), 0)
    assert math.isnan(result.metric_architecture)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_seeds_are_averaged_and_parameters_counted() -> None:
    task, space = example_task(), layered(max_depth=2)
    genotype = space.sample(random.Random(2))
    each = [score("gradient_norm", space, genotype, task, seed, SMALL) for seed in (6, 7, 8)]
    result = ZeroCost("gradient_norm", SMALL, seeds=3).evaluate(space, genotype, task, 2)
    assert result.metric_architecture == pytest.approx(sum(each) / 3)
    assert result.parameters == parameters(builder(space.bind(genotype))(task, SMALL))
    assert len(set(each)) == 3


def test_standings_are_shares_of_the_sample() -> None:
    space, task = projections(), example_task()
    yardstick = Yardstick(space, task, (Linears(),), sample=200, recipe=SMALL)
    counts = [sum(option == "linear" for _, option in g.choices) for g in yardstick.genotypes]
    for wanted in range(5):
        genotype = space.genotype({f"op.{i}": "linear" if i <= wanted else "identity" for i in range(1, 5)})
        expected = sum(c < wanted for c in counts) / 200 + sum(c == wanted for c in counts) / 400
        assert yardstick(genotype) == pytest.approx(expected)
    # Of two scores of which one is the same for all, the standing is the mean with one half.
    both = Yardstick(space, task, (Linears(), Broken()), sample=200, recipe=SMALL)
    assert both(genotype) == pytest.approx((yardstick(genotype) + 0.5) / 2)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_what_is_refused_is_the_worst_share(share: float) -> None:
    space, task = layered(max_depth=2), example_task()
    condition = Promising(("gradient_norm",), share, sample=40, recipe=SMALL)
    generator = random.Random(condition.seed)
    sample = [space.sample(generator) for _ in range(40)]
    values = {g: score("gradient_norm", space, g, task, condition.seed, SMALL) for g in sample}
    refused = [value for g, value in values.items() if not condition.admits(space, g, task)]
    admitted = [value for g, value in values.items() if condition.admits(space, g, task)]
    assert refused and max(refused) < min(admitted)
    assert len(refused) / len(values) == pytest.approx(share, abs=0.1)
    assert str(condition) == f"scores by gradient_norm above the worst {share:.0%} of 40 random networks"


def test_the_options_that_score_worst_are_dropped() -> None:
    space, task = projections(), example_task()
    narrower = narrow(space, task, (Linears(),), share=0.5, sample=60, recipe=SMALL)
    assert {name: choice.options for name, choice in narrower.choices.items()} == {
        f"op.{i}": ("linear",) for i in range(1, 5)
    }
    assert narrow(space, task, (Linears(),), 0.5, 60, recipe=SMALL, spared=("op.2",)).choices["op.2"].options == (
        "identity",
        "linear",
    )


def test_a_narrower_space_keeps_depths_and_a_share_of_the_rest() -> None:
    space, task = layered(max_depth=3), example_task()
    narrower = narrow(space, task, ("parameters", "gradient_norm"), share=0.5, sample=40, recipe=SMALL)
    for name, choice in space.choices.items():
        kept = len(narrower.choices[name].options)
        assert kept == (len(choice.options) if name == "depth" else -(-len(choice.options) // 2))


def test_settings_and_tasks_that_do_not_fit() -> None:
    space = projections()
    for make, words in (
        (lambda: ZeroCost("sinflow"), "got the score 'sinflow'"),
        (lambda: ZeroCost(seeds=0), "seeds=0"),
        (lambda: Promising(()), "expected at least one"),
        (lambda: Promising(share=1.0), "share=1.0"),
        (lambda: Promising(sample=3), "sample=3"),
        (lambda: narrow(space, example_task(), ("synflow",), share=0), "share=0"),
        (
            lambda: Promising().admits(space, space.sample(random.Random(0)), TableTask("cora")),  # type: ignore[arg-type]
            "expected a gnas.Task",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            make()


def test_a_run_says_that_candidates_were_scored_and_not_trained(tmp_path: Path, capsys: Any) -> None:
    strategy = Random(evaluations=4, evaluator=ZeroCost("parameters", SMALL))
    gnas.search(
        example_task(),
        layered(max_depth=2),
        strategy,
        evaluator=gnas.TrainFromScratch(SMALL, epochs=2),
        folder=tmp_path / "run",
    )
    assert "by its parameters score" in capsys.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Parameters score; each dot is one candidate, scored untrained" in page


def test_only_scores_are_read_otherwise() -> None:
    accuracy = Scale()
    assert accuracy.judging(Random().describe()) is accuracy and accuracy.judging(None) is accuracy
    for evaluator, name in ((ZeroCost("synflow"), "synflow score"), (ZeroCost(Linears()), "linears score")):
        assert accuracy.judging(Random(evaluator=evaluator).describe()) == Scale(name, True, False)
