"""Strategies under conditions: what is refused costs no evaluation, misleads nobody, and is known after a resume."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from landscapes import Scored, begin, chain, finish, ranks

from gnas.space import Genotype, Space
from gnas.strategy import STRATEGIES, BlackBox, Surrogate


@dataclass(frozen=True)
class Low:
    """Of a chain, the first choices are at their first option: the better half of every slope is refused."""

    choices: int = 2

    def admits(self, space: Space, genotype: Genotype, task: Any, /) -> bool:
        return not any(ranks(genotype)[: self.choices])


@pytest.mark.parametrize("seed", range(3))
def test_a_surrogate_finds_the_best_of_what_is_admitted(seed: int) -> None:
    """Its model likes nothing better than what is refused: hundreds of networks before the first that is not."""
    strategy = Surrogate(evaluations=30, initial=10, shortlist=50, evaluator=Scored(), conditions=(Low(),))
    state = begin(strategy, chain(6, 4), seed)
    finish(strategy, state)
    assert strategy.best(state).metric == 12.0, "one of 256 networks, of which thirty were asked"


def black_boxes() -> list[type[BlackBox]]:
    return [kind for kind in STRATEGIES.values() if issubclass(kind, BlackBox)]


@pytest.mark.parametrize("kind", black_boxes(), ids=lambda kind: kind.name)
def test_a_run_that_is_resumed_asks_what_it_would_have_asked(kind: type[BlackBox]) -> None:
    pytest.importorskip("optuna")
    settings = {"initial": 6} if kind.name in ("surrogate", "nas_bowl") else {}
    strategy = kind(evaluations=18, evaluator=Scored(), conditions=(Low(1),), **settings)  # type: ignore[arg-type]
    space = chain(4, 3)
    whole = begin(strategy, space)
    finish(strategy, whole, 9)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    asked = finish(strategy, whole)
    file.seek(0)
    resumed = begin(strategy, space)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert finish(strategy, resumed) == asked and len(whole.trials) == 18
    assert resumed.refused == whole.refused and whole.refused
    assert all(ranks(genotype)[0] == 0 for genotype in asked)


@dataclass(frozen=True)
class Moody:
    """Like a latency: lets through at first what it refuses later on."""

    mood: list[bool]

    def admits(self, space: Space, genotype: Genotype, task: Any, /) -> bool:
        return self.mood[0]


def test_what_was_told_is_not_refused_afterwards() -> None:
    pytest.importorskip("optuna")
    mood = [True]
    strategy = STRATEGIES["tpe"](evaluations=8, evaluator=Scored(), conditions=(Moody(mood),), startup=4)
    assert isinstance(strategy, BlackBox)
    state = begin(strategy, chain(3, 3))
    finish(strategy, state, 6)
    saved = state.state_dict()
    mood[0] = False
    resumed = begin(strategy, chain(3, 3))
    resumed.load_state_dict(saved)
    told = [trial.network for trial in resumed.trials]
    strategy.propose(resumed)
    assert not resumed.refused & set(told)
