"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.agnn import Agnn
from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox, BlackBoxState
from gnas.strategy.darts import Darts
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.drnas import DrNas
from gnas.strategy.evolution import Evolution
from gnas.strategy.few_shot import FewShot
from gnas.strategy.gdas import Gdas
from gnas.strategy.gold_nas import GoldNas
from gnas.strategy.local import Local
from gnas.strategy.manas import Manas
from gnas.strategy.nac import Nac
from gnas.strategy.nas_bowl import NasBowl
from gnas.strategy.one_shot import OneShot, OneShotState
from gnas.strategy.optuna import CmaEs, Gp, Nsga2, Tpe
from gnas.strategy.pc_darts import PcDarts
from gnas.strategy.progressive import Progressive
from gnas.strategy.proxyless import Proxyless
from gnas.strategy.random import Random
from gnas.strategy.random_sharing import RandomSharing
from gnas.strategy.reinforce import Reinforce
from gnas.strategy.single_path import SinglePath
from gnas.strategy.stabilisers import EigenvalueStop, Perturbation, Selection
from gnas.strategy.surrogate import Surrogate

STRATEGIES: dict[str, type[Strategy]] = {
    "agnn": Agnn,
    "cma_es": CmaEs,
    "darts": Darts,
    "drnas": DrNas,
    "evolution": Evolution,
    "few_shot": FewShot,
    "gdas": Gdas,
    "gold_nas": GoldNas,
    "gp": Gp,
    "local": Local,
    "manas": Manas,
    "nac": Nac,
    "nas_bowl": NasBowl,
    "nsga2": Nsga2,
    "pc_darts": PcDarts,
    "progressive": Progressive,
    "proxyless": Proxyless,
    "random": Random,
    "random_sharing": RandomSharing,
    "reinforce": Reinforce,
    "single_path": SinglePath,
    "surrogate": Surrogate,
    "tpe": Tpe,
}

__all__ = [
    "STRATEGIES",
    "Agnn",
    "BlackBox",
    "BlackBoxState",
    "CmaEs",
    "Darts",
    "Differentiable",
    "DrNas",
    "EigenvalueStop",
    "Evolution",
    "FewShot",
    "Gdas",
    "GoldNas",
    "Gp",
    "Local",
    "Manas",
    "Nac",
    "NasBowl",
    "Nsga2",
    "OneShot",
    "OneShotState",
    "PcDarts",
    "Perturbation",
    "Progressive",
    "Proxyless",
    "Random",
    "RandomSharing",
    "Reinforce",
    "Selection",
    "SinglePath",
    "Strategy",
    "Surrogate",
    "Tpe",
]
