"""Attention layers that PyG lacks, in plain PyG: the attention variants of GraphNAS and SANE, and GeniePath.

The classes import torch and torch_geometric only, because :mod:`gnas.export` prints them as they stand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, MessagePassing
from torch_geometric.nn.inits import glorot
from torch_geometric.utils import add_self_loops, remove_self_loops, softmax


class AttentionConv(MessagePassing):
    """Graph attention with the scores of GraphNAS (arXiv 1904.09981), as SANE (ICDE 2021) searches them.

    For the projected states z_i = W x_i of each head, the score of an edge from j to i is

    * ``"sym"``: leaky_relu(a . z_i + b . z_j) + leaky_relu(a . z_j + b . z_i)
    * ``"cos"``: (a * z_i) . (b * z_j)
    * ``"linear"``: tanh(b . z_j)
    * ``"gen_linear"``: c . tanh(a * z_i + b * z_j)

    Args:
        in_channels: Channels of ``x``, [nodes, in_channels].
        out_channels: Channels of each head; the result is [nodes, heads * out_channels].
        heads: Number of heads.
        score: One of the four names above.
        bias: Whether to add a learned offset.
    """

    def __init__(self, in_channels: int, out_channels: int, heads: int, score: str, bias: bool = True) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.heads, self.out_channels, self.score = heads, out_channels, score
        self.lin = nn.Linear(in_channels, heads * out_channels, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, heads, out_channels))
        if score != "linear":
            self.att_dst = nn.Parameter(torch.empty(1, heads, out_channels))
        if score == "gen_linear":
            self.att_out = nn.Parameter(torch.empty(1, heads, out_channels))
        for parameter in self.parameters():
            glorot(parameter)
        self.bias = nn.Parameter(torch.zeros(heads * out_channels)) if bias else None

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        edge_index, _ = remove_self_loops(edge_index)
        edge_index, _ = add_self_loops(edge_index, num_nodes=x.size(0))
        z = self.lin(x).view(-1, self.heads, self.out_channels)
        out = self.propagate(edge_index, z=z).flatten(1)
        return out if self.bias is None else out + self.bias

    def message(self, z_i: Tensor, z_j: Tensor, index: Tensor, ptr: Tensor | None, size_i: int | None) -> Tensor:
        b = self.att_src
        if self.score == "linear":
            return z_j * softmax((b * z_j).sum(-1).tanh(), index, ptr, size_i).unsqueeze(-1)
        a = self.att_dst
        if self.score == "sym":
            there = nn.functional.leaky_relu((a * z_i + b * z_j).sum(-1), 0.2)
            score = there + nn.functional.leaky_relu((a * z_j + b * z_i).sum(-1), 0.2)
        elif self.score == "cos":
            score = (a * z_i * b * z_j).sum(-1)
        else:
            score = (self.att_out * (a * z_i + b * z_j).tanh()).sum(-1)
        return z_j * softmax(score, index, ptr, size_i).unsqueeze(-1)


class GeniePathConv(nn.Module):
    """One layer of GeniePath (arXiv 1802.00910): attention chooses the breadth, an LSTM gate the depth.

    Args:
        in_channels: Channels of ``x``, [nodes, in_channels].
        out_channels: Channels of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.breadth = GATConv(in_channels, out_channels)
        self.depth = nn.LSTM(out_channels, out_channels, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out, _ = self.depth(self.breadth(x, edge_index).tanh().unsqueeze(0))
        return out.squeeze(0)
