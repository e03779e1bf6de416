"""A run's folder read back: what the report, and whoever wants to look at a run, starts from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gnas import prose
from gnas.journal import Folder, Journal
from gnas.scale import Scale
from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Value
from gnas.space.program import Space
from gnas.space.reading import read_choices

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Args:
        folder: Where it lies.
        meta: Content of ``run.json``.
        space: The space that was searched.
        genotype: What was found, or the best so far of a run that has not ended, or None.
        final: Whether the genotype is the result of a run that has ended.
        events: Events by name, each in order.
        source: The exported source of a final genotype, or None.
        evaluation: Content of ``evaluation.json`` if it evaluates a final genotype, or None.
    """

    folder: Path
    meta: Mapping[str, Any]
    space: Space
    genotype: Genotype | None
    final: bool
    events: Mapping[str, Sequence[Event]]
    source: str | None
    evaluation: Mapping[str, Any] | None
    read: frozenset[str] = field(default=frozenset())

    def of(self, name: str) -> Sequence[Event]:
        return self.events.get(name, ())

    @cached_property
    def scale(self) -> Scale:
        """How the metric's values are read."""
        return Scale.of(self.meta.get("task"))

    @cached_property
    def judging(self) -> Scale:
        """How the candidates' values are read."""
        return self.scale.judging(self.meta.get("strategy"))

    def merit(self, event: Event) -> float:
        """How good an event's result is: more is better, below all others without one."""
        return self.scale.merit(metric(event))

    @property
    def derived(self) -> Event:
        events = self.of("derived")
        return events[-1] if events else {}

    @property
    def weights(self) -> dict[str, list[float]]:
        """alpha's weights by choice after the last epoch; empty for a search without a supernet."""
        epochs = self.of("epoch")
        given = epochs[-1].get("weights") or {} if epochs else {}
        return {
            name: [prose.finite(weight) for weight in given[name]]
            for name, choice in self.space.choices.items()
            if len(choice.options) > 1 and len(given.get(name) or ()) == len(choice.options)
        }

    def scores(self, *names: str) -> list[tuple[dict[str, Value], list[float]]]:
        """What short trainings from scratch have measured: genotypes, and their metrics by rising seed."""
        found: dict[str, tuple[dict[str, Value], dict[int, float]]] = {}
        for event in (event for name in names for event in self.of(name)):
            if not event.get("inherit") and math.isfinite(metric(event)):
                choices = event.get("genotype") or {}
                key = json.dumps(choices, sort_keys=True)
                found.setdefault(key, (dict(choices), {}))[1][event.get("seed") or 0] = metric(event)
        return [(choices, [by_seed[seed] for seed in sorted(by_seed)]) for choices, by_seed in found.values()]

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """What to call the options, by choice."""
        return prose.option_labels(self.space)

    def chosen(self, choice: Choice) -> int | None:
        return None if self.genotype is None else choice.index(self.genotype[choice.name])


def load(folder: Folder) -> Run:
    """Read a run's folder; what is damaged is a :class:`ValueError` that names the file."""
    journal = Journal(folder)
    meta = journal.run()
    if not journal.path("space.json").exists():
        raise ValueError(
            f"{journal.folder} has no space.json, so there is nothing to draw yet; expected a search that has ended, "
            "try to resume it"
        )
    space = journal.read("space.json", Space.from_json)
    events: dict[str, list[Event]] = {}
    for event in journal.events():
        events.setdefault(str(event.get("event")), []).append(event)
    # A run that was interrupted and goes on has what was found by then.
    final = meta.get("status") != "running" and journal.path("genotype.json").exists()
    if final:
        genotype: Genotype | None = journal.read("genotype.json", Genotype.from_json)
    else:
        genotype = _so_far(space, events, Scale.of(meta.get("task")))
    if genotype is not None:
        space.check(genotype)
    return Run(
        journal.folder,
        meta,
        space,
        genotype,
        final,
        events,
        _text(journal, "model.py") if final else None,
        _evaluation(journal, genotype) if final and genotype is not None else None,
        frozenset(read_choices(space, genotype)) if genotype is not None else frozenset(space.choices),
    )


def _text(journal: Journal, name: str) -> str | None:
    try:
        return journal.path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ValueError(f"{journal.path(name)} is damaged ({error}); restore it from a copy") from None


def _evaluation(journal: Journal, genotype: Genotype) -> Mapping[str, Any] | None:
    text, path = _text(journal, "evaluation.json"), journal.path("evaluation.json")
    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); evaluate the run again") from None
    if not isinstance(found, dict) or found.get("format") != "gnas.evaluation" or found.get("version") != 1:
        raise ValueError(f"{path} is no evaluation that this gnas reads; evaluate the run again")
    return found if evaluates(found, genotype) else None


def evaluates(evaluation: Mapping[str, Any], genotype: Genotype) -> bool:
    """Whether an evaluation is of this network, as far as it says of which it is."""
    found = [row.get("genotype") for row in evaluation.get("rows") or () if row.get("kind") == "found"]
    ours = json.dumps(dict(genotype.choices), sort_keys=True)
    return all(choices is None or json.dumps(choices, sort_keys=True) == ours for choices in found)


def _so_far(space: Space, events: Mapping[str, Sequence[Event]], scale: Scale) -> Genotype | None:
    """The best known genotype of a run without a result: the last event's, of candidates the best one's."""
    if events.get("derived"):
        return space.genotype(events["derived"][-1]["genotype"])
    if events.get("candidate"):
        best = max(events["candidate"], key=lambda event: scale.merit(metric(event)))
        return space.genotype(best["genotype"])
    if events.get("epoch"):
        return space.genotype(events["epoch"][-1]["genotype"])
    return None


def metric(event: Event) -> float:
    """An event's metric on the architecture split, NaN if it has none."""
    return prose.finite(event.get("metric_architecture"))
