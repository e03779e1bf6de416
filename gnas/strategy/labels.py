"""Strategies from text, as on a command line: ``darts``, ``darts:order=2:auxiliary=1``, ``surrogate:batch=1``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from gnas.relaxation import Gumbel, MaxW, OnePath, Sigmoid, Softmax, TwoPaths
from gnas.strategy.base import Strategy
from gnas.strategy.stabilisers import EigenvalueStop, Perturbation, Selection

RELAXATIONS = (Gumbel, MaxW, OnePath, Sigmoid, Softmax, TwoPaths)
OBJECTS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (EigenvalueStop, Perturbation, Selection, *RELAXATIONS)
}
"""Settings that are objects, by name, each with its own defaults."""
KINDS = {"Relaxation": tuple(kind.__name__ for kind in RELAXATIONS)}
"""What an annotation stands for where it is not a class's own name."""


def split(label: str) -> tuple[str, tuple[str, ...]]:
    """The strategy's name and its settings, each as ``key=value``."""
    name, *settings = label.strip().split(":")
    return name, tuple(settings)


def make(kind: type[Strategy], settings: tuple[str, ...] = (), given: Mapping[str, Any] | None = None) -> Strategy:
    """A strategy of a kind.

    Args:
        kind: Its class.
        settings: What text says: numbers, ``true``, ``false``, ``null``, lists as JSON, names, or one of ``OBJECTS``.
        given: Further settings as objects; one that text says as well is refused.

    Raises:
        ValueError: An unknown setting, one that is said twice, or a value that is not of its type.
    """
    values = dict(given or {})
    for key, value in [_read(kind, text) for text in settings]:
        if key in values:
            raise ValueError(f"{kind.name} got the setting {key!r} twice; expected each once")
        values[key] = value
    return kind(**values)


def _read(kind: type[Strategy], text: str) -> tuple[str, Any]:
    types = {entry.name: str(entry.type) for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    key, _, told = text.partition("=")
    if key not in types or not told:
        raise ValueError(
            f"{kind.name} got the setting {text!r}; expected one such as {list(types)[-1]}=..., of {list(types)}"
        )
    expected = tuple(types[key].split(" | ")) if not types[key].startswith("tuple") else (types[key],)
    objects = [name for each in expected for name in KINDS.get(each, (each,)) if name in OBJECTS]
    if told in objects:
        return key, OBJECTS[told]()
    try:
        value = json.loads(told)
    except ValueError:
        value = told
    value = tuple(value) if isinstance(value, list) else value
    if not _fits(value, expected):
        what = " or ".join(objects) if objects else f"a value of type {types[key]}"
        raise ValueError(f"{kind.name} got {key}={told}; expected {what}, or a strategy made in Python")
    return key, value


def _fits(value: Any, expected: tuple[str, ...]) -> bool:
    name = "None" if value is None else type(value).__name__
    if name == "tuple":
        return expected[0].startswith("tuple[str") and all(isinstance(part, str) for part in value)
    return name in expected or (name == "int" and "float" in expected)
