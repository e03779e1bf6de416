"""PyG's layers with gnas's kernels underneath: the same parameters and results, and no tensor of edges by channels.

Layers that sum over neighbours are called with a matrix that holds their coefficients, :func:`adjacency`; those of
attention with an ``edge_index``, as PyG's are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import APPNP as PersonalizedPageRank
from torch_geometric.nn import GATConv, GATv2Conv, GCN2Conv, GCNConv, GINConv, SimpleConv

from gnas import kernels
from gnas.data import quiet_sparse
from gnas.kernels import Structure, graph_of, structure_of, weighted_sum
from gnas.ops.base import dropout


def adjacency(edge_index: Tensor, edge_weight: Tensor, num_nodes: int) -> Tensor:
    """The ``sparse_csr`` matrix [num_nodes, num_nodes] whose row i sums over the edges that point at node i."""
    source, target = edge_index
    stacked = torch.stack([target, source])
    matrix = torch.sparse_coo_tensor(stacked, edge_weight, (num_nodes, num_nodes), check_invariants=False)
    with quiet_sparse():
        return matrix.coalesce().to_sparse_csr()


class Fast:
    """Mixed into a PyG layer: its sparse product keeps the transposed matrix for the backward pass.

    PyTorch transposes the matrix anew in each backward pass, which costs ten times as much as the product.
    """

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor | tuple[Tensor, Tensor | None]) -> Tensor:
        return weighted_sum(structure_of(adj_t), adj_t.values(), x[0] if isinstance(x, tuple) else x)


class FastGCNConv(Fast, GCNConv):
    """:class:`~torch_geometric.nn.GCNConv`."""


class FastGCN2Conv(Fast, GCN2Conv):
    """:class:`~torch_geometric.nn.GCN2Conv`."""


class FastGINConv(Fast, GINConv):
    """:class:`~torch_geometric.nn.GINConv`."""


class FastSimpleConv(Fast, SimpleConv):
    """:class:`~torch_geometric.nn.SimpleConv`."""


class FastPageRank(Fast, PersonalizedPageRank):
    """:class:`~torch_geometric.nn.APPNP`, the propagation."""


class FastGATConv(GATConv):
    """:class:`~torch_geometric.nn.GATConv` with self-loops and without edge features."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # type: ignore[override]
        structure = graph_of(edge_index, x.size(0)).looped
        z = self.lin(x).view(-1, self.heads, self.out_channels)
        source, target = (z * self.att_src).sum(dim=-1), (z * self.att_dst).sum(dim=-1)
        out = kernels.attention(structure, source, target, z, self.negative_slope, _kept(self, structure, z))
        return _joined(self, out)


class FastGATv2Conv(GATv2Conv):
    """:class:`~torch_geometric.nn.GATv2Conv` with self-loops and without edge features.

    Called with a pair, it takes the states of senders and of receivers, which may be projected by another layer.
    """

    def forward(self, x: Tensor | tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:  # type: ignore[override]
        sender, receiver = (x, x) if isinstance(x, Tensor) else x
        structure = graph_of(edge_index, sender.size(0)).looped
        z = self.lin_l(sender).view(-1, self.heads, self.out_channels)
        own = self.lin_r(receiver).view_as(z)
        kept = _kept(self, structure, z)
        return _joined(self, kernels.attention_v2(structure, self.att, z, self.negative_slope, kept, own))


def _kept(conv: GATConv | GATv2Conv, structure: Structure, z: Tensor) -> Tensor | None:
    """What dropout leaves of the attention weights, by how much more these count: [entries, heads]."""
    if not conv.training or conv.dropout == 0:
        return None
    return dropout(z.new_ones(structure.entries, conv.heads), conv.dropout, True)


def _joined(conv: GATConv | GATv2Conv, out: Tensor) -> Tensor:
    out = out.flatten(1) if conv.concat else out.mean(dim=1)
    return out if conv.bias is None else out + conv.bias
