"""Search strategies: one method, one file, one paper."""

from __future__ import annotations

from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox, BlackBoxState
from gnas.strategy.darts import Darts
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.drnas import DrNas
from gnas.strategy.gdas import Gdas
from gnas.strategy.nac import Nac
from gnas.strategy.one_shot import OneShot, OneShotState
from gnas.strategy.pc_darts import PcDarts
from gnas.strategy.proxyless import Proxyless
from gnas.strategy.random import Random
from gnas.strategy.random_sharing import RandomSharing
from gnas.strategy.single_path import SinglePath

STRATEGIES: dict[str, type[Strategy]] = {
    "darts": Darts,
    "random": Random,
    "drnas": DrNas,
    "gdas": Gdas,
    "nac": Nac,
    "pc_darts": PcDarts,
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
    "Gdas",
    "Nac",
    "OneShot",
    "OneShotState",
    "PcDarts",
    "Proxyless",
    "Random",
    "RandomSharing",
    "SinglePath",
    "Strategy",
]
