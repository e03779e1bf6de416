"""Budgets in words and numbers."""

from __future__ import annotations

import pytest

from gnas.budget import Budget


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
