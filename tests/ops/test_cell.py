"""The operations of GNAS-MP's cell against the PyG layers that are exported, and against their formulas."""

from __future__ import annotations

import random

import pytest
import torch
from graph_examples import Example, close, example, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import DegreeScalerAggregation, SimpleConv

from gnas.model import GraphModel
from gnas.ops.cell import GatedFilter
from gnas.space import Node, Space, gap

POOLS = ("mean_pool", "sum_pool", "max_pool", "min_pool", "std_pool", "pna")
HIDDEN = 6


def network(op: str, inputs: tuple[str, ...] = ("x",)) -> GraphModel:
    torch.manual_seed(1)
    return GraphModel(Space("one", (Node("pool", op, inputs),), "pool"), 5, HIDDEN, 3, dropout=0.0).double()


def by_pyg(model: GraphModel, graph: Example) -> Tensor:
    """The layers called one after another with the edge_index."""
    layers = dict(model.named_children())
    h = model.encoder(graph.x)
    h = layers["pool_in"](h) if "pool_in" in layers else h
    out: Tensor = model.decoder(layers["pool_out"](layers["pool"](h, graph.edge_index)))
    return out


@settings(max_examples=25)
@given(st.sampled_from(POOLS), examples, st.booleans())
def test_every_pool_is_pygs(op: str, graph: Example, training: bool) -> None:
    model = network(op)
    model(graph.x, graph.edge_index)  # notes the graph's degrees and moves the batch statistics
    model.train(training)
    got = model(graph.x, graph.edge_index)
    assert got.isfinite().all()
    torch.testing.assert_close(got, by_pyg(model, graph), rtol=1e-6, atol=1e-7)


def test_the_sum_reads_states_and_the_others_project_them() -> None:
    for op in POOLS:
        assert hasattr(network(op), "pool_in") == (op != "sum_pool")
        assert isinstance(network(op).get_submodule("pool"), SimpleConv)


def test_pna_notes_the_mean_degree_when_it_is_trained() -> None:
    graph = example(9, 25, seed=2)
    model = network("pna")
    scaler = model.get_submodule("pool.aggr_module")
    assert isinstance(scaler, DegreeScalerAggregation)
    before = scaler.avg_deg_log.clone()
    model.eval()(graph.x, graph.edge_index)
    assert torch.equal(scaler.avg_deg_log, before)
    model.train()(graph.x, graph.edge_index)
    degree = torch.bincount(graph.edge_index[1], minlength=9).double()
    close(scaler.avg_deg_log.double().squeeze(), (degree + 1).log().mean())
    no_edges = torch.empty(2, 0, dtype=torch.long)
    assert model(graph.x, no_edges).isfinite().all()
    # Over batches it is a running mean.
    other = example(9, 8, seed=3)
    first = scaler.avg_deg_log.clone()
    model(other.x, other.edge_index)
    fewer = (torch.bincount(other.edge_index[1], minlength=9).double() + 1).log().mean()
    close(scaler.avg_deg_log, first + 0.1 * (fewer - first))


@pytest.mark.parametrize("sparse", [True, False])
def test_a_filter_is_a_gate_on_the_state(sparse: bool) -> None:
    torch.manual_seed(0)
    layer = GatedFilter(HIDDEN, sparse=sparse).double().eval()
    h, h_in = torch.randn(2, 4, HIDDEN, dtype=torch.float64)
    gate = layer.gate(torch.cat([h, h_in], dim=1))
    if layer.score is not None:
        gate = layer.score(gate.relu())
        assert gate.shape == (4, 1)
    close(layer(h, h_in), layer.out(torch.sigmoid(gate) * h))
    assert sparse == (layer.score is not None)


@pytest.mark.parametrize("op", ["sparse", "dense"])
def test_a_filter_reads_the_state_and_the_cells_input(op: str) -> None:
    torch.manual_seed(0)
    nodes = (Node("h", "gcn", ("x",), attrs={"transform": True}), Node("f", op, ("h", "x")))
    model = GraphModel(Space("two", nodes, "f"), 5, HIDDEN, 3).double().eval()
    graph = example()
    h_in = model.encoder(graph.x)
    h = model.get_submodule("h")(h_in.relu(), graph.edge_index)
    close(model(graph.x, graph.edge_index), model.decoder(model.get_submodule("f")(h, h_in)))


def test_the_merge_concatenates_and_projects() -> None:
    model = network("merge", ("x", "x", "x")).eval()
    graph = example()
    layer = model.get_submodule("pool")
    assert isinstance(layer, nn.Sequential) and layer[0].in_features == 3 * HIDDEN
    h = model.encoder(graph.x)
    close(model(graph.x, graph.edge_index), model.decoder(layer(torch.cat([h, h, h], dim=1))))


@pytest.mark.parametrize("extended", [False, True])
def test_nothing_within_a_cell_is_dropped(extended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Dropout comes before the first and the last linear layer; without it there, two passes of a training agree.
    monkeypatch.setattr("gnas.model.sparse_dropout_linear", lambda x, linear, p, training: linear(x))
    space = gap(2, extended=extended)
    graph = example(nodes=12)
    for seed in range(4):
        bound = space.bind(space.sample(random.Random(seed)))
        model = GraphModel(bound, 5, HIDDEN, 3, dropout=0.8).double().train()
        model(graph.x, graph.edge_index)  # PNA notes the degrees
        close(model(graph.x, graph.edge_index), model(graph.x, graph.edge_index))
