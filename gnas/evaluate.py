"""How good is a network? Training from scratch, with one protocol for found and hand-made networks alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gnas.checks import check_count, check_type
from gnas.model import GraphModel
from gnas.recipe import RECIPE, Labelled, Recipe, recipes_of
from gnas.space import Genotype, Space
from gnas.task import Task

Builder: TypeAlias = Callable[[Task, Recipe], nn.Module]
"""Makes an untrained network for a task."""


@dataclass(frozen=True)
class Result:
    """What one training gave.

    Args:
        metric_architecture: Metric on the architecture split at the best epoch.
        loss_architecture: Loss there.
        epochs: Epochs trained.
        seconds: Wall-clock time.
        parameters: Number of trained numbers.
        test: Metric on the test split, if it was asked for.
        state: The best epoch's parameters and buffers.
    """

    metric_architecture: float
    loss_architecture: float
    epochs: int
    seconds: float
    parameters: int
    test: float | None = None
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class TrainFromScratch:
    """Train on the weights split, stop early on the architecture split, keep the best epoch.

    The best epoch has the best metric on the architecture split, among equals the lowest loss there. The test
    role is read once, after training, and only if asked for.

    Args:
        recipe: Sizes and optimizer settings; the first of :func:`gnas.recipe.recipes_of` the task if not given.
        epochs: At most so many epochs.
        patience: Stop after so many epochs without a better one.
    """

    recipe: Recipe | None = None
    epochs: int = 300
    patience: int = 60

    def __post_init__(self) -> None:
        if self.recipe is not None:
            check_type(self, "recipe", Recipe, RECIPE)
        check_count(self, "epochs", 1)
        check_count(self, "patience", 1)

    def __call__(self, build: Builder, task: Task, seed: int, *, test: bool = False) -> Result:
        """Train one network. The seed decides everything; the global generator is left as it was."""
        with seeded(seed):
            return self.train(build(task, self.recipe_for(task)), task, test=test)

    def recipe_for(self, task: Labelled) -> Recipe:
        """The recipe that a task's networks are trained with."""
        return self.recipe or recipes_of(task)[0]

    def settled(self, task: Labelled) -> TrainFromScratch:
        """The same with that recipe."""
        return replace(self, recipe=self.recipe_for(task))

    def evaluate(self, space: Space, genotype: Genotype, task: Task, seed: int) -> Result:
        """Train the network of a genotype."""
        return self(builder(space.bind(genotype)), task, seed)

    def train(self, model: nn.Module, task: Task, *, test: bool = False) -> Result:
        """Train a network that already has weights."""
        start = time.perf_counter()
        recipe = self.recipe_for(task)
        model.to(task.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
        best, epoch, since = (-math.inf, -math.inf), 0, 0
        state: dict[str, Tensor] = {}
        while epoch < self.epochs and since < self.patience:
            epoch, since = epoch + 1, since + 1
            model.train()
            for batches in task.steps(torch.default_generator, ("weights",)):
                batch = batches["weights"]
                optimizer.zero_grad()
                task.loss(task.forward(model, batch), batch, "weights").backward()
                optimizer.step()
            loss, metric = task.measure(model, ("architecture",))["architecture"]
            score = task.metric.judged(metric, loss)
            if score > best or not state:
                best, since = score, 0
                state = {key: value.detach().clone() for key, value in model.state_dict().items()}
        model.load_state_dict(state)
        loss, metric = task.measure(model, ("architecture",))["architecture"]
        return Result(
            metric_architecture=metric,
            loss_architecture=loss,
            epochs=epoch,
            seconds=time.perf_counter() - start,
            parameters=parameters(model),
            test=task.test(model) if test else None,
            state=state,
        )

    def settings(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)


def parameters(model: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def builder(bound: Space) -> Builder:
    """Makes the :class:`gnas.model.GraphModel` of a bound space."""

    def build(task: Task, recipe: Recipe) -> nn.Module:
        sizes = task.in_channels, recipe.hidden_channels, task.out_channels
        return GraphModel(bound, *sizes, recipe.dropout, drop_inputs=recipe.drop_inputs, **task.inputs)

    return build


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, PyTorch's generators start from ``seed``; afterwards they go on as if nothing had happened."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
