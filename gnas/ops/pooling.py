"""Pooling on the common node set, after PAS ("Pooling Architecture Search for Graph Classification", CIKM 2021).

A pooling layer drops nodes. Here no node leaves: the layer gives each one two weights, [nodes, 2]. The first, m, is 1
for a node that is kept and 0 for one that is dropped; the second is m times the score that multiplies the node's state
(``gate``). So poolings that keep different nodes can be mixed: their weights are. What follows reads weights besides
states. States carry their weight, so that sums and maxima (of states that are not negative) need no more; means and
GCN count degrees in m, attention adds log m to its scores. With m of 0 and 1 all of it is what PyG computes on the
graph of the kept nodes.

ASAP and EdgePool are left out: they don't keep nodes but make new ones with new edges (clusters, whose edges are
S^T A S; merged pairs), which no weights of the old nodes and edges describe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch_geometric.nn import GINEConv, SAGPooling, TopKPooling

from gnas import kernels
from gnas.ops import convolution
from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, activate
from gnas.ops.convolution import HEADS, Convolution
from gnas.ops.readout import log_weight

RATIO = 0.5


def kept_edges(edge_index: Tensor, keep: Tensor, values: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The edges whose both ends are kept, and their values."""
    kept = keep[:, 0] > 0
    among = kept[edge_index[0]] & kept[edge_index[1]]
    return edge_index[:, among], None if values is None else values[among]


def keep_best(score: Tensor, keep: Tensor | None, batch: Tensor | None, ratio: float) -> Tensor:
    """Weights [nodes, 2] that keep the share ``ratio`` of each graph's nodes, those of the largest scores [nodes]."""
    weight = torch.ones_like(score) if keep is None else keep[:, 0]
    batch = score.new_zeros(score.size(0), dtype=torch.long) if batch is None else batch
    size = torch.bincount(batch)
    total = score.new_zeros(size.size(0)).index_add(0, batch, weight.detach())
    # A sum of shares may be a little more than the whole number that it stands for.
    count = (ratio * total - 1e-4).ceil()
    order = (score + weight.clamp(min=1e-30).log()).argsort(descending=True)
    order = order[batch[order].argsort(stable=True)]
    place = torch.arange(score.size(0), device=score.device) - (size.cumsum(0) - size)[batch[order]]
    rank = torch.empty_like(place).scatter(0, order, place)
    kept = weight * (rank < count[batch])
    return torch.stack([kept, kept * score], dim=1)


class KeepTopK(nn.Module):
    """The weights of the nodes that TopKPooling keeps (arXiv 1905.05178): [nodes, 2].

    Of n nodes ceil(ratio n), all of them for a ratio of one. PyG rounds the product up as float32 has it, so that some
    graphs keep a node more, and reads a ratio of 1.0 as one node.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        self.pool = TopKPooling(channels, ratio)

    def forward(self, x: Tensor, batch: Tensor | None, keep: Tensor | None = None) -> Tensor:
        weight = self.pool.select.weight
        score = ((x * weight).sum(dim=1) / weight.norm(p=2, dim=1)).tanh()
        return keep_best(score, keep, batch, self.pool.ratio)


class KeepSAG(nn.Module):
    """The weights of the nodes that PyG's SAGPooling keeps (arXiv 1904.08082): [nodes, 2]."""

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        self.pool = SAGPooling(channels, ratio)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None, keep: Tensor | None = None) -> Tensor:
        score = self.pool.gnn(x if keep is None else keep[:, :1] * x, edge_index)
        return self.best(score, batch, keep)

    def best(self, score: Tensor, batch: Tensor | None, keep: Tensor | None) -> Tensor:
        score = (score.squeeze(1) * self.pool.select.weight.sign().squeeze()).tanh()
        return keep_best(score, keep, batch, self.pool.ratio)


class VirtualNode(nn.Module):
    """A node that reads all nodes of a graph and is read by them (arXiv 1704.01212): x_i + MLP(sum_j x_j).

    Args:
        channels: Channels of ``x``, [nodes, channels].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), norm, nn.ReLU(), nn.Linear(channels, channels))

    def forward(self, x: Tensor, batch: Tensor | None, keep: Tensor | None = None) -> Tensor:
        graphs = 1 if batch is None else int(batch.max()) + 1
        batch = x.new_zeros(x.size(0), dtype=torch.long) if batch is None else batch
        total = x.new_zeros(graphs, x.size(1)).index_add(0, batch, x)
        seen = self.mlp(total)[batch]
        return x + (seen if keep is None else keep[:, :1] * seen)


class Keep(Op):
    """No pooling: whatever is kept stays, and states are multiplied by its weight."""

    name = "keep"
    takes = ("node",)
    gives = "node"

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return inputs[1][:, [0, 0]] if len(inputs) > 1 else inputs[0].new_ones(inputs[0].size(0), 2)

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{inputs[1]}[:, [0, 0]]" if len(inputs) > 1 else "x.new_ones(x.size(0), 2)"


class TopK(Keep):
    """The nodes whose states point the furthest along a learned direction."""

    name = "keep_topk"
    local = False
    functions = (keep_best,)

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(KeepTopK, (HIDDEN,), {"ratio": settings.get("ratio", RATIO)})}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](inputs[0], context.batch, *inputs[1:]))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({', '.join([inputs[0], 'batch', *inputs[1:]])})"


class SAG(Keep):
    """The nodes with the largest scores of a graph convolution."""

    name = "keep_sag"
    messages = True
    local = False
    functions = (keep_best,)

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(KeepSAG, (HIDDEN,), {"ratio": settings.get("ratio", RATIO)})}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        layer = cast(KeepSAG, layers[""])
        keep = inputs[1] if len(inputs) > 1 else None
        x = inputs[0] if keep is None else keep[:, :1] * inputs[0]
        # Projected to one channel first, the sum over neighbours is a small one.
        gnn: Any = layer.pool.gnn
        near = kernels.weighted_sum(context.graph.plain, None, x @ gnn.lin_rel.weight.t())
        return layer.best(near + gnn.lin_rel.bias + gnn.lin_root(x), context.batch, keep)

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({', '.join([inputs[0], 'edge_index', 'batch', *inputs[1:]])})"


class Gate(Op):
    """States times their weight: zero for a node that is dropped."""

    name = "gate"
    takes = ("node",)
    gives = "node"

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return inputs[0] * inputs[1][:, 1:]

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{inputs[0]} * {inputs[1]}[:, 1:]"


class Virtual(Op):
    """A virtual node, see :class:`VirtualNode`."""

    name = "virtual_node"
    local = False
    takes = ("node",)
    gives = "node"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(VirtualNode, (HIDDEN,))}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](inputs[0], context.batch, *inputs[1:]))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({', '.join([inputs[0], 'batch', *inputs[1:]])})"


class Kept(Op):
    """A projecting convolution among the nodes that are kept: its inputs are the states and, after a pooling, m."""

    conv: ClassVar[Convolution]
    messages = True
    takes = ("node",)
    gives = "node"
    functions = (kept_edges,)

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return self.conv.layers(1, {**settings, "transform": True})

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        x = activate(inputs[0], context)
        if len(inputs) == 1:
            return self.conv.propagate(layers[""], x, context, True)
        return self.among(layers[""], x, inputs[1], context)

    def among(self, layer: Any, x: Tensor, keep: Tensor, context: Context) -> Tensor:
        """The layer's value where each node has a weight; states of those without are zero."""
        return self.conv.propagate(layer, x, context, True)

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        if len(inputs) == 1:
            return self.conv.source(layers, inputs, {**settings, "transform": True})
        values = ", edge_weight" if self.weighted else ", edge_attr" if settings.get("edges") else ""
        return f"{layers['']}(self.activate({inputs[0]}), *kept_edges(edge_index, {inputs[1]}{values}))"


class KeptGCN(Kept):
    """GCN, its degrees counted in weights."""

    name = "kept_gcn"
    weighted = True
    local = False  # degrees of the senders are counted in the weights of their own neighbours
    conv = convolution.GCN()

    def among(self, layer: Any, x: Tensor, keep: Tensor, context: Context) -> Tensor:
        structure = context.graph.looped
        value = context.graph.looped_weight.to(x.dtype)
        own = structure.row == structure.column
        counted = value * torch.where(own, 1.0, keep[:, 0][structure.column])
        degree = x.new_zeros(x.size(0)).index_add(0, structure.row, counted)
        scale = degree.masked_fill(degree == 0, torch.inf).pow(-0.5)
        out = kernels.weighted_sum(structure, scale[structure.row] * value * scale[structure.column], layer.lin(x))
        return convolution.plus(out, layer.bias)


class KeptMean(Kept):
    """GraphSAGE with the mean, its neighbours counted in weights."""

    name = "kept_mean"
    conv = convolution.SAGEMean()

    def among(self, layer: Any, x: Tensor, keep: Tensor, context: Context) -> Tensor:
        structure = context.graph.plain
        count = kernels.weighted_sum(structure, None, keep[:, :1].contiguous()).clamp(min=1)
        return cast(Tensor, layer.lin_l(kernels.weighted_sum(structure, None, x) / count) + layer.lin_r(x))


class KeptSum(Kept):
    """GraphSAGE with the sum."""

    name = "kept_sum"
    conv = convolution.SAGESum()


class KeptMax(Kept):
    """GraphSAGE with the maximum, of states that are not negative."""

    name = "kept_max"
    conv = convolution.SAGEMax()


class KeptGAT(Kept):
    """GAT, with the logarithm of the weight of who is read added to its score."""

    name = "kept_gat"
    conv = convolution.GAT()

    def among(self, layer: Any, x: Tensor, keep: Tensor, context: Context) -> Tensor:
        structure, nodes = context.graph.looped, x.size(0)
        z = layer.lin(x).view(nodes, HEADS, -1)
        source, target = (z * layer.att_src).sum(dim=-1), (z * layer.att_dst).sum(dim=-1)
        logits = leaky_relu(source[structure.column] + target[structure.row], 0.2)
        weight = kernels.edge_softmax(structure, logits + log_weight(keep)[structure.column].unsqueeze(1))
        stacked = z.transpose(0, 1).reshape(HEADS * nodes, -1)
        out = kernels.weighted_sum(context.graph.heads(HEADS), weight.t().flatten(), stacked)
        return convolution.plus(out.view(HEADS, nodes, -1).transpose(0, 1).flatten(1), layer.bias)


class KeptGIN(Kept):
    """GIN; with edge features GINE, whose messages have the weight of their sender."""

    name = "kept_gin"
    edges = True
    conv = convolution.GIN()

    def among(self, layer: Any, x: Tensor, keep: Tensor, context: Context) -> Tensor:
        if not isinstance(layer, GINEConv):
            return super().among(layer, x, keep, context)
        source, target = context.graph.edge_index
        messages = (x[source] + cast(Any, layer.lin)(context.edges)).relu() * keep[source, :1]
        return cast(Tensor, layer.nn(((1 + layer.eps) * x).index_add(0, target, messages)))
