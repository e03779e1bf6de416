"""GAP: the Graph Neural Architecture Paradigm of GNAS-MP.

"Rethinking Graph Neural Architecture Search from Message-passing" (CVPR 2021). A layer has three stages. In the
first, each of n nodes is a sum of feature filters of the layer's input and of the stage's earlier nodes; in the
second, each is an aggregator of one node of the first; in the third, each is a sum of feature filters of all
nodes of the second. All nodes are concatenated, projected, and added to the layer's input. Deriving keeps the
strongest filter of each sum (a tree). With n = 2 a layer has 3 + 2 + 4 = 9 choices.
"""

from __future__ import annotations

from dataclasses import replace

from gnas.checks import whole
from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space

FILTERS = ("zero", "identity", "sparse", "dense")
AGGREGATORS = ("identity", "mean_pool", "sum_pool", "max_pool")
EXTENDED = (*AGGREGATORS, "min_pool", "std_pool", "pna")


def gap(max_depth: int = 4, nodes: int = 2, extended: bool = False, depth: bool = True) -> Space:
    """The space of GNAS-MP. Its starts are plain stacks of one aggregator, to every depth.

    Args:
        max_depth: Number of layers (4 in the paper).
        nodes: Nodes in each of a layer's three stages.
        extended: Also offer min, std and PNA among the aggregators.
        depth: Whether the layer whose output is read is a choice, as gnas adds to the paper.
    """
    max_depth, nodes = whole("gap", "max_depth", max_depth, 1), whole("gap", "nodes", nodes, 1)
    aggregators = EXTENDED if extended else AGGREGATORS
    program: list[Node] = []
    below = "x"
    for layer in range(1, max_depth + 1):
        name = f"layer{layer}"
        cell = _stages(layer, below, nodes, aggregators)
        states = [f"{name}_{stage}{i}" for stage in ("in", "agg", "out") for i in range(1, nodes + 1)]
        program += [*cell, Node(f"{name}_merge", "merge", tuple(states)), Node(name, "sum", (f"{name}_merge", below))]
        below = name
    layers = tuple(f"layer{layer}" for layer in range(1, max_depth + 1))
    read = Choice("depth", layers) if depth and max_depth > 1 else layers[-1]
    program.append(Node("out", "identity", (read,)))
    space = Space("gap", tuple(program), "out", share="none")
    return replace(space, starts=_starts(space, aggregators[1:]))


def _starts(space: Space, aggregators: tuple[str, ...]) -> tuple[dict[str, Value], ...]:
    """What people would try first: one aggregator in every layer, nothing filtered, to each depth."""
    depths = space.choices["depth"].options if "depth" in space.choices else ("",)
    return tuple(
        {name: _plain(name, aggregator, depth) for name in space.choices}
        for depth in depths
        for aggregator in aggregators
    )


def _plain(name: str, aggregator: str, depth: Value) -> Value:
    """The option of a choice in a plain stack."""
    stage, *place = name.split(".")
    if stage == "depth":
        return depth
    if stage == "aggregate":
        return aggregator
    # Each sum of filters passes one state on: in the first stage the layer's input, in the third its own aggregator's.
    own = 0 if stage == "filter_in" else int(place[1]) - 1
    return "identity" if int(place[2]) == own else "zero"


def _stages(layer: int, below: str, nodes: int, aggregators: tuple[str, ...]) -> list[Node]:
    name = f"layer{layer}"
    program: list[Node] = []

    def filters(target: str, sources: list[str], place: str) -> None:
        edges = []
        for i, source in enumerate(sources):
            edges.append(f"{target}_{i}")
            program.append(Node(edges[-1], Choice(f"{place}.{layer}.{target[-1]}.{i}", FILTERS), (source, below)))
        program.append(Node(target, "sum", tuple(edges)))

    for i in range(1, nodes + 1):
        filters(f"{name}_in{i}", [below, *(f"{name}_in{j}" for j in range(1, i))], "filter_in")
    for i in range(1, nodes + 1):
        choice = Choice(f"aggregate.{layer}.{i}", aggregators)
        program.append(Node(f"{name}_agg{i}", choice, (f"{name}_in{i}",)))
    for i in range(1, nodes + 1):
        filters(f"{name}_out{i}", [f"{name}_agg{j}" for j in range(1, nodes + 1)], "filter_out")
    return program
