"""Random programs for the tests of the data model, and what they mean: an interpreter on plain numbers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

from hypothesis import strategies as st

from gnas.space import Choice, Node, Space

OPS = ("gcn", "gat", "identity", "zero", "sum", "lerp", "concat")
WEIGHTS = (0.0, 0.25, 1)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Spaces of up to six nodes with choices of operations, inputs and attributes in any place."""
    names, nodes = ["x", "z"], []
    for i in range(draw(st.integers(1, 6))):
        op: str | Choice = draw(st.sampled_from(OPS))
        if draw(st.booleans()):
            op = Choice(f"op.{i}", draw(some(OPS)))
        inputs: list[str | Choice] = []
        for j in range(draw(st.integers(2, 3))):
            inputs.append(draw(st.sampled_from(names)))
            if draw(st.integers(0, 3)) == 0:
                inputs[-1] = Choice(f"in.{i}.{j}", draw(some(names)))
        weight = draw(st.sampled_from([*WEIGHTS, Choice(f"weight.{i}", WEIGHTS)]))
        nodes.append(Node(f"n{i}", op, tuple(inputs), attrs={"weight": weight}))
        names.append(f"n{i}")
    return Space("example", tuple(nodes), draw(st.sampled_from(names[2:])), inputs=("x", "z"))


def some(options: tuple[str, ...] | list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """One to three of the options, no two alike."""
    return st.lists(st.sampled_from(options), min_size=1, max_size=3, unique=True).map(tuple)


def meaning(space: Space, values: Mapping[str, float]) -> float:
    """What a program without choices computes; an operation without a meaning of its own is a function of its node."""
    values = dict(values)
    for node in space.nodes:
        read = [values[str(name)] for name in node.inputs]
        if node.op == "identity":
            values[node.name] = read[0]
        elif node.op == "zero":
            values[node.name] = 0.0
        elif node.op == "sum":
            values[node.name] = math.fsum(read)
        elif node.op == "lerp":
            values[node.name] = read[0] + float(str(node.settings["weight"])) * (read[1] - read[0])
        else:
            own = zlib.crc32(f"{node.name} {node.op}".encode()) / 2**32
            values[node.name] = math.fsum(math.sin((i + 2) * value + own) for i, value in enumerate(read))
    return values[space.output]
