"""Every strategy of gnas passes the suite that is offered to others."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
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
    "surrogate": [{"initial": 3}, {"initial": 3, "scores": ("parameters", "gradient_norm"), "scored": 5}],
    "tpe": [{"startup": 3}],
}
"""Settings of single strategies, so that the short run sees all that they do."""
NEEDS = {"cma_es": ("optuna", "cmaes"), "gp": ("optuna",), "nsga2": ("optuna",), "tpe": ("optuna",)}


def built(kind: Any, settings: dict[str, Any] | None = None) -> Strategy[Any]:
    """A strategy that makes a short run, and so does one inside of it."""
    few: dict[str, Any] = {}
    for entry in fields(kind):
        if entry.name in FEW:
            few[entry.name] = FEW[entry.name]
        elif isinstance(entry.default_factory, type) and issubclass(entry.default_factory, Strategy):
            few[entry.name] = built(entry.default_factory)
    return kind(**{**few, **(settings or {})})


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
        return built(STRATEGIES[name], settings)


ELSEWHERE = """
import hashlib, sys
sys.path.insert(0, {folder!r})
import test_conformance as here
from gnas.testing import begin, example_task
from gnas.space import layered
from gnas.strategy import BlackBox
for case in here.CASES:
    name, settings = case.values
    if not case.marks[0].args[0] and issubclass(here.STRATEGIES[name], BlackBox):
        run = begin(here.built(here.STRATEGIES[name], settings), layered(max_depth=2), example_task()).go()
        print(case.id, hashlib.sha256(repr(run.outcome()).encode()).hexdigest())
"""


@pytest.mark.slow
def test_another_process_goes_the_same_way() -> None:
    # Python orders sets of strings anew in each process, unless it is told a seed.
    outputs = []
    for seed in ("1", "2"):
        code = ELSEWHERE.format(folder=str(Path(__file__).parent))
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=600)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.splitlines())
    assert outputs[0] == outputs[1] and len(outputs[0]) > 5
