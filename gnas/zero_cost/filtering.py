"""Scores as a filter: what a search need not train, and what a supernet need not hold.

Filtering candidates by scores before they are trained is "move proposal" and "warmup" of arXiv 2101.08134 turned into
a rule that any strategy can be given: a network is let through if it is not among the worst ``share`` of a random
sample of the space.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import fmean

from gnas.checks import check_count, check_number, check_tuple, check_type, whole
from gnas.recipe import RECIPE, Recipe
from gnas.space import Genotype, Space
from gnas.space.node import Value
from gnas.space.reading import read_choices
from gnas.space.transform import Keep
from gnas.task import Task
from gnas.zero_cost.base import Score
from gnas.zero_cost.scoring import USUAL, Yardstick, named

LEAST = 8
"""Networks that a standing among them needs."""


@dataclass(frozen=True)
class Promising:
    """A condition for black-box strategies: refuses what scores worse than a share of the space.

    The yardstick is made at the first question: ``sample`` networks are drawn and scored, once for a space and a task.

    Args:
        scores: Some of :data:`~gnas.zero_cost.SCORES`, by name or as objects; of several the mean standing counts.
        share: Of the sample, what is refused: 0.25 refuses what scores like the worst quarter.
        sample: Networks that are drawn for the yardstick.
        seed: Of the yardstick.
        recipe: The networks' width.
    """

    scores: tuple[str | Score, ...] = ("synflow",)
    share: float = 0.25
    sample: int = 64
    seed: int = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_tuple(self, "scores", "('synflow',)")
        _check(self.scores)
        check_count(self, "sample", LEAST)
        check_number(self, "share", positive=True, below=1)
        check_count(self, "seed", 0)
        check_type(self, "recipe", Recipe, RECIPE)

    def admits(self, space: Space, genotype: Genotype, task: Task) -> bool:
        """Whether a genotype's network may be trained."""
        yardstick = _yardstick(space, task, self.scores, self.sample, self.seed, self.recipe)
        return yardstick(genotype) >= yardstick.quantile(self.share)

    def __str__(self) -> str:
        names = " and ".join(named(each).name for each in self.scores)
        return f"scores by {names} above the worst {self.share:.0%} of {self.sample} random networks"


@functools.lru_cache(maxsize=4)
def _yardstick(
    space: Space, task: Task, scores: tuple[str | Score, ...], sample: int, seed: int, recipe: Recipe
) -> Yardstick:
    return Yardstick(space, task, scores, sample, seed, recipe)


def narrow(
    space: Space,
    task: Task,
    scores: tuple[str | Score, ...] = ("synflow",),
    share: float = 0.5,
    sample: int = 128,
    seed: int = 0,
    recipe: Recipe = USUAL,
    spared: tuple[str, ...] = ("depth",),
) -> Space:
    """The space without the options whose networks score worst: a filter in front of one-shot strategies.

    Networks are drawn and scored; an option's merit is the mean standing of those that read it. Of each choice the
    better ``share`` of the options stays, rounded up; an option that no drawn network reads counts as average.

    Args:
        space: What would be searched.
        task: What the networks are for.
        scores: Some of :data:`~gnas.zero_cost.SCORES`; of several the mean standing counts.
        share: Of the options of a choice, what is kept.
        sample: Networks that are drawn.
        seed: Of the draws, and of the networks' weights.
        recipe: The networks' width.
        spared: Choices that keep all their options.
    """
    _check(scores)
    sample = whole("narrow", "sample", sample, LEAST)
    keep = Keep(share, spared=spared)
    yardstick = Yardstick(space, task, scores, sample, seed, recipe)
    found: defaultdict[tuple[str, Value], list[float]] = defaultdict(list)
    for genotype, standing in zip(yardstick.genotypes, yardstick.standings, strict=True):
        for name in read_choices(space, genotype):
            found[name, genotype[name]].append(standing)
    average = fmean(yardstick.standings)
    merits = {
        name: [fmean(found.get((name, option), (average,))) for option in choice.options]
        for name, choice in space.choices.items()
    }
    return keep(space, merits, space)


def _check(scores: tuple[str | Score, ...]) -> None:
    if not scores or isinstance(scores, str):
        raise ValueError(f"got scores={scores!r}; expected at least one in a tuple, such as ('synflow',)")
    for each in scores:
        named(each)
