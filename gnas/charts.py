"""Small charts as inline SVG: lines, bars and strips of dots, for the report.

They are written by hand rather than by a plotting library, because a page of them then costs milliseconds instead
of the import of that library, takes its colours from the page (light and dark), and each line can carry a tooltip.
Every function returns :class:`markupsafe.Markup`; all text in it is escaped. Colours are classes ``s0`` to ``s7``
that the page's style sheet defines, eight hues that colour-blind readers can tell apart; more than eight series
repeat the hues with dashes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gnas.scale import ACCURACY, Scale

HUES = 8
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Args:
        label: What it shows; written at its end and into its tooltip.
        points: Pairs ``(x, y)`` by rising x. Pairs that are not finite interrupt the line.
        colour: Index of its colour; from eight on the line is dashed.
        strong: Drawn thicker and on top, for the option that was chosen.
        spread: Triples ``(x, low, high)``, drawn as a band behind the line.
        dots: Pairs that are drawn as small dots, such as one for each seed.
    """

    label: str
    points: Sequence[Point]
    colour: int = 0
    strong: bool = False
    spread: Sequence[tuple[float, float, float]] = ()
    dots: Sequence[Point] = ()


@dataclass(frozen=True)
class Frame:
    """Maps values to places in a drawing of ``width`` x ``height`` with margins (top, right, bottom, left)."""

    width: float
    height: float
    margins: tuple[float, float, float, float]
    xs: tuple[float, float]
    ys: tuple[float, float]

    @property
    def left(self) -> float:
        return self.margins[3]

    @property
    def right(self) -> float:
        return self.width - self.margins[1]

    @property
    def top(self) -> float:
        return self.margins[0]

    @property
    def bottom(self) -> float:
        return self.height - self.margins[2]

    def x(self, value: float) -> float:
        low, high = self.xs
        return self.left + (value - low) / ((high - low) or 1.0) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.ys
        return self.bottom - (value - low) / ((high - low) or 1.0) * (self.bottom - self.top)


def clean(text: object) -> str:
    """Text without the control characters that XML refuses."""
    return "".join(c if c in "\t\n" or c.isprintable() or c == " " else "\ufffd" for c in str(text))


def number(value: float | None, digits: int = 1, percent: bool = False) -> str:
    """A number for people: a dash where there is none, percent without its sign."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value * 100 if percent else value:.{digits}f}".replace("-", "−")


def value(given: float, metric: Scale, more: int = 0) -> str:
    """A metric for people without its unit: percent with one digit, other numbers with three, or with some more."""
    return number(given, (1 if metric.percent else 3) + more, metric.percent)


def measured(given: float, metric: Scale, more: int = 0) -> str:
    """A metric for people with its unit."""
    return value(given, metric, more) + (" %" if metric.percent else "")


def ticks(low: float, high: float, count: int = 4, whole: bool = False) -> list[float]:
    """About ``count`` round values that cover the range from low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * scale for nice in (1, 2, 2.5, 5, 10) if nice * scale >= raw * 0.999)
    if whole:
        step = max(1.0, float(round(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def svg(
    width: float, height: float, title: str, parts: Iterable[str], kind: str = "chart", least: float = 0.0
) -> Markup:
    """A drawing with its accessible title around its parts, never shown narrower than ``least``."""
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="{}" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" '
        'height="{:.0f}" role="img" aria-label="{}"{}>'
    ).format(
        kind, width, height, width, height, clean(title), Markup(f' style="min-width:{least:.0f}px"' if least else "")
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def write(x: float, y: float, text: object, style: str = "", anchor: str = "start") -> Markup:
    """A line of text at a place."""
    element = Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>')
    return element.format(x, y, style, anchor, clean(text))


def hue(colour: int) -> str:
    """The classes of a series' colour: hue, and from eight on dashes, from sixteen on dots."""
    return f"s{colour % HUES}" + ("", " dash", " dot")[min(colour // HUES, 2)]


def _finite(point: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in point)


def _trace(points: Sequence[Point], frame: Frame, steps: bool = False) -> str:
    commands: list[str] = []
    pen = "M"
    for point in points:
        if not _finite(point):
            pen = "M"
            continue
        x, y = frame.x(point[0]), frame.y(point[1])
        commands.append(f"H{x:.1f}V{y:.1f}" if steps and pen == "L" else f"{pen}{x:.1f},{y:.1f}")
        pen = "L"
    return "".join(commands)


def thin(points: Sequence[Point], most: int = 150) -> list[Point]:
    """At most about ``most`` of the points, evenly, always with the last one."""
    every = max(1, math.ceil(len(points) / most))
    kept = list(points[::every])
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def _range(values: Iterable[float], zero: bool) -> tuple[float, float]:
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return (0.0, 1.0)
    low, high = min(kept), max(kept)
    if zero:
        low = min(low, 0.0)
    room = (high - low) * 0.06 or abs(high) * 0.02 or 0.5
    return (low if zero and low == 0 else low - room, high + room)


def axes(frame: Frame, x_name: str, percent: bool, xs: Sequence[float] | None = None, rows: int = 4) -> Markup:
    """Grid lines with their numbers, and the name of the x axis."""
    parts = [Markup("")]
    levels = ticks(*frame.ys, count=rows)
    factor = 100 if percent else 1
    step = (levels[1] - levels[0]) * factor if len(levels) > 1 else 1.0
    whole = abs(step - round(step)) < 1e-6 and step > 0.5
    digits = 0 if whole else min(3, max(1, math.ceil(-math.log10(step) - 1e-9)))
    for level in levels:
        y = frame.y(level)
        parts.append(Markup('<path class="grid" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, y, frame.right))
        parts.append(write(frame.left - 6, y + 4, number(level, digits, percent), "tick", "end"))
    for value in ticks(*frame.xs, count=5, whole=True) if xs is None else xs:
        parts.append(write(frame.x(value), frame.bottom + 16, f"{value:g}", "tick", "middle"))
    parts.append(write((frame.left + frame.right) / 2, frame.height - 4, x_name, "axis", "middle"))
    return Markup("").join(parts)


def _end_labels(series: Sequence[Series], frame: Frame) -> Markup:
    """Names at the ends of their lines, pushed apart where they would overlap."""
    ends: list[tuple[float, Series]] = []
    for line in series:
        last = next((point for point in reversed(line.points) if _finite(point)), None)
        if last is not None and line.label:
            ends.append((frame.y(last[1]), line))
    ends.sort(key=lambda end: end[0])
    ys = [y for y, _ in ends]
    gap = 14.0
    for i in range(1, len(ys)):
        ys[i] = max(ys[i], ys[i - 1] + gap)
    for i in range(len(ys) - 1, -1, -1):
        ys[i] = min(ys[i], frame.bottom + 2 if i == len(ys) - 1 else ys[i + 1] - gap)
    texts = [write(frame.right + 7, y + 4, line.label, f"end {hue(line.colour)}") for y, (_, line) in zip(ys, ends)]
    return Markup("").join(texts)


def _strips(series: Sequence[Series], frame: Frame, x_name: str, percent: bool, digits: int) -> Markup:
    """Invisible columns whose tooltips read out every line at one x."""
    table: dict[float, list[str]] = {}
    for line in series:
        for x, y in thin(line.points):
            table.setdefault(x, []).append(f"{line.label}: {number(y, digits, percent)}{' %' if percent else ''}")
    xs = sorted(table)
    parts = []
    for i, x in enumerate(xs):
        low = frame.x((xs[i - 1] + x) / 2) if i else frame.left
        high = frame.x((x + xs[i + 1]) / 2) if i + 1 < len(xs) else frame.right
        tip = "\n".join([f"{x_name} {x:g}", *table[x]])
        column = Markup(
            '<rect class="strip" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        )
        parts.append(column.format(low, frame.top, max(high - low, 0.5), frame.bottom - frame.top, clean(tip)))
    return Markup("").join(parts)


def band(frame: Frame, low: float, high: float, tip: str, style: str = "shade") -> Markup:
    """A column of the chart that is shaded, with a tooltip."""
    box = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
    wide = max(frame.x(high) - frame.x(low), 0.0)
    return box.format(style, frame.x(low), frame.top, wide, frame.bottom - frame.top, clean(tip))


def draw(line: Series, frame: Frame, steps: bool = False, tip: str = "") -> Markup:
    """One line with its band, dots and tooltip."""
    parts = [Markup("")]
    spread = [row for row in line.spread if _finite(row)]
    if len(spread) > 1:
        edge = [(x, high) for x, _, high in spread] + [(x, low) for x, low, _ in reversed(spread)]
        parts.append(Markup('<path class="spread {}" d="{}Z"/>').format(hue(line.colour), _trace(edge, frame)))
    weight = " strong" if line.strong else ""
    path = Markup('<path class="line {}{}" d="{}"><title>{}</title></path>')
    kept = [point for point in line.points if _finite(point)]
    if len(kept) > 1:
        parts.append(path.format(hue(line.colour), weight, _trace(line.points, frame, steps), clean(tip or line.label)))
    elif kept:
        parts.append(dot(frame.x(kept[0][0]), frame.y(kept[0][1]), line.colour, tip or line.label, 3.5))
    for x, y in line.dots:
        if _finite((x, y)):
            parts.append(dot(frame.x(x), frame.y(y), line.colour, f"{line.label}: {number(y, 4)}"))
    return Markup("").join(parts)


def dot(x: float, y: float, colour: int, tip: str, radius: float = 2.6, style: str = "") -> Markup:
    """A dot with a tooltip."""
    circle = Markup('<circle class="dotmark {} {}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    return circle.format(hue(colour), style, x, y, radius, clean(tip))


def lines(
    series: Sequence[Series],
    title: str,
    *,
    x_name: str = "epoch",
    percent: bool = False,
    digits: int = 3,
    zero: bool = False,
    steps: bool = False,
    shade: tuple[float, float] | None = None,
    size: tuple[float, float] = (420, 230),
) -> Markup:
    """A line chart with names at the lines' ends, and a tooltip in every column."""
    xs = [x for line in series for x, _ in (*line.points, *line.dots)]
    ys = [y for line in series for _, y in (*line.points, *line.dots)]
    ys += [y for line in series for _, low, high in line.spread for y in (low, high)]
    room = 14 + 6.6 * max((len(line.label) for line in series), default=0)
    wide = (min(xs), max(xs)) if xs else (0.0, 1.0)
    frame = Frame(*size, margins=(12, min(room, 130), 36, 42), xs=wide, ys=_range(ys, zero))
    parts = [band(frame, *shade, "warm-up: alpha is frozen")] if shade else []
    parts.append(axes(frame, x_name, percent))
    parts += [draw(line, frame, steps) for line in sorted(series, key=lambda line: line.strong)]
    parts.append(_end_labels(series, frame))
    parts.append(_strips(series, frame, x_name, percent, digits))
    return svg(*size, title, parts)


def panel(series: Sequence[Series], title: str, *, top: float, shade: tuple[float, float] | None = None) -> Markup:
    """A small chart of weights over time, one of many that share their scale from 0 to ``top``."""
    xs = [x for line in series for x, _ in line.points]
    wide = (min(xs), max(xs)) if xs else (0.0, 1.0)
    frame = Frame(210, 112, margins=(8, 8, 20, 30), xs=wide, ys=(0.0, top))
    parts = [band(frame, *shade, "warm-up: alpha is frozen")] if shade else []
    levels = [level for level in ticks(0, top, 2) if level > 0]
    for level in [0.0, *levels]:
        y = frame.y(level)
        parts.append(Markup('<path class="grid" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, y, frame.right))
        parts.append(write(frame.left - 5, y + 4, f"{level:g}", "tick", "end"))
    parts += [
        write(frame.left, frame.bottom + 15, f"{wide[0]:g}", "tick"),
        write(frame.right, frame.bottom + 15, f"{wide[1]:g}", "tick", "end"),
    ]
    for line in sorted(series, key=lambda line: line.strong):
        kept = [y for _, y in line.points if math.isfinite(y)]
        tip = f"{line.label}: {number(kept[0], 3)} → {number(kept[-1], 3)}" if kept else line.label
        points = thin(list(line.points), 80)
        parts.append(draw(Series(line.label, points, line.colour, line.strong), frame, tip=tip))
    return svg(210, 112, title, parts, "chart small")


def weights(options: Sequence[str], values: Sequence[float], chosen: int | None, title: str) -> Markup:
    """All weights of one site as small columns, the chosen one filled, a line where equal weights would stand."""
    step = min(12.0, 120.0 / max(len(values), 1))
    wide, high = max(step * len(values), 24.0), 26.0
    top = max([value for value in values if math.isfinite(value)] + [1.0 / max(len(values), 1) * 1.25])
    parts = []
    for i, (option, value) in enumerate(zip(options, values)):
        tall = max(1.0, (high - 2) * value / top) if math.isfinite(value) else 0.0
        bar = Markup(
            '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1"><title>{}</title></rect>'
        )
        style = "bar chosen" if i == chosen else "bar"
        parts.append(bar.format(style, i * step, high - tall, step - 1.5, tall, clean(f"{option}: {number(value, 3)}")))
    level = high - (high - 2) / max(len(values), 1) / top
    parts.append(Markup('<path class="even" d="M0,{:.1f}H{:.1f}"/>').format(level, wide))
    return svg(wide, high, title, parts, "spark")


def bars(rows: Sequence[tuple[str, float, str]], title: str, metric: Scale = ACCURACY) -> Markup:
    """Metrics as horizontal bars: triples of name, value and style, each with its number.

    The axis begins at zero, since the length of a bar is what the eye compares.
    """
    size = (420.0, 34.0 * len(rows) + 6)
    left, room = 140.0, size[0] - 140.0 - 56.0
    top = max([given for _, given, _ in rows if math.isfinite(given)] + [1e-9])
    parts = []
    for i, (name, given, style) in enumerate(rows):
        y = 4 + 34 * i
        wide = room * max(given, 0.0) / top
        parts.append(write(left - 8, y + 17, name, "name", "end"))
        bar = Markup('<rect class="bar {}" x="{}" y="{}" width="{:.1f}" height="24" rx="3"><title>{}</title></rect>')
        parts.append(bar.format(style, left, y, max(wide, 1.0), clean(f"{name}: {measured(given, metric, 1)}")))
        parts.append(write(left + wide + 7, y + 17, measured(given, metric), "value"))
    return svg(*size, title, parts)


def strip(
    values: Sequence[float], scale: tuple[float, float], style: str, title: str, metric: Scale = ACCURACY
) -> Markup:
    """The results of all seeds on a common scale: a dot each, and a tick for their mean.

    If the mean is off the scale, an arrow points to where it would be.
    """
    frame = Frame(150, 20, margins=(0, 6, 0, 6), xs=scale, ys=(0, 1))
    parts = [Markup('<path class="grid" d="M{:.1f},10H{:.1f}"/>').format(frame.left, frame.right)]
    kept = [given for given in values if math.isfinite(given)]
    for given in kept:
        if scale[0] <= given <= scale[1]:
            parts.append(dot(frame.x(given), 10, 0, measured(given, metric), 2.6, style))
    if kept:
        mean = sum(kept) / len(kept)
        mark = f"M{frame.x(mean):.1f},2V18"
        if mean < scale[0]:
            mark = "M8,5L3,10L8,15"
        elif mean > scale[1]:
            mark = "M142,5L147,10L142,15"
        parts.append(Markup('<path class="mean {}" d="{}"/>').format(style, mark))
    return svg(150, 20, title, parts, "spark")


def evidence(
    labels: Sequence[str],
    series: Sequence[Series],
    opinion: Sequence[float],
    chosen: int | None,
    title: str,
    wide: float = 620.0,
    metric: Scale = ACCURACY,
) -> Markup:
    """The depth curve: the metric against depth above, what alpha thought of each depth as bars below it.

    Args:
        labels: Names of the depths; series and chosen count them from 0.
        series: The metric by index of depth, with the spread over seeds.
        opinion: alpha's weight for each depth; empty if there is none.
        chosen: Index of the depth that was chosen.
        wide: Width of the drawing.
        metric: How values are read.
    """
    high = 320.0 if opinion else 250.0
    count = len(labels)
    ys = [y for line in series for _, y in (*line.points, *line.dots)]
    room = 14 + 6.6 * max((len(line.label) for line in series), default=0)
    edges = (-0.5, count - 0.5)
    upper = Frame(wide, 238, margins=(20, room, 20, 42), xs=edges, ys=_range(ys, False))
    parts = []
    if chosen is not None:
        whole = Frame(wide, high, margins=(4, room, 22, 42), xs=edges, ys=(0, 1))
        parts.append(band(whole, chosen - 0.5, chosen + 0.5, f"{labels[chosen]} was chosen", "mark"))
        parts.append(write(whole.x(chosen), 16, "chosen", "note", "middle"))
    parts.append(axes(upper, "", metric.percent, xs=[]))
    parts += [draw(line, upper) for line in series]
    for line in series:
        for x, y in line.points:
            if _finite((x, y)):
                tip = f"{line.label}, {labels[int(x)]}: mean {measured(y, metric)}"
                parts.append(dot(upper.x(x), upper.y(y), line.colour, tip, 4))
    parts.append(_end_labels(series, upper))
    if opinion:
        parts.append(_opinion(Frame(wide, high, margins=(240, room, 36, 42), xs=edges, ys=(0, 1)), opinion, labels))
    for i, label in enumerate(labels):
        parts.append(write(upper.x(i), high - 20, label, "tick", "middle"))
    parts.append(write((upper.left + upper.right) / 2, high - 4, "depth: whose output is read", "axis", "middle"))
    return svg(wide, high, title, parts)


def _opinion(frame: Frame, opinion: Sequence[float], labels: Sequence[str]) -> Markup:
    top = max([value for value in opinion if math.isfinite(value)] + [1e-9])
    frame = Frame(frame.width, frame.height, frame.margins, frame.xs, (0.0, max(top, 1.25 / len(opinion)) * 1.2))
    half = min(16.0, (frame.x(1) - frame.x(0)) * 0.32)
    parts = [Markup("")]
    for i, value in enumerate(opinion):
        if not math.isfinite(value):
            continue
        y = frame.y(value)
        bar = Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1"><title>{}</title></rect>'
        )
        tip = f"alpha's weight for {labels[i]}: {number(value, 3)}"
        parts.append(bar.format(frame.x(i) - half, y, 2 * half, frame.bottom - y, clean(tip)))
    level = frame.y(1.0 / len(opinion))
    parts.append(Markup('<path class="even" d="M{:.1f},{:.1f}H{:.1f}"/>').format(frame.left, level, frame.right))
    for i, value in enumerate(opinion):
        if math.isfinite(value):
            parts.append(write(frame.x(i), frame.y(value) - 4, number(value, 2), "tick halo", "middle"))
    parts.append(write(frame.right + 7, level + 4, "equal", "note"))
    parts.append(write(frame.right + 7, frame.bottom, "alpha", "end"))
    return Markup("").join(parts)


def candidates(
    found: Sequence[Point], best: Sequence[Point], title: str, wide: float = 760.0, metric: Scale = ACCURACY
) -> Markup:
    """Candidates' metric against evaluations, with the line of the best so far."""
    size = (wide, 270.0)
    xs, ys = [x for x, _ in (*found, *best)], [y for _, y in (*found, *best)]
    reach = (min(xs), max(xs)) if xs else (0.0, 1.0)
    frame = Frame(*size, margins=(12, 84, 36, 42), xs=reach, ys=_range(ys, False))
    line = Series("best so far", best, 1, strong=True)
    parts = [axes(frame, "evaluation", metric.percent), draw(line, frame, steps=True)]
    for x, y in found:
        if _finite((x, y)):
            parts.append(dot(frame.x(x), frame.y(y), 0, f"evaluation {x:g}: {measured(y, metric)}", 3))
    parts.append(_end_labels([line], frame))
    return svg(*size, title, parts)
