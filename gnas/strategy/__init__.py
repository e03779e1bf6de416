"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox, BlackBoxState
from gnas.strategy.darts import Darts
from gnas.strategy.one_shot import OneShot, OneShotState
from gnas.strategy.random import Random
from gnas.strategy.surrogate import Surrogate

STRATEGIES: dict[str, type[Strategy]] = {"darts": Darts, "random": Random, "surrogate": Surrogate}

__all__ = [
    "STRATEGIES",
    "BlackBox",
    "BlackBoxState",
    "Darts",
    "OneShot",
    "OneShotState",
    "Random",
    "Strategy",
    "Surrogate",
]
