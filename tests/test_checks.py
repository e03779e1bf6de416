"""Settings are looked at when they are made: whole numbers, numbers, flags and tuples, NumPy's as well as Python's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from gnas import checks
from gnas.budget import Budget
from gnas.costs import CostTerm, Limit
from gnas.derive import Derivation
from gnas.evaluate import TrainFromScratch
from gnas.loading import Loading
from gnas.recipe import Recipe
from gnas.relaxation import Gumbel, Softmax
from gnas.space.proliferation import Proliferate
from gnas.space.transform import Decide, Keep, Reach
from gnas.strategy import Darts, Evolution, FewShot, Gdas, Nsga2, Progressive, Surrogate, Tpe
from gnas.strategy.stabilisers import EigenvalueStop, Perturbation, Selection
from gnas.zero_cost import Promising, ZeroCost
from gnas.zero_cost.filtering import narrow

COUNTS: list[tuple[Callable[..., Any], str]] = [
    (Recipe, "hidden_channels"),
    (TrainFromScratch, "epochs"),
    (TrainFromScratch, "patience"),
    *((Derivation, key) for key in ("inputs", "listed", "steps", "best_of", "rounds", "seeds", "epochs", "patience")),
    (Loading, "batch_size"),
    (Darts, "epochs"),
    (Darts, "order"),
    (Darts, "warmup"),
    (Evolution, "population"),
    (EigenvalueStop, "window"),
    (Perturbation, "steps"),
    (CostTerm, "sample"),
    (Promising, "sample"),
    (ZeroCost, "seeds"),
    (Keep, "most"),
    (Proliferate, "stride"),
]
NUMBERS: list[tuple[Callable[..., Any], str]] = [
    *((Recipe, key) for key in ("dropout", "lr", "weight_decay")),
    (Darts, "lr"),
    (Darts, "dropout"),
    (Nsga2, "crossover"),
    (Surrogate, "weight"),
    (EigenvalueStop, "growth"),
    (Selection, "share"),
    (Perturbation, "radius"),
    (CostTerm, "weight"),
    (CostTerm, "target"),
    (lambda **given: Limit("parameters", **given), "most"),
    (Promising, "share"),
    (Keep, "share"),
    (Reach, "share"),
    (Decide, "share"),
    (Softmax, "temperature"),
    (Gumbel, "temperature"),
]


@pytest.mark.parametrize(("make", "key"), COUNTS)
def test_a_count_is_a_whole_number(make: Callable[..., Any], key: str) -> None:
    for wrong in (2.5, 64.0, "64", True, -1, math.nan):
        with pytest.raises(ValueError, match=rf"got {key}={wrong!r}; expected a whole number"):
            make(**{key: wrong})


@pytest.mark.parametrize(("make", "key"), NUMBERS)
def test_a_number_is_finite_and_not_negative(make: Callable[..., Any], key: str) -> None:
    optional = key == "target" or (make, key) == (Darts, "dropout")
    for wrong in (math.nan, math.inf, "0.1", "x" if optional else None, True, -0.1):
        with pytest.raises(ValueError, match=rf"got {key}={wrong!r}; expected a (positive|non-negative) number"):
            make(**{key: wrong})


def test_what_has_a_largest_value_says_it() -> None:
    for make, wrong, says in (
        (Recipe, {"dropout": 1.0}, "a non-negative number below 1"),
        (Selection, {"share": 1}, "a positive number below 1"),
        (Nsga2, {"crossover": 1.5}, "a non-negative number of at most 1"),
    ):
        with pytest.raises(ValueError, match=f"expected {says}"):
            make(**wrong)


def test_numpys_numbers_become_pythons() -> None:
    recipe = Recipe(np.int64(32), np.float32(0.5), np.float64(0.01), np.int8(0))  # type: ignore[arg-type]
    assert [type(value) for value in asdict(recipe).values()] == [int, float, float, int, bool]
    assert json.loads(json.dumps(asdict(recipe)))["dropout"] == 0.5
    assert json.dumps(Darts(epochs=np.int32(5), lr=np.float32(0.5)).describe())  # type: ignore[arg-type]
    assert Budget.parse(np.int64(12)) == Budget(12, "steps")
    assert checks.seed("search", np.uint8(7)) == 7


@pytest.mark.parametrize(
    ("make", "key"),
    [(Derivation, "starts"), (Derivation, "inherited"), (Gdas, "hard"), (Gumbel, "hard"), (Tpe, "joint")],
)
def test_a_flag_is_true_or_false(make: Callable[..., Any], key: str) -> None:
    for wrong in (1, "no", None):
        with pytest.raises(TypeError, match=f"got {key}={wrong!r}; expected True or False"):
            make(**{key: wrong})


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (Derivation, "evidence"),
        (Evolution, "objectives"),
        (Surrogate, "scores"),
        (FewShot, "spared"),
        (Keep, "spared"),
        (Progressive, "transforms"),
    ],
)
def test_several_are_a_tuple(make: Callable[..., Any], key: str) -> None:
    for wrong in ("depth", 3, None):
        with pytest.raises(TypeError, match=f"got {key}={wrong!r}; expected a tuple, such as"):
            make(**{key: wrong})


def test_a_single_transform_is_no_tuple() -> None:
    with pytest.raises(TypeError, match=r"transforms=Keep\(.*expected a tuple, such as \(Keep\(0.5\),\)"):
        Progressive(transforms=Keep(0.5))  # type: ignore[arg-type]


def test_a_recipe_is_a_recipe_and_evidence_is_names() -> None:
    with pytest.raises(TypeError, match=r"TrainFromScratch got recipe='x'; expected a Recipe"):
        TrainFromScratch(recipe="x")  # type: ignore[arg-type]
    makers: tuple[Callable[..., Any], ...] = (Promising, CostTerm, lambda **own: Limit("macs", 1, **own))
    for make in makers:
        with pytest.raises(TypeError, match=r"got recipe='x'; expected a Recipe, such as Recipe\(lr=0.01\)"):
            make(recipe="x")
    with pytest.raises(TypeError, match=r"Derivation got evidence=\(3,\); expected names of choices"):
        Derivation(evidence=(3,))  # type: ignore[arg-type]


def test_a_budget_has_an_amount_of_something() -> None:
    for amount in (0, -1, math.nan, "5"):
        with pytest.raises(ValueError, match="Budget got amount"):
            Budget(amount, "seconds")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"amount=2.5 of epochs; expected a whole number"):
        Budget(2.5, "epochs")
    with pytest.raises(ValueError, match=r"unit='weeks'; expected one of \['seconds', 'epochs'"):
        Budget(2, "weeks")


def test_too_small_a_sample_is_refused_where_a_space_is_narrowed() -> None:
    with pytest.raises(ValueError, match="narrow got sample=2; expected a whole number of at least 8"):
        narrow(None, None, sample=2)  # type: ignore[arg-type]
