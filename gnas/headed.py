"""Hand-made networks of several normalised layers: of a paper's layers, a readout or a pair, a linear map.

The design of Dwivedi and others, "Benchmarking Graph Neural Networks" (arXiv 2003.00982): an encoder, four layers with
batch normalisation, ReLU and a residual each, the mean over a graph's nodes (Hamilton and others' and the benchmark's
readout; for GIN the sum, as in its paper), and a linear map to the scores. For pairs there are two layers, and a pair
is the Hadamard product of its ends, whose weighted sum is the inner product of the graph autoencoder (Kipf and Welling,
arXiv 1611.07308); encoded features of an edge that is asked about are added to it. Edge features are read by GIN (as
GINE, Hu and others, arXiv 1905.12265) and GAT. The layers are PyG's, computed by :mod:`gnas.kernels` as those of a
space are.

Nodes with many labels have them besides those of :mod:`gnas.baselines`, whose two layers are made for few: there depth
and normalisation are what a search may gain by, and no hand-made network should lack them for want of trying.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, GINEConv, SAGEConv, global_add_pool, global_mean_pool

from gnas.baselines import BASELINES, Builder, Settings
from gnas.kernels import graph_of
from gnas.ops import OPS
from gnas.ops.base import Context, dropout
from gnas.ops.convolution import Convolution
from gnas.ops.encoder import encoder_of
from gnas.ops.linear import sparse_dropout_linear
from gnas.targets import EDGE, GRAPH, NODE, PAIR
from gnas.task import Task
from gnas.units import answering

HEADS = 4
LAYER = {"GCN": "gcn", "GIN": "gin", "SAGE": "sage_mean", "GAT": "gat"}
"""The operation whose kernels compute a layer."""
LAYERS = {NODE: 4, GRAPH: 4, EDGE: 2, PAIR: 2}


class Headed(nn.Module):
    """A network for items of any level.

    Args:
        name: Its layers: one of :data:`NAMES`.
        task: What it is for: level, channels and categories are read.
        hidden_channels: Width.
        dropout: Probability of dropping an entry after each layer.
    """

    def __init__(self, name: str, task: Task, hidden_channels: int, dropout: float) -> None:
        super().__init__()
        self.name, self.level, self.dropout = name, task.level, dropout
        width = -(-hidden_channels // HEADS) * HEADS if name == "GAT" else hidden_channels
        self.encoder = encoder_of(task.in_channels, task.categories, width)
        self.edge_encoder: nn.Module | None = None
        if name in ("GIN", "GAT") and task.edge_attr is not None:
            self.edge_encoder = encoder_of(task.edge_attr.size(1), task.edge_categories, width)
        layers = LAYERS[task.level]
        self.convs = nn.ModuleList(self._layer(width) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers))
        self.pair_encoder: nn.Module | None = None
        if task.edge_of_pair is not None and task.edge_attr is not None:
            self.pair_encoder = encoder_of(task.edge_attr.size(1), task.edge_categories, width)
        self.decoder = nn.Linear(width, task.out_channels)

    def _layer(self, width: int) -> nn.Module:
        if self.name == "GIN":
            mlp = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
            return GINConv(mlp, train_eps=True) if self.edge_encoder is None else GINEConv(mlp, train_eps=True)
        if self.name == "GAT":
            edges = None if self.edge_encoder is None else width
            return GATConv(width, width // HEADS, heads=HEADS, edge_dim=edges)
        if self.name == "MLP":
            return nn.Linear(width, width)
        return {"GCN": GCNConv, "SAGE": SAGEConv}[self.name](width, width)

    def propagate(self, conv: nn.Module, x: Tensor, context: Context) -> Tensor:
        """What one of PyG's layers computes, by kernels."""
        if self.name not in LAYER:
            return cast(Tensor, conv(x))
        return cast(Convolution, OPS[LAYER[self.name]]).propagate(conv, x, context, True)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        edge_label_index: Tensor | None = None,
        edge_label_attr: Tensor | None = None,
    ) -> Tensor:
        """A row of scores for each node, graph of ``batch`` or pair of ``edge_label_index``."""
        if isinstance(self.encoder, nn.Linear):
            x = sparse_dropout_linear(x, self.encoder, 0.0, self.training)
        else:
            x = self.encoder(x)
        edges = None if self.edge_encoder is None or edge_attr is None else self.edge_encoder(edge_attr)
        graph = graph_of(edge_index, x.size(0), edge_weight)
        context = Context(graph, torch.zeros_like(x), self.dropout, self.training, batch, edges=edges)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + dropout(norm(self.propagate(conv, x, context)).relu(), self.dropout, self.training)
        if self.level == GRAPH:
            x = (global_add_pool if self.name == "GIN" else global_mean_pool)(x, batch)
        elif edge_label_index is not None:
            x = x[edge_label_index[0]] * x[edge_label_index[1]]
            if self.pair_encoder is not None and edge_label_attr is not None:
                x = x + self.pair_encoder(edge_label_attr)
        return self.decoder(x)


NAMES = ("GCN", "GIN", "SAGE", "GAT", "MLP")


def _build(name: str, task: Task, recipe: Settings) -> nn.Module:
    return answering(Headed(name, task, recipe.hidden_channels, recipe.dropout), task.scales)


def hand_made(task: Task) -> dict[str, Builder]:
    """Name to builder of the hand-made networks.

    They are those of this file, or for nodes without codes :data:`gnas.baselines.BASELINES`; if such nodes have many
    labels, ``"GCN-4"``, ``"GIN-4"``, ``"SAGE-4"`` and ``"GAT-4"`` are those of this file besides.
    """
    own: dict[str, Builder] = {name: partial(_build, name) for name in NAMES}
    if task.level != NODE or task.categories:
        return own
    layers = LAYERS[NODE]
    deep = {f"{name}-{layers}": build for name, build in own.items() if name != "MLP" and not task.few_labels}
    return {**BASELINES, **deep}
