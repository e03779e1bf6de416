"""What a search's numbers say: each sign against a run that has it and one that hasn't."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from gnas.diagnosis import Finding, diagnose, grown, judged, kendall
from gnas.scale import Scale

MAE = Scale("MAE", higher_is_better=False, percent=False)


def epochs(**curves: list[float]) -> list[dict[str, Any]]:
    """Epochs of a search after two of a warm-up, in which skips count for nothing."""
    warm = [{"event": "epoch", "epoch": i, "phase": "warmup", "skips": 1.0, "entropy": 1.0} for i in (1, 2)]
    length = max(map(len, curves.values()))
    return warm + [
        {"event": "epoch", "epoch": 3 + i, "phase": "search", **{key: values[i] for key, values in curves.items()}}
        for i in range(length)
    ]


def only(events: list[dict[str, Any]], name: str, **more: Any) -> Finding | None:
    return next((finding for finding in diagnose(events, **more) if finding.name == name), None)


def order(by_weights: list[float], alone: list[float]) -> list[dict[str, Any]]:
    genotypes = [{"op": i} for i in range(len(by_weights))]
    listed = {"event": "shortlist", "genotypes": genotypes, "metrics": by_weights}
    trained = [
        {"event": "best_of", "genotype": genotype, "seed": 0, "inherit": False, "metric_architecture": metric}
        for genotype, metric in zip(genotypes, alone)
    ]
    return [listed, *trained]


def test_a_run_without_a_supernet_has_no_signs() -> None:
    assert diagnose([]) == []
    assert diagnose([{"event": "candidate", "index": 0, "metric_architecture": 0.5}]) == []


def test_skips_that_win_are_a_collapse_and_the_epoch_is_named() -> None:
    fine = only(epochs(skips=[0.0, 0.25, 0.5]), "skips")
    assert fine is not None and not fine.action and fine.value == 0.5
    collapsed = only(epochs(skips=[0.0, 0.5, 0.75, 1.0]), "skips")
    assert collapsed is not None and "auxiliary=1.0" in collapsed.action and "--budget '5 epochs'" in collapsed.action
    assert "From epoch 6 on" in collapsed.says
    other = only(epochs(skips=[1.0]), "skips", strategy="gdas")
    assert other is not None and "Darts" in other.action, "settings of Darts are no settings of another strategy"


def test_skips_in_front_of_an_alpha_that_prefers_nothing_are_no_collapse() -> None:
    searched = [{"event": "epoch", "epoch": 1, "skips": 1.0, "entropy": 0.99}]
    skips, entropy = diagnose(searched, Scale(), "darts")
    assert (skips.name, skips.action, entropy.name) == ("skips", "", "entropy") and entropy.action
    assert "hardly prefers anything yet" in skips.says


def test_undecided_alphas_call_for_a_longer_search() -> None:
    for value, action in ((0.95, True), (0.5, False)):
        found = only(epochs(entropy=[1.0, value]), "entropy")
        assert found is not None and found.value == value and bool(found.action) == action


def test_a_growing_eigenvalue_ends_at_the_epoch_that_robust_darts_would_stop_at() -> None:
    assert only(epochs(entropy=[0.5]), "eigenvalue") is None
    steady = only(epochs(eigenvalue=[0.3, 0.31, 0.3, 0.29, 0.3, 0.3, 0.3]), "eigenvalue")
    assert steady is not None and not steady.action
    values = [0.1] * 6 + [0.1, 0.2, 0.4]
    # Means of five: 0.1, then 0.12 (times 1.2), then 0.18, which is 1.8 times what it was four before.
    assert [grown(values[:i]) for i in range(5, 10)] == [False, False, False, False, True]
    rising = only(epochs(eigenvalue=values), "eigenvalue")
    assert rising is not None and f"--budget '{2 + len(values)} epochs'" in rising.action


@pytest.mark.parametrize(
    ("scale", "supernet", "cut", "lost", "wrong"),
    [
        (Scale(), 0.80, 0.60, 0.20, True),
        (Scale(), 0.80, 0.79, 0.01, False),
        (Scale(), 0.60, 0.80, -0.20, False),
        (MAE, 0.40, 0.60, 0.20, True),
        (MAE, 0.60, 0.40, -0.20, False),
    ],
)
def test_the_gap_is_what_the_cut_costs(scale: Scale, supernet: float, cut: float, lost: float, wrong: bool) -> None:
    events = [{"event": "derived", "supernet_metric": supernet, "inherited_metric": cut, "derived_metric": 0.8}]
    found = only(events, "gap", scale=scale)
    assert found is not None and found.value == pytest.approx(lost) and bool(found.action) == wrong
    assert only([{**events[0], "inherited_metric": None}], "gap") is None


def test_tau_compares_shared_weights_with_trainings() -> None:
    eight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    same, turned = order(eight, [10 * x for x in eight]), order(eight, eight[::-1])
    agreed, contradicted = only(same, "tau"), only(turned, "tau")
    assert agreed is not None and agreed.value == 1 and not agreed.action and "100%" in agreed.says
    assert contradicted is not None and contradicted.value == -1 and "FewShot" in contradicted.action
    assert only(order([1, 2, 3], [1, 2, 3]), "tau") is None, "three networks have no order to speak of"
    assert only(order([1] * 8, [1, 2, 3, 4, 5, 6, 7, 8]), "tau") is None, "nor have those that are all alike"


def test_only_first_seeds_from_scratch_are_compared() -> None:
    events = order([1, 2], [0.5, 0.6])
    more = {**events[1], "seed": 1, "metric_architecture": 9.0}
    inherited = {**events[1], "inherit": True, "metric_architecture": 9.0}
    stranger = {**events[1], "genotype": {"op": 7}}
    diverged = {**events[2], "genotype": {"op": 1}, "metric_architecture": None}
    assert judged([*events[:2], more, inherited, stranger, diverged]) == [(1, 0.5)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
def test_tau_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    expected = float(kendalltau(*zip(*pairs)).statistic)
    found = kendall(pairs)
    assert math.isnan(found) == math.isnan(expected)
    assert math.isnan(found) or found == pytest.approx(expected)


def test_findings_survive_json() -> None:
    found = diagnose(epochs(skips=[1.0], entropy=[0.95]))
    assert [Finding(**finding.plain()) for finding in found] == found and len(found) == 2
