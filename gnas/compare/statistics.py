"""Tests, corrections and the sentence that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from gnas.scale import ACCURACY, Scale

FOUND, RANDOM, BASELINE = "found", "random search", "baseline"
SIGNIFICANT = 0.05
ROUNDING = 1e-6
"""Metrics come in float32: what differs by less than this part of the largest is equal; a node in a million is more."""

Row = dict[str, Any]
Evaluation = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """How much higher the first of two samples lies.

    Args:
        gain: Difference of the means.
        std: Standard deviation of the paired differences; of two independent samples, that of the difference.
        p: Probability of a difference at least as large, in either direction, if there were none; 1 where a training
            diverged, which leaves nothing to compare.
    """

    gain: float
    std: float
    p: float


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """The paired t-test of two equally long samples.

    Where all differences are equal there is no spread to measure them by; then the sign test decides, in which
    n equal signs have p = 2 / 2^n, and a single pair tells nothing (p = 1).
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"got samples of {len(ours)} and {len(theirs)}; expected pairs, at least one")
    differences = [a - b for a, b in zip(ours, theirs)]
    gain = fmean(differences)
    std = deviation(differences)
    if not math.isfinite(gain):
        return Difference(gain, std, 1.0)
    least = _rounding(ours, theirs)
    if std <= least:
        return Difference(gain, 0.0, 1.0 if abs(gain) <= least else 2.0 ** (1 - len(differences)))
    return Difference(gain, std, float(stats.ttest_rel(ours, theirs).pvalue))


def independent(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Welch's t-test of two samples of their own sizes and spreads, each of at least two."""
    if len(ours) < 2 or len(theirs) < 2:
        raise ValueError(f"got samples of {len(ours)} and {len(theirs)}; expected at least two in each")
    gain = fmean(ours) - fmean(theirs)
    std = math.hypot(deviation(ours), deviation(theirs))
    if not math.isfinite(gain):
        return Difference(gain, std, 1.0)
    least = _rounding(ours, theirs)
    if std <= least:
        return Difference(gain, 0.0, 1.0 if abs(gain) <= least else 2.0 ** (1 - min(len(ours), len(theirs))))
    return Difference(gain, std, float(stats.ttest_ind(ours, theirs, equal_var=False).pvalue))


def _rounding(*samples: Sequence[float]) -> float:
    return ROUNDING * max(abs(value) for sample in samples for value in sample)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that hold for all of them together (Scandinavian Journal of Statistics 6, 1979)."""
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = highest
    return adjusted


def compare(
    rows: Sequence[Row], test: Callable[[Row, Row], Difference] | None = None, scale: Scale = ACCURACY
) -> list[dict[str, Any]]:
    """The first row against each of the others: gain, standard deviation and p. A gain is for the better.

    ``p`` of the hand-made networks is corrected for their number, ``p_raw`` is not; random search is one comparison
    that was planned beforehand and needs no correction.
    """
    found, *others = rows
    test = test or (lambda ours, theirs: paired(ours["test"], theirs["test"]))
    differences = [test(found, row) for row in others]
    family = [i for i, row in enumerate(others) if row["kind"] == BASELINE]
    corrected = dict(zip(family, holm([differences[i].p for i in family])))
    return [
        {
            "against": row["name"],
            "kind": row["kind"],
            "gain": difference.gain if scale.higher_is_better else -difference.gain,
            "std": difference.std,
            "p": corrected.get(i, difference.p),
            "p_raw": difference.p,
        }
        for i, (row, difference) in enumerate(zip(others, differences))
    ]


def verdict(
    rows: Sequence[Row], differences: Sequence[Mapping[str, Any]], opening: str = "", scale: Scale = ACCURACY
) -> str:
    """What the comparisons say about the search, in one sentence.

    The hand-made network that is named is the best by the architecture split, as a careful person would have chosen
    it; the best by the test nodes would be chosen by what it is to be judged by.
    """
    parts = []
    by_name = {row["name"]: row for row in rows}
    for difference in differences:
        if difference["kind"] == RANDOM:
            parts.append(_sentence(difference, RANDOM, scale))
    hand_made = [difference for difference in differences if difference["kind"] == BASELINE]
    if hand_made:
        best = max(hand_made, key=lambda other: scale.merit(by_name[other["against"]]["architecture_mean"]))
        named = best["against"]
        if len(hand_made) > 1:
            named += ", the best hand-made network on the architecture split"
        parts.append(_sentence(best, named, scale))
    if not parts:
        return "the found network was compared with nothing"
    return opening + "; ".join(parts)


def _sentence(difference: Mapping[str, Any], against: str, scale: Scale) -> str:
    if not math.isfinite(difference["gain"]):
        return f"nothing to say of {against}: a training diverged"
    gain, std, p = difference["gain"], scale.number(difference["std"]), probability(difference["p"])
    if difference["p"] >= SIGNIFICANT:
        noise = "" if gain < -ROUNDING else " beyond noise"
        return f"no gain{noise} over {against} ({scale.number(gain)} ± {std}, {p})"
    if gain > 0:
        return f"the search gained {scale.number(gain)} ± {std} over {against}, {p}"
    return f"the search lost {scale.number(-gain)} ± {std} against {against}, {p}"


def probability(p: float) -> str:
    """``p = 0.02``; three digits where two would hide on which side of 0.05 it lies."""
    if p < 0.001:
        return "p < 0.001"
    text = f"{p:.2f}"
    if p < 0.01 or (p < SIGNIFICANT and float(text) >= SIGNIFICANT):
        text = f"{p:.3f}"
    return f"p < {SIGNIFICANT}" if p < SIGNIFICANT <= float(text) else f"p = {text}"


def deviation(values: Sequence[float]) -> float:
    """The standard deviation; 0 of one value, NaN where one of several is not finite."""
    if not all(map(math.isfinite, values)):
        return math.nan
    return stdev(values) if len(values) > 1 else 0.0


def restored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A row or a comparison with NaN again where JSON has None, which for networks and recipes is what it means."""

    def number(value: Any) -> Any:
        return math.nan if value is None else [number(one) for one in value] if isinstance(value, list) else value

    return {key: value if key in ("genotype", "recipe") else number(value) for key, value in stored.items()}


def spread(key: str, values: Sequence[float]) -> dict[str, Any]:
    return {key: list(values), f"{key}_mean": fmean(values), f"{key}_std": deviation(values)}
