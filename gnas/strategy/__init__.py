"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.agnn import Agnn
from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox, BlackBoxState
from gnas.strategy.darts import Darts
from gnas.strategy.evolution import Evolution
from gnas.strategy.local import Local
from gnas.strategy.nas_bowl import NasBowl
from gnas.strategy.one_shot import OneShot, OneShotState
from gnas.strategy.optuna import CmaEs, Gp, Nsga2, Tpe
from gnas.strategy.random import Random
from gnas.strategy.reinforce import Reinforce

STRATEGIES: dict[str, type[Strategy]] = {
    "agnn": Agnn,
    "cma_es": CmaEs,
    "darts": Darts,
    "evolution": Evolution,
    "gp": Gp,
    "local": Local,
    "nas_bowl": NasBowl,
    "nsga2": Nsga2,
    "random": Random,
    "reinforce": Reinforce,
    "tpe": Tpe,
}

__all__ = [
    "STRATEGIES",
    "Agnn",
    "BlackBox",
    "BlackBoxState",
    "CmaEs",
    "Darts",
    "Evolution",
    "Gp",
    "Local",
    "NasBowl",
    "Nsga2",
    "OneShot",
    "OneShotState",
    "Random",
    "Reinforce",
    "Strategy",
    "Tpe",
]
