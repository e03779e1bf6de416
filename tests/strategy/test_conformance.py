"""Every strategy of gnas passes the suite that is offered to others."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from typing import Any

import pytest

from gnas.strategy import STRATEGIES, Strategy
from gnas.testing import Scores, StrategySuite

FEW: dict[str, Any] = {"evaluations": 8, "evaluator": Scores(), "epochs": 4, "hidden_channels": 8}
"""Settings that make a run short, for strategies that have them."""
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "darts": [{}, {"order": 2}],
    "evolution": [{"population": 3, "sample": 2}],
    "gp": [{"startup": 3}],
    "local": [{}, {"whole": False}],
    "nas_bowl": [{"initial": 3, "batch": 2, "pool": 20, "parents": 3}],
    "nsga2": [{"population": 3}],
    "tpe": [{"startup": 3}],
}
"""Settings of single strategies, so that the short run sees all that they do."""
NEEDS = {"cma_es": ("optuna", "cmaes"), "gp": ("optuna",), "nsga2": ("optuna",), "tpe": ("optuna",)}


def built(name: str, settings: dict[str, Any]) -> Strategy[Any]:
    kind: Any = STRATEGIES[name]
    few = {key: value for key, value in FEW.items() if key in {entry.name for entry in fields(kind)}}
    return kind(**{**few, **settings})


CASES = [
    pytest.param(
        name,
        settings,
        id="-".join([name, *(f"{key}={value}" for key, value in settings.items())]),
        marks=pytest.mark.skipif(
            any(find_spec(package) is None for package in NEEDS.get(name, ())),
            reason=f"needs {' and '.join(NEEDS.get(name, ()))}: pip install 'gnas[optuna]'",
        ),
    )
    for name in STRATEGIES
    for settings in SETTINGS.get(name, [{}])
]


@pytest.mark.parametrize(("name", "settings"), CASES)
class TestStrategies(StrategySuite):
    @pytest.fixture
    def strategy(self, name: str, settings: dict[str, Any]) -> Strategy[Any]:
        return built(name, settings)
