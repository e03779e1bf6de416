"""The Pareto front of a search: the networks than which no other one is better in one thing and as good in the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gnas import charts
from gnas.charts import Frame, Markup, Series, number
from gnas.record import Run, metric
from gnas.space.node import Value

UNITS = {"parameters": "", "macs": "", "latency": " ms", "memory": " B"}
USUAL = "parameters"
SCALES = ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"), (1, ""))
SIZE = (420.0, 230.0)


@dataclass(frozen=True)
class Network:
    """One network that a search trained: its choices, its metric, its costs, whether the front has it."""

    choices: Mapping[str, Value]
    metric: float
    costs: Mapping[str, float]
    front: bool = False


def front(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Which points no other one dominates, lower being better in each; of equal ones the first."""

    def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    return [
        place
        for place, point in enumerate(points)
        if point not in points[:place] and not any(dominates(other, point) for other in points)
    ]


def networks(run: Run) -> list[Network]:
    """What was trained by itself, with its costs: candidates, or the derivation's trainings by their mean metric.

    Costs are the strategy's objectives; without any, the number of parameters.
    """
    found: dict[str, tuple[Mapping[str, Value], Mapping[str, float], list[float]]] = {}
    for kind in ("candidate", "best_of", "depth", "evidence"):
        for event in run.of(kind):
            costs = event.get("costs") or {USUAL: event.get(USUAL)}
            if event.get("inherit") or None in costs.values() or not math.isfinite(metric(event)):
                continue
            choices = dict(event.get("genotype") or {})
            found.setdefault(repr(sorted(choices.items())), (choices, costs, []))[2].append(metric(event))
    rows = [Network(choices, fmean(values), costs) for choices, costs, values in found.values()]
    best = front([(-run.judging.merit(row.metric), *row.costs.values()) for row in rows])
    return [Network(row.choices, row.metric, row.costs, place in best) for place, row in enumerate(rows)]


def section(run: Run) -> dict[str, Any] | None:
    """The report's part: a figure for each cost, and the front's networks as a table, the cheapest first."""
    rows = networks(run)
    names = list(rows[0].costs) if rows else []
    if len(rows) < 3 or any(list(row.costs) != names for row in rows):
        return None
    best = sorted((row for row in rows if row.front), key=lambda row: tuple(row.costs.values()))
    head = run.judging.name[:1].upper() + run.judging.name[1:]
    figures = [{"name": name, "drawing": _figure(run, rows, name, f"{head} against {name}")} for name in names]
    table = [
        {
            "metric": charts.measured(row.metric, run.judging),
            "costs": [told(name, row.costs[name]) for name in names],
            "words": ", ".join(_differing(run, row, best))
            or ("as in all of them" if len(best) > 1 else "the only one"),
        }
        for row in best
    ]
    cheapest, dearest = best[0], max(best, key=lambda row: run.judging.merit(row.metric))
    sentence = (
        f"Of {len(rows)} networks that were trained by themselves, {len(best)} "
        f"{'is' if len(best) == 1 else 'are'} on the front: no other is both better and cheaper."
    )
    if cheapest is not dearest:
        sentence += (
            f" The best has {charts.measured(dearest.metric, run.judging)} at "
            f"{told(names[0], dearest.costs[names[0]])}{_noun(names[0])}, the cheapest "
            f"{charts.measured(cheapest.metric, run.judging)} at {told(names[0], cheapest.costs[names[0]])}."
        )
    return {
        "figures": figures,
        "names": names,
        "rows": table,
        "head": head,
        "percent": run.judging.percent,
        "sentence": sentence,
    }


def told(name: str, cost: float) -> str:
    """A cost as a person would write it."""
    return f"{cost:,.0f}{UNITS[name]}" if cost >= 100 else f"{number(cost, 2)}{UNITS[name]}"


def _noun(name: str) -> str:
    return {"parameters": " parameters", "macs": " multiply-adds"}.get(name, "")


def _differing(run: Run, row: Network, best: Sequence[Network]) -> list[str]:
    """The options that not all networks of the front share."""
    return [
        f"{name} {run.labels[name][choice.index(row.choices[name])]}"
        for name, choice in run.space.choices.items()
        if len({repr(other.choices.get(name)) for other in best}) > 1
    ]


def _figure(run: Run, rows: Sequence[Network], name: str, title: str) -> Markup:
    most = max(row.costs[name] for row in rows)
    # Ticks have room for four figures.
    factor, words = next(step for step in SCALES if most >= 2 * step[0] or step[0] == 1)
    unit = ", ".join(part for part in (name, words + UNITS[name]) if part.strip())
    points = [(row.costs[name] / factor, row.metric, row) for row in rows]
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    margin = 0.04 * ((max(xs) - min(xs)) or max(xs) or 1.0)
    room = 0.06 * ((max(ys) - min(ys)) or abs(max(ys)) or 1.0)
    edges, heights = (min(xs) - margin, max(xs) + margin), (min(ys) - room, max(ys) + room)
    frame = Frame(*SIZE, margins=(12, 16, 36, 46), xs=edges, ys=heights)
    # The front in this figure's two dimensions; with more objectives its networks may lie below it.
    steps = sorted(
        (points[place][0], points[place][1]) for place in front([(-run.judging.merit(y), x) for x, y, _ in points])
    )
    parts = [charts.axes(frame, unit, run.judging.percent)]
    parts.append(charts.draw(Series("front", steps, 0, True), frame, steps=True))
    for x, y, row in sorted(points, key=lambda point: point[2].front):
        tip = f"{charts.measured(y, run.judging)}, {told(name, row.costs[name])}" + (
            ", on the front" if row.front else ""
        )
        colour, radius = (0, 4.0) if row.front else (1, 3.0)
        style = "" if row.front else "faded"
        parts.append(charts.dot(frame.x(x), frame.y(y), colour, tip, radius, style))
    return charts.svg(*SIZE, title, parts)
