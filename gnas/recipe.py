"""Recipes of trainings: what is tuned for every network alike, and the recipes that are tried for a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from gnas.checks import check_count, check_flag, check_number


@dataclass(frozen=True)
class Recipe:
    """Settings of a training that are tuned for every network alike.

    Args:
        hidden_channels: Channels of every state.
        dropout: Probability of dropping an entry before each projection.
        lr: Step size of Adam.
        weight_decay: L2 penalty of Adam.
        drop_inputs: Whether entries of the features are dropped, too, before the first projection.
    """

    hidden_channels: int = 64
    dropout: float = 0.8
    lr: float = 0.02
    weight_decay: float = 1e-3
    drop_inputs: bool = True

    def __post_init__(self) -> None:
        check_count(self, "hidden_channels", 1)
        check_number(self, "dropout", below=1)
        check_number(self, "lr", positive=True)
        check_number(self, "weight_decay")
        check_flag(self, "drop_inputs")


HARD: tuple[Recipe, ...] = (
    Recipe(),
    Recipe(weight_decay=5e-3),
    Recipe(dropout=0.5),
    Recipe(dropout=0.5, weight_decay=5e-3),
)
"""The tuning grid of a few labelled nodes, two strengths of each regularizer."""

MILD: tuple[Recipe, ...] = (
    Recipe(dropout=0.2, lr=0.01, weight_decay=1e-4, drop_inputs=False),
    Recipe(dropout=0.2, lr=0.01, weight_decay=1e-3, drop_inputs=False),
    Recipe(dropout=0.5, lr=0.01, weight_decay=1e-4, drop_inputs=False),
    Recipe(dropout=0.5, lr=0.01, weight_decay=1e-3, drop_inputs=False),
)
"""The tuning grid of everything else: many labelled nodes, graphs, edges and links."""

RECIPE = "Recipe(lr=0.01)"
"""What an error about a recipe shows."""


@dataclass(frozen=True)
class Regularisation:
    """What keeps the weights of a supernet from fitting its training split by heart.

    Args:
        dropout: In the supernet.
        weight_decay: Of the weights' optimizer.
        drop_inputs: Whether entries of the features are dropped, too.
    """

    dropout: float
    weight_decay: float
    drop_inputs: bool


class Labelled(Protocol):
    """What a recipe depends on."""

    @property
    def few_labels(self) -> bool: ...

    @property
    def words(self) -> bool: ...


def recipes_of(task: Labelled) -> tuple[Recipe, ...]:
    """The recipes that every network of a task is tried with; it keeps the best by the architecture split.

    A training whose recipe was not chosen so has the first. A network of a citation graph has more inputs than it has
    labels, and fits them all; the regularisation that pays there keeps networks of molecules, of links or of
    thousands of labelled nodes from fitting anything. Nor does it pay to drop features there, unless they are bags of
    words, of which some may be missing: see ``python -m benchmarks.recipes``.
    """
    return HARD if task.few_labels else tuple(replace(recipe, drop_inputs=task.words) for recipe in MILD)


def regularisation_of(task: Labelled) -> Regularisation:
    """What a supernet is regularised by where its strategy's settings say nothing."""
    return Regularisation(0.6, 1e-3, True) if task.few_labels else Regularisation(0.2, 1e-4, task.words)
