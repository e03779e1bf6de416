"""Graph neural architecture search on PyTorch Geometric.

Public names are loaded when they are first used (PEP 562), so that ``import gnas`` is instant and the parts that
need no PyTorch (spaces, reports) never load it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gnas.citation import citation
    from gnas.costs import CostTerm, Limit
    from gnas.data import load
    from gnas.derive import Derivation
    from gnas.evaluate import TrainFromScratch
    from gnas.graphs import GraphSet
    from gnas.model import GraphModel
    from gnas.recipe import Recipe
    from gnas.relaxation import Gumbel, OnePath, Sigmoid, Softmax, TwoPaths
    from gnas.run import Run
    from gnas.search import search
    from gnas.space import Choice, Genotype, Node, Space, bench, for_level, gap, layered, pooling, relational, sane
    from gnas.strategy import (
        Agnn,
        CmaEs,
        Darts,
        DrNas,
        Evolution,
        FewShot,
        Gdas,
        GoldNas,
        Gp,
        Local,
        Manas,
        Nac,
        NasBowl,
        Nsga2,
        PcDarts,
        Progressive,
        Proxyless,
        Random,
        RandomSharing,
        Reinforce,
        SinglePath,
        Surrogate,
        Tpe,
    )
    from gnas.supernet import GraphSupernet
    from gnas.tabular import Tabular
    from gnas.task import Task
    from gnas.zero_cost import Promising, ZeroCost

__all__ = [
    "Agnn",
    "Choice",
    "CmaEs",
    "CostTerm",
    "Darts",
    "Derivation",
    "DrNas",
    "Evolution",
    "FewShot",
    "Gdas",
    "Genotype",
    "GoldNas",
    "Gp",
    "GraphModel",
    "GraphSet",
    "GraphSupernet",
    "Gumbel",
    "Limit",
    "Local",
    "Manas",
    "Nac",
    "NasBowl",
    "Node",
    "Nsga2",
    "OnePath",
    "PcDarts",
    "Progressive",
    "Promising",
    "Proxyless",
    "Random",
    "RandomSharing",
    "Recipe",
    "Reinforce",
    "Run",
    "Sigmoid",
    "SinglePath",
    "Softmax",
    "Space",
    "Surrogate",
    "Tabular",
    "Task",
    "Tpe",
    "TrainFromScratch",
    "TwoPaths",
    "ZeroCost",
    "bench",
    "citation",
    "for_level",
    "gap",
    "layered",
    "load",
    "pooling",
    "relational",
    "sane",
    "search",
]

_HOMES = {
    "citation": ("citation",),
    "data": ("load",),
    "derive": ("Derivation",),
    "evaluate": ("TrainFromScratch",),
    "graphs": ("GraphSet",),
    "model": ("GraphModel",),
    "recipe": ("Recipe",),
    "relaxation": ("Gumbel", "OnePath", "Sigmoid", "Softmax", "TwoPaths"),
    "run": ("Run",),
    "search": ("search",),
    "space": (
        "Choice",
        "Genotype",
        "Node",
        "Space",
        "bench",
        "for_level",
        "gap",
        "layered",
        "pooling",
        "relational",
        "sane",
    ),
    "strategy": (
        "Agnn",
        "CmaEs",
        "Darts",
        "DrNas",
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
        "PcDarts",
        "Progressive",
        "Proxyless",
        "Random",
        "RandomSharing",
        "Reinforce",
        "SinglePath",
        "Surrogate",
        "Tpe",
    ),
    "supernet": ("GraphSupernet",),
    "tabular": ("Tabular",),
    "task": ("Task",),
    "costs": ("CostTerm", "Limit"),
    "zero_cost": ("Promising", "ZeroCost"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gnas' has no attribute {name!r}; it has {__all__}")
    value = getattr(import_module(f"gnas.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # Importing a file binds it to its package: gnas.search has to stay the function.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
