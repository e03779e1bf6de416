"""Convolutions that read edge features: PyG's layers, called with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from graph_examples import close
from hypothesis import given, settings
from hypothesis import strategies as st
from item_examples import Items, items, many
from torch import nn
from torch_geometric.nn import GATConv, GATv2Conv, GENConv, GINConv, GINEConv, PNAConv, SimpleConv

from gnas.model import GraphModel
from gnas.ops import OPS
from gnas.ops.convolution import Convolution
from gnas.space import Node, Space

# With edge features, and without.
LAYERS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "gat": (GATConv, GATConv),
    "gatv2": (GATv2Conv, GATv2Conv),
    "gin": (GINEConv, GINConv),
    "gen_softmax": (GENConv, GENConv),
    "gen_power": (GENConv, GENConv),
    "pna_conv": (PNAConv, PNAConv),
}


def network(op: str, transform: bool, edges: bool) -> GraphModel:
    torch.manual_seed(0)
    space = Space("one", (Node("conv", op, ("x",), attrs={"transform": transform}),), "conv")
    return GraphModel(space, 5, 16, 3, edge_channels=3 if edges else 0).double().eval()


def by_pyg(model: GraphModel, graphs: Items, transform: bool, edges: bool) -> torch.Tensor:
    h, layer = model.encoder(graphs.graph.x), model.get_submodule("conv")
    features: list[Any] = []
    if edges:
        assert model.edge_encoder is not None
        features.append(model.edge_encoder(graphs.edge_attr))
    out: torch.Tensor = model.decoder(layer(h.relu() if transform else h, graphs.graph.edge_index, *features))
    return out


@settings(max_examples=40)
@given(st.sampled_from(list(LAYERS)), st.booleans(), st.booleans(), many)
def test_they_are_pygs(op: str, transform: bool, edges: bool, graphs: Items) -> None:
    model = network(op, transform, edges)
    assert type(model.get_submodule("conv")) is LAYERS[op][0 if edges else 1]
    got, expected = model(**graphs.arguments(edges)), by_pyg(model, graphs, transform, edges)
    close(got, expected)
    direction, parameters = torch.randn_like(got), list(model.parameters())
    for a, b in zip(
        torch.autograd.grad((got * direction).sum(), parameters, allow_unused=True, materialize_grads=True),
        torch.autograd.grad((expected * direction).sum(), parameters, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        close(a, b)


def test_these_are_all_that_can() -> None:
    assert {name for name, op in OPS.items() if isinstance(op, Convolution) and op.edges} == {*LAYERS, "gat2"}
    assert OPS["pna"].edges and OPS["kept_gin"].edges


@pytest.mark.parametrize("op", LAYERS)
def test_without_a_transform_edge_features_are_added_as_they_are(op: str) -> None:
    sizes = [p.numel() for p in network(op, False, True).get_submodule("conv").parameters()]
    assert all(size <= 16 for size in sizes) or op == "pna_conv"


def test_the_cells_pna_is_pygs_layer_with_edge_features() -> None:
    torch.manual_seed(0)
    space, graphs = Space("one", (Node("pool", "pna", ("x",)),), "pool"), items()
    model = GraphModel(space, 5, 16, 3, edge_channels=3, dropout=0.0).double()
    model(**graphs.arguments(True))
    layer: dict[str, Any] = dict(model.eval().named_children())
    assert isinstance(layer["pool"], PNAConv)
    degree = torch.bincount(graphs.graph.edge_index[1], minlength=14).double()
    torch.testing.assert_close(layer["pool"].aggr_module.avg_deg_log.item(), (degree + 1).log().mean().item())
    h = layer["pool"](
        layer["encoder"](graphs.graph.x), graphs.graph.edge_index, layer["edge_encoder"](graphs.edge_attr)
    )
    close(model(**graphs.arguments(True)), layer["decoder"](layer["pool_out"](h)))
    assert isinstance(GraphModel(space, 5, 16, 3).get_submodule("pool"), SimpleConv)
