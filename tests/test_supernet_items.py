"""Networks of every level: graphs, pairs and nodes, with edge features and integer codes, in supernet, model, source."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from graph_examples import close, example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from item_examples import CODES, EDGE_CODES, READING, SPACES, Items, items, many, of
from torch import Tensor, nn

from gnas.export import source
from gnas.model import GraphModel
from gnas.ops import CategoryEncoder
from gnas.relaxation import OnePath, Relaxation, Softmax
from gnas.sites import SharedSite
from gnas.space import Choice, Node, Space, for_level, layered, relational
from gnas.supernet import GraphSupernet

NUMBER = count()
ROWS = {"graph": 2, "pair": 6, "node": 14}


def supernet(space: Space, edges: bool, relaxation: Relaxation | None = None, **settings: Any) -> GraphSupernet:
    torch.manual_seed(0)
    sizes = {"edge_channels": 3 if edges else 0, "dropout": 0.0, "relaxation": relaxation, **settings}
    return GraphSupernet(space, 5, 16, 3, **sizes).double()


def trained(space: Space, edges: bool) -> GraphSupernet:
    """A supernet whose weights, alphas, running scales and batch statistics are not those it began with."""
    net, given = supernet(space, edges), items().arguments(edges)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(3):
        optimizer.zero_grad()
        net(**given).square().mean().backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def nets() -> dict[tuple[str, bool], GraphSupernet]:
    return {(name, edges): trained(space, edges) for name, space in SPACES.items() for edges in (False, True)}


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Afterwards, the exported modules are gone."""
    yield
    for name in [name for name in sys.modules if name.startswith("items_")]:
        del sys.modules[name]


def exported(model: GraphModel, folder: Path) -> nn.Module:
    """The network of the exported source, with the model's weights."""
    name = f"items_{next(NUMBER)}"
    (folder / f"{name}.py").write_text(source(model))
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # PyG looks the module of a layer's class up
    spec.loader.exec_module(module)
    network: nn.Module = module.Network().double().eval()
    network.load_state_dict(model.state_dict(), strict=True)
    return network


cases = st.tuples(st.sampled_from(list(SPACES)), st.booleans())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases, seed=st.integers(0, 1000), graphs=many)
def test_supernet_model_and_source_compute_the_same(
    case: tuple[str, bool], seed: int, graphs: Items, nets: dict[tuple[str, bool], GraphSupernet], tmp_path: Path
) -> None:
    net = nets[case]
    genotype = net.space.sample(random.Random(seed))
    model, given = net.model(genotype), graphs.arguments(case[1])
    net.set_arch(genotype)
    expected = net(**given)
    net.set_arch(None)
    assert expected.shape == (ROWS[net.space.kind(net.space.output)], 3)
    close(model(**given), expected)
    close(exported(model, tmp_path)(**given), expected)


@pytest.mark.parametrize("relaxation", [Softmax(), OnePath()], ids=str)
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_every_alpha_gets_a_gradient(name: str, edges: bool, relaxation: Relaxation) -> None:
    net, given = supernet(SPACES[name], edges, relaxation), items().arguments(edges)
    waiting = dict(net.space.choices)
    for _ in range(1 if isinstance(relaxation, Softmax) else 100):
        net.zero_grad()
        net(**given).square().sum().backward()
        for key in list(waiting):
            gradient = net.alpha(key).grad
            assert gradient is None or gradient.isfinite().all()
            if gradient is not None and bool((gradient != 0).all()):
                del waiting[key]
        if not waiting:
            break
    assert not waiting
    if isinstance(relaxation, Softmax):
        assert all(parameter.grad is not None for parameter in net.parameters())


@settings(max_examples=30)
@given(case=cases, seed=st.integers(0, 1000))
def test_the_order_of_nodes_and_edges_says_nothing(
    case: tuple[str, bool], seed: int, nets: dict[tuple[str, bool], GraphSupernet]
) -> None:
    net, graphs, generator = nets[case], items(seed), torch.Generator().manual_seed(seed)
    genotype = net.space.sample(random.Random(seed)) if seed % 2 else None
    # Within each graph, because a batch lists one graph after another.
    order = torch.cat([torch.randperm(9, generator=generator), 9 + torch.randperm(5, generator=generator)])
    given, moved = graphs.arguments(case[1]), graphs.relabelled(order).arguments(case[1])
    shuffled = torch.randperm(given["edge_index"].size(1), generator=generator)
    # Of several self-loops at a node PyG keeps the last one's weight.
    given["edge_weight"] = moved["edge_weight"] = torch.ones_like(given["edge_weight"])
    moved["edge_index"] = moved["edge_index"][:, shuffled]
    if case[1]:
        moved["edge_attr"] = moved["edge_attr"][shuffled]
    net.set_arch(genotype)
    got, expected = net(**moved), net(**given)
    net.set_arch(None)
    close(got, expected[order] if net.space.kind(net.space.output) == "node" else expected)


@settings(max_examples=20)
@given(case=cases, seed=st.integers(0, 1000))
def test_graphs_of_a_batch_do_not_touch(
    case: tuple[str, bool], seed: int, nets: dict[tuple[str, bool], GraphSupernet]
) -> None:
    net, graphs = nets[case], items(seed)
    given, parts = graphs.arguments(case[1]), []
    for number, nodes in enumerate((slice(0, 9), slice(9, 14))):
        inside = graphs.batch[graphs.graph.edge_index[0]] == number
        alone = {**given, "x": given["x"][nodes], "edge_index": given["edge_index"][:, inside] - 9 * number}
        alone |= {"edge_weight": given["edge_weight"][inside], "batch": None}
        alone |= {"edge_attr": given["edge_attr"][inside]} if case[1] else {}
        alone["edge_label_index"] = torch.tensor([[0, 1], [2, 3]])
        parts.append(net(**alone))
    given["edge_label_index"] = torch.tensor([[0, 1, 9, 10], [2, 3, 11, 12]])
    close(net(**given), torch.cat(parts))


@pytest.mark.parametrize("name", SPACES)
def test_a_checkpointed_step_is_the_same(name: str) -> None:
    results = []
    for checkpoint in (False, True):
        net = supernet(SPACES[name], True, checkpoint=checkpoint)
        out = net(**items().arguments(True))
        out.square().sum().backward()
        results.append([out, *(parameter.grad for parameter in net.parameters())])
    for a, b in zip(*results, strict=True):
        assert a is not None and b is not None
        close(b, a)


def test_edge_features_are_read_by_what_can() -> None:
    net, graphs = trained(READING, True), items()
    given = graphs.arguments(True)
    other = {**given, "edge_attr": graphs.edge_attr + 1}
    for op in READING.choices["aggregate"].options:
        options = {name: choice.options[0] for name, choice in READING.choices.items()}
        net.set_arch(READING.genotype({**options, "aggregate": op}))
        assert torch.equal(net(**given), net(**other)) == (op in ("gcn", "identity"))
    without = GraphSupernet(layered(2, ("gcn", "sage_mean")), 5, 16, 3, edge_channels=3)
    assert without.edge_encoder is None


def test_what_reads_edge_features_folds_nowhere() -> None:
    space = layered(1, ("gat", "gin", "gcn"))
    for edges, expected in ((False, {"gat", "gin"}), (True, {f"{op} {t}" for op in ("gat", "gin") for t in (1, 0)})):
        site = supernet(space, edges).sites["conv1"]
        assert isinstance(site, SharedSite)
        assert {key.replace("True", "1").replace("False", "0") for key in site.own} == expected


@pytest.mark.parametrize("name", ["graphs", "relational"])
def test_integer_codes_have_a_vector_each(name: str, tmp_path: Path) -> None:
    graphs, generator = items(), torch.Generator().manual_seed(0)
    given = graphs.arguments(True)
    given["x"] = torch.stack([torch.randint(n, (14,), generator=generator) for n in CODES], dim=1)
    edges = given["edge_index"].size(1)
    given["edge_attr"] = torch.stack([torch.randint(n, (edges,), generator=generator) for n in EDGE_CODES], dim=1)
    torch.manual_seed(0)
    net = GraphSupernet(SPACES[name], 2, 16, 3, categories=CODES, edge_categories=EDGE_CODES).double().eval()
    assert net.edge_channels == 1 and isinstance(net.encoder, CategoryEncoder)
    columns = [column.weight for column in net.encoder.columns]  # type: ignore[union-attr]
    close(net.encoder(given["x"]), columns[0][given["x"][:, 0]] + columns[1][given["x"][:, 1]])
    for seed in range(4):
        genotype = net.space.sample(random.Random(seed))
        net.set_arch(genotype)
        model = net.model(genotype)
        close(model(**given), net(**given))
        text = source(model)
        assert "CategoryEncoder([4, 3], hidden_channels)" in text and "in_channels" not in text
        close(exported(model, tmp_path)(**given), net(**given))
        net.set_arch(None)


def test_a_value_of_the_wrong_kind_is_refused() -> None:
    def one(*nodes: Node) -> Space:
        return Space("s", nodes, nodes[-1].name)

    wrong = {
        r"node 'r' of space 's' is of kind 'node', .* 'readout_mean' gives a value of kind 'graph'; .* try Node": one(
            Node("r", "readout_mean", ("x",))
        ),
        r"node 'conv' .* reads 'r' of kind 'graph', but its operation 'gcn' takes one of kind 'node'": one(
            Node("r", "readout_mean", ("x",), kind="graph"), Node("conv", "gcn", ("r",))
        ),
        r"node 'both' .* reads 'r' of kind 'graph', but its operation 'sum' takes one of kind 'node'": one(
            Node("r", "readout_mean", ("x",), kind="graph"), Node("both", "sum", ("x", "r"))
        ),
        r"node 'e' .* reads 'x' of kind 'node', but its operation 'edge_sum' takes one of kind 'edge'": one(
            Node("e", Choice("op", ("edge_sum",)), ("x", "x"), kind="edge")
        ),
    }
    for message, space in wrong.items():
        with pytest.raises(ValueError, match=message):
            GraphSupernet(space, 5, 16, 3)
        if space.bound:
            with pytest.raises(ValueError, match=message):
                GraphModel(space, 5, 16, 3)


def test_what_a_network_is_called_with_must_fit() -> None:
    net, given = supernet(SPACES["edges read"], True), items().arguments(True)
    for value, got in ((None, "no edge_attr"), (given["edge_attr"][:, 0], r"an edge_attr of shape \[25\]")):
        with pytest.raises(ValueError, match=rf"edge_channels=3 and got {got}; expected .* = \[25, 3\]"):
            net(**{**given, "edge_attr": value})
    with pytest.raises(ValueError, match="scores pairs of nodes and got no edge_label_index"):
        supernet(SPACES["links"], False)(**{**given, "edge_label_index": None})
    with pytest.raises(ValueError, match=r"got 2 categories and in_channels=5; .* try in_channels=2"):
        GraphSupernet(SPACES["graphs"], 5, 16, 3, categories=CODES)
    with pytest.raises(ValueError, match="got 1 edge_categories and edge_channels=3"):
        GraphSupernet(READING, 5, 16, 3, edge_channels=3, edge_categories=EDGE_CODES)
    with pytest.raises(ValueError, match=r"has the inputs \('x', 'h'\); expected \('x',\)"):
        GraphSupernet(Space("s", (), "x", inputs=("x", "h")), 5, 16, 3)


def test_without_edge_features_edge_states_begin_at_zero() -> None:
    net, given = trained(relational(2), False), items().arguments(False)
    assert net.edge_encoder is None
    values, contexts = net.begin(*(given.get(key) for key in ("x", "edge_index", "w", "e", "batch", "p")))
    assert torch.equal(values["edge_attr"], torch.zeros(25, 16, dtype=torch.float64))
    assert contexts["edge"].zeros.shape == (25, 16)


@settings(max_examples=20)
@given(case=cases, seed=st.integers(0, 1000))
def test_one_small_graph_without_edges_works(case: tuple[str, bool], seed: int) -> None:
    graph = of(example(3, 0, seed), torch.zeros(3, dtype=torch.long), seed)
    net = supernet(SPACES[case[0]], case[1])
    out = net(**{**graph.arguments(case[1]), "batch": None})
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in net.parameters())
    statistics: list[Tensor] = [value for value in net.buffers() if value.is_floating_point()]
    assert all(value.isfinite().all() for value in statistics)


def test_heads_are_found_by_gradient_too() -> None:
    # A search over graphs learns to tell two of them apart.
    space = for_level(layered(1, ("gin", "gcn")), "graph")
    net, graphs = supernet(space, False), items()
    optimizer, y = torch.optim.Adam(net.parameters(), lr=0.02), torch.tensor([0, 1])
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(**graphs.arguments(False)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
