"""The labelled graph of a genotype's network, without building a space for it.

:meth:`gnas.space.Space.bind` gives the same graph as a program, a thousand times a second; who compares tens of
thousands of genotypes reads this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space

Step: TypeAlias = tuple[str, tuple[int, ...]]
"""What a node computes, and the positions of what it reads."""


@dataclass(frozen=True)
class Trace:
    """A bound program as plain tuples, equal for equal programs.

    Args:
        steps: The inputs that are read, then the nodes in an order in which each comes after what it reads.
        output: Position of the result.
    """

    steps: tuple[Step, ...]
    output: int


class Tracer:
    """Traces genotypes of one space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.nodes = {node.name: node for node in space.nodes}

    def __call__(self, genotype: Genotype) -> Trace:
        """The trace of one genotype, in the form that it is bound in."""
        walk = _Walk(self.nodes, dict(self.space.canonical(genotype).choices))
        return _pruned(walk.steps, walk.resolve(self.space.output))


def _pruned(steps: list[Step], output: int) -> Trace:
    """Without the steps that a simplification has left unread."""
    read = {output}
    for place in range(output, -1, -1):
        if place in read:
            read.update(steps[place][1])
    kept = sorted(read)
    places = {place: i for i, place in enumerate(kept)}
    moved: list[Step] = [(steps[place][0], tuple(places[other] for other in steps[place][1])) for place in kept]
    return Trace(tuple(moved), places[output])


class _Walk:
    """From the output to what it reads, with the simplifications of :func:`gnas.space.program.simplify`."""

    def __init__(self, nodes: dict[str, Node], options: dict[str, Value]) -> None:
        self.nodes, self.options = nodes, options
        self.steps: list[Step] = []
        self.places: dict[str, int] = {}

    def pick(self, place: Choice | Value) -> Value:
        return self.options[place.name] if isinstance(place, Choice) else place

    def resolve(self, name: str) -> int:
        """Position of a node's step."""
        place = self.places.get(name)
        if place is None:
            place = self.places[name] = self._resolve(name)
        return place

    def _resolve(self, name: str) -> int:
        node = self.nodes.get(name)
        if node is None:
            return self._add(name, ())
        op = str(self.pick(node.op))
        settings = {key: self.pick(value) for key, value in node.settings.items()}
        if op == "zero":
            return self._add(op, ())
        if op == "identity":
            read = self.resolve(str(self.pick(node.inputs[0])))
            return read if settings.get("transform", False) is False else self._add(_label(op, settings), (read,))
        reads = [self.resolve(str(self.pick(read))) for read in node.inputs]
        if op == "sum":
            reads = [read for read in reads if self.steps[read][0] != "zero"]
            if len(reads) < 2:
                return reads[0] if reads else self._add("zero", ())
        if op == "lerp" and (reads[0] == reads[1] or settings.get("weight") == 0):
            return reads[0]
        return self._add(_label(op, settings), tuple(reads))

    def _add(self, label: str, reads: tuple[int, ...]) -> int:
        self.steps.append((label, reads))
        return len(self.steps) - 1


def _label(op: str, settings: dict[str, Value]) -> str:
    inside = ", ".join(f"{key}={value!r}" for key, value in sorted(settings.items()))
    return f"{op}({inside})" if inside else op
