"""The pooling space: its counts, its wiring, and what a bound network is made of."""

from __future__ import annotations

import random

import pytest

from gnas.space import SPACES, pooling
from gnas.space.pooling import AGGREGATORS, MERGES, POOLS, READOUTS


def test_counts() -> None:
    assert (len(AGGREGATORS), len(POOLS), len(READOUTS), len(MERGES)) == (6, 3, 6, 4)
    for depth in (1, 2, 3):
        assert pooling(depth).size == 2 * (6 * 3 * 6) ** depth * 4
        assert pooling(depth, virtual=False, tie=True).size == 6 * 3 * 6 * 4
    assert SPACES["pooling"] is pooling
    assert pooling(2).share == "none" and pooling(2).kind("out") == "graph"


def test_a_layer_reads_what_the_last_one_kept() -> None:
    space = pooling(2, ("kept_gcn",), ("keep_topk",), ("readout_mean",), ("concat",), virtual=False)
    assert space.bound
    assert [repr(node) for node in space.nodes] == [
        "conv1 = kept_gcn(x, transform=True)",
        "keep1 = keep_topk(conv1, ratio=0.5)",
        "layer1 = gate(conv1, keep1)",
        "readout1 = readout_mean(layer1, keep1)",
        "conv2 = kept_gcn(layer1, keep1, transform=True)",
        "keep2 = keep_topk(conv2, keep1, ratio=0.5)",
        "layer2 = gate(conv2, keep2)",
        "readout2 = readout_mean(layer2, keep2)",
        "out = concat(readout1, readout2)",
    ]


def test_a_virtual_node_is_there_or_not() -> None:
    space = pooling(2)
    for option in ("identity", "virtual_node"):
        choices = {name: choice.options[0] for name, choice in space.choices.items()} | {"virtual": option}
        bound = space.bind(space.genotype(choices))
        assert [n.name for n in bound.nodes if n.op == "virtual_node"] == ["virtual1", "virtual2"] * (
            option != "identity"
        )


def test_everything_can_be_sampled_and_bound() -> None:
    space = pooling(3)
    for seed in range(20):
        bound = space.bind(space.sample(random.Random(seed)))
        assert bound.bound and bound.kind(bound.output) == "graph"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_depth": 0}, "max_depth=0; expected a whole number of at least 1"),
        ({"ratio": 0.0}, "ratio=0.0; expected a positive number of at most 1"),
        ({"ratio": 1.5}, "ratio=1.5; expected a positive number of at most 1"),
        ({"merges": ()}, "no merges; expected at least one"),
    ],
)
def test_settings_must_make_sense(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=f"pooling got {said}"):
        pooling(**arguments)  # type: ignore[arg-type]


def test_a_text_is_not_taken_for_its_letters() -> None:
    with pytest.raises(TypeError, match="pooling got readouts='sum'; expected a tuple"):
        pooling(readouts="sum")
