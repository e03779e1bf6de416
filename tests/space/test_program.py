"""The data model: what is refused, what a genotype is, what binding keeps, what the digest tells apart."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_examples import meaning, spaces

from gnas.space import Choice, Genotype, Node, Space, prune, simplify
from gnas.space.node import Value

FEW = settings(max_examples=40)
seeds = st.integers(0, 10_000).map(random.Random)


def small() -> Space:
    """Two layers with a choice of each kind of place: operation, input, attribute."""
    ops = ("gcn", "gat", "identity")
    nodes = (
        Node("h1", Choice("aggregate.1", ops), ("x",), attrs={"transform": Choice("transform.1", (True, False))}),
        Node("h2", Choice("aggregate.2", ops), ("h1",), attrs={"transform": True}),
        Node("out", "identity", (Choice("depth", ("h1", "h2")),)),
    )
    return Space("small", nodes, "out")


def chain(*ops: str, **attrs: Value) -> Space:
    """``x -> n0 -> n1 -> ...``; the attributes are the last node's."""
    names = ["x", *(f"n{i}" for i in range(len(ops)))]
    nodes = [Node(name, op, (below,)) for name, below, op in zip(names[1:], names, ops)]
    nodes[-1] = dataclasses.replace(nodes[-1], attrs=attrs)
    return Space("chain", tuple(nodes), names[-1])


Refused = tuple[Callable[[], object], type[Exception], tuple[str, ...]]

REFUSED: dict[str, Refused] = {
    "no options": (lambda: Choice("a", ()), ValueError, ("'a'", "no options", "expected at least one")),
    "options in a string": (lambda: Choice("a", "gcn"), TypeError, ("'gcn'", "expected a tuple")),
    "an option twice": (lambda: Choice("a", ("b", "b")), ValueError, ("'b' twice", "expected distinct")),
    "an option that JSON can't hold": (lambda: Choice("a", ([],)), TypeError, ("list", "expected a str")),
    "an infinite option": (lambda: Choice("a", (math.inf,)), ValueError, ("inf", "expected a finite number")),
    "a choice without a name": (lambda: Choice("", (1,)), ValueError, ("''", "expected a non-empty string", "depth")),
    "a node's name": (lambda: Node("my node", "gcn"), ValueError, ("'my node'", "expected a Python identifier", "try")),
    "a keyword": (lambda: Node("lambda", "gcn"), ValueError, ("'lambda'", "expected", "try 'conv1'")),
    "a reserved name": (lambda: Node("torch", "gcn"), ValueError, ("'torch'", "expected", "try")),
    "no operation": (lambda: Node("a", ""), TypeError, ("''", "expected the name of one")),
    "an operation by number": (lambda: Node("a", Choice("b", (1, 2))), TypeError, ("[1, 2]", "expected names")),
    "inputs in a string": (lambda: Node("a", "gcn", "x"), TypeError, ("'x'", "expected a tuple", "try ('x',)")),
    "an input by number": (lambda: Node("a", "gcn", (3,)), TypeError, ("3", "expected the name of a node")),
    "a kind": (lambda: Node("a", "gcn", ("x",), "path"), ValueError, ("'path'", "expected one of", "'edge'")),
    "an attribute": (lambda: Node("a", "gcn", attrs={"k": {}}), TypeError, ("'k'", "dict", "expected a str")),
    "identity of nothing": (lambda: Node("a", "identity"), ValueError, ("0 inputs", "expected at least 1", "try")),
    "half a lerp": (lambda: Node("a", "lerp", ("x",)), ValueError, ("1 inputs", "expected at least 2", "try")),
    "a space without a name": (lambda: Space("", (), "x"), ValueError, ("''", "expected a non-empty string")),
    "a space's inputs": (lambda: Space("s", (), "x", "x"), TypeError, ("'x'", "expected a tuple", "try")),
    "an input's name": (lambda: Space("s", (), "1x", ("1x",)), ValueError, ("'1x'", "expected a Python identifier")),
    "sharing": (lambda: Space("s", (), "x", share="all"), ValueError, ("'all'", "expected one of")),
    "no nodes": (lambda: Space("s", ("h",), "x"), TypeError, ("'h'", "expected Node")),  # type: ignore[arg-type]
    "a name twice": (lambda: chain_of("x"), ValueError, ("'x' twice", "expected each name once")),
    "an unknown input": (lambda: one(("y",)), ValueError, ("'a' of space 's'", "reads 'y'", "defined so far: ['x']")),
    "an unknown option": (lambda: one((Choice("d", ("x", "y")),)), ValueError, ("reads 'y'", "defined so far")),
    "itself": (lambda: one(("a",)), ValueError, ("reads 'a'", "defined so far: ['x']")),
    "an output": (lambda: Space("s", (), "y"), ValueError, ("the output 'y'", "defined: ['x']")),
    "one name, two choices": (lambda: two_choices(), ValueError, ("'c'", "['gcn']", "['gat']", "give them two names")),
}


def one(inputs: tuple[Any, ...]) -> Space:
    return Space("s", (Node("a", "gcn", inputs),), "a")


def chain_of(name: str) -> Space:
    return Space("s", (Node(name, "gcn", ("x",)),), name)


def two_choices() -> Space:
    nodes = (Node("a", Choice("c", ("gcn",)), ("x",)), Node("b", Choice("c", ("gat",)), ("a",)))
    return Space("s", nodes, "b")


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_refused_with_a_sentence(what: str) -> None:
    build, kind, parts = REFUSED[what]
    with pytest.raises(kind) as caught:
        build()
    for part in parts:
        assert part in str(caught.value)


def test_size_counts_the_genotypes() -> None:
    space = small()
    assert space.size == 3 * 2 * 3 * 2
    assert chain("gcn", "gat").size == 1
    assert list(space.choices) == ["aggregate.1", "transform.1", "aggregate.2", "depth"]


def test_a_choice_in_two_places_is_one_choice() -> None:
    tied = Choice("aggregate", ("gcn", "gat"))
    space = Space("tied", (Node("a", tied, ("x",)), Node("b", tied, ("a",))), "b")
    assert space.size == 2
    bound = space.bind(space.genotype({"aggregate": "gat"}))
    assert [node.op for node in bound.nodes] == ["gat", "gat"]


@FEW
@given(spaces(), seeds)
def test_samples_lie_in_the_space(space: Space, generator: random.Random) -> None:
    genotype = space.sample(generator)
    space.check(genotype)
    assert space.genotype(dict(genotype.choices)) == genotype
    assert sorted(genotype) == sorted(space.choices)


def test_samples_cover_the_options_and_come_from_the_generator_alone() -> None:
    space = small()
    drawn = {space.sample(random.Random(seed)) for seed in range(400)}
    assert len(drawn) == space.size
    assert space.sample(random.Random(3)) == space.sample(random.Random(3))


@FEW
@given(spaces(), seeds)
def test_neighbours_are_all_changes_of_one_choice(space: Space, generator: random.Random) -> None:
    genotype = space.sample(generator)
    neighbours = list(space.neighbours(genotype))
    assert len(set(neighbours)) == len(neighbours) == sum(len(c.options) - 1 for c in space.choices.values())
    for neighbour in neighbours:
        space.check(neighbour)
        assert sum(repr(neighbour[name]) != repr(genotype[name]) for name in genotype) == 1


@FEW
@given(spaces(), seeds)
def test_binding_leaves_no_choice_and_nothing_unread(space: Space, generator: random.Random) -> None:
    bound = space.bind(space.sample(generator))
    assert bound.bound and bound.size == 1
    read = {bound.output} | {name for node in bound.nodes for name in node.reads()}
    assert {node.name for node in bound.nodes} <= read
    for node in bound.nodes:
        assert node.op != "identity"
        assert node.op != "sum" or len(node.inputs) > 1


@settings(max_examples=150)
@given(spaces(), seeds)
def test_binding_keeps_the_meaning(space: Space, generator: random.Random) -> None:
    genotype = space.sample(generator)

    def pick(place: Any) -> Any:
        return genotype[place.name] if isinstance(place, Choice) else place

    nodes = [
        Node(node.name, pick(node.op), tuple(map(pick, node.inputs)), attrs={k: pick(v) for k, v in node.attrs})
        for node in space.nodes
    ]
    plain = dataclasses.replace(space, nodes=tuple(nodes))
    values = {"x": generator.random(), "z": generator.random()}
    assert meaning(space.bind(genotype), values) == pytest.approx(meaning(plain, values), abs=1e-12)


@FEW
@given(spaces(), seeds)
def test_pruning_and_simplifying_keep_the_search(space: Space, generator: random.Random) -> None:
    genotype = space.sample(generator)
    for smaller in (prune(space), simplify(space)):
        assert set(smaller.choices) <= set(space.choices)
        assert smaller.output in {*space.inputs, *(node.name for node in space.nodes)}
        left = smaller.genotype({name: genotype[name] for name in smaller.choices})
        values = {"x": generator.random(), "z": generator.random()}
        expected = meaning(space.bind(genotype), values)
        assert meaning(smaller.bind(left), values) == pytest.approx(expected, abs=1e-12)


def test_a_branch_that_is_switched_off_leaves_no_trace() -> None:
    nodes = (
        Node("a", "gcn", ("x",)),
        Node("b", Choice("skip", ("identity", "zero", "gat")), ("x",)),
        Node("c", "sum", ("a", "b")),
        Node("d", "lerp", ("c", "x"), attrs={"weight": Choice("keep", (0.0, 0.5))}),
    )
    space = Space("s", nodes, "d")

    def names(skip: str, keep: float) -> list[str]:
        return [node.name for node in space.bind(space.genotype({"skip": skip, "keep": keep})).nodes]

    assert names("zero", 0.0) == ["a"]
    assert names("identity", 0.0) == ["a", "c"]
    assert names("gat", 0.5) == ["a", "b", "c", "d"]


def test_what_no_depth_reads_is_pruned() -> None:
    space = small()
    choices = {"aggregate.1": "gcn", "transform.1": True, "aggregate.2": "gat"}
    assert [node.name for node in space.bind(space.genotype({**choices, "depth": "h1"})).nodes] == ["h1"]
    assert [node.name for node in space.bind(space.genotype({**choices, "depth": "h2"})).nodes] == ["h1", "h2"]


def test_a_network_may_be_its_input() -> None:
    space = Space("s", (Node("a", Choice("op", ("identity", "gcn")), ("x",)),), "a")
    bound = space.bind(space.genotype({"op": "identity"}))
    assert (bound.nodes, bound.output) == ((), "x")


def renamed(space: Space, generator: random.Random) -> Space:
    """The same program with other names, its nodes in another order that still defines before it reads."""
    waiting, order = list(space.nodes), []
    while waiting:
        known = {*space.inputs, *(node.name for node in order)}
        written = [node for node in waiting if {n for r in node.inputs for n in options(r)} <= known]
        order.append(generator.choice(written))
        waiting.remove(order[-1])
    names = {node.name: f"other{i}" for i, node in enumerate(generator.sample(order, len(order)))}

    def name(place: Any) -> Any:
        if isinstance(place, Choice):
            return Choice(place.name, tuple(names.get(str(option), option) for option in place.options))
        return names.get(place, place)

    nodes = [dataclasses.replace(n, name=names[n.name], inputs=tuple(map(name, n.inputs))) for n in order]
    return Space("another name", tuple(nodes), name(space.output), space.inputs, space.share)


def options(place: str | Choice) -> tuple[Value, ...]:
    return place.options if isinstance(place, Choice) else (place,)


@FEW
@given(spaces(), seeds)
def test_the_digest_knows_neither_names_nor_order(space: Space, generator: random.Random) -> None:
    assert len(space.digest()) == 64
    assert renamed(space, generator).digest() == space.digest()


def graph(output: str, **nodes: tuple[str, ...]) -> Space:
    """A program from lines ``name=(op, *inputs)``; an op like ``gcn_2`` has the attribute ``k`` 2."""
    written = []
    for name, (op, *inputs) in nodes.items():
        op, _, k = op.partition("_")
        written.append(Node(name, op, tuple(inputs), attrs={"k": int(k)} if k else {}))
    return Space("graph", tuple(written), output)


def canonical(space: Space) -> object:
    """The smallest description over all orders of the nodes: equal for programs that differ in names alone."""
    forms = []
    for order in permutations(space.nodes):
        place = {"x": -1} | {node.name: i for i, node in enumerate(order)}
        lines = []
        for node in order:
            read = [place[str(name)] for name in node.inputs]
            lines.append((str(node.op), tuple(sorted(read)) if node.op == "sum" else tuple(read)))
        forms.append((place[space.output], tuple(lines)))
    return min(forms)


@pytest.mark.parametrize(("ops", "count"), [(("gcn", "sum"), 3), (("concat",), 4)])
def test_the_digest_is_complete_on_all_small_programs(ops: tuple[str, ...], count: int) -> None:
    below = ["x", *(f"n{i}" for i in range(count))]
    readings = [list(product(ops, below[: i + 1], below[: i + 1])) for i in range(count)]
    seen: dict[object, set[str]] = {}
    for written in product(*readings):
        nodes = tuple(Node(f"n{i}", op, (a, b)) for i, (op, a, b) in enumerate(written))
        space = Space("s", nodes, below[-1])
        seen.setdefault(canonical(space), set()).add(space.digest())
    digests = [digest for found in seen.values() for digest in found]
    assert all(len(found) == 1 for found in seen.values())
    assert len(set(digests)) == len(digests) > 50


def test_the_digest_tells_operations_attributes_and_wiring_apart() -> None:
    different = [
        graph("a", a=("gcn", "x")),
        graph("a", a=("gat", "x")),
        graph("a", a=("gcn_1", "x")),
        graph("a", a=("gcn_2", "x")),
        chain("gcn", k=2.0),
        chain("gcn", k=True),
        chain("gcn", k=1.0),
        chain("gcn", k="1"),
        chain("gcn", k=None),
        chain("gcn", other=1),
        graph("b", a=("gcn", "x"), b=("gcn", "a")),
        graph("b", a=("gcn", "x"), b=("concat", "a", "x")),
        graph("b", a=("gcn", "x"), b=("concat", "x", "a")),
        graph("b", a=("gcn", "x"), b=("sum", "x", "a")),
        graph("a", a=("gcn", "x"), b=("gcn", "a")),
    ]
    assert len({space.digest() for space in different}) == len(different)
    swapped = graph("b", a=("gcn", "x"), b=("sum", "a", "x"))
    assert swapped.digest() == different[-2].digest()


def test_twins_are_not_one_node_read_twice() -> None:
    twins = graph("c", a=("gcn", "x"), b=("gcn", "x"), c=("sum", "a", "b"))
    once = graph("c", a=("gcn", "x"), c=("sum", "a", "a"))
    assert twins.digest() != once.digest()


def test_the_digest_sees_which_ends_of_long_twin_chains_belong_together() -> None:
    # Two like nodes, each read by two long chains; only the far ends tell which chains are of the same node.
    def far(first: str, second: str) -> Space:
        nodes: dict[str, tuple[str, ...]] = {"u": ("gcn", "x"), "v": ("gcn", "x")}
        for name, op, start in (("a", "gat", "u"), ("b", "gat", "v"), ("c", "gin", first), ("d", "gin", second)):
            for i in range(6):
                nodes[f"{name}{i}"] = (op, start if i == 0 else f"{name}{i - 1}")
        return graph("end", **nodes, end=("concat", "a5", "b5", "c5", "d5"))

    assert far("u", "v").digest() != far("v", "u").digest()
    assert far("u", "v").digest() == renamed(far("u", "v"), random.Random(0)).digest()


def test_the_digest_of_a_space_counts_its_choices_and_sharing() -> None:
    space = small()
    other = dataclasses.replace(space, share="none")
    assert other.digest() != space.digest()
    genotype = space.sample(random.Random(0))
    assert space.bind(genotype).digest() == other.bind(other.genotype(dict(genotype.choices))).digest()
    more = Space("small", (Node("h1", Choice("a", ("gcn", "gat")), ("x",)),), "h1")
    fewer = Space("small", (Node("h1", Choice("a", ("gcn",)), ("x",)),), "h1")
    assert more.digest() != fewer.digest()


@FEW
@given(spaces(), seeds)
def test_json_goes_both_ways(space: Space, generator: random.Random) -> None:
    again = Space.from_json(space.to_json())
    assert again == space and again.digest() == space.digest() and hash(again) == hash(space)
    assert json.loads(space.to_json())["version"] == 1
    genotype = space.sample(generator)
    assert Genotype.from_json(genotype.to_json()) == genotype
    again.check(Genotype.from_json(genotype.to_json()))


READ: dict[str, Callable[[str], object]] = {"space": Space.from_json, "genotype": Genotype.from_json}


def texts() -> dict[str, str]:
    return {"space": small().to_json(), "genotype": small().sample(random.Random(0)).to_json()}


@pytest.mark.parametrize("what", READ)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "got format 'list'"),
        ("3", "got format 'int'"),
        ("{}", "got format None"),
        ('{"format": "gnas.run"}', "got format 'gnas.run'"),
        ('{"format": "gnas.%s"}', "version None"),
        ('{"format": "gnas.%s", "version": 2}', "version 2; this gnas reads version 1"),
        ('{"format": "gnas.%s", "version": 1}', "the file is damaged"),
    ],
)
def test_foreign_json_is_refused(what: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"expected|reads version") as caught:
        READ[what](text.replace("%s", what))
    assert says in str(caught.value)


def test_a_space_is_no_genotype() -> None:
    with pytest.raises(ValueError, match=r"got format 'gnas.space', expected 'gnas.genotype'"):
        Genotype.from_json(small().to_json())
    for cut in range(0, len(small().to_json()), 50):
        with pytest.raises(ValueError, match="is not JSON"):
            Space.from_json(small().to_json()[:cut])


odd_values = st.sampled_from([None, True, 3, 0.5, "x", "", [], ["x"], {}, {"choice": 1}, {"choice": "a"}, float("nan")])


@settings(max_examples=300)
@given(st.sampled_from(list(READ)), st.randoms(use_true_random=False), odd_values, st.booleans())
def test_malformed_json_gives_a_sentence_and_nothing_else(
    what: str, generator: random.Random, value: object, drop: bool
) -> None:
    content = json.loads(texts()[what])
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)):
                walk(part[key])

    walk(content)
    part, key = generator.choice(places)
    if drop:
        del part[key]
    else:
        part[key] = value
    try:
        read = READ[what](json.dumps(content))
    except ValueError as error:
        assert len(str(error)) > 20
    else:
        assert isinstance(read, (Space, Genotype))


def test_text_where_a_list_should_be_is_refused() -> None:
    content = json.loads(chain("gcn").to_json())
    content["nodes"][0]["inputs"] = "x"
    with pytest.raises(ValueError, match="the space is malformed: got 'x' where a list was expected"):
        Space.from_json(json.dumps(content))


def test_one_and_true_and_one_point_zero_are_three_options() -> None:
    choice = Choice("k", (1, True, 1.0))
    assert [choice.index(option) for option in (1, True, 1.0)] == [0, 1, 2]
    assert choice != Choice("k", (1.0, True, 1)) and choice == Choice("k", (1, True, 1.0))
    space = Space("s", (Node("a", "gcn", ("x",), attrs={"k": choice}),), "a")
    genotypes = [space.genotype({"k": option}) for option in choice.options]
    assert len(set(genotypes)) == 3
    assert len({space.bind(genotype).digest() for genotype in genotypes}) == 3
    assert len(set(space.neighbours(genotypes[0]))) == 2
    for genotype in genotypes:
        assert Genotype.from_json(genotype.to_json()) == genotype
    assert Space.from_json(space.to_json()) == space
    assert Node("a", "gcn", attrs={"k": 1}) != Node("a", "gcn", attrs={"k": True})
    with pytest.raises(ValueError, match="no option 1"):
        Choice("k", (True, False)).index(1)


def test_a_genotype_of_another_space_is_refused() -> None:
    space, other = small(), chain("gcn")
    genotype = space.sample(random.Random(0))
    with pytest.raises(ValueError, match=r"got a genotype of space 'small' .* expected one of 'chain' .*; build"):
        other.check(genotype)
    for call in (space.bind, lambda g: next(space.neighbours(g)), space.check):
        with pytest.raises(ValueError, match="no option 'gin'; expected one of"):
            call(genotype.replace(**{"aggregate.1": "gin"}))
    with pytest.raises(ValueError, match=r"lacks the choices \['depth'\] and has the unknown choices \['deep'\]"):
        space.genotype({**{k: genotype[k] for k in genotype if k != "depth"}, "deep": 1})
    with pytest.raises(KeyError, match="has no choice 'width'; it has"):
        genotype.replace(width=3)
    with pytest.raises(KeyError, match="has no choice 'width'; it has"):
        genotype["width"]
    with pytest.raises(KeyError, match="has no node 'h9'; it has"):
        space["h9"]
    assert space["h2"].name == "h2"


def test_values_are_frozen_and_hashable() -> None:
    space = small()
    genotype = space.sample(random.Random(0))
    for value in (space, genotype, space.nodes[0], space.choices["depth"]):
        hash(value)
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.name = "other"  # type: ignore[misc, union-attr]
    assert genotype.replace(depth=genotype["depth"]) == genotype
    assert Genotype("s", "d", {"b": 1, "a": 2}) == Genotype("s", "d", (("a", 2), ("b", 1)))


def test_a_repr_can_be_read() -> None:
    space = small()
    assert repr(space).splitlines() == [
        "Space small(x) -> out, 4 choices, 36 genotypes",
        "  h1 = <aggregate.1: gcn | gat | identity>(x, transform=<transform.1: True | False>)",
        "  h2 = <aggregate.2: gcn | gat | identity>(h1, transform=True)",
        "  out = identity(<depth: h1 | h2>)",
    ]
    choices = {"aggregate.1": "gcn", "transform.1": False, "aggregate.2": "gat", "depth": "h2"}
    genotype = space.genotype(choices)
    assert repr(genotype) == "Genotype(small: aggregate.1=gcn, aggregate.2=gat, depth=h2, transform.1=False)"
    assert repr(space.bind(genotype)).splitlines()[0] == "Space small(x) -> h2, bound"
    assert repr(Node("a", "conv", ("x",), attrs={"aggr": "max"})) == "a = conv(x, aggr='max')"


def test_the_data_model_loads_without_torch() -> None:
    code = "import sys, gnas.space; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
