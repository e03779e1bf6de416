"""The words and numbers of the report: pure functions from facts to text."""

from __future__ import annotations

import io
import keyword
import math
import re
import shlex
import tokenize
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from markupsafe import Markup, escape

from gnas import charts
from gnas.charts import clean, number
from gnas.scale import ACCURACY, Scale
from gnas.space.node import Choice
from gnas.space.program import Space

CLOSE = 0.01
"""Shares nearer than this are called equal, and other metrics nearer than this part of one of them."""
CLEAR, LEANING = 1.5, 1.1
"""A choice is clear where the winner weighs this many times the runner-up, leaning above the second number."""


def depth_sentences(
    labels: Sequence[str],
    found: Mapping[int, Sequence[float]],
    scratch: bool,
    opinion: Sequence[float],
    chosen: int | None,
    metric: Scale = ACCURACY,
) -> list[str]:
    sentences = []
    if chosen is not None and chosen in found:
        mean = fmean(found[chosen])
        how = "from scratch" if scratch else "from inherited weights"
        text = f"Depth {labels[chosen]} was chosen: trained {how} it reaches {measured(mean, metric)}"
        others = {i: fmean(values) for i, values in found.items() if i != chosen}
        spreads = [stdev(values) for values in found.values() if len(values) > 1]
        if others:
            rival = max(others, key=lambda i: metric.merit(others[i]))
            lead = metric.merit(mean) - metric.merit(others[rival])
            side = "ahead of" if lead >= 0 else "behind"
            text += f", {distance(lead, metric)} {side} the best other depth, {labels[rival]}"
            if spreads:
                noise = fmean(spreads)
                verdict = "more than" if abs(lead) > noise else "no more than"
                text += f". That is {verdict} the {distance(noise, metric)} by which seeds of one depth differ"
        sentences.append(text + ".")
    if opinion:
        favourite = max(range(len(opinion)), key=lambda i: opinion[i])
        weight, even = number(opinion[favourite], 2), number(1 / len(opinion), 2)
        same = "agrees with" if favourite == chosen else "would have taken"
        where = "this depth" if favourite == chosen else f"depth {labels[favourite]}"
        sentences.append(f"Alpha alone {same} {where}, with a weight of {weight} where equal weights would be {even}.")
    return sentences


def depth_labels(choice: Choice) -> list[str]:
    """Short names of depths: the number in the name of the layer, if that tells them apart."""
    found = [re.search(r"\d+(?!.*\d)", str(option)) for option in choice.options]
    short = [match.group() if match else "" for match in found]
    return short if all(short) and len(set(short)) == len(short) else [_plain(option) for option in choice.options]


def depth_index(choice: Choice, event: Mapping[str, Any]) -> int | None:
    """Which depth an event speaks of: by its genotype, else by its position among the options, from 1."""
    option, position = (event.get("genotype") or {}).get(choice.name), event.get("depth")
    if option in choice.options:
        return choice.options.index(option)
    return position - 1 if isinstance(position, int) and 0 < position <= len(choice.options) else None


def gap_sentences(values: Mapping[str, float], alone: float, metric: Scale = ACCURACY) -> list[str]:
    """What the distances between the supernet, inherited weights and training from scratch mean."""
    sentences = []
    close = CLOSE * (1 if metric.percent else abs(alone))
    if "supernet" in values:
        lost = metric.merit(values["supernet"]) - metric.merit(alone)
        if abs(lost) < close:
            least = "a point" if metric.percent else "a hundredth of it"
            text = f"Cutting the network out of the supernet changed the {metric.name} by less than {least}."
        elif lost > 0:
            text = f"The supernet is {distance(lost, metric)} better than the network cut out of it: "
            text += "part of what it learned was in the mixture."
        else:
            text = f"Alone, the network is {distance(lost, metric)} better than the supernet: "
            text += "its operations no longer share their training."
        sentences.append(text)
    if "inherited weights" in values:
        back = metric.merit(alone) - metric.merit(values["inherited weights"])
        if abs(back) < close:
            text = "The supernet's weights serve it as well as weights of its own: "
            text += "here, inherited weights were fair judges."
        elif back > 0:
            text = f"With the supernet's weights it is {distance(back, metric)} worse than trained from scratch, "
            text += "so inherited weights alone would have misjudged it."
        else:
            text = f"With the supernet's weights it is {distance(back, metric)} better than trained from scratch: "
            text += "they are a good start to train on from."
        sentences.append(text)
    return sentences


def measured(value: float, metric: Scale) -> str:
    """A metric with its unit, which no line break parts from it."""
    return charts.measured(value, metric).replace(" ", "\u00a0")


def distance(value: float, metric: Scale) -> str:
    """How far two values of a metric are apart: ``1.2 points``, or ``0.034``."""
    return charts.value(abs(value), metric) + (" points" if metric.percent else "")


def family(name: str) -> str:
    """The part of a choice's name that the layers share: ``aggregate`` of ``aggregate.1``."""
    return re.sub(r"[._]?\d+([._]\d+)*$", "", name) or name


def certainty(weights: Sequence[float]) -> tuple[float, float, str]:
    """Margin between the two heaviest options, entropy as a share of its maximum, and a word for it."""
    first, second = sorted(weights, reverse=True)[:2]
    entropy = -sum(w * math.log(w) for w in weights if w > 0) / math.log(len(weights))
    word = "clear" if first >= CLEAR * second else "leaning" if first >= LEANING * second else "coin toss"
    return first - second, entropy, word


def sure(words: Sequence[str], moved: int) -> str:
    """How many choices alpha was sure of, in a sentence or two."""
    if not words:
        return ""
    open_words = [word for word in words if word != "measured"]
    if len(open_words) < len(words):
        settled = len(words) - len(open_words)
        text = (
            f"Of the {count(len(words), 'site')} that the network reads, {settled} {'was' if settled == 1 else 'were'}"
        )
        text += " settled by training every option"
    else:
        text = f"The network reads {count(len(words), 'site')}"
    if open_words:
        text += (
            f"; alpha alone is clear about {words.count('clear')}, leans at {words.count('leaning')} and tosses a coin "
            f"at {words.count('coin toss')}"
        )
    if moved:
        text += (
            f". At {count(moved, 'site')} the derivation took another option than the heaviest: "
            "it had measurements, or zero was left out"
        )
    return text + "."


def highlight(source: str) -> Markup:
    """Python source as HTML with keywords, strings, numbers and comments marked; plain if it isn't Python."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    kinds = {tokenize.STRING: "str", tokenize.NUMBER: "num", tokenize.COMMENT: "com"}
    parts, at = [Markup("")], 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            kind = "kw" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else kinds.get(token.type)
            if kind is None:
                continue
            start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
            parts += [escape(source[at:start]), Markup('<span class="{}">{}</span>').format(kind, source[start:end])]
            at = end
    except (tokenize.TokenError, SyntaxError, IndexError):
        return escape(source)
    return Markup("").join([*parts, escape(source[at:])])


def finite(value: Any, other: float = math.nan) -> float:
    """A finite number, or the other one; the journal has null for what JSON can't hold."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else other


def option_labels(space: Space) -> dict[str, list[str]]:
    """What to call the options of every choice.

    An option by which an interpolation (``lerp``) reads one node twice, or reads the other with weight 0, is "none".
    """
    labels = {name: [_plain(option) for option in choice.options] for name, choice in space.choices.items()}
    for node in space.nodes:
        if node.op != "lerp":
            continue
        for read in node.inputs:
            if isinstance(read, Choice):
                names = zip(labels[read.name], read.options)
                labels[read.name] = ["none" if option in node.inputs else label for label, option in names]
        weight = node.settings.get("weight")
        if isinstance(weight, Choice):
            labels[weight.name] = ["none" if option == 0 else _plain(option) for option in weight.options]
    return labels


def family_labels(space: Space) -> dict[str, list[str]]:
    """As :func:`option_labels`, but alike in every layer: ``layer2`` at ``residual.3`` is ``layer i−1``."""
    labels = option_labels(space)
    reads = {read.name for node in space.nodes for read in node.inputs if isinstance(read, Choice)}
    for name in reads:
        site = re.search(r"\d+", name)
        if site is None:
            continue
        for i, label in enumerate(labels[name]):
            stem, digits = label.rstrip("0123456789"), label[len(label.rstrip("0123456789")) :]
            steps = {0: " i", -1: " i−1"}.get(int(digits) - int(site.group()) if digits else 1, digits)
            labels[name][i] = stem + steps
    return labels


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else clean(value)


def quoted(folder: Path) -> str:
    """A folder as an argument that can be copied into a shell."""
    return shlex.quote(str(folder))


def count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def whole(value: Any) -> str:
    return f"{int(value):,}".replace(",", "\u202f") if math.isfinite(finite(value)) else ""


def large(value: int) -> str:
    if value < 10**6:
        return whole(value)
    power = len(str(value)) - 1
    return (
        f"{value // 10 ** (power - 1) / 10:.1f} × 10{str(power).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    )


def duration(seconds: Any) -> str:
    value = finite(seconds)
    if not math.isfinite(value) or value <= 0:
        return ""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def spread(row: Mapping[str, Any], name: str, metric: Scale = ACCURACY) -> str:
    mean, std = finite(row.get(f"{name}_mean")), finite(row.get(f"{name}_std"))
    if not math.isfinite(mean):
        return "–"
    return charts.value(mean, metric) + (f" ± {charts.value(std, metric)}" if math.isfinite(std) else "")


def probability(p: float) -> str:
    return "–" if not math.isfinite(p) else "< 0.001" if p < 0.001 else number(p, 3 if p < 0.01 else 2)


def scale(rows: Sequence[Sequence[float]], metric: Scale = ACCURACY) -> tuple[float, float]:
    """A common scale for rows of metrics: from the worst to the best value of those near the best.

    Near are 6 points of a share, and a fifth of any other metric. Rows far below would press all the others together.
    """
    merits = [metric.merit(fmean(row)) for row in rows if row]
    near = 0.06 if metric.percent else 0.2 * abs(max(merits, default=0.0))
    kept = [value for row in rows if row and metric.merit(fmean(row)) > max(merits) - near for value in row]
    return (min(kept), max(kept)) if kept and max(kept) > min(kept) else (0.0, 1.0)


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text."""
    if isinstance(value, Mapping):
        inner = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
        return [pair for key, item in inner for pair in flat(item, key)]
    if value is None or value == "":
        return []
    if isinstance(value, (list, tuple)):
        text = ", ".join(str(item) for item in value)
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return [(name or "value", text)]
