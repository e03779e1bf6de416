"""Training from scratch: the best epoch is kept, the seed decides everything, the test role is read once."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import ClassVar

import pytest
import torch
from graph_examples import example
from torch import Tensor, nn
from torch_geometric.data import Data

from gnas.evaluate import Result, TrainFromScratch, builder, parameters, seeded
from gnas.model import GraphModel
from gnas.recipe import HARD, MILD, Recipe
from gnas.scale import Scale
from gnas.space import layered
from gnas.task import Task


def small_task(nodes: int = 40) -> Task:
    """Three classes that the features tell apart, with some noise."""
    graph = example(nodes, 3 * nodes, seed=1, channels=6)
    y = torch.arange(nodes) % 3
    x = graph.x.float() + 2 * nn.functional.one_hot(y, 6)
    return Task.from_data(Data(x=x, edge_index=graph.edge_index, y=y), seed=0)


class Scripted:
    """A task on one number, whose metric and loss on the architecture split are written down by epoch."""

    in_channels, out_channels, metric = 1, 1, Scale()
    device = torch.device("cpu")
    inputs: ClassVar[dict[str, int]] = {}

    def __init__(self, metrics: list[float], losses: list[float] | None = None) -> None:
        self.metrics, self.losses = metrics, losses or [0.0] * len(metrics)
        self.read: list[tuple[str, str]] = []

    def steps(self, generator: torch.Generator, roles: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        yield dict.fromkeys(roles, torch.ones(1))

    def forward(self, model: nn.Module, batch: Tensor) -> Tensor:
        return model(batch)

    def loss(self, output: Tensor, batch: Tensor, role: str) -> Tensor:
        self.read.append(("loss", role))
        # Each step of the optimizer moves the number; rounded, it is the number of steps that were taken.
        return output.sum() if role == "weights" else torch.tensor(self.losses[self.epoch(output)])

    def measure(self, model: nn.Module, roles: Sequence[str]) -> dict[str, tuple[float, float]]:
        (role,) = roles
        self.read.append(("metric", role))
        with torch.no_grad():
            output = self.forward(model.eval(), torch.ones(1))
        return {role: (float(self.loss(output, torch.ones(1), role)), self.metrics[self.epoch(output)])}

    def test(self, model: nn.Module) -> float:
        self.read.append(("metric", "test"))
        with torch.no_grad():
            return float(self.epoch(self.forward(model, torch.ones(1))))

    def epoch(self, output: Tensor) -> int:
        return round(-output.item()) - 1


class Counter(nn.Module):
    """A number that falls by one a step (Adam with a constant gradient moves by its step size)."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.number * x


STEADY = Recipe(lr=1.0, weight_decay=0.0)


def run(task: Scripted, epochs: int, patience: int, test: bool = False) -> Result:
    train = TrainFromScratch(STEADY, epochs, patience)
    return train(lambda task, recipe: Counter(), task, 0, test=test)  # type: ignore[arg-type]


def test_the_best_epoch_is_kept() -> None:
    task = Scripted([0.1, 0.5, 0.9, 0.3, 0.2, 0.1])
    result = run(task, epochs=6, patience=10)
    assert (result.metric_architecture, result.epochs) == (0.9, 6)
    assert result.state["number"].item() == pytest.approx(-3)


def test_among_equals_the_lowest_loss_is_best_and_then_the_first() -> None:
    result = run(Scripted([0.5, 0.5, 0.5, 0.5], [3.0, 1.0, 2.0, 1.0]), epochs=4, patience=10)
    assert result.state["number"].item() == pytest.approx(-2)
    assert result.loss_architecture == 1.0


def test_it_stops_after_patience_epochs_without_a_better_one() -> None:
    metrics = [0.1, 0.5, 0.2, 0.2, 0.6, 0.1, 0.1, 0.1, 0.9]
    result = run(Scripted(metrics), epochs=9, patience=3)
    assert (result.epochs, result.metric_architecture) == (8, 0.6)
    assert run(Scripted(metrics), epochs=9, patience=2).epochs == 4
    assert run(Scripted(metrics), epochs=1, patience=9).epochs == 1


def test_a_loss_that_is_no_number_keeps_the_first_epoch() -> None:
    result = run(Scripted([0.0, 0.0], [math.nan, math.nan]), epochs=2, patience=5)
    assert result.state["number"].item() == pytest.approx(-1)


def test_an_epoch_without_a_metric_is_never_the_best() -> None:
    result = run(Scripted([math.nan, 0.2, math.nan, 0.1]), epochs=4, patience=5)
    assert result.metric_architecture == 0.2 and result.state["number"].item() == pytest.approx(-2)


def test_the_test_role_is_read_once_at_the_end_and_only_if_asked_for() -> None:
    for test in (False, True):
        task = Scripted([0.1, 0.9, 0.2])
        result = run(task, epochs=3, patience=5, test=test)
        reads = [entry for entry in task.read if entry[1] == "test"]
        assert reads == [("metric", "test")] * test
        assert result.test == (1.0 if test else None)  # the best epoch's network, the second
        if test:
            assert task.read[-1] == ("metric", "test")
    real = small_task()
    build = builder(a_network())
    assert TrainFromScratch(epochs=2)(build, real, 0).test is None and real.test_reads == 0
    assert TrainFromScratch(epochs=2)(build, real, 0, test=True).test is not None and real.test_reads == 1


def a_network(seed: int = 0):  # type: ignore[no-untyped-def]
    space = layered(2, ("gcn", "sage_mean"))
    return space.bind(space.sample(random.Random(seed)))


def test_the_seed_decides_everything_and_nothing_else_is_touched() -> None:
    task, train = small_task(), TrainFromScratch(Recipe(16, 0.5), epochs=8)
    results = []
    for global_seed, seed in ((0, 3), (1, 3), (1, 4)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        results.append(train(builder(a_network()), task, seed))
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = results
    assert first.metric_architecture == again.metric_architecture
    assert all(torch.equal(first.state[key], again.state[key]) for key in first.state)
    assert any(not torch.equal(first.state[key], other.state[key]) for key in first.state)


def test_the_result_describes_the_network_that_was_kept() -> None:
    task = small_task()
    result = TrainFromScratch(Recipe(16, 0.2), epochs=30)(builder(a_network()), task, 0, test=True)
    model = GraphModel(a_network(), task.in_channels, 16, task.out_channels)
    model.load_state_dict(result.state)
    loss, metric = task.measure(model)["architecture"]
    assert not model.training
    assert metric == result.metric_architecture > 0.5
    assert loss == pytest.approx(result.loss_architecture)
    assert task.test(model) == result.test
    assert result.parameters == parameters(model) and result.seconds > 0 and result.epochs <= 30
    assert "state" not in repr(result)


def test_what_was_inherited_is_trained_on() -> None:
    task, train = small_task(), TrainFromScratch(Recipe(16, 0.0), epochs=30)
    learned = train(builder(a_network()), task, 0)
    model = GraphModel(a_network(), task.in_channels, 16, task.out_channels, 0.0)
    model.load_state_dict(learned.state)
    once = TrainFromScratch(Recipe(16, 0.0, lr=1e-4), epochs=1)
    assert once.train(model, task).metric_architecture >= learned.metric_architecture - 0.1


def test_frozen_parameters_are_not_counted() -> None:
    linear = nn.Linear(3, 2)
    linear.bias.requires_grad_(False)
    assert parameters(linear) == 6


def test_seeded_leaves_no_trace_even_after_an_error() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="stop"), seeded(1):
        torch.rand(3)
        raise RuntimeError("stop")
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1):
        first = torch.rand(3)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)


@pytest.mark.parametrize(
    "settings", [{"hidden_channels": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"lr": 0.0}, {"weight_decay": -1.0}]
)
def test_impossible_recipes_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"Recipe got {next(iter(settings))}=.*; expected a "):
        Recipe(**settings)  # type: ignore[arg-type]


def test_a_training_takes_at_least_one_epoch() -> None:
    for settings in ({"epochs": 0}, {"patience": 0}):
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            TrainFromScratch(**settings)  # type: ignore[arg-type]


def test_settings_are_plain_values_and_the_grid_has_the_default_first() -> None:
    assert TrainFromScratch(Recipe(32), 10, 5).settings() == {"recipe": asdict(Recipe(32)), "epochs": 10, "patience": 5}
    assert HARD[0] == Recipe() and all(len(set(grid)) == len(grid) for grid in (HARD, MILD))
