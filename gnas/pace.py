"""How fast things go here: short trials, by which a strategy and a derivation are fitted into a time."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch

from gnas.budget import fit_epochs
from gnas.evaluate import TrainFromScratch, builder, seeded
from gnas.recipe import Recipe
from gnas.space import Genotype, Space
from gnas.strategy import OneShot
from gnas.strategy.base import Strategy
from gnas.task import Task

# Epochs of the trial: of the warm-up, then of the search.
TRIAL = (2, 3)
TRIAL_SHARE = 0.05
TRAINED = 5


def fit_strategy(strategy: Strategy[Any], space: Space, task: Task, seed: int, room: float) -> Strategy[Any]:
    """The strategy with as many epochs as so many seconds allow, the trial's own among them.

    A strategy without epochs of a supernet is left as it is.
    """
    inner = getattr(strategy, "inner", strategy)
    if not isinstance(inner, OneShot) or inner.epochs <= sum(TRIAL):
        return strategy
    trial = replace(inner, warmup=TRIAL[0])
    with seeded(seed):
        state = trial.init(space, task, torch.default_generator)
        paces: list[float] = []
        # A generation of networks may be dear: it is not repeated for the sake of an even pace.
        while len(paces) <= TRIAL[0] or (len(paces) < sum(TRIAL) and sum(paces) < TRIAL_SHARE * room):
            began = time.monotonic()
            trial.step(task, state)
            paces.append(time.monotonic() - began)
    # The first one of each kind also sets things up.
    warmup, search = fmean(paces[1 : TRIAL[0]]), fmean(paces[TRIAL[0] + 1 :] or paces[TRIAL[0] :])
    return fit_epochs(strategy, inner.epochs, room - sum(paces), warmup, search)  # type: ignore[no-any-return]


def seconds_of_epoch(space: Space, genotype: Genotype, task: Task, recipe: Recipe) -> float:
    """Seconds of an epoch of training a network, on average over depths: they are tried from the first to the last."""
    deepest = genotype
    if "depth" in space.choices:
        deepest = genotype.replace(depth=space.choices["depth"].options[-1])
    trial = TrainFromScratch(recipe, epochs=TRAINED)
    # The first one also sets things up.
    paces = [trial(builder(space.bind(g)), task, 0).seconds / TRAINED for g in (genotype, genotype, deepest)]
    return fmean(paces[1:])
