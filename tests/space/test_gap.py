"""GNAS-MP's space: the paper's counts, its wiring, and depth as a choice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas.space import SPACES, Space, gap
from gnas.space.discretise import edges
from gnas.space.gap import AGGREGATORS, EXTENDED, FILTERS

seeds = st.integers(0, 10_000).map(random.Random)


def test_it_has_the_papers_choices() -> None:
    # Four layers of 3 + 2 + 4 choices, the filters among four and the aggregators among four.
    space = gap(max_depth=4, nodes=2, depth=False)
    assert len(space.choices) == 36
    assert space.size == 4**36
    by_stage = [name.split(".")[0] for name in space.choices]
    assert {stage: by_stage.count(stage) for stage in by_stage} == {"filter_in": 12, "aggregate": 8, "filter_out": 16}
    assert space.share == "none"
    assert SPACES["gap"] is gap


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_the_choices_of_a_layer_follow_from_its_nodes(nodes: int) -> None:
    # Each node of the first stage reads the layer's input and its earlier nodes, each of the third all of the second.
    space = gap(max_depth=1, nodes=nodes)
    assert len(space.choices) == nodes * (nodes + 1) // 2 + nodes + nodes * nodes
    assert [len(group) for group in edges(space).values()] == [*range(1, nodes + 1), *[nodes] * nodes]


def test_options_are_the_papers_and_more_behind_a_parameter() -> None:
    for extended, aggregators in ((False, AGGREGATORS), (True, EXTENDED)):
        for name, choice in gap(2, extended=extended).choices.items():
            if name != "depth":
                assert choice.options == (aggregators if name.startswith("aggregate") else FILTERS)
    assert AGGREGATORS == ("identity", "mean_pool", "sum_pool", "max_pool")
    assert EXTENDED[: len(AGGREGATORS)] == AGGREGATORS
    assert set(EXTENDED[len(AGGREGATORS) :]) == {"min_pool", "std_pool", "pna"}


def test_depth_is_a_choice_of_layers() -> None:
    assert gap(3).choices["depth"].options == ("layer1", "layer2", "layer3")
    assert gap(3).size == 3 * gap(3, depth=False).size
    assert "depth" not in gap(3, depth=False).choices


def test_one_layer_works() -> None:
    space = gap(max_depth=1)
    assert len(space.choices) == 9 and "depth" not in space.choices
    assert space.bind(space.sample(random.Random(0))).bound


@settings(max_examples=20)
@given(st.sampled_from([gap(3), gap(2, nodes=3, extended=True)]), seeds)
def test_a_bound_network_ends_at_its_depth(space: Space, generator: random.Random) -> None:
    genotype = space.sample(generator)
    bound = space.bind(genotype)
    assert bound.output == genotype["depth"]
    depth = space.choices["depth"].index(genotype["depth"]) + 1
    assert [node.name for node in bound.nodes if node.op == "merge"] == [f"layer{i + 1}_merge" for i in range(depth)]
    assert {node.name[:6] for node in bound.nodes} == {f"layer{i + 1}" for i in range(depth)}


def test_a_layer_is_wired_as_in_the_paper() -> None:
    space = gap(max_depth=1, nodes=2)
    identity = dict.fromkeys(space.choices, "identity")
    bound = space.bind(space.genotype({**identity, "aggregate.1.1": "sum_pool", "filter_in.1.2.1": "zero"}))
    assert [repr(node) for node in bound.nodes] == [
        "layer1_agg1 = sum_pool(x)",
        "layer1_out1 = sum(layer1_agg1, x)",
        "layer1_out2 = sum(layer1_agg1, x)",
        "layer1_merge = merge(x, x, layer1_agg1, x, layer1_out1, layer1_out2)",
        "layer1 = sum(layer1_merge, x)",
    ]


def test_sizes_must_be_positive() -> None:
    for arguments in ({"max_depth": 0}, {"nodes": 0}):
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            gap(**arguments)


@pytest.mark.parametrize("space", [gap(), gap(2, nodes=3, extended=True), gap(1), gap(3, depth=False)])
def test_it_starts_from_plain_stacks_of_each_aggregator(space: Space) -> None:
    starts = [space.genotype(start) for start in space.starts]
    aggregators = set(space.choices["aggregate.1.1"].options) - {"identity"}
    depths = space.choices["depth"].options if "depth" in space.choices else ("last",)
    assert len(set(starts)) == len(starts) == len(aggregators) * len(depths)
    nodes = sum(name.startswith("aggregate.1.") for name in space.choices)
    for start in starts:
        bound = space.bind(start)
        (aggregator,) = {str(node.op) for node in bound.nodes} - {"sum", "merge"}
        assert aggregator in aggregators
        # Nothing is filtered: each aggregator reads its layer's input, and each node of the third stage one of them.
        layers = sum(node.op == "merge" for node in bound.nodes)
        assert sum(node.op == aggregator for node in bound.nodes) == nodes * layers
        for node in bound.nodes:
            if node.op == "merge":
                read = node.inputs
                assert len(read) == 3 * nodes and set(read[nodes : 2 * nodes]) == set(read[2 * nodes :])
