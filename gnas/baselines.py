"""Hand-made networks that every search must stand beside, as plain PyTorch Geometric modules.

======  ====================================================================================================
GCN     Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", arXiv 1609.02907
GAT     Velickovic and others, "Graph Attention Networks", arXiv 1710.10903
GATv2   Brody and others, "How Attentive are Graph Attention Networks?", arXiv 2105.14491
SAGE    Hamilton and others, "Inductive Representation Learning on Large Graphs", arXiv 1706.02216
GIN     Xu and others, "How Powerful are Graph Neural Networks?", arXiv 1810.00826
APPNP   Gasteiger and others, "Predict then Propagate", arXiv 1810.05997
SGC     Wu and others, "Simplifying Graph Convolutional Networks", arXiv 1902.07153
GCNII   Chen and others, "Simple and Deep Graph Convolutional Networks", arXiv 2007.02133
MLP     no graph at all: what the features alone give
======  ====================================================================================================

Depth and structure are the papers'; width and dropout come from the recipe, which is tuned for every network
alike. All have the signature of a PyG model, ``forward(x, edge_index, edge_weight=None, edge_attr=None,
batch=None)``; GCN, APPNP, SGC and GCNII read edge weights, none reads edge attributes.

Node features may be a ``torch.sparse_csr`` matrix (bags of words). A linear map commutes with a sum over
neighbours, so where a paper aggregates raw features first (SAGE, GIN, SGC) they are projected first: the same
function, and a sparse matrix of features is never multiplied by the adjacency.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.inits import glorot

from gnas.fast import (
    FastGATConv,
    FastGATv2Conv,
    FastGCN2Conv,
    FastGCNConv,
    FastGINConv,
    FastPageRank,
    FastSimpleConv,
    adjacency,
)
from gnas.ops.base import dropout
from gnas.ops.linear import sparse_dropout_linear
from gnas.task import Task
from gnas.units import answering


class Settings(Protocol):
    """What a network needs to know of a recipe."""

    @property
    def hidden_channels(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def drop_inputs(self) -> bool: ...


Builder = Callable[[Task, Settings], nn.Module]


def projection(in_channels: int, out_channels: int, count: int = 1) -> Linear:
    """``count`` linear maps side by side, without bias, each with the initial weights of a convolution's own."""
    linear = Linear(in_channels, count * out_channels, bias=False)
    for weight in linear.weight.detach().chunk(count):
        glorot(weight)
    return linear


class Network(nn.Module):
    """Base of the networks below: projects features, and remembers the matrix of the last graph that it has seen.

    Training meets the same graph in every epoch, so the matrix is built once. The graph is recognised by its
    tensors themselves, not by their size: another graph, or one that was changed in place, is built anew.
    """

    dropout: float
    drop_inputs = True

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[object, ...] | None = None
        self._matrix: Tensor | None = None

    def encode(self, x: Tensor, linear: nn.Linear) -> Tensor:
        """The first projection of the features, of which entries are dropped unless a recipe says otherwise."""
        return sparse_dropout_linear(x, linear, self.dropout if self.drop_inputs else 0.0, self.training)

    def weights(self, edge_index: Tensor, edge_weight: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """Edges and their coefficients; as in GCN unless a network says otherwise."""
        edge_index, edge_weight = gcn_norm(edge_index, edge_weight, like.size(0), dtype=like.dtype)
        return edge_index, edge_weight

    def matrix(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> Tensor:
        """The adjacency matrix [num_nodes, num_nodes] with this network's edge coefficients."""
        version = (edge_index._version, None if edge_weight is None else edge_weight._version, x.size(0), x.dtype)
        seen = (id(edge_index), id(edge_weight), *version)
        if self._matrix is None or self._seen is None or self._seen[0] != seen:
            # The tensors are kept beside their ids: an id is only unique while its object lives.
            self._matrix = adjacency(*self.weights(edge_index, edge_weight, x), x.size(0))
            self._seen = (seen, edge_index, edge_weight)
        return self._matrix


class MLP(Network):
    """Two linear layers, ReLU and dropout; the graph is not read."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = Linear(in_channels, hidden_channels)
        self.lin2 = Linear(hidden_channels, out_channels)

    def project(self, x: Tensor) -> Tensor:
        """Node features [num_nodes, in_channels] to class scores [num_nodes, out_channels]."""
        x = self.encode(x, self.lin1).relu()
        return self.lin2(dropout(x, self.dropout, self.training))

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        return self.project(x)


class APPNP(MLP):
    """An MLP whose class scores travel ``K`` steps of personalised PageRank with restart ``alpha``."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.5,
        K: int = 10,
        alpha: float = 0.1,
    ) -> None:
        super().__init__(in_channels, hidden_channels, out_channels, dropout)
        self.propagate = FastPageRank(K, alpha, normalize=False)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        return self.propagate(self.project(x), self.matrix(x, edge_index, edge_weight))


class GCN(Network):
    """Two graph convolutions with ReLU between them; dropout on the input of each, as in the paper."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = projection(in_channels, hidden_channels)
        self.conv1 = FastGCNConv(hidden_channels, hidden_channels, normalize=False)
        self.conv1.lin = nn.Identity()
        self.conv2 = FastGCNConv(hidden_channels, out_channels, normalize=False)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        matrix = self.matrix(x, edge_index, edge_weight)
        x = self.conv1(self.encode(x, self.lin1), matrix).relu()
        return self.conv2(dropout(x, self.dropout, self.training), matrix)


class GAT(Network):
    """Two attention layers, 8 heads that are concatenated and one that gives the class scores, ELU between.

    Dropout is applied to the input of each layer and, at the paper's rate of 0.6, to the attention weights.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.6,
        heads: int = 8,
        attention_dropout: float = 0.6,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        width = max(hidden_channels // heads, 1)
        self.lin1 = projection(in_channels, heads * width)
        self.conv1 = FastGATConv(heads * width, width, heads=heads, dropout=attention_dropout)
        self.conv1.lin = nn.Identity()
        self.conv2 = FastGATConv(heads * width, out_channels, heads=1, dropout=attention_dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        x = F.elu(self.conv1(self.encode(x, self.lin1), edge_index))
        return self.conv2(dropout(x, self.dropout, self.training), edge_index)


class GATv2(Network):
    """GAT with the attention that lets every node rank its neighbours in its own way; sizes and dropout as there."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.6,
        heads: int = 8,
        attention_dropout: float = 0.6,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        width = max(hidden_channels // heads, 1)
        # Sender and receiver have projections of their own; one product gives both.
        self.lin1 = projection(in_channels, heads * width, 2)
        self.conv1 = FastGATv2Conv(heads * width, width, heads=heads, dropout=attention_dropout)
        self.conv1.lin_l = self.conv1.lin_r = nn.Identity()
        self.conv2 = FastGATv2Conv(heads * width, out_channels, heads=1, dropout=attention_dropout)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        both = self.encode(x, self.lin1).chunk(2, dim=-1)
        x = F.elu(self.conv1(both, edge_index))
        return self.conv2(dropout(x, self.dropout, self.training), edge_index)


class SAGE(Network):
    """Two GraphSAGE layers, ``x_i W + mean(x_j) W'``, with ReLU between them."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout
        # One product gives both projections; the neighbours' half has no bias of its own.
        self.lin1 = Linear(in_channels, 2 * hidden_channels, bias=False)
        self.lin2 = Linear(hidden_channels, 2 * out_channels, bias=False)
        self.bias1 = nn.Parameter(torch.zeros(hidden_channels))
        self.bias2 = nn.Parameter(torch.zeros(out_channels))
        self.mean = FastSimpleConv(aggr="sum")  # the matrix holds 1 / degree

    def weights(self, edge_index: Tensor, edge_weight: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        target = edge_index[1]
        ones = torch.ones(target.size(0), dtype=like.dtype, device=like.device)
        degree = ones.new_zeros(like.size(0)).index_add_(0, target, ones)
        return edge_index, 1 / degree[target]

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        matrix = self.matrix(x, edge_index, None)
        own, others = self.encode(x, self.lin1).chunk(2, dim=-1)
        x = (own + self.mean(others, matrix) + self.bias1).relu()
        own, others = self.lin2(dropout(x, self.dropout, self.training)).chunk(2, dim=-1)
        return own + self.mean(others, matrix) + self.bias2


class GIN(Network):
    """Two GIN layers, each an MLP of two layers with batch normalisation over ``(1 + eps) x_i + sum(x_j)``.

    The first linear layer of each MLP is applied before the sum, with which it commutes; its bias is the
    normalisation's.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = Linear(in_channels, hidden_channels, bias=False)
        self.conv1 = FastGINConv(self.mlp(hidden_channels, hidden_channels), train_eps=True)
        self.lin2 = Linear(hidden_channels, hidden_channels, bias=False)
        self.conv2 = FastGINConv(self.mlp(hidden_channels, out_channels), train_eps=True)

    @staticmethod
    def mlp(hidden_channels: int, out_channels: int) -> nn.Sequential:
        """What follows the first linear layer of a GIN layer's MLP."""
        return nn.Sequential(nn.BatchNorm1d(hidden_channels), nn.ReLU(), Linear(hidden_channels, out_channels))

    def weights(self, edge_index: Tensor, edge_weight: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        return edge_index, torch.ones(edge_index.size(1), dtype=like.dtype, device=like.device)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        matrix = self.matrix(x, edge_index, None)
        x = self.conv1(self.encode(x, self.lin1), matrix).relu()
        return self.conv2(self.lin2(dropout(x, self.dropout, self.training)), matrix)


class SGC(Network):
    """Logistic regression on features that were averaged ``K`` times; no dropout, as in the paper."""

    def __init__(self, in_channels: int, out_channels: int, K: int = 2) -> None:
        super().__init__()
        self.K = K
        self.lin = Linear(in_channels, out_channels, bias=False)
        self.propagate = FastSimpleConv(aggr="sum")
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        matrix = self.matrix(x, edge_index, edge_weight)
        x = sparse_dropout_linear(x, self.lin, 0.0, self.training)
        for _ in range(self.K):
            x = self.propagate(x, matrix)
        return x + self.bias


class GCNII(Network):
    """Deep graph convolutions with a residual to the first layer (``alpha``) and to identity (``theta``)."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.5,
        num_layers: int = 8,
        alpha: float = 0.1,
        theta: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = Linear(in_channels, hidden_channels)
        self.convs = nn.ModuleList(
            FastGCN2Conv(hidden_channels, alpha, theta, layer, normalize=False) for layer in range(1, num_layers + 1)
        )
        self.lin2 = Linear(hidden_channels, out_channels)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        matrix = self.matrix(x, edge_index, edge_weight)
        x = first = self.encode(x, self.lin1).relu()
        for conv in self.convs:
            x = conv(dropout(x, self.dropout, self.training), first, matrix).relu()
        return self.lin2(dropout(x, self.dropout, self.training))


def _builder(network: Callable[..., Network]) -> Builder:
    def build(task: Task, recipe: Settings) -> nn.Module:
        sizes = task.in_channels, recipe.hidden_channels, task.out_channels
        made = network(*sizes, dropout=recipe.dropout)
        made.drop_inputs = recipe.drop_inputs
        return answering(made, task.scales)

    return build


def _sgc(task: Task, recipe: Settings) -> nn.Module:
    return answering(SGC(task.in_channels, task.out_channels), task.scales)


BASELINES: dict[str, Builder] = {
    "GCN": _builder(GCN),
    "GAT": _builder(GAT),
    "GATv2": _builder(GATv2),
    "SAGE": _builder(SAGE),
    "GIN": _builder(GIN),
    "APPNP": _builder(APPNP),
    "SGC": _sgc,
    "GCNII": _builder(GCNII),
    "MLP": _builder(MLP),
}
"""Name to builder: ``BASELINES["GCN"](task, recipe)`` is a fresh network for that task."""
