"""The report's section on what to make of a search: its findings (:mod:`gnas.diagnosis`) and their curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gnas import charts, prose
from gnas.charts import Series
from gnas.diagnosis import diagnose, judged
from gnas.record import Event, Run

CURVES = (("skips", "Share of skips"), ("eigenvalue", "Largest eigenvalue of the architecture's Hessian"))


def section(run: Run) -> dict[str, Any] | None:
    """Each finding with what it says and what to do, the curves behind them, and what was not measured."""
    events = [event for own in run.events.values() for event in own]
    name = str((run.meta.get("strategy") or {}).get("name"))
    findings = diagnose(events, run.scale, name)
    if not findings:
        return None
    told = {finding.name for finding in findings}
    drawn = [chart for key, title in CURVES if key in told and (chart := _curve(run, key, title))]
    if "tau" in told:
        drawn.append(_order(run, judged(events)))
    hints = []
    if name == "darts" and "eigenvalue" not in told and run.of("epoch"):
        hints.append(
            "The largest eigenvalue of the architecture's Hessian was not measured; Darts(eigenvalue=10) does."
        )
    wrong = sum(bool(finding.action) for finding in findings)
    verdict = f"{wrong} call{'s' if wrong == 1 else ''} for something to be done." if wrong else "nothing is wrong."
    sentence = f"Of {prose.count(len(findings), 'number')} that tell how a search went, {verdict}"
    return {"findings": findings, "charts": drawn, "sentence": sentence, "hints": hints}


def _searched(run: Run) -> Sequence[Event]:
    """The epochs in which alpha moved; before, which option is in front is chance."""
    epochs = run.of("epoch")
    return [event for event in epochs if event.get("phase") != "warmup"] or epochs


def _curve(run: Run, key: str, title: str) -> dict[str, Any] | None:
    points = [(prose.finite(event.get("epoch")), prose.finite(event.get(key))) for event in _searched(run)]
    points = charts.thin([point for point in points if all(map(math.isfinite, point))], 200)
    if len(points) < 2:
        return None
    chart = charts.lines([Series(key, points, 1)], f"{title} over the epochs", zero=True, digits=2)
    return {"name": title, "svg": chart}


def _order(run: Run, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Networks by shared weights and from scratch, a dot each, with the line on which the two are equal."""
    # The numbers below the axis are written as they are.
    factor = 100 if run.scale.percent else 1
    ends = [value for pair in pairs for value in pair]
    even = [(factor * end, end) for end in (min(ends), max(ends))]
    dots = [(factor * x, y) for x, y in pairs]
    title = f"{run.scale.name} from scratch against that by shared weights"
    title = title[:1].upper() + title[1:]
    series = [Series("equal", even, 7), Series("", [], 0, dots=dots)]
    chart = charts.lines(series, title, x_name="by shared weights", percent=run.scale.percent, digits=1)
    return {"name": f"{title}, a dot a network", "svg": chart}
