"""From weights to genotypes: against brute force over all of a small space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_examples import spaces

from gnas.space import Choice, Genotype, Node, Space, gap, layered
from gnas.space.discretise import confidence, discretise, drawn, edges, most_probable
from gnas.space.reading import read_choices

FILTERS = ("zero", "identity", "dense")


def cell(count: int = 3) -> Space:
    """One sum of switchable edges, and a choice of operation after it."""
    nodes = [Node(f"e{i}", Choice(f"edge.{i}", FILTERS), ("x",)) for i in range(count)]
    nodes.append(Node("s", "sum", tuple(f"e{i}" for i in range(count))))
    nodes.append(Node("out", Choice("aggregate", ("gcn", "gat")), ("s",)))
    return Space("cell", tuple(nodes), "out")


def weights_of(space: Space, draw: Sequence[float]) -> dict[str, list[float]]:
    stream = iter(draw)
    return {name: [next(stream) for _ in choice.options] for name, choice in space.choices.items()}


def probability(genotype: Genotype, space: Space, weights: Mapping[str, Sequence[float]]) -> float:
    """Log-probability of the options that are switched on."""
    switched = {choice.name for group in edges(space).values() for choice in group}
    chosen = {name: genotype[name] for name in genotype if not (name in switched and genotype[name] == "zero")}
    return math.fsum(math.log(weights[n][space.choices[n].index(option)]) for n, option in chosen.items())


def every(space: Space, inputs: int | None) -> list[Genotype]:
    """All genotypes whose sums keep that many edges, by brute force."""
    names = list(space.choices)
    found = []
    for options in product(*(space.choices[name].options for name in names)):
        genotype = space.genotype(dict(zip(names, options)))
        live = [sum(genotype[c.name] != "zero" for c in group) for group in edges(space).values()]
        most = [len(group) if inputs is None else min(inputs, len(group)) for group in edges(space).values()]
        if live == most:
            found.append(genotype)
    return found


draws = st.lists(st.floats(0.01, 1), min_size=11, max_size=11)


@settings(max_examples=30)
@given(draws, st.sampled_from([1, 2, 3, 7, None]))
def test_the_order_is_that_of_brute_force(draw: list[float], inputs: int | None) -> None:
    space = cell()
    weights = weights_of(space, draw)
    found = list(most_probable(space, weights, inputs))
    expected = every(space, inputs)
    assert len(found) == len(set(found)) == len(expected) and set(found) == set(expected)
    scores = [probability(genotype, space, weights) for genotype in found]
    assert all(a >= b - 1e-9 for a, b in pairwise(scores))
    assert discretise(space, weights, inputs) == found[0]


@settings(max_examples=25)
@given(spaces().filter(lambda space: space.size <= 300), st.randoms(use_true_random=False))
def test_every_network_comes_exactly_once(space: Space, generator: object) -> None:
    weights = {name: [generator.uniform(0.01, 1) for _ in c.options] for name, c in space.choices.items()}
    for inputs in (1, None):
        found = list(most_probable(space, weights, inputs))
        keys = [what_is_read(space, genotype) for genotype in found]
        assert len(keys) == len(set(keys))
        assert set(keys) == {what_is_read(space, genotype) for genotype in every(space, inputs)}
        for genotype in found:
            space.check(genotype)


def what_is_read(space: Space, genotype: Genotype) -> frozenset[tuple[str, object]]:
    return frozenset((name, genotype[name]) for name in read_choices(space, genotype))


def test_what_is_not_read_is_not_varied() -> None:
    space = gap(4)
    weights = {name: [1.0] * len(choice.options) for name, choice in space.choices.items()}
    weights["depth"] = [1.0, 0.5, 0.1, 0.1]
    found = list(islice(most_probable(space, weights), 300))
    assert len({space.bind(genotype).digest() for genotype in found}) > 100


def test_zero_is_left_out_on_edges_of_sums_however_heavy() -> None:
    space = cell()
    weights = {f"edge.{i}": [0.9, 0.02 * i, 0.1 - 0.02 * i] for i in range(3)} | {"aggregate": [0.4, 0.6]}
    strongest = discretise(space, weights)
    assert dict(strongest.choices) == {"edge.0": "dense", "edge.1": "zero", "edge.2": "zero", "aggregate": "gat"}
    assert [discretise(space, weights, None)[f"edge.{i}"] for i in range(3)] == ["dense"] * 3
    two = discretise(space, weights, 2)
    assert [two[f"edge.{i}"] for i in range(3)] == ["dense", "dense", "zero"]


def test_what_a_search_closed_is_in_no_genotype() -> None:
    space = cell()
    weights = {
        "edge.0": [0.5, 0.5, 0.0],
        "edge.1": [0.1, 0.2, 0.7],
        "edge.2": [1.0, 0.0, 0.0],
        "aggregate": [0.0, 1.0],
    }
    found = list(most_probable(space, weights))
    pairs = [(genotype["edge.0"], genotype["edge.1"]) for genotype in found]
    assert pairs == [("zero", "dense"), ("identity", "zero"), ("zero", "identity")]
    assert {(g["edge.2"], g["aggregate"]) for g in found} == {("zero", "gat")}
    assert len(list(most_probable(space, weights, 2))) == len(list(most_probable(space, weights, None))) == 2
    dead = {**weights, "edge.0": [1.0, 0.0, 0.0], "edge.1": [1.0, 0.0, 0.0]}
    assert [dict(g.choices) for g in most_probable(space, dead)] == [
        {"edge.0": "zero", "edge.1": "zero", "edge.2": "zero", "aggregate": "gat"}
    ]
    nothing = {name: [0.0] * len(values) for name, values in weights.items()}
    assert len(list(most_probable(space, nothing))) == len(every(space, 1))


def test_zero_elsewhere_is_an_option_like_any_other() -> None:
    # A skip into a concatenation may be zero, an edge that two nodes read is no edge of a sum alone, and neither are
    # two edges with one choice.
    skip = Choice("skip", ("identity", "zero"))
    concat = Space("s", (Node("a", skip, ("x",)), Node("b", "concat", ("x", "a"))), "b")
    twice = Space("s", (Node("a", skip, ("x",)), Node("b", "sum", ("x", "a")), Node("c", "max", ("a", "b"))), "c")
    tied = Space("s", (Node("a", skip, ("x",)), Node("b", skip, ("x",)), Node("c", "sum", ("a", "b"))), "c")
    for space in (concat, twice, tied):
        assert edges(space) == {}
        assert discretise(space, {"skip": [0.2, 0.8]})["skip"] == "zero"


def test_edges_of_the_spaces() -> None:
    assert list(edges(gap(1))) == ["layer1_in1", "layer1_in2", "layer1_out1", "layer1_out2"]
    assert edges(layered(3)) == {}


def test_the_first_of_a_large_space_come_at_once() -> None:
    space = gap(4)
    weights = {name: [1.0 + 0.01 * i for i in range(len(c.options))] for name, c in space.choices.items()}
    found = list(islice(most_probable(space, weights), 50))
    assert len(set(found)) == 50
    assert found[0]["depth"] == "layer4"


def test_tiny_weights_come_last_and_those_of_zero_not_at_all() -> None:
    space = layered(3)
    weights = {name: [1.0] * len(choice.options) for name, choice in space.choices.items()} | {"depth": [0.0, 1.0, 0.0]}
    count = space.size // 3
    assert [genotype["depth"] for genotype in most_probable(space, weights)] == ["layer2"] * count
    weights["depth"] = [1e-12, 1.0, 0.0]
    found = [genotype["depth"] for genotype in islice(most_probable(space, weights), count + 1)]
    assert found == ["layer2"] * count + ["layer1"]


@pytest.mark.parametrize("given_weights", [{}, {"aggregate": [1.0]}, {"aggregate": [1.0] * 3}])
def test_weights_must_fit_the_options(given_weights: dict[str, list[float]]) -> None:
    space = cell(1)
    weights = {"edge.0": [0.1] * 3, **given_weights}
    with pytest.raises(ValueError, match=r"'aggregate' of space 'cell' got \d weights for 2 options; expected .* try"):
        discretise(space, weights)
    with pytest.raises(ValueError, match="inputs got 0; expected at least 1"):
        discretise(space, {"edge.0": [0.1] * 3, "aggregate": [1.0, 2.0]}, 0)


def test_confidence_is_the_margin_and_the_entropy() -> None:
    nodes = (Node("a", Choice("op", ("gcn", "gat", "gin")), ("x",)), Node("b", Choice("one", ("gcn",)), ("a",)))
    space = Space("s", nodes, "b")
    equal = confidence(space, {"op": [2.0, 2.0, 2.0], "one": [1.0]})
    assert equal == {"op": {"margin": 0.0, "entropy": pytest.approx(1.0)}}
    sure = confidence(space, {"op": [0.0, 1.0, 0.0], "one": [1.0]})
    assert sure == {"op": {"margin": 1.0, "entropy": 0.0}}
    some = confidence(space, {"op": [0.5, 0.25, 0.25], "one": [1.0]})["op"]
    assert some == {"margin": 0.25, "entropy": pytest.approx(1.5 * math.log(2) / math.log(3))}
    assert confidence(space, {"op": [0.0, 0.0, 0.0], "one": [1.0]})["op"]["margin"] == 0.0


def test_draws_follow_the_weights_then_flatter_ones() -> None:
    space = Space("two", (Node("out", Choice("op", ("gcn", "gat", "sage", "gin")), ("x",)),), "out")
    weights = {"op": [0.9, 0.09, 0.01, 0.0]}
    found = [genotype["op"] for genotype in drawn(space, weights, 1, 8000)]
    assert found == [genotype["op"] for genotype in drawn(space, weights, 1, 8000)] and len(found) == 8000
    for quarter, power in enumerate((1.0, 0.5, 0.25, 0.0)):
        part = found[2000 * quarter : 2000 * (quarter + 1)]
        shares = [weight**power for weight in weights["op"][:3]]
        for option, share in zip(("gcn", "gat", "sage"), shares, strict=True):
            expected = share / sum(shares)
            # Five standard deviations.
            room = 5 * math.sqrt(expected * (1 - expected) / 2000)
            assert abs(part.count(option) / 2000 - expected) < room
    assert "gin" not in found, "it was closed"


def test_draws_keep_as_many_edges_as_the_most_probable_do() -> None:
    space = cell()
    weights = {name: [1.0] * len(choice.options) for name, choice in space.choices.items()}
    kept = [tuple(genotype[f"edge.{i}"] != "zero" for i in range(3)) for genotype in drawn(space, weights, 1, 200)]
    assert set(kept) == {(True, False, False), (False, True, False), (False, False, True)}
