"""Normalisations are PyG's and PyTorch's, each graph for itself where they compare nodes."""

from __future__ import annotations

import pytest
import torch
from graph_examples import close
from item_examples import items
from torch import nn
from torch_geometric.nn import GraphNorm, PairNorm

from gnas.model import GraphModel
from gnas.space import Node, Space

KINDS = {"batch_norm": nn.BatchNorm1d, "layer_norm": nn.LayerNorm, "graph_norm": GraphNorm, "pair_norm": PairNorm}


@pytest.mark.parametrize("op", KINDS)
def test_they_are_the_known_layers(op: str) -> None:
    torch.manual_seed(0)
    model = GraphModel(Space("one", (Node("norm", op, ("x",)),), "norm"), 5, 8, 3, dropout=0.0).double()
    graphs, layer = items(), model.get_submodule("norm")
    assert type(layer) is KINDS[op]
    h = model.encoder(graphs.graph.x)
    arguments = (h, graphs.batch) if op in ("graph_norm", "pair_norm") else (h,)
    close(model(**graphs.arguments(False)), model.decoder(layer(*arguments)))
