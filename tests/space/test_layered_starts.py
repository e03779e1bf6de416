"""A space's starts: what people would try first, as points of it, wherever the space has them."""

from __future__ import annotations

import dataclasses

import pytest

from gnas.space import Choice, Node, Space, gap, layered, sane
from gnas.space.program import prune


def networks(space: Space) -> set[str]:
    return {space.bind(space.genotype(start)).digest() for start in space.starts}


@pytest.mark.parametrize(
    "space", [layered(), layered(1), layered(3, tie=()), layered(2, jumps=("concat", "max"), skips=True), sane(), gap()]
)
def test_starts_are_networks_of_the_space(space: Space) -> None:
    assert len(networks(space)) == len(space.starts)
    assert Space.from_json(space.to_json()).starts == space.starts


def test_the_default_space_starts_with_appnp() -> None:
    # Predict then propagate: a perceptron, then GCN steps that keep a tenth of its result.
    space = layered(max_depth=10)
    first = space.bind(space.genotype(space.starts[0]))
    assert [node.op for node in first.nodes] == ["relu", *["gcn", "lerp"] * 10]
    assert {node.settings["weight"] for node in first.nodes if node.op == "lerp"} == {0.1}
    assert not any(node.settings.get("transform") for node in first.nodes)


def test_the_first_starts_differ_in_more_than_the_aggregator() -> None:
    space = layered()
    shapes = {space.bind(space.genotype(start).replace(aggregate="gcn")).digest() for start in space.starts}
    first = {space.bind(space.genotype(start)).digest() for start in space.starts[: len(shapes)]}
    assert first == shapes


def test_what_a_space_lacks_is_no_start() -> None:
    assert all(start["aggregate"] == "gcn" for start in layered(aggregators=("gcn", "gin")).starts)
    assert not layered(aggregators=("gin", "sage_max")).starts


def test_starts_do_not_make_another_space() -> None:
    space = layered(2)
    bare = dataclasses.replace(space, starts=())
    assert bare == space and hash(bare) == hash(space) and bare.digest() == space.digest()
    assert not space.bind(space.genotype(space.starts[0])).starts


def test_a_start_that_does_not_fit_is_refused() -> None:
    nodes = (Node("a", Choice("op", ("gcn", "gat")), ("x",)),)
    with pytest.raises(ValueError, match="expected an option for each of"):
        Space("s", nodes, "a", starts=({"other": "gcn"},))
    with pytest.raises(ValueError, match="no option 'gin'"):
        Space("s", nodes, "a", starts=({"op": "gin"},))


def test_pruning_forgets_what_starts_say_of_choices_that_are_gone() -> None:
    nodes = (Node("a", Choice("one", ("gcn", "gat")), ("x",)), Node("b", Choice("two", ("gcn", "gat")), ("x",)))
    space = Space("s", nodes, "b", starts=({"one": "gat", "two": "gcn"},))
    assert prune(space).starts == ({"two": "gcn"},)
