"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox, BlackBoxState
from gnas.strategy.darts import Darts
from gnas.strategy.evolution import Evolution
from gnas.strategy.local import Local
from gnas.strategy.one_shot import OneShot, OneShotState
from gnas.strategy.random import Random

STRATEGIES: dict[str, type[Strategy]] = {
    "darts": Darts,
    "evolution": Evolution,
    "local": Local,
    "random": Random,
}

__all__ = [
    "STRATEGIES",
    "BlackBox",
    "BlackBoxState",
    "Darts",
    "Evolution",
    "Local",
    "OneShot",
    "OneShotState",
    "Random",
    "Strategy",
]
