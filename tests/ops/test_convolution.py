"""The aggregators of the layered space: our kernels against the very PyG layers that are exported."""

from __future__ import annotations

import pytest
import torch
from graph_examples import Example, close, example, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import (
    APPNP,
    ARMAConv,
    ChebConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GENConv,
    GINConv,
    GraphConv,
    PNAConv,
    SAGEConv,
    SimpleConv,
)

from gnas.model import GraphModel
from gnas.ops import OPS, find
from gnas.ops.attention_conv import AttentionConv, GeniePathConv
from gnas.ops.convolution import Convolution
from gnas.space import Node, Space

HIDDEN = 16
CONVOLUTIONS = sorted(name for name, op in OPS.items() if isinstance(op, Convolution))
READING = [name for name in CONVOLUTIONS if name != "identity"]
ALWAYS = ("arma", "cheb", "geniepath", "graph_conv", "pna_conv")  # those that have no form without a projection

# What a person finds in the exported source, with and without a projection.
LAYERS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "gcn": (GCNConv, APPNP),
    "sage_mean": (SAGEConv, SimpleConv),
    "sage_sum": (SAGEConv, SimpleConv),
    "sage_max": (SAGEConv, SimpleConv),
    **{f"conv_{aggr}": (GCNConv, SimpleConv) for aggr in ("sum", "mean", "max", "min", "std")},
    "gat": (GATConv, GATConv),
    "gatv2": (GATv2Conv, GATv2Conv),
    "gin": (GINConv, GINConv),
    "gat2": (GATConv, GATConv),
    "cheb": (ChebConv, ChebConv),
    "arma": (ARMAConv, ARMAConv),
    "graph_conv": (GraphConv, GraphConv),
    "gat_sym": (AttentionConv, AttentionConv),
    "gat_cos": (AttentionConv, AttentionConv),
    "gat_linear": (AttentionConv, AttentionConv),
    "gat_gen_linear": (AttentionConv, AttentionConv),
    "geniepath": (GeniePathConv, GeniePathConv),
    "gen_softmax": (GENConv, GENConv),
    "gen_power": (GENConv, GENConv),
    "pna_conv": (PNAConv, PNAConv),
}


def network(op: str, transform: bool) -> GraphModel:
    """A network of one layer ``conv`` in float64, with biases that are not zero."""
    torch.manual_seed(0)
    node = Node("conv", op, ("x",), attrs={"transform": transform})
    model = GraphModel(Space("one", (node,), "conv"), 5, HIDDEN, 3).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def by_pyg(model: GraphModel, graph: Example, weighted: bool, transform: bool) -> Tensor:
    """The same network by calling PyG's layer with the edge_index."""
    h = model.encoder(graph.x)
    conv = model.get_submodule("conv")
    arguments = (graph.edge_index, graph.edge_weight) if weighted else (graph.edge_index,)
    out: Tensor = model.decoder(conv(h.relu() if transform else h, *arguments))
    return out


@settings(max_examples=40)
@given(st.sampled_from(READING), st.booleans(), examples, st.booleans())
def test_every_convolution_is_pygs(op: str, transform: bool, graph: Example, weights: bool) -> None:
    model = network(op, transform)
    weighted = OPS[op].weighted and weights
    got = model(graph.x, graph.edge_index, graph.edge_weight if weighted else None)
    expected = by_pyg(model, graph, weighted, transform)
    close(got, expected)
    parameters = list(model.parameters())
    direction = torch.randn_like(got)
    for a, b in zip(
        torch.autograd.grad((got * direction).sum(), parameters, allow_unused=True, materialize_grads=True),
        torch.autograd.grad((expected * direction).sum(), parameters, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        close(a, b)


def test_the_layers_are_pygs_own() -> None:
    assert sorted(LAYERS) == READING
    for op, kinds in LAYERS.items():
        for transform, kind in zip((True, False), kinds, strict=True):
            assert type(network(op, transform).get_submodule("conv")) is kind


@pytest.mark.parametrize("op", [op for op in READING if op not in ALWAYS])
def test_without_a_projection_nothing_is_projected(op: str) -> None:
    # Attention still has its vectors and GIN its eps, but no matrix.
    sizes = [p.numel() for p in network(op, False).get_submodule("conv").parameters()]
    assert all(size <= HIDDEN for size in sizes)


def test_gcn_reads_edge_weights_and_the_others_do_not() -> None:
    graph = example(9, 25, seed=3)
    for op in READING:
        model = network(op, True)
        with_weights = model(graph.x, graph.edge_index, graph.edge_weight)
        assert torch.equal(with_weights, model(graph.x, graph.edge_index)) == (op != "gcn")
        assert OPS[op].weighted == (op == "gcn")


def test_learned_edge_weights_get_a_gradient_every_time() -> None:
    graph = example(9, 25, seed=3)
    weight = graph.edge_weight.clone().requires_grad_()
    model = network("gcn", True)
    with torch.no_grad():
        model(graph.x, graph.edge_index, weight)
    gradients = []
    for _ in range(2):
        weight.grad = None
        model(graph.x, graph.edge_index, weight).square().sum().backward()
        gradients.append(weight.grad)
    learned = Example(graph.x, graph.edge_index, weight)
    expected = torch.autograd.grad(by_pyg(model, learned, True, True).square().sum(), weight)[0]
    for gradient in gradients:
        assert gradient is not None
        close(gradient, expected)


def test_identity_projects_or_passes_on() -> None:
    graph = example()
    model = network("identity", True)
    linear = model.get_submodule("conv")
    assert isinstance(linear, nn.Linear)
    close(model(graph.x, graph.edge_index), model.decoder(linear(model.encoder(graph.x).relu())))
    model = network("identity", False)
    close(model(graph.x, graph.edge_index), model.decoder(model.encoder(graph.x)))


# The others have batch statistics, or note degrees when they are trained.
@pytest.mark.parametrize("op", [op for op in CONVOLUTIONS if op not in ("gen_softmax", "gen_power", "pna_conv")])
def test_dropout_comes_before_the_projection_in_training_alone(op: str) -> None:
    graph = example()
    model = network(op, True)
    calm = model(graph.x, graph.edge_index)
    assert torch.equal(calm, model(graph.x, graph.edge_index))
    model.train()
    assert not torch.equal(calm, model(graph.x, graph.edge_index))
    model.dropout = 0.0
    close(model(graph.x, graph.edge_index), calm)


@pytest.mark.parametrize("op", ["gat", "gatv2", "gat_sym", "gat_cos", "gat_linear", "gat_gen_linear"])
def test_channels_must_fit_the_heads(op: str) -> None:
    space = Space("one", (Node("conv", op, ("x",), attrs={"transform": True}),), "conv")
    with pytest.raises(ValueError, match="got hidden_channels=20 for 8 attention heads; expected a multiple, try 64"):
        GraphModel(space, 5, 20, 3)


def test_an_unknown_operation_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"node 'conv1' names the operation 'gatt', .*; try one of \['gat'"):
        find("gatt", "conv1")
    with pytest.raises(ValueError, match=r"'qqqq'.* try one of \['arma', "):
        find("qqqq", "conv1")
    assert all(find(name, "a") is op and op.name == name for name, op in OPS.items())
