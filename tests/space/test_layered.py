"""The layered space: SANE's published count, depth as a choice, and the hand-made networks among its points."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas.space import SPACES, Choice, Space, layered, sane
from gnas.space.layered import JUMPS, NORMS, TIES

seeds = st.integers(0, 10_000).map(random.Random)
EVERY = layered(3, jumps=JUMPS, skips=True, tie=())
PLAIN = layered(4)


def test_sane_has_the_published_size() -> None:
    # 11 aggregators in each of 3 layers, a skip of each, 3 layer aggregations.
    space = sane()
    assert space.size == 11**3 * 2**3 * 3 == 31_944
    assert space.share == "none"
    assert {name.split(".")[0] for name in space.choices} == {"aggregate", "skip", "jump"}
    assert {**SPACES, "layered": layered, "sane": sane} == SPACES


def test_each_space_bears_the_name_that_it_is_asked_for_by() -> None:
    assert {name: make().name for name, make in SPACES.items()} == {name: name for name in SPACES}


def test_depth_is_a_choice_of_the_output() -> None:
    assert PLAIN.choices["depth"].options == tuple(f"layer{i}" for i in range(1, 5))
    assert len(EVERY.choices["depth"].options) == 3
    assert "depth" not in layered(4, depth=False).choices
    last = PLAIN.nodes[-1]
    assert last.op == "identity" and isinstance(last.inputs[0], Choice) and last.inputs[0].name == "depth"


@pytest.mark.parametrize("jumps", [("last",), ("max",), ("concat", "lstm"), JUMPS])
@pytest.mark.parametrize("skips", [False, True])
def test_one_layer_works(jumps: tuple[str, ...], skips: bool) -> None:
    space = layered(1, jumps=jumps, skips=skips)
    assert "depth" not in space.choices
    assert space.bind(space.sample(random.Random(0))).bound


@settings(max_examples=30)
@given(st.sampled_from([PLAIN, EVERY, sane()]), seeds)
def test_a_bound_network_reads_no_deeper_layer(space: Space, generator: random.Random) -> None:
    genotype = space.sample(generator)
    bound = space.bind(genotype)
    assert bound.bound
    depth = space.choices["depth"].index(genotype["depth"]) + 1 if "depth" in genotype else 3
    for node in bound.nodes:
        if node.name.startswith(("conv", "mix", "layer")):
            assert int(node.name.lstrip("convmixlayer")) <= depth


def test_a_tied_choice_is_one_for_all_layers() -> None:
    tied, free = layered(3, tie=TIES), layered(3, tie=())
    for name in TIES:
        assert name in tied.choices and f"{name}.1" not in tied.choices
        assert [f"{name}.{i}" in free.choices for i in (1, 2, 3)] == [True] * 3
    assert layered(3, tie=(), depth=False).size > layered(3, tie=TIES, depth=False).size


def test_a_setting_with_one_option_is_no_choice() -> None:
    space = layered(2, ("gcn",), previous=(0.0,), initial=(0.1,))
    assert not {"previous", "initial"} & {name.split(".")[0] for name in space.choices}
    bound = space.bind(space.sample(random.Random(0)))
    assert next(node.settings["weight"] for node in bound.nodes if node.op == "lerp") == 0.1


def test_a_skip_is_read_or_not() -> None:
    space = sane()
    choices = {name: choice.options[0] for name, choice in space.choices.items()} | {"jump": "max"}
    every = space.bind(space.genotype(choices))
    assert every[every.output].inputs == ("conv1", "conv2", "conv3")
    some = space.bind(space.genotype({**choices, "skip.1": "zero"}))
    assert some[some.output].inputs == ("skip1", "conv2", "conv3") and some["skip1"].op == "zero"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_depth": 0}, "max_depth=0"),
        ({"max_depth": 2.5}, "max_depth=2.5; expected a whole number of at least 1"),
        ({"max_depth": True}, "max_depth=True; expected a whole number"),
        ({"transforms": -1}, "transforms=-1; expected a whole number of at least 0"),
        ({"aggregators": ()}, "no aggregators; expected at least one"),
        ({"jumps": ("mean",)}, "'mean' among jumps; expected some of"),
        ({"jumps": ()}, "no jumps; expected some of"),
        ({"tie": ("depth",)}, "'depth' among tie; expected some of"),
        ({"previous": ()}, "previous=.*; expected shares of at least 0 and below 1, try"),
        ({"initial": (1.0,)}, "initial=.*; expected shares"),
        ({"initial": ("none",)}, "initial=.*; expected shares"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=f"layered got {says}"):
        layered(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["aggregators", "transform", "previous", "jumps", "tie", "norms"])
def test_a_text_is_not_taken_for_its_letters(key: str) -> None:
    with pytest.raises(TypeError, match=f"layered got {key}='gcn'; expected a tuple, such as"):
        layered(**{key: "gcn"})  # type: ignore[arg-type]


def test_a_normalisation_is_one_choice_for_all_layers() -> None:
    space = layered(16, norms=NORMS)
    assert space.choices["norm"].options == NORMS and space.size == len(NORMS) * layered(16).size
    stacked = [start for start in space.starts if start["norm"] == "batch_norm"]
    assert {start["aggregate"] for start in stacked} == {"gcn", "sage_mean", "gat", "gin"}
    assert all(start["depth"] == "layer4" and start["previous"] == 0.5 for start in stacked)
    assert {start["norm"] for start in space.starts} == {"identity", "batch_norm"}
    settled = layered(2, norms=("pair_norm",))
    assert "norm" not in settled.choices and [n.name for n in settled.nodes if n.op == "pair_norm"] == [
        "norm1",
        "norm2",
    ]
    with pytest.raises(ValueError, match="layered got 'batch' among norms; expected some of"):
        layered(2, norms=("batch",))
