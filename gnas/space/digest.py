"""A canonical name of a program's structure, by Weisfeiler-Lehman refinement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from gnas.space.node import Choice, Node, Value


class Program(Protocol):
    """What is read of a space."""

    @property
    def nodes(self) -> Sequence[Node]: ...

    @property
    def inputs(self) -> Sequence[str]: ...

    @property
    def output(self) -> str: ...

    @property
    def share(self) -> str: ...

    @property
    def choices(self) -> Mapping[str, Choice]: ...


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest(space: Program) -> str:
    """64 hexadecimal digits; see :meth:`gnas.space.program.Space.digest`."""
    commutative = ("sum", "max", "mean")

    def label(place: Value | Choice, colours: Mapping[str, str] | None = None) -> object:
        if isinstance(place, Choice):
            options = [label(option, colours) for option in place.options]
            return ["choice", place.name, options]
        return colours[str(place)] if colours is not None else [type(place).__name__, place]

    def reads(node: Node, colours: Mapping[str, str]) -> list[object]:
        read = [label(read, colours) for read in node.inputs]
        return sorted(read, key=str) if node.op in commutative else read

    down: dict[str, str] = {name: _hash("input", i) for i, name in enumerate(space.inputs)}
    for node in space.nodes:
        attrs = [[key, label(value)] for key, value in node.settings.items()]
        down[node.name] = _hash(label(node.op), node.kind, attrs, reads(node, down))

    # Where no two nodes are alike, the first colours say it all.
    colours, settled = down, len(set(down.values())) == len(down)
    while not settled:
        readers: dict[str, list[str]] = {name: [] for name in colours}
        for node in space.nodes:
            for position, read in enumerate(node.inputs):
                for name in read.options if isinstance(read, Choice) else (read,):
                    place = -1 if node.op in commutative else position
                    readers[str(name)].append(_hash(colours[node.name], place))
        refined = {name: _hash(colour, sorted(readers[name]), name == space.output) for name, colour in colours.items()}
        for node in space.nodes:
            refined[node.name] = _hash(refined[node.name], *reads(node, colours))
        settled = len(set(refined.values())) == len(set(colours.values()))
        colours = refined
    # How candidates share weights is part of a search, not of the network that is found.
    return _hash(space.share if space.choices else "", sorted(colours.values()), colours[space.output])
