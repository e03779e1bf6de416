"""The hand-made networks: shapes, symmetry, sparse features, odd graphs, and that they are what their papers say."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import APPNP as PyGAPPNP
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, SAGEConv, SGConv

from gnas.baselines import APPNP, BASELINES, GAT, GCN, GIN, MLP, SAGE, SGC, GATv2
from gnas.task import Task

IN, OUT = 70, 3
NAMES = list(BASELINES)


@dataclass(frozen=True)
class Sizes:
    in_channels: int = IN
    out_channels: int = OUT
    scales: None = None


@dataclass(frozen=True)
class Recipe:
    hidden_channels: int = 16
    dropout: float = 0.5
    drop_inputs: bool = True


def build(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return BASELINES[name](cast(Task, Sizes()), Recipe())


def features(nodes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(nodes, IN, generator=generator) * (torch.rand(nodes, IN, generator=generator) < 0.1)


def edges(nodes: int, count: int, seed: int = 0) -> Tensor:
    return torch.randint(nodes, (2, count), generator=torch.Generator().manual_seed(seed))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("name", NAMES)
@given(nodes=st.integers(3, 30), count=st.integers(0, 80), seed=st.integers(0, 5), weighted=st.booleans())
def test_shape_symmetry_and_sparse_features(name: str, nodes: int, count: int, seed: int, weighted: bool) -> None:
    # Few edges leave isolated nodes, many bring self-loops and duplicates, none is a graph without edges.
    x, edge_index = features(nodes, seed), edges(nodes, count, seed)
    weight = torch.rand(count) if weighted else None
    network = build(name, seed).eval()
    with torch.no_grad():
        out = network(x, edge_index, weight)
        assert out.shape == (nodes, OUT) and bool(out.isfinite().all())
        order = torch.randperm(nodes, generator=torch.Generator().manual_seed(seed))
        back = torch.empty_like(order)
        back[order] = torch.arange(nodes)
        relabelled = network(x[order], back[edge_index], weight)
        torch.testing.assert_close(relabelled, out[order], atol=1e-5, rtol=1e-4)
        sparse = network(x.to_sparse_csr(), edge_index, weight)
        torch.testing.assert_close(sparse, out, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str, layout: str) -> None:
    x = features(12) + 0.01
    x = x.to_sparse_csr() if layout == "sparse" else x
    network = build(name).train()
    torch.manual_seed(1)
    F.cross_entropy(network(x, edges(12, 40)), torch.arange(12) % OUT).backward()
    silent = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert not silent


def test_nothing_is_said_of_sparse_matrices() -> None:
    # In a process of its own, because PyTorch says it once.
    code = """
import torch
from gnas.baselines import GCN
edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
GCN(4, 8, 2)(torch.ones(3, 4), edges).sum().backward()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Sparse" not in run.stderr


@pytest.mark.parametrize("name", NAMES)
def test_no_edges_reads_own_features_only(name: str) -> None:
    network = build(name).eval()
    x = features(6)
    none = torch.empty(2, 0, dtype=torch.long)
    with torch.no_grad():
        out = network(x, none)
        x[3] += 1
        changed = network(x, none)
    others = [i for i in range(6) if i != 3]
    torch.testing.assert_close(changed[others], out[others])


@pytest.mark.parametrize("name", NAMES)
def test_another_graph_is_not_mistaken_for_the_last(name: str) -> None:
    network = build(name).eval()
    x, first, second = features(10), edges(10, 20, 1), edges(10, 20, 2)
    with torch.no_grad():
        network(x, first)
        out = network(x, second)
        changed = first.clone()
        network(x, changed)
        changed.copy_(second)
        in_place = network(x, changed)
        other_weights = network(x, second, torch.rand(20))
    fresh = build(name).eval()
    with torch.no_grad():
        torch.testing.assert_close(out, fresh(x, second))
        torch.testing.assert_close(in_place, out)
    if name in ("GCN", "APPNP", "SGC", "GCNII"):
        assert not torch.allclose(other_weights, out)


@pytest.mark.parametrize("name", NAMES)
def test_state_loads_safely(name: str) -> None:
    x, edge_index = features(8), edges(8, 20)
    network, other = build(name, 0).eval(), build(name, 1).eval()
    network(x, edge_index)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(other(x, edge_index), network(x, edge_index))


# What PyG's own layers give with the same weights.

SAME = {"atol": 1e-5, "rtol": 1e-4}


def graph() -> tuple[Tensor, Tensor, Tensor]:
    return features(15), edges(15, 50), torch.rand(50, generator=torch.Generator().manual_seed(3))


def assign(layer: Any, **weights: Tensor) -> Any:
    state = layer.state_dict()
    layer.load_state_dict({key: weights.get(key.replace(".", "_"), value) for key, value in state.items()})
    return layer


def test_gcn_is_two_gcn_layers() -> None:
    x, edge_index, weight = graph()
    net = GCN(IN, 16, OUT).eval()
    first = assign(GCNConv(IN, 16), lin_weight=net.lin1.weight, bias=net.conv1.bias)
    second = assign(GCNConv(16, OUT), lin_weight=net.conv2.lin.weight, bias=net.conv2.bias)
    expected = second(first(x, edge_index, weight).relu(), edge_index, weight)
    torch.testing.assert_close(net(x, edge_index, weight), expected, **SAME)


def test_sgc_is_sg_layer() -> None:
    x, edge_index, weight = graph()
    net = SGC(IN, OUT).eval()
    expected = assign(SGConv(IN, OUT, K=2), lin_weight=net.lin.weight, lin_bias=net.bias)(x, edge_index, weight)
    torch.testing.assert_close(net(x, edge_index, weight), expected, **SAME)


def test_appnp_is_mlp_and_personalised_pagerank() -> None:
    x, edge_index, weight = graph()
    net = APPNP(IN, 16, OUT).eval()
    expected = PyGAPPNP(10, 0.1)(net.lin2(net.lin1(x).relu()), edge_index, weight)
    torch.testing.assert_close(net(x, edge_index, weight), expected, **SAME)


def test_sage_is_two_sage_layers() -> None:
    x, edge_index, _ = graph()
    net = SAGE(IN, 16, OUT).eval()
    layers = []
    for lin, bias, sizes in ((net.lin1, net.bias1, (IN, 16)), (net.lin2, net.bias2, (16, OUT))):
        own, others = lin.weight.chunk(2)
        layers.append(assign(SAGEConv(*sizes), lin_l_weight=others, lin_r_weight=own, lin_l_bias=bias))
    expected = layers[1](layers[0](x, edge_index).relu(), edge_index)
    torch.testing.assert_close(net(x, edge_index), expected, **SAME)


def test_gin_is_two_gin_layers() -> None:
    x, edge_index, _ = graph()
    net = GIN(IN, 16, OUT).eval()
    with torch.no_grad():
        net.conv1.eps.fill_(0.3)
        net.conv2.eps.fill_(-0.2)
    first = GINConv(nn.Sequential(net.lin1, net.conv1.nn), eps=0.3).eval()
    second = GINConv(nn.Sequential(net.lin2, net.conv2.nn), eps=-0.2).eval()
    torch.testing.assert_close(net(x, edge_index), second(first(x, edge_index).relu(), edge_index), **SAME)


def test_gat_is_two_gat_layers() -> None:
    x, edge_index, _ = graph()
    net = GAT(IN, 64, OUT).eval()
    first = GATConv(IN, 8, heads=8)
    conv = net.conv1
    assign(first, lin_weight=net.lin1.weight, att_src=conv.att_src, att_dst=conv.att_dst, bias=conv.bias)
    torch.testing.assert_close(net(x, edge_index), net.conv2(F.elu(first(x, edge_index)), edge_index), **SAME)
    assert net.conv1.dropout == net.conv2.dropout == 0.6


def test_gatv2_is_two_gatv2_layers() -> None:
    x, edge_index, _ = graph()
    net = GATv2(IN, 64, OUT).eval()
    first = GATv2Conv(IN, 8, heads=8, bias=True)
    left, right = net.lin1.weight.chunk(2)
    zero = torch.zeros(64)
    assign(first, lin_l_weight=left, lin_r_weight=right, lin_l_bias=zero, lin_r_bias=zero)
    assign(first, att=net.conv1.att, bias=net.conv1.bias)
    torch.testing.assert_close(net(x, edge_index), net.conv2(F.elu(first(x, edge_index)), edge_index), **SAME)


def test_mlp_does_not_read_the_graph() -> None:
    x, edge_index, weight = graph()
    net = MLP(IN, 16, OUT).eval()
    torch.testing.assert_close(net(x, edge_index, weight), net(x, edges(15, 3)))


def test_projections_start_as_those_of_a_convolution() -> None:
    torch.manual_seed(0)
    net = GATv2(IN, 64, OUT)
    torch.manual_seed(0)
    one = GAT(IN, 64, OUT)
    bound = (6 / (IN + 64)) ** 0.5
    for weight in (*net.lin1.weight.chunk(2), one.lin1.weight):
        assert 0.9 * bound < float(weight.detach().abs().max()) <= bound
