"""Node and edge states side by side: the operations of EGNAS (arXiv 2109.01356) and ARGNP (CVPR 2022).

An operation on nodes reads the states of the edges on its way, which scale and shift the messages; one on edges reads
the states of both ends. Values of edges times channels are what edge states are. The layer classes import torch and
torch_geometric only, because :mod:`gnas.export` prints them as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings


class RelationConv(MessagePassing):
    """Neighbours as their edges let them pass: h_i = aggr_j ((1 + scale(e_ji)) * W x_j + shift(e_ji)).

    Then Linear, BatchNorm and ReLU.

    Args:
        channels: Channels of ``x`` [nodes, channels] and ``edge_attr`` [edges, channels].
        aggr: PyG's name of the aggregation.
    """

    def __init__(self, channels: int, aggr: str) -> None:
        super().__init__(aggr=aggr, node_dim=0)
        self.lin = nn.Linear(channels, channels)
        self.scale = nn.Linear(channels, channels)
        self.shift = nn.Linear(channels, channels)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU())

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        scale, shift = self.scale(edge_attr), self.shift(edge_attr)
        return self.out(self.propagate(edge_index, x=self.lin(x), scale=scale, shift=shift))

    def message(self, x_j: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return (1 + scale) * x_j + shift


class EdgeUpdate(nn.Module):
    """An edge's state from its own and those of its ends: relu(norm(V e_ij + f(W x_i, W x_j))).

    With a = W x_i and b = W x_j, f is a - b (``"difference"``), exp(-(a - b)^2 / 2) (``"gauss"``), a * b
    (``"hadamard"``), (a + b) / 2 (``"mean"``), a + b (``"sum"``) or max(a, b) (``"max"``) in each channel.

    Args:
        channels: Channels of ``edge_attr`` [edges, channels] and ``x`` [nodes, channels].
        join: One of the six names above.
    """

    def __init__(self, channels: int, join: str) -> None:
        super().__init__()
        self.join = join
        self.edge = nn.Linear(channels, channels)
        self.node = nn.Linear(channels, channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, edge_attr: Tensor, x: Tensor, edge_index: Tensor) -> Tensor:
        z = self.node(x)
        a, b = z[edge_index[0]], z[edge_index[1]]
        if self.join == "difference":
            both = a - b
        elif self.join == "gauss":
            both = (-0.5 * (a - b).square()).exp()
        elif self.join == "hadamard":
            both = a * b
        elif self.join == "max":
            both = torch.maximum(a, b)
        else:
            both = a + b if self.join == "sum" else 0.5 * (a + b)
        return self.norm(self.edge(edge_attr) + both).relu()


class Relate(Op):
    """An operation on nodes: inputs are the states of the nodes and those of the edges."""

    messages = True
    takes = ("node", "edge")
    gives = "node"
    aggr: str

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(RelationConv, (HIDDEN,), {"aggr": self.aggr})}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](inputs[0], context.graph.edge_index, inputs[1]))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({inputs[0]}, edge_index, {inputs[1]})"


class RelateSum(Relate):
    """Sum of the messages."""

    name = "relate_sum"
    aggr = "sum"


class RelateMean(Relate):
    """Their mean."""

    name = "relate_mean"
    aggr = "mean"


class RelateMax(Relate):
    """Their maximum."""

    name = "relate_max"
    aggr = "max"


class RelateStd(Relate):
    """Their standard deviation."""

    name = "relate_std"
    aggr = "std"


class EdgeJoin(Op):
    """An operation on edges: inputs are the states of the edges and those of the nodes."""

    takes = ("edge", "node")
    gives = "edge"
    join: str

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(EdgeUpdate, (HIDDEN,), {"join": self.join})}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](inputs[0], inputs[1], context.graph.edge_index))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({inputs[0]}, {inputs[1]}, edge_index)"


class EdgeDifference(EdgeJoin):
    """Difference of the ends."""

    name = "edge_difference"
    join = "difference"


class EdgeGauss(EdgeJoin):
    """Gaussian of the difference of the ends."""

    name = "edge_gauss"
    join = "gauss"


class EdgeHadamard(EdgeJoin):
    """Product of the ends."""

    name = "edge_hadamard"
    join = "hadamard"


class EdgeMean(EdgeJoin):
    """Mean of the ends."""

    name = "edge_mean"
    join = "mean"


class EdgeSum(EdgeJoin):
    """Sum of the ends."""

    name = "edge_sum"
    join = "sum"


class EdgeMax(EdgeJoin):
    """Maximum of the ends."""

    name = "edge_max"
    join = "max"
