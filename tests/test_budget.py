"""Budgets in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gnas.budget import SHORTEST, Budget, extent, fit_derivation, fit_epochs, trainings
from gnas.derive import Derivation
from gnas.space import layered


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("2min", 120, "seconds"),
        ("2 minutes", 120, "seconds"),
        ("90s", 90, "seconds"),
        ("1.5 h", 5400, "seconds"),
        ("1h 30min", 5400, "seconds"),
        ("1h30m10s", 5410, "seconds"),
        ("50 epochs", 50, "epochs"),
        ("1 epoch", 1, "epochs"),
        (" 20 Evaluations ", 20, "evaluations"),
        ("12", 12, "steps"),
        ("10000000 s", 10_000_000, "seconds"),
        ("0.25s", 0.25, "seconds"),
        (12, 12, "steps"),
        (12.0, 12, "steps"),
    ],
)
def test_budgets_are_read(text, amount, unit):
    budget = Budget.parse(text)
    assert budget == Budget(amount, unit)
    assert Budget.parse(str(budget)) == budget, "what run.json holds is read back"
    assert Budget.parse(budget) is budget


def test_no_budget_is_none():
    assert Budget.parse(None) is None


@pytest.mark.parametrize(
    "wrong", ["", "soon", "min", "2 parsecs", "0", "0min", "-3", "-3 epochs", "2.5 epochs", "3 epochs 2min", "nan", 1.5]
)
def test_other_budgets_are_refused(wrong):
    with pytest.raises(ValueError, match=r"a budget got .*expected more than nothing, as '2min'"):
        Budget.parse(wrong)


@pytest.mark.parametrize("wrong", [True, [3], {"epochs": 3}])
def test_what_is_no_budget_is_a_type_error(wrong):
    with pytest.raises(TypeError, match=r"a budget got .*expected '2min'"):
        Budget.parse(wrong)


@dataclass(frozen=True)
class Epochs:
    epochs: int = 100
    warmup: int | None = None


def test_a_strategy_gets_the_epochs_that_fit():
    assert fit_epochs(Epochs(), room=10, each=0.25) == Epochs(40)
    assert fit_epochs(Epochs(), room=100, each=0.25) == Epochs(100), "never more than its own"
    assert fit_epochs(Epochs(), room=0.1, each=0.25) == Epochs(1)
    assert fit_epochs(Epochs(100, 50), room=10, each=0.25) == Epochs(100, 50), "a warm-up that was asked for stays"


def test_a_derivation_gives_up_seeds_then_candidates_then_all_but_the_depth():
    space = layered(max_depth=4)
    whole = Derivation(evidence=("aggregate", "depth", "no such choice"))
    options = len(space.choices["aggregate"].options)
    assert trainings(whole, space) == 32 + 16 + 8 * 2 + 4 * 4 + 3 * options + 4 * 4
    each = 0.01

    def fitted(room: float) -> Derivation:
        return fit_derivation(whole, space, room, each)

    def needs(derivation: Derivation) -> float:
        return extent(derivation, space) * each

    assert fitted(needs(whole)) == whole
    lean = fitted(needs(whole) - 1)
    assert (lean.seeds, lean.best_of, lean.epochs, lean.inherited) == (1, whole.best_of, whole.epochs, False)
    few = fitted(needs(lean) - 1)
    assert (few.seeds, few.best_of, few.epochs, few.evidence[0]) == (1, 4, whole.epochs, "depth")
    assert lean.lists([]) and not few.lists([])
    short = fitted(needs(few) - 1)
    assert (short.best_of, short.epochs, short.evidence) == (4, whole.epochs // 2, few.evidence)
    least = fitted(needs(short) - 1)
    assert (least.best_of, least.epochs, least.evidence) == (1, whole.epochs, ("depth",))
    half = fitted(needs(least) / 2)
    assert (half.epochs, half.evidence) == (whole.epochs // 2, ("depth",))
    assert fitted(0).epochs == SHORTEST
    assert fit_derivation(Derivation(evidence=()), space, 0, each).evidence == ()
    assert fit_derivation(Derivation(evidence=()), space, 0, each).best_of == 1
