"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox, BlackBoxState
from gnas.strategy.darts import Darts
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.drnas import DrNas
from gnas.strategy.few_shot import FewShot
from gnas.strategy.gdas import Gdas
from gnas.strategy.gold_nas import GoldNas
from gnas.strategy.manas import Manas
from gnas.strategy.nac import Nac
from gnas.strategy.one_shot import OneShot, OneShotState
from gnas.strategy.pc_darts import PcDarts
from gnas.strategy.progressive import Progressive
from gnas.strategy.proxyless import Proxyless
from gnas.strategy.random import Random
from gnas.strategy.random_sharing import RandomSharing
from gnas.strategy.single_path import SinglePath
from gnas.strategy.stabilisers import EigenvalueStop, Perturbation, Selection

STRATEGIES: dict[str, type[Strategy]] = {
    "darts": Darts,
    "random": Random,
    "drnas": DrNas,
    "few_shot": FewShot,
    "gdas": Gdas,
    "gold_nas": GoldNas,
    "manas": Manas,
    "nac": Nac,
    "pc_darts": PcDarts,
    "progressive": Progressive,
    "proxyless": Proxyless,
    "random_sharing": RandomSharing,
    "single_path": SinglePath,
}

__all__ = [
    "STRATEGIES",
    "BlackBox",
    "BlackBoxState",
    "Darts",
    "Differentiable",
    "DrNas",
    "EigenvalueStop",
    "FewShot",
    "Gdas",
    "GoldNas",
    "Manas",
    "Nac",
    "OneShot",
    "OneShotState",
    "PcDarts",
    "Perturbation",
    "Progressive",
    "Proxyless",
    "Random",
    "RandomSharing",
    "Selection",
    "SinglePath",
    "Strategy",
]
