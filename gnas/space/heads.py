"""Heads: what makes a space of node states answer for graphs or for pairs of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space

LEVELS = {"node": "node", "edge": "pair", "link": "pair", "graph": "graph"}
"""What a task asks about, and the kind of the states that answer."""

SUM = "readout_sum"
READOUTS = ("readout_mean", SUM, "readout_max")
PAIRS = ("pair_hadamard", "pair_difference", "pair_concat")
EDGES = (*PAIRS, "pair_edge")
"""The same where the pairs are edges whose features are known."""


def for_level(space: Space, level: str, options: Sequence[str] | None = None, *, edges: bool = False) -> Space:
    """The space whose networks give one state for each item of a level.

    It is the space itself where its output is of that kind already. Otherwise a node is appended: ``readout`` for
    graphs, ``pair`` for the two ends of an edge or a link. Its operation is a choice, whose first option is that of
    the space's starts; those of GIN are read out by the sum, as in its paper (Xu and others, arXiv 1810.00826).

    Args:
        space: A space whose output is a state of nodes, or of what is asked about.
        level: ``"node"``, ``"edge"``, ``"link"`` or ``"graph"``.
        options: Names of the operations to choose from; by default :data:`READOUTS` or :data:`PAIRS`.
        edges: Whether what is asked about are edges with features, which :data:`EDGES` can read.

    Raises:
        ValueError: The level is unknown, or the space's output is of another kind.
    """
    if level not in LEVELS:
        raise ValueError(f"got the level {level!r}; expected one of {list(LEVELS)}")
    wanted, kind = LEVELS[level], space.kind(space.output)
    if wanted == kind:
        return space
    if kind != "node" or wanted == "node":
        raise ValueError(
            f"space {space.name!r} gives a state of kind {kind!r}, from which nothing leads to the level {level!r}; "
            "expected a space of node states, try layered()"
        )
    name, usual = ("readout", READOUTS) if wanted == "graph" else ("pair", EDGES if edges else PAIRS)
    picked = tuple(usual if options is None else options)
    op: str | Choice = Choice(name, picked) if len(picked) != 1 else picked[0]
    node = Node(name, op, (space.output,), kind=wanted)

    def begun(start: Mapping[str, Value]) -> Mapping[str, Value]:
        summed = "gin" in start.values() and SUM in picked
        return {**start, name: SUM if summed else picked[0]} if isinstance(op, Choice) else start

    starts = tuple(map(begun, space.starts))
    return replace(space, nodes=(*space.nodes, node), output=name, starts=starts)
