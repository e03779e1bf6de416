"""The relational space: its counts, its wiring, and derivation for nodes and edges alike."""

from __future__ import annotations

import random

import pytest

from gnas.space import SPACES, Space, relational
from gnas.space.discretise import discretise, edges
from gnas.space.relational import EDGE_OPS, EXTENDED, NODE_OPS


def counts(space: Space) -> dict[str, int]:
    kinds = [name.split(".")[0] for name in space.choices]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def test_counts() -> None:
    # A layer has 1 + 2 sums' terms of either kind, but nothing reads the last layer's second edge states.
    assert (len(NODE_OPS), len(EDGE_OPS), len(EXTENDED)) == (5, 8, 6)
    for depth in (1, 2, 4):
        space = relational(depth, depth=False)
        assert counts(space) == {"edge": 3 * depth - 2, "node": 3 * depth}
        assert space.size == 8 ** (3 * depth - 2) * 5 ** (3 * depth)
        assert relational(depth).size == space.size * depth
    assert counts(relational(1, steps=3, depth=False)) == {"edge": 3, "node": 6}
    assert relational(1, steps=1, depth=False).size == 5
    assert SPACES["relational"] is relational


def test_kinds_alternate() -> None:
    space = relational(2)
    assert space.inputs == ("x", "edge_attr") and space.kind("x") == "node" and space.kind("edge_attr") == "edge"
    for node in space.nodes:
        if node.choices and node.name != "out":
            one, other = (space.kind(str(name)) for name in node.inputs)
            assert one == node.kind != other


def test_both_are_derived() -> None:
    # Of each sum the strongest term is kept, by its strongest operation that is not zero.
    space = relational(2, depth=False)
    sums = edges(space)
    assert {space.kind(name) for name in sums} == {"node", "edge"}
    assert [len(group) for group in sums.values()] == [1, 1, 2, 2, 1, 1, 2]
    weights = {name: [1.0, 1, 2, *[1] * (len(choice.options) - 3)] for name, choice in space.choices.items()}
    weights["edge.1.2.1"] = [5.0, 1, 1, 1, 4, 1, 1, 1]
    genotype = discretise(space, weights)
    assert genotype["edge.1.2.1"] == "edge_hadamard" and genotype["edge.1.2.0"] == "zero"
    # A sum of one term is that term.
    left = {node.name for node in space.bind(genotype).nodes}
    assert "layer1_e2_1" in left and not left & set(sums)


def test_everything_can_be_sampled_and_bound() -> None:
    for space in (relational(3), relational(2, steps=3, extended=True)):
        for seed in range(20):
            bound = space.bind(space.sample(random.Random(seed)))
            assert bound.bound and bound.kind(bound.output) == "node"


def test_sizes_must_be_positive() -> None:
    for arguments in ({"max_depth": 0}, {"steps": 0}):
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            relational(**arguments)
