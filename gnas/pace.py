"""How fast things go here: short trials, by which a strategy and a derivation are fitted into a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch

from gnas.budget import fit_epochs
from gnas.evaluate import TrainFromScratch, builder, seeded
from gnas.recipe import Recipe
from gnas.space import Genotype, Space
from gnas.strategy import OneShot
from gnas.strategy.base import Strategy
from gnas.targets import GRAPH
from gnas.task import OPEN, Task

# Epochs of the trial: of the warm-up, then of the search.
TRIAL = (2, 3)
TRIAL_SHARE = 0.05
# Epochs of a trial training, but one where that takes so many seconds.
TRAINED, LONG = 5, 1.0
# Of many graphs a trial sees every so-manieth, at least so many to train on: one epoch of all could take the budget.
GRAPHS = 1000


@dataclass(frozen=True)
class Pace:
    """How fast a strategy goes.

    Args:
        warmup, search: Seconds of an epoch of the warm-up, and of one after it.
        weighs: Whether it has weights of options, which a derivation starts from.
    """

    warmup: float
    search: float
    weighs: bool

    def whole(self, strategy: Any) -> float:
        """Seconds that all its epochs take."""
        return float(strategy.seconds(self.warmup, self.search))

    def fit(self, strategy: Any, room: float) -> Any:
        """The strategy with as many epochs as so many seconds allow."""
        own = getattr(strategy, "inner", strategy).epochs
        return fit_epochs(strategy, own, room, self.warmup, self.search)


def pace_of(strategy: Strategy[Any], space: Space, task: Task, seed: int, room: float) -> Pace | None:
    """The pace of a strategy that has epochs of a supernet, by a short trial; ``room`` is what it may take at most."""
    inner = getattr(strategy, "inner", strategy)
    if not isinstance(inner, OneShot) or inner.epochs <= sum(TRIAL):
        return None
    trial = replace(inner, warmup=TRIAL[0])
    task, share = excerpt(task)
    with seeded(seed):
        state = trial.init(space, task, torch.default_generator)
        paces: list[float] = []
        # A generation of networks may be dear: it is not repeated for the sake of an even pace.
        while len(paces) <= TRIAL[0] or (len(paces) < sum(TRIAL) and sum(paces) < TRIAL_SHARE * room):
            began = time.monotonic()
            event = trial.step(task, state)
            paces.append(time.monotonic() - began)
    # The first one of each kind also sets things up.
    warmup, search = fmean(paces[1 : TRIAL[0]]), fmean(paces[TRIAL[0] + 1 :] or paces[TRIAL[0] :])
    return Pace(warmup / share, search / share, "weights" in event)


def excerpt(task: Task) -> tuple[Task, float]:
    """A task of fewer graphs where there are many, and its share of them; for trials, whose metric tells nothing."""
    count = task.index("weights").numel()
    if task.level != GRAPH or count < 2 * GRAPHS:
        return task, 1.0
    every = count // GRAPHS
    roles = task.roles | {role: task.index(role)[::every] for role in OPEN}
    # A metric may need what so few graphs lack, such as a rare class.
    metric = replace(task.metric, function=lambda output, y: 0.0)
    return replace(task, roles=roles, metric=metric), 1 / every


def steps_of_epoch(task: Task) -> int:
    """Steps of the optimizer in an epoch of a training, by those of an excerpt."""
    part, share = excerpt(task)
    with seeded(0):
        return max(1, round(sum(1 for _ in part.steps(torch.default_generator, ("weights",))) / share))


def seconds_of_epoch(space: Space, genotype: Genotype, task: Task, recipe: Recipe) -> float:
    """Seconds of an epoch of training a network, on average over depths: they are tried from the first to the last."""
    shallow = deep = genotype
    if "depth" in space.choices:
        shallow, deep = (genotype.replace(depth=space.choices["depth"].options[end]) for end in (0, -1))

    def seconds(tried: Genotype, epochs: int) -> float:
        return TrainFromScratch(recipe, epochs)(builder(space.bind(tried)), part, 0).seconds / epochs / share

    part, share = excerpt(task)
    # The first one also sets things up.
    first = seconds(deep, 1)
    if first > LONG:
        return fmean([first, seconds(shallow, 1)])
    return fmean(seconds(tried, TRAINED) for tried in (shallow, deep))
