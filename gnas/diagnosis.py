"""What can go wrong with a search, measured: numbers of a run's events, what each says, and what to do about it.

The failures and their signs are those of the field: skips that win (RobustDARTS, arXiv 1909.09656; DARTS-, arXiv
2009.01027), alphas that stay undecided, an eigenvalue of the architecture's Hessian that grows (RobustDARTS), a network
that is worse than the supernet it was cut out of (the discretisation gap, arXiv 1909.09656 and 2108.04392), and shared
weights that order networks otherwise than training does (Yu and others, arXiv 1902.08142). All but the eigenvalue come
from what a search measures anyway.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from gnas.scale import ACCURACY, Scale

Event = Mapping[str, Any]
MANY, UNDECIDED, GAP, TAU = 0.8, 0.9, 0.05, 0.2
"""A share of skips from which on there are many, an entropy above which alpha is undecided, a gap (a share's points; a
part of any other metric) and a rank correlation that call for something to be done."""
GROWTH, WINDOW, BACK = 1.3, 5, 4
"""RobustDARTS' rule: the eigenvalue's mean over five measurements, compared with that of four measurements before."""
PAIRS = 8
"""Networks below which nothing is said about their order."""


@dataclass(frozen=True)
class Finding:
    """One number about a search.

    Args:
        name: ``"skips"``, ``"entropy"``, ``"eigenvalue"``, ``"gap"`` or ``"tau"``.
        title: What it is, for people.
        value: The number.
        shown: The number for people.
        says: What it says, a sentence.
        action: What to do, a sentence; empty if nothing is wrong.
    """

    name: str
    title: str
    value: float
    shown: str
    says: str
    action: str = ""

    def plain(self) -> dict[str, Any]:
        """The finding as plain values."""
        return asdict(self)


def diagnose(events: Sequence[Event], scale: Scale = ACCURACY, strategy: str = "darts") -> list[Finding]:
    """What a run's events tell about its search; nothing where they don't.

    Args:
        events: The run's events in order, or those so far.
        scale: Of the metric.
        strategy: Name of the strategy, since what to do are settings of it or of ``Darts``.
    """
    epochs = [event for event in events if event.get("event") == "epoch"]
    darts = "" if strategy == "darts" else "search with Darts: "
    searched = [event for event in epochs if event.get("phase") != "warmup"] or epochs
    derived = next((event for event in reversed(events) if event.get("event") == "derived"), {})
    found = [_skips(searched, darts), _entropy(searched), _eigenvalue(searched, darts)]
    found += [_gap(derived, scale), _tau(events)]
    return [finding for finding in found if finding is not None]


def _skips(epochs: Sequence[Event], darts: str) -> Finding | None:
    curve = _curve(epochs, "skips")
    if not curve:
        return None
    (_, first), (_, last) = curve[0], curve[-1]
    title, shown = "share of skips", f"{last:.0%}"
    says = f"Of the choices with a skip {last:.0%} have it in front at the end, {first:.0%} when alpha first moved."
    if last < MANY:
        return Finding("skips", title, last, shown, f"{says} The search did not collapse into skips.")
    entropy = _curve(epochs, "entropy")
    if entropy and entropy[-1][1] > UNDECIDED:
        return Finding("skips", title, last, shown, f"{says} Alpha hardly prefers anything yet, so it is no collapse.")
    when = next(epoch for epoch, share in curve if share >= MANY)
    says += f" From epoch {when:g} on most are skips, which lead wherever the weights of the others are poor."
    action = (
        f"The search probably collapsed; {darts}set auxiliary=1.0, selection=Selection() or more dropout, or end it "
        f"earlier: stop=EigenvalueStop(), or --budget '{max(1, int(when) - 1)} epochs'."
    )
    return Finding("skips", title, last, shown, says, action)


def _entropy(epochs: Sequence[Event]) -> Finding | None:
    curve = _curve(epochs, "entropy")
    if not curve:
        return None
    last = curve[-1][1]
    says = f"Alpha ends at {last:.0%} of the entropy of equal weights"
    title, shown = "entropy of alpha", f"{last:.2f}"
    if last <= UNDECIDED:
        return Finding("entropy", title, last, shown, f"{says}: it has an opinion.")
    action = "Search longer (epochs) or with a larger arch_lr; until then trust the derivation's trainings, not alpha."
    return Finding("entropy", title, last, shown, f"{says}: taken together it prefers little.", action)


def _eigenvalue(epochs: Sequence[Event], darts: str) -> Finding | None:
    curve = _curve(epochs, "eigenvalue")
    if not curve:
        return None
    values = [value for _, value in curve]
    title, last = "largest eigenvalue of the architecture's Hessian", values[-1]
    when = next((curve[i - 1][0] for i in range(1, len(values) + 1) if grown(values[:i])), None)
    says = f"The loss is curved by {last:.3g} in alpha at the end, by {values[0]:.3g} at the first measurement."
    if when is None:
        return Finding("eigenvalue", title, last, f"{last:.3g}", f"{says} It did not grow as before a collapse.")
    says += f" Its running mean first grew by more than {GROWTH} at epoch {when:g}; rounding leaves so sharp a minimum."
    action = f"Compare with a search that ends there: {darts}set stop=EigenvalueStop(), or --budget '{when:g} epochs'."
    return Finding("eigenvalue", title, last, f"{last:.3g}", says, action)


def _gap(derived: Event, scale: Scale) -> Finding | None:
    mixed, cut = _number(derived.get("supernet_metric")), _number(derived.get("inherited_metric"))
    if not (math.isfinite(mixed) and math.isfinite(cut)):
        return None
    lost = scale.merit(mixed) - scale.merit(cut)
    shown = scale.number(lost, sign=True) + (" points" if scale.percent else "")
    says = f"The supernet reaches {scale.text(mixed)}, the network cut out of it, with its weights, {scale.text(cut)}."
    title = "discretisation gap"
    if lost <= GAP * (1 if scale.percent else abs(mixed)):
        return Finding("gap", title, lost, shown, f"{says} {'Little' if lost > 0 else 'Nothing'} was lost in the cut.")
    action = (
        "What was trained is the mixture: let short trainings choose (a larger best_of in Derivation, which this run's "
        "result rests on, too), or search with Gdas, which runs one option at a time, or Darts(selection=Selection())."
    )
    return Finding("gap", title, lost, shown, f"{says} The mixture, not this network, was good.", action)


def _tau(events: Sequence[Event]) -> Finding | None:
    pairs = judged(events)
    tau = kendall(pairs)
    if len(pairs) < PAIRS or not math.isfinite(tau):
        return None
    count = len(pairs)
    chance = math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))
    says = (
        f"Of {count} networks, the best of the shortlist, shared weights and trainings from scratch agree on the order "
        f"of about {(1 + tau) / 2:.0%} of the pairs; a coin would on half, a tau of 0 ± {chance:.2f}."
    )
    title = "Kendall's tau, supernet and stand-alone"
    if tau >= TAU:
        return Finding("tau", title, tau, f"{tau:.2f}", f"{says} Shared weights tell good networks apart.")
    action = (
        "Do not rank by shared weights alone: raise best_of and rounds in Derivation, or search with FewShot, which "
        "shares weights among fewer networks, or with a black-box strategy."
    )
    return Finding("tau", title, tau, f"{tau:.2f}", f"{says} Shared weights do not order these networks.", action)


def judged(events: Sequence[Event]) -> list[tuple[float, float]]:
    """Networks of the shortlist that were also trained: metric by shared weights, and mean of those from scratch."""
    alone: dict[str, list[float]] = {}
    for event in events:
        # All of them have the first seed; further seeds have the better half alone, and would favour it.
        if event.get("event") == "best_of" and not event.get("inherit") and not event.get("seed"):
            alone.setdefault(_key(event.get("genotype") or {}), []).append(_number(event.get("metric_architecture")))
    pairs = [
        (_number(metric), fmean(alone[_key(choices)]))
        for event in events
        if event.get("event") == "shortlist"
        for choices, metric in zip(event.get("genotypes") or (), event.get("metrics") or ())
        if _key(choices) in alone
    ]
    return [pair for pair in pairs if all(map(math.isfinite, pair))]


def kendall(pairs: Sequence[tuple[float, float]]) -> float:
    """Kendall's tau-b: agreeing less disagreeing pairs over those that the sides order; NaN if a side orders none."""
    signs = [(_sign(a[0] - b[0]), _sign(a[1] - b[1])) for a, b in combinations(pairs, 2)]
    ordered = math.sqrt(math.prod(sum(abs(sign[side]) for sign in signs) for side in (0, 1)))
    return sum(one * other for one, other in signs) / ordered if ordered else math.nan


def grown(values: Sequence[float], growth: float = GROWTH, window: int = WINDOW, back: int = BACK) -> bool:
    """RobustDARTS' sign of a collapse: a mean of ``window``, more than ``growth`` times what it was ``back`` ago."""
    if len(values) < window + back:
        return False
    now, then = fmean(values[-window:]), fmean(values[-window - back : len(values) - back])
    return then > 0 and now > growth * then


def _curve(epochs: Sequence[Event], key: str) -> list[tuple[float, float]]:
    points = [(_number(event.get("epoch")), _number(event.get(key))) for event in epochs]
    return [point for point in points if all(map(math.isfinite, point))]


def _number(value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if good else math.nan


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _key(choices: Mapping[str, Any]) -> str:
    return json.dumps(choices, sort_keys=True)
