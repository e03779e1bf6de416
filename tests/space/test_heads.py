"""Heads: nothing where nothing is missing, otherwise one node, one choice, and starts that know it."""

from __future__ import annotations

import random

import pytest

from gnas.space import Space, for_level, gap, layered, pooling, relational
from gnas.space.heads import LEVELS, PAIRS, READOUTS
from gnas.usual import NORMS


def test_a_space_that_answers_is_left_alone() -> None:
    space = layered(3)
    assert for_level(space, "node") is space
    graphs = for_level(space, "graph")
    assert for_level(graphs, "graph") is graphs
    pairs = for_level(space, "link")
    assert for_level(pairs, "edge") is pairs
    assert for_level(pooling(2), "graph").kind("out") == "graph"


@pytest.mark.parametrize("level", ["edge", "link", "graph"])
@pytest.mark.parametrize(
    "space", [layered(3), layered(4, norms=NORMS), gap(2), relational(2)], ids=lambda space: space.name
)
def test_a_node_is_appended(space: Space, level: str) -> None:
    headed = for_level(space, level)
    options = READOUTS if level == "graph" else PAIRS
    assert headed.kind(headed.output) == LEVELS[level]
    assert headed.nodes[:-1] == space.nodes and headed.nodes[-1].inputs == (space.output,)
    assert headed.size == 3 * space.size and headed.choices[headed.output].options == options
    for own, start in zip(space.starts, headed.starts, strict=True):
        assert {**start, headed.output: options[0]} == {**own, headed.output: options[0]}
    bound = headed.bind(headed.sample(random.Random(0)))
    assert bound.bound and bound[bound.output].kind == LEVELS[level]


def test_starts_are_read_out_as_in_their_papers() -> None:
    """GIN by the sum (arXiv 1810.00826), where that is an option; the others by what comes first."""
    for options, gin in (
        (None, "readout_sum"),
        (("readout_max", "readout_sum"), "readout_sum"),
        (("readout_max", "readout_mean"), "readout_max"),
    ):
        starts = for_level(layered(4, norms=NORMS), "graph", options).starts
        first = options[0] if options else READOUTS[0]
        found = {(start["aggregate"] == "gin", start["readout"]) for start in starts}
        assert found == {(True, gin), (False, first)}


def test_options_may_be_others() -> None:
    space = for_level(layered(2), "graph", ("readout_sort", "readout_sum"))
    assert space.choices["readout"].options == ("readout_sort", "readout_sum")
    assert {start["readout"] for start in space.starts} == {"readout_sort"}
    single = for_level(layered(2), "link", ("pair_hadamard",))
    assert "pair" not in single.choices and single.starts == layered(2).starts


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got the level 'nodes'; expected one of \['node', 'edge', 'link', 'graph'\]"):
        for_level(layered(2), "nodes")
    for level in ("node", "link"):
        with pytest.raises(
            ValueError, match=f"'pooling' gives a state of kind 'graph', .* the level '{level}'; .* try"
        ):
            for_level(pooling(2), level)
