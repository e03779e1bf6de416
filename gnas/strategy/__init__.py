"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.base import BlackBox, BlackBoxState, OneShot, OneShotState, Strategy
from gnas.strategy.darts import Darts
from gnas.strategy.random import Random

STRATEGIES: dict[str, type[Strategy]] = {"darts": Darts, "random": Random}

__all__ = ["STRATEGIES", "BlackBox", "BlackBoxState", "Darts", "OneShot", "OneShotState", "Random", "Strategy"]
