"""One page about one run: :func:`write` reads a run's folder and writes ``report.html`` into it.

The page needs nothing else: styles, drawings and the one small script (copy the source) are inside it, it asks no
server for anything, and it reads well on paper, in the dark and on a telephone. It holds no clock value, so the same
run always gives the same page. A section whose facts a run doesn't have is left out, or says how to get them.

Neither this module nor what it imports needs torch, so the page is there at once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gnas import charts, checkup, draw, pareto, prose
from gnas.charts import Series, clean, number
from gnas.journal import Folder, Journal
from gnas.record import Event, Run, load, metric
from gnas.space.genotype import Genotype
from gnas.space.reading import read_choices


def write(folder: Folder) -> Path:
    """Write the page of a run, and return where it lies.

    Args:
        folder: A run's folder, as ``gnas search`` made it, or the run itself. Finished or not, evaluated or not.
    """
    run = load(folder)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(content(run))
    return Journal(run.folder).write("report.html", page)


def content(run: Run) -> dict[str, Any]:
    """Everything the template shows, section by section; None for a section the run has no facts for."""
    return {
        "title": f"{_name(run, 'task')}: {run.space.name}, {strategy_name(run)}",
        "metric": {"name": run.scale.name, "title": _titled(run), "unit": ", %" if run.scale.percent else ""},
        "head": headline(run),
        "drawing": drawing(run),
        "depth": depth(run),
        "sites": sites(run),
        "diagnostics": checkup.section(run),
        "best_of": best_of(run),
        "measured": measured(run),
        "gap": discretisation(run),
        "alphas": alphas(run),
        "training": training(run),
        "candidates": candidates(run),
        "pareto": pareto.section(run),
        "evaluation": evaluation(run),
        "settings": settings(run),
        "source": None if run.source is None else prose.highlight(clean(run.source)),
        "command": f"gnas evaluate {prose.quoted(run.folder)}",
        "export_command": f"gnas export {prose.quoted(run.folder)}",
    }


def headline(run: Run) -> dict[str, Any]:
    """The result in one number, the sentences that go with it, and the facts that a reader asks for first."""
    row = next((row for row in (run.evaluation or {}).get("rows", ()) if row.get("kind") == "found"), None)
    alone = prose.finite(run.derived.get("derived_metric"))
    task, name = run.meta.get("task") or {}, run.scale.name
    counts = ("graphs", "nodes", "edges", "features", "classes", "outputs")
    known = [(key, task[key]) for key in counts if isinstance(task.get(key), int)]
    facts = [("output" if (key, value) == ("outputs", 1) else key, value) for key, value in known]
    big: tuple[str, str] | None = None
    if row is not None:
        mean = charts.value(prose.finite(row.get("test_mean")), run.scale)
        std = prose.measured(prose.finite(row.get("test_std")), run.scale)
        seeds = len(row.get("test") or ())
        big = (
            f"{mean} ± {std}",
            f"test {name}, mean ± standard deviation of {prose.count(seeds, 'training seed')}",
        )
    elif math.isfinite(alone):
        big = (
            prose.measured(alone, run.scale),
            f"{name} on the architecture split, by which it was chosen; the test split is unread",
        )
    elif run.of("candidate"):
        best = metric(max(run.of("candidate"), key=run.merit))
        big = (prose.measured(best, run.judging), f"best {_judged(run)} so far")
    elif run.of("epoch"):
        last = metric(run.of("epoch")[-1])
        big = (prose.measured(last, run.scale), f"{name} of the supernet on the architecture split so far")
    seconds = run.meta.get("seconds") or {}
    tiles = [
        ("search", prose.duration(seconds.get("search"))),
        ("derivation", prose.duration(seconds.get("derivation"))),
    ]
    if row is not None:
        tiles.insert(0, ("parameters", prose.whole(row.get("parameters"))))
    if (choice := run.space.choices.get("depth")) and (index := run.chosen(choice)) is not None:
        tiles.insert(0, ("depth", f"{prose.depth_labels(choice)[index]} of {prose.depth_labels(choice)[-1]}"))
    tiles.append(("genotypes in the space", prose.large(run.space.size)))
    return {
        "data": _name(run, "task"),
        "facts": [(key, prose.whole(value)) for key, value in facts],
        "space": run.space.name,
        "strategy": strategy_name(run),
        "big": big,
        "verdict": str((run.evaluation or {}).get("verdict") or ""),
        "evaluated": row is not None,
        "status": run.meta.get("status"),
        "final": run.final,
        "tiles": [tile for tile in tiles if tile[1]],
        "words": in_words(run),
        "notes": [str(note) for note in (*(task.get("notes") or ()), *(run.meta.get("unread") or ()))],
    }


def in_words(run: Run) -> list[tuple[str, str]]:
    """The found options by family of choices, layer after layer, those of unread parts left out."""
    families: dict[str, dict[str, list[str]]] = {}
    for choice in run.space.choices.values():
        index = run.chosen(choice)
        if index is not None and choice.name in run.read and len(choice.options) > 1:
            layer = re.search(r"\d+", choice.name)
            layers = families.setdefault(prose.family(choice.name), {})
            layers.setdefault(layer.group() if layer else "", []).append(run.labels[choice.name][index])
    return [(name, " → ".join(map(", ".join, layers.values()))) for name, layers in families.items()]


def drawing(run: Run) -> dict[str, Any] | None:
    """The found network, and how much of the space it leaves unread."""
    if run.genotype is None:
        return None
    unread = len(draw.unread_nodes(run.space, run.genotype))
    title = f"The network that was found: {len(run.space.bind(run.genotype).nodes)} operations from input to output"
    return {"svg": draw.network(run.space, run.genotype, title), "unread": unread, "final": run.final}


def depth(run: Run) -> dict[str, Any] | None:
    """The evidence for the depth: the metric against depth, over seeds, with alpha's opinion beside it."""
    choice = run.space.choices.get("depth")
    if choice is None or not run.of("depth"):
        return None
    found: dict[bool, dict[int, list[float]]] = {False: {}, True: {}}
    # What had been trained before the depths were compared counts, too.
    pool = {json.dumps(c, sort_keys=True): values for c, values in run.scores("best_of", "depth", "evidence")}
    for event in run.of("depth"):
        index, value = prose.depth_index(choice, event), metric(event)
        if index is None or not math.isfinite(value):
            continue
        if event.get("inherit"):
            found[True].setdefault(index, []).append(value)
        else:
            found[False][index] = pool.get(json.dumps(event.get("genotype") or {}, sort_keys=True), [value])
    labels, opinion = prose.depth_labels(choice), run.weights.get("depth", [])
    series = []
    for inherit, name, colour in ((False, "from scratch", 0), (True, "inherited", 1)):
        rows = sorted(found[inherit].items())
        points = [(float(i), fmean(values)) for i, values in rows]
        spread = [(float(i), min(values), max(values)) for i, values in rows]
        dots = [(float(i), value) for i, values in rows for value in values if len(values) > 1]
        if points:
            series.append(Series(name, points, colour, not inherit, spread, dots))
    chosen = run.chosen(choice)
    title = f"{_titled(run)} on the architecture split against depth"
    judged, scratch = found[False] or found[True], bool(found[False])
    return {
        "wide": charts.evidence(labels, series, opinion, chosen, title, metric=run.scale),
        "narrow": charts.evidence(labels, series, opinion, chosen, title, 368, run.scale),
        "sentences": prose.depth_sentences(labels, judged, scratch, opinion, chosen, run.scale),
        "seeds": max((len(values) for rows in found.values() for values in rows.values()), default=0),
    }


def sites(run: Run) -> dict[str, Any] | None:
    """Every site with its option, and how sure the choice was."""
    if run.genotype is None:
        return None
    weights, told = run.weights, run.derived.get("confidence") or {}
    settled = {site["site"] for site in measured(run)} | ({"depth"} if run.of("depth") else set())
    rows, words, moved = [], [], 0
    for choice in run.space.choices.values():
        index = run.chosen(choice)
        if len(choice.options) < 2 or index is None:
            continue
        options = run.labels[choice.name]
        row: dict[str, Any] = {"site": choice.name, "option": options[index], "read": choice.name in run.read}
        row.update(margin="", entropy="", word="", spark="", favourite="", of=len(options))
        if choice.name in weights:
            values = weights[choice.name]
            margin, entropy, word = prose.certainty(values)
            margin = prose.finite((told.get(choice.name) or {}).get("margin"), margin)
            entropy = prose.finite((told.get(choice.name) or {}).get("entropy"), entropy)
            favourite = max(range(len(values)), key=lambda i: values[i])
            title = f"{choice.name}: " + ", ".join(f"{o} {number(v, 2)}" for o, v in zip(options, values))
            row.update(margin=number(margin, 2), entropy=number(entropy, 2))
            row["word"] = "measured" if choice.name in settled else word
            row["spark"] = charts.weights(options, values, index, title)
            row["favourite"] = options[favourite] if favourite != index else ""
            words += [row["word"]] if row["read"] else []
            moved += favourite != index and row["read"]
        rows.append(row)
    if not rows:
        return None
    rows.sort(key=lambda row: not row["read"])
    return {"rows": rows, "weights": bool(weights), "sentence": prose.sure(words, moved), "threshold": prose.CLEAR}


def best_of(run: Run) -> dict[str, Any] | None:
    """The most probable genotypes that were measured, best first, and what was changed in the best of them later."""
    # Only those that were measured on the most seeds could win.
    trained, rung = run.scores("best_of"), run.scores("rung")
    scores = sorted(trained or rung, key=lambda item: (-len(item[1]), -run.scale.merit(fmean(item[1]))))
    if not scores or run.genotype is None:
        return None
    best, most = run.space.genotype(scores[0][0]), len(scores[0][1])
    scale = prose.scale([values for _, values in scores], run.scale)
    rows = []
    for i, (choices, values) in enumerate(scores):
        changes = _changes(run, best, run.space.genotype(choices))
        title = f"{_titled(run)} of {', '.join(changes) or 'the best'}"
        strip, text = charts.strip(values, scale, "" if i else "found", title, run.scale), _mean(run, values)
        rows.append({"changes": changes, "seeds": len(values), "text": text, "strip": strip, "best": not i})
    later = _changes(run, best, run.genotype)
    listed = run.of("shortlist")[-1]["listed"] if run.of("shortlist") else 0
    starts = sum(dict(choices) in list(run.space.starts) for choices, _ in scores)
    return {
        "listed": listed,
        "starts": starts,
        "rows": rows,
        "seeds": most,
        "halved": len(scores[-1][1]) < most,
        "later": later,
        "rung": len(rung) if trained else 0,
    }


def _changes(run: Run, one: Genotype, other: Genotype) -> list[str]:
    """What is different in the other genotype, as far as one of the two networks reads it."""
    read = read_choices(run.space, one) | read_choices(run.space, other)
    places = [(choice, choice.index(other[choice.name])) for choice in run.space.choices.values()]
    return [
        f"{choice.name} = {run.labels[choice.name][index]}"
        for choice, index in places
        if choice.name in read and choice.index(one[choice.name]) != index
    ]


def _mean(run: Run, values: Sequence[float]) -> str:
    return charts.value(fmean(values), run.scale)


def _judged(run: Run) -> str:
    """What the candidates' values are."""
    return run.judging.name if run.judging != run.scale else f"{run.scale.name} on the architecture split"


def _titled(run: Run) -> str:
    """The metric's name as a sentence begins: ``Accuracy``."""
    return run.scale.name[:1].upper() + run.scale.name[1:]


def measured(run: Run) -> list[dict[str, Any]]:
    """Choices beside the depth that were settled by training every option, in the order in which they were."""
    names = [name for name in (run.meta.get("derivation") or {}).get("evidence") or () if name in run.space.choices]
    events = [*run.of("depth"), *run.of("evidence")] if names[:1] == ["depth"] else run.of("evidence")
    if run.genotype is None or not run.of("evidence"):
        return []
    pool = {json.dumps(c, sort_keys=True): values for c, values in run.scores("best_of", "depth", "evidence")}
    found = []
    for i, name in enumerate(names):
        # When this choice was settled, those before it had their final options, those after it the proposed ones.
        later = {other: events[0]["genotype"].get(other) for other in names[i + 1 :]}
        rows = []
        for j, option in enumerate(run.space.choices[name].options):
            choices = {**dict(run.genotype.choices), **later, name: option}
            values = pool.get(json.dumps(choices, sort_keys=True))
            if values:
                chosen = j == run.chosen(run.space.choices[name])
                rows.append({"option": run.labels[name][j], "values": values, "chosen": chosen})
        if len(rows) > 1 and name != "depth":
            found.append({"site": name, "rows": rows})
    scale = prose.scale([row["values"] for site in found for row in site["rows"]], run.scale)
    for site in found:
        for row in site["rows"]:
            title, style = f"{_titled(run)} of {site['site']} = {row['option']}", "found" if row["chosen"] else ""
            row["strip"] = charts.strip(row["values"], scale, style, title, run.scale)
            row.update(seeds=len(row["values"]), text=_mean(run, row["values"]))
    return found


def discretisation(run: Run) -> dict[str, Any] | None:
    """Metric of the supernet, of the network with its weights, and of the network alone."""
    names = (("supernet", "supernet_metric", ""), ("inherited weights", "inherited_metric", ""))
    rows = [(name, prose.finite(run.derived.get(key)), style) for name, key, style in names]
    rows = [row for row in rows if math.isfinite(row[1])]
    alone = prose.finite(run.derived.get("derived_metric"))
    if not rows or not math.isfinite(alone):
        return None
    rows.append(("from scratch", alone, "found"))
    sentences = prose.gap_sentences({name: value for name, value, _ in rows}, alone, run.scale)
    chart = charts.bars(rows, f"{_titled(run)} on the architecture split", run.scale)
    return {"chart": chart, "sentences": sentences}


def alphas(run: Run) -> list[dict[str, Any]] | None:
    """alpha's weights over time, a panel for each site, panels of one family beside each other."""
    epochs = [event for event in run.of("epoch") if event.get("weights")]
    if not run.weights or len(epochs) < 2:
        return None
    names = prose.family_labels(run.space)
    families: dict[str, list[str]] = {}
    for site in run.weights:
        families.setdefault(prose.family(site), []).append(site)
    warm = [float(event["epoch"]) for event in epochs if event.get("phase") == "warmup"]
    shade = (min(warm), min(max(warm) + 1, float(epochs[-1]["epoch"]))) if warm else None
    result = []
    for name, members in families.items():
        # A colour means the same option in all panels of a family, even if some sites lack an option.
        colours = {label: i for i, label in enumerate(dict.fromkeys(n for site in members for n in names[site]))}
        top = max(w for site in members for event in epochs for w in map(prose.finite, event["weights"][site])) * 1.08
        panels = [_panel(run, site, [colours[label] for label in names[site]], epochs, top, shade) for site in members]
        result.append(
            {"name": name, "legend": [(label, charts.hue(i)) for label, i in colours.items()], "panels": panels}
        )
    return result


def _panel(
    run: Run,
    site: str,
    colours: Sequence[int],
    epochs: Sequence[Event],
    top: float,
    shade: tuple[float, float] | None,
) -> dict[str, Any]:
    chosen, labels, last = run.chosen(run.space.choices[site]), run.labels[site], run.weights[site]
    series = []
    for i, label in enumerate(labels):
        points = [(float(event["epoch"]), prose.finite(event["weights"][site][i])) for event in epochs]
        series.append(Series(label, points, colours[i], i == chosen))
    title = f"Weights of {site} over the epochs; last: "
    title += ", ".join(f"{label} {number(weight, 2)}" for label, weight in zip(labels, last))
    return {
        "site": site,
        "option": "" if chosen is None else labels[chosen],
        "weight": "" if chosen is None else number(last[chosen], 2),
        "svg": charts.panel(series, title, top=top, shade=shade),
        "read": site in run.read,
    }


def training(run: Run) -> dict[str, Any] | None:
    """Losses, metrics and the entropy of the alphas over the epochs of the supernet."""
    epochs = run.of("epoch")
    if not epochs:
        return None
    warm = [float(event["epoch"]) for event in epochs if event.get("phase") == "warmup"]
    # The first epoch after the warm-up is the first in which alpha moves.
    shade = (min(warm), min(max(warm) + 1, float(epochs[-1]["epoch"]))) if warm else None

    def curve(key: str) -> list[tuple[float, float]]:
        return charts.thin([(float(event["epoch"]), prose.finite(event.get(key))) for event in epochs], 200)

    splits = (("weights", 0), ("architecture", 1))
    losses = [Series(split, curve(f"loss_{split}"), colour) for split, colour in splits]
    metrics = [Series(split, curve(f"metric_{split}"), colour) for split, colour in splits]
    entropy = [Series("entropy", curve("entropy"), 2)]
    percent, both = run.scale.percent, f"{_titled(run)} on both splits"
    drawn = [
        ("Loss on both splits", charts.lines(losses, "Loss on both splits over the epochs", shade=shade, zero=True)),
        (
            f"{both}{', %' if percent else ''}",
            charts.lines(metrics, f"{both} over the epochs", shade=shade, percent=percent, digits=1 if percent else 3),
        ),
        (
            "Mean entropy of the sites; 1: all options equal",
            charts.lines(entropy, "Mean entropy of the alphas over the epochs", shade=shade),
        ),
    ]
    return {"charts": [{"name": name, "svg": chart} for name, chart in drawn], "warm": len(warm)}


def candidates(run: Run) -> dict[str, Any] | None:
    """For a search that evaluates candidates: their metrics in order, and the best so far."""
    events = [event for event in run.of("candidate") if math.isfinite(metric(event))]
    if not events:
        return None
    found = [(float(event["index"]), metric(event)) for event in events]
    best: list[tuple[float, float]] = []
    for x, y in found:
        best.append((x, max(y, best[-1][1], key=run.scale.merit) if best else y))
    when, scored = next(x for x, y in found if y == best[-1][1]), run.judging != run.scale
    text = (
        f"The best of {prose.count(len(found), 'candidate')} reaches {prose.measured(best[-1][1], run.judging)}"
        f"{'' if scored else ' on the architecture split'}, "
        f"the median is {prose.measured(median(y for _, y in found), run.judging)}. The best was number {when:g}."
    )
    judged = _judged(run)
    head = judged[:1].upper() + judged[1:]
    trained = "scored untrained" if scored else "trained from scratch"
    return {
        "wide": charts.candidates(found, best, f"{head} of the candidates, and the best so far", metric=run.judging),
        "narrow": charts.candidates(found, best, f"{head} of the candidates, and the best so far", 368, run.judging),
        "sentence": text,
        "caption": f"{head}{', %' if run.judging.percent else ''}; each dot is one candidate, {trained}",
    }


def evaluation(run: Run) -> dict[str, Any] | None:
    """The table of comparison: the found network, random search and hand-made networks under one protocol."""
    if run.evaluation is None:
        return None
    merit = run.scale.merit
    given = sorted(run.evaluation.get("rows") or (), key=lambda row: -merit(prose.finite(row.get("test_mean"))))
    scale = prose.scale([[prose.finite(value) for value in row.get("test") or ()] for row in given], run.scale)
    rows = []
    for row in given:
        values = [prose.finite(value) for value in row.get("test") or ()]
        found = row.get("kind") == "found"
        title = f"Test {run.scale.name} of {row.get('name')}, each seed"
        recipe = ", ".join(f"{key} {value}" for key, value in (row.get("recipe") or {}).items())
        rows.append(
            {
                "name": row.get("name"),
                "kind": row.get("kind"),
                "found": found,
                "test": prose.spread(row, "test", run.scale),
                "architecture": prose.spread(row, "architecture", run.scale),
                "strip": charts.strip(values, scale, "found" if found else "", title, run.scale),
                "parameters": prose.whole(row.get("parameters")),
                "seconds": number(prose.finite(row.get("seconds")), 1),
                "recipe": recipe,
            }
        )
    comparisons = [
        {
            "against": item.get("against"),
            "gain": charts.value(prose.finite(item.get("gain")), run.scale),
            "std": charts.value(prose.finite(item.get("std")), run.scale),
            "p": prose.probability(prose.finite(item.get("p"))),
        }
        for item in run.evaluation.get("comparisons") or ()
    ]
    seeds = run.evaluation.get("seeds") or ()
    low, high = charts.value(scale[0], run.scale), prose.measured(scale[1], run.scale)
    return {
        "rows": rows,
        "comparisons": comparisons,
        "corrected": any("p_raw" in item for item in run.evaluation.get("comparisons") or ()),
        "verdict": str(run.evaluation.get("verdict") or ""),
        "seeds": prose.count(len(seeds), "seed"),
        "scale": f"{low} to {high}",
    }


APART = ("format", "version", "journal", "unread", "diagnostics")
"""What run.json has besides settings: the file's own marks, and what has a section of its own."""


def settings(run: Run) -> list[dict[str, Any]]:
    """Settings and versions in groups, as run.json has them."""
    meta = {key: value for key, value in run.meta.items() if key not in APART}
    task = {key: value for key, value in (meta.pop("task", None) or {}).items() if key != "notes"}
    recipe = meta.pop("recipe", None)
    judged = dict((run.evaluation or {}).get("settings") or {})
    recipes = judged.pop("recipes", None)
    named = {key: meta.pop(key, None) for key in ("data", "space", "strategy", "derivation", "evaluator", "versions")}
    groups = {
        "run": meta,
        "data": named["data"],
        "task": task,
        "space": named["space"],
        "strategy": named["strategy"],
        "derivation": named["derivation"],
        "training from scratch": named["evaluator"] or recipe,
        "comparison": {**judged, "recipes tried": len(recipes)} if recipes else judged,
        "versions": named["versions"],
    }
    return [{"name": name, "rows": rows} for name, value in groups.items() if (rows := prose.flat(value))]


def strategy_name(run: Run) -> str:
    """The strategy in a word or two: ``darts, order 2``."""
    strategy = run.meta.get("strategy") or {}
    name = str(strategy.get("name") or "unknown strategy")
    return f"{name}, order {strategy['order']}" if "order" in strategy else name


def _name(run: Run, key: str) -> str:
    data = run.meta.get("data") or {}
    return str((run.meta.get(key) or {}).get("name") or data.get("name") or "data")
