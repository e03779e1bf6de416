"""Scores of genotypes: one alone, as an evaluator for black-box strategies, and compared with a sample of the space."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from gnas.checks import check_count
from gnas.evaluate import Result, builder, parameters, seeded
from gnas.recipe import Recipe
from gnas.space import Genotype, Space
from gnas.task import Task
from gnas.zero_cost.base import Score
from gnas.zero_cost.fisher import Fisher
from gnas.zero_cost.flatness import Flatness
from gnas.zero_cost.gradient_norm import GradientNorm
from gnas.zero_cost.ntk import NtkCondition
from gnas.zero_cost.overlap import Overlap
from gnas.zero_cost.parameters import Parameters
from gnas.zero_cost.synflow import Synflow

SCORES: dict[str, type[Score]] = {
    "fisher": Fisher,
    "flatness": Flatness,
    "gradient_norm": GradientNorm,
    "ntk_condition": NtkCondition,
    "overlap": Overlap,
    "parameters": Parameters,
    "synflow": Synflow,
}
USUAL = Recipe()


def named(score: str | Score) -> Score:
    """A score by its name, with its default settings; a score is itself.

    Raises:
        ValueError: There is no such score.
    """
    if isinstance(score, Score):
        return score
    if score not in SCORES:
        raise ValueError(f"got the score {score!r}; expected one of {list(SCORES)}, or one such as Synflow()")
    return SCORES[score]()


def score(
    score: str | Score,
    space: Space,
    genotype: Genotype,
    task: Task,
    seed: int = 0,
    recipe: Recipe = USUAL,
) -> float:
    """How promising a genotype's network is before it is trained, higher is better.

    Args:
        score: One of :data:`SCORES`, by name or as an object with settings of its own.
        space: What the genotype is a point of.
        genotype: The network.
        task: What it is for.
        seed: Of the weights it begins with, and of what the score draws.
        recipe: The network's width; scores use no dropout, and train nothing.
    """
    return scored((score,), space, genotype, task, seed, recipe)[0]


def scored(
    scores: Sequence[str | Score], space: Space, genotype: Genotype, task: Task, seed: int, recipe: Recipe
) -> list[float]:
    """Several scores of one network, which is built once; see :func:`score`."""
    if not isinstance(task, Task):
        raise ValueError(
            f"scores got {task!r}, which holds no data; expected a gnas.Task, since they build and run networks for "
            "real, and a table of metrics is not enough"
        )
    with seeded(seed):
        model = builder(space.bind(genotype))(task, recipe)
    return [named(each)(model, task, seed) for each in scores]


@dataclass(frozen=True)
class ZeroCost:
    """An evaluator for black-box strategies that trains nothing: the metric is a score.

    .. code-block:: python

        gnas.Evolution(evaluations=500, evaluator=ZeroCost("synflow"))

    Where a lower metric of the task is better, the metric is minus the score, so that a search goes to higher scores
    all the same. A score that is no number counts as the worst, as a metric does.

    Args:
        score: One of :data:`SCORES`, by name or as an object with settings of its own.
        recipe: The networks' width.
        seeds: Networks begin with random weights; the score is the mean over so many beginnings.
    """

    score: str | Score = "synflow"
    recipe: Recipe = field(default_factory=Recipe)
    seeds: int = 1

    def __post_init__(self) -> None:
        named(self.score)
        check_count(self, "seeds", 1)

    def evaluate(self, space: Space, genotype: Genotype, task: Task, seed: int) -> Result:
        """The score of a genotype's network; there is no loss, and no epoch."""
        value = fmean(
            score(self.score, space, genotype, task, seed * self.seeds + i, self.recipe) for i in range(self.seeds)
        )
        # A score that overflowed would be ahead of all others.
        value = value if math.isfinite(value) else math.nan
        with seeded(seed):
            model = builder(space.bind(genotype))(task, self.recipe)
        return Result(
            metric_architecture=value if task.higher_is_better else -value,
            loss_architecture=math.nan,
            epochs=0,
            seconds=0.0,
            parameters=parameters(model),
        )


@dataclass
class Yardstick:
    """Random networks of a space with their scores, and where others stand among them.

    A number like 12.3 says nothing by itself, and two scores can't be added up; the share of random networks that
    score worse says something, and such shares can be averaged over scores.

    Args:
        space: What is sampled.
        task: What the networks are for.
        scores: Which scores.
        sample: Networks that are drawn, uniformly.
        seed: Of the draws, and of the networks' weights.
        recipe: The networks' width.
    """

    space: Space
    task: Task
    scores: tuple[str | Score, ...]
    sample: int = 64
    seed: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    genotypes: list[Genotype] = field(init=False, repr=False)
    columns: list[list[float]] = field(init=False, repr=False)
    standings: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        generator = random.Random(self.seed)
        self.genotypes = [self.space.sample(generator) for _ in range(self.sample)]
        rows = [self._values(genotype) for genotype in self.genotypes]
        self.columns = [sorted(column) for column in zip(*rows, strict=True)]
        self.standings = [self._standing(row) for row in rows]

    def __call__(self, genotype: Genotype) -> float:
        """The share of the sample that scores worse, half of those that score equal, as a mean over the scores."""
        return self._standing(self._values(genotype))

    def quantile(self, share: float) -> float:
        """The standing that this share of the sample is below."""
        return sorted(self.standings)[min(int(share * self.sample), self.sample - 1)]

    def _values(self, genotype: Genotype) -> list[float]:
        found = scored(self.scores, self.space, genotype, self.task, self.seed, self.recipe)
        return [value if math.isfinite(value) else -math.inf for value in found]

    def _standing(self, values: Sequence[float]) -> float:
        pairs = zip(self.columns, values, strict=True)
        return fmean((bisect.bisect_left(c, v) + bisect.bisect_right(c, v)) / (2 * len(c)) for c, v in pairs)
