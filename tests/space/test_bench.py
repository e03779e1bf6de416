"""The space of NAS-Bench-Graph: how many networks it has, which genotypes are one, and that they can be built."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from gnas.export import source
from gnas.model import GraphModel
from gnas.space import Genotype, Space, bench
from gnas.space.bench import OPS, PROTEINS_OPS, SKIP, WIRINGS, Bench, canonical, key, numbers

EVERY = [(wiring, ops) for wiring in WIRINGS for ops in itertools.product(range(9), repeat=4)]


def genotype(space: Space, wiring: str, *ops: str) -> Genotype:
    return space.genotype({"wiring": f"wiring{wiring}", **{f"op.{i}": op for i, op in enumerate(ops, start=1)}})


def test_the_space_has_as_many_genotypes_and_networks_as_the_paper_says() -> None:
    assert bench().size == len(EVERY) == 59_049
    found = {key(*each) for each in EVERY}
    assert len(found - {88888}) == 26_206  # the network of four skips has no row
    assert key("0000", [SKIP] * 4) == 88888


def test_a_canonical_form_stands_for_itself() -> None:
    for wiring, ops in EVERY[::7]:
        form = canonical(wiring, ops)
        assert canonical(*form) == form and form[0] in WIRINGS
        assert sorted(form[1]) == sorted(ops)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A chain of two, written with skips in any place.
        (("0123", "gcn skip arma skip"), ("0123", "skip skip gcn arma")),
        # Branches are swapped.
        (("0012", "gcn gat2 gin cheb"), ("0012", "gat2 gcn cheb gin")),
        (("0111", "gcn linear gin gat2"), ("0111", "gcn gat2 gin linear")),
        # A node that skips the raw input to the output, which is dropped.
        (("0000", "skip gcn gcn skip"), ("0122", "skip skip gcn gcn")),
        # A skip that someone reads beside other readers.
        (("0012", "skip gcn gin arma"), ("0112", "skip gcn gin arma")),
    ],
)
def test_genotypes_of_one_network_are_bound_alike(one: tuple[str, str], other: tuple[str, str]) -> None:
    space = bench()
    first, second = (genotype(space, wiring, *ops.split()) for wiring, ops in (one, other))
    assert first != second
    assert space.canonical(first) == space.canonical(second)
    assert space.bind(first) == space.bind(second) and space.bind(first).digest() == space.bind(second).digest()


def test_a_residual_is_another_network() -> None:
    space = bench()
    plain = genotype(space, "0123", "skip", "skip", "gcn", "gin")
    residual = genotype(space, "0122", "skip", "gcn", "gin", "skip")
    assert space.bind(plain).digest() != space.bind(residual).digest()


def test_digests_tell_networks_apart_exactly_as_keys_do() -> None:
    space, generator = bench(), random.Random(0)
    drawn = [space.sample(generator) for _ in range(150)]
    # Neighbours share most of what they are.
    drawn += list(space.neighbours(drawn[0]))
    assert len(drawn) == 150 + 8 + 4 * 8
    digests = [space.bind(each).digest() for each in drawn]
    keys = [key(*numbers(each)) for each in drawn]
    assert len(set(zip(digests, keys))) == len(set(digests)) == len(set(keys)) > 100


@pytest.mark.slow
def test_every_network_has_a_digest_of_its_own() -> None:
    space = bench()
    forms = {canonical(*each) for each in EVERY}
    bound = (space.bind(genotype(space, wiring, *(OPS[op] for op in ops))) for wiring, ops in forms)
    assert len({each.digest() for each in bound}) == 26_207


def test_the_tables_have_exactly_these_networks(data_root: Path) -> None:
    folder = data_root / "nas-bench-graph"
    if not folder.is_dir():
        pytest.skip("GNAS_DATA has no folder nas-bench-graph")
    every = {key(*each) for each in EVERY} - {88888}
    named = {OPS.index(op) for op in PROTEINS_OPS}
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as table:
            keys = set(table["key"].tolist())
        some = {k for k in every if {int(d) for d in f"{k:05d}"[1:]} <= named}
        assert keys == (some if path.stem == "proteins" else every)


def test_json_keeps_the_rule() -> None:
    space = bench()
    read = Space.from_json(space.to_json())
    assert isinstance(read, Bench) and read == space and read.digest() == space.digest()
    content = json.loads(space.to_json())
    content["rule"] = "no such rule"
    with pytest.raises(ValueError, match="the space is malformed"):
        Space.from_json(json.dumps(content))


def test_networks_can_be_built_and_exported() -> None:
    space = bench()
    x, edge_index = torch.randn(6, 5), torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
    for wiring, *ops in (
        ("0000", "gat2", "gcn", "gin", "cheb"),
        ("0123", "skip", "sage_mean", "arma", "graph_conv"),
        ("0122", "skip", "linear", "gcn", "skip"),
    ):
        model = GraphModel(space.bind(genotype(space, wiring, *ops)), 5, 8, 3).eval()
        out = model(x, edge_index)
        assert out.shape == (6, 3)
        names: dict[str, type] = {}
        exec(compile(source(model), "network", "exec"), names)  # noqa: S102 - what the export is for
        again = names["Network"](5, 8, 3).eval()
        again.load_state_dict(model.state_dict())
        torch.testing.assert_close(again(x, edge_index), out)


def test_fewer_operations() -> None:
    space = bench(PROTEINS_OPS)
    assert space.size == 9 * 5**4
    generator = random.Random(0)
    for _ in range(50):
        bound = space.canonical(space.sample(generator))
        space.check(bound)
    with pytest.raises(ValueError, match="bench got the operations"):
        bench(("gcn", "gcnii"))
