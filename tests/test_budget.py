"""Budgets in words and numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gnas.budget import Budget, extent, fit_derivation, fit_epochs, trainings
from gnas.derive import Derivation
from gnas.space import layered, relational
from gnas.strategy import Darts, FewShot, Nac, Progressive, SinglePath


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


def test_a_strategy_gets_the_epochs_that_fit():
    def fitted(strategy, room: float, warmup: float = 0.25, search: float = 0.25):
        own = getattr(strategy, "inner", strategy).epochs
        return fit_epochs(strategy, own, room, warmup, search)

    assert fitted(Darts(epochs=100), 10) == Darts(epochs=40)
    assert fitted(Darts(epochs=100), 100) == Darts(epochs=100), "never more than its own"
    assert fitted(Darts(epochs=100), 0.1) == Darts(epochs=1)
    assert fitted(Darts(epochs=100, warmup=50), 10) == Darts(epochs=51, warmup=50), "a warm-up asked for stays"
    assert fitted(Nac(), 0.1) == Nac()


def test_generations_of_networks_are_not_paid_for_by_the_epochs_of_the_weights():
    fitted = fit_epochs(SinglePath(epochs=320), 320, room=30, warmup=0.1, search=2.0)
    # Of 16 epochs 15 train weights: 3.5 s; so 8 such parts, and 14 epochs of the weights more before the next one.
    assert fitted.epochs == 8 * 16 + 15 and fitted.seconds(0.1, 2.0) <= 30
    assert fitted.warming == 135


def test_wrappers_fit_by_what_their_inner_strategy_costs():
    progressive = Progressive(inner=Darts(epochs=100))
    assert fit_epochs(progressive, 100, 10, 0.25, 0.25).inner.epochs == 40
    least = fit_epochs(progressive, 100, 0.1, 0.25, 0.25)
    assert least.inner.epochs == 3, "no fewer than its stages need"
    split = FewShot(inner=Darts(epochs=100, warmup=50), splits=1)
    assert split.seconds(1, 1) == 50 + 2 * 50
    assert fit_epochs(split, 100, 75, 1, 1).inner.epochs == 62


def test_a_derivation_gives_up_candidates_then_seeds_then_evidence_then_epochs():
    space = layered(max_depth=4)
    whole = Derivation(evidence=("aggregate", "depth", "no such choice"))
    options = len(space.choices["aggregate"].options)
    assert trainings(whole, space) == 32 + 16 + 8 * 2 + 4 * 4 + 3 * options + 4 * 4
    each = 0.01

    def fitted(room: float) -> Derivation:
        fits, *larger = fit_derivation(whole, space, room, each, steps=8)
        # What a short or unlisted one has made serves no larger one.
        assert not larger or larger[-1] == whole
        extents = [extent(plan, space) for plan in (fits, *larger)]
        assert extents == sorted(extents)
        return fits

    def needs(derivation: Derivation) -> float:
        return extent(derivation, space) * each

    assert fitted(needs(whole)) == whole
    half = fitted(needs(whole) - 1)
    assert (half.seeds, half.best_of, half.rounds, half.inherited) == (whole.seeds, 16, 3, True)
    quarter = fitted(needs(half) - 1)
    assert (quarter.seeds, quarter.best_of, quarter.rounds, quarter.inherited) == (whole.seeds, 8, 2, True)
    lean = fitted(needs(quarter) - 1)
    assert (lean.seeds, lean.best_of, lean.rounds, lean.inherited) == (1, 8, 2, False)
    bare = fitted(needs(lean) - 1)
    assert (bare.best_of, bare.rounds, bare.evidence) == (8, 1, ())
    few = fitted(needs(bare) - 1)
    # Without a shortlist as many are tried as there is time for.
    assert lean.lists([]) and bare.lists([]) and not few.lists([])
    assert few == replace(whole, listed=1, evidence=(), rung=33, rounds=3)
    # A quarter goes on from the first rung: eight with one seed, four with two, two with four.
    assert extent(few, space) == 32 * 33 + (8 + 4 + 2 * 2) * 100
    assert extent(replace(few, best_of=1), space) == 0, "nothing is trained, and no rung either"
    # What is left alone has nothing to be compared with.
    assert trainings(replace(few, best_of=4), space) == 0 and trainings(replace(few, best_of=8), space) == 2
    # A supernet that is hardly trained judges no shortlist, whatever the time.
    for room in (needs(whole), needs(bare)):
        assert fit_derivation(whole, space, room, each, ready=False, steps=8) == [few]
    assert fitted(2 * few.rung * each) == few
    assert fitted(2 * few.rung * each - 1e-9).best_of == 1, "there is nothing to compare"
    for space_, derivation in ((space, whole), (relational(1, depth=False), whole), (space, Derivation(evidence=()))):
        (none,) = fit_derivation(derivation, space_, 0.0, each)
        assert trainings(none, space_) == 0, "a shorter training tells nothing"


def test_a_training_without_time_to_lose_its_patience_takes_all_its_epochs():
    space = layered(max_depth=4)
    derivation = Derivation(best_of=8, listed=1, rounds=1, evidence=())
    assert extent(derivation, space) == 8 * derivation.epochs / 2
    assert extent(replace(derivation, epochs=50), space) == 8 * derivation.patience
    assert extent(replace(derivation, epochs=6), space) == 8 * 6
    # Six epochs are all that a training is to have, so they tell what there is to tell.
    (fits,) = fit_derivation(replace(derivation, epochs=6), space, room=20.0, each=1.0, steps=100)
    assert (fits.best_of, fits.epochs, fits.rung) == (8, 6, 1)


@pytest.mark.parametrize(
    ("steps", "epochs", "rung"), [(8, 200, 33), (3, 200, 34), (2, 200, 50), (1, 200, 0), (2, 149, 0)]
)
def test_a_first_rung_has_steps_enough_to_tell_something_or_there_is_none(steps: int, epochs: int, rung: int) -> None:
    derivation = Derivation(epochs=epochs)
    (plan,) = fit_derivation(derivation, layered(max_depth=4), 1e3, 1.0, ready=False, steps=steps)
    assert (plan.rung, plan.best_of, plan.lists([])) == (rung, derivation.best_of, False)


@pytest.mark.parametrize("text", ["500ms", "2hs", "10ss"])
def test_a_unit_that_is_none_is_not_taken_for_a_plural(text: str) -> None:
    with pytest.raises(ValueError, match="a budget got"):
        Budget.parse(text)
