"""The operations of GNAS-MP's cell: feature filters, pooled aggregators, and the merge of all its nodes.

GNAS-MP ("Rethinking Graph Neural Architecture Search from Message-passing", CVPR 2021), its Graph Neural
Architecture Paradigm. A filter keeps part of a state h by a gate that also sees the cell's input h_in; every
filter and aggregator but ``zero`` and ``identity`` ends with Linear, BatchNorm and ReLU. The layer classes import
torch only, because :mod:`gnas.export` prints them as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import DegreeScalerAggregation, PNAConv, SimpleConv

from gnas import kernels
from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, times


class GatedFilter(nn.Module):
    """A feature filter: sigmoid(gate([h, h_in])) * h, then Linear, BatchNorm and ReLU.

    Args:
        channels: Channels of ``h`` and ``h_in``, [nodes, channels].
        sparse: One gate for a node (through a hidden ReLU layer) instead of one for each channel.
    """

    def __init__(self, channels: int, sparse: bool) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * channels, channels)
        self.score = nn.Linear(channels, 1, bias=False) if sparse else None
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU())

    def forward(self, h: Tensor, h_in: Tensor) -> Tensor:
        gate = self.gate(torch.cat([h, h_in], dim=1))
        if self.score is not None:
            gate = self.score(gate.relu())
        return self.out(gate.sigmoid() * h)


class Filter(Op):
    """A gate on the features, of the node's state and the cell's input."""

    sparse: bool

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(GatedFilter, (HIDDEN,), {"sparse": self.sparse})}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](inputs[0], inputs[1]))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({inputs[0]}, {inputs[1]})"


class SparseFilter(Filter):
    """One gate for a node."""

    name = "sparse"
    sparse = True


class DenseFilter(Filter):
    """One gate for each channel."""

    name = "dense"
    sparse = False


STATISTICS = ("mean", "min", "max", "std")
SCALERS = ("identity", "amplification", "attenuation")
MOMENTUM = 0.1


def _project() -> Call:
    return Call(nn.Sequential, (Call(nn.Linear, (HIDDEN, HIDDEN)), Call(nn.ReLU)))


def _finish(channels: object) -> Call:
    layers = (Call(nn.Linear, (channels, HIDDEN)), Call(nn.BatchNorm1d, (HIDDEN,)), Call(nn.ReLU))
    return Call(nn.Sequential, layers)


class Pool(Op):
    """An aggregator of the cell: project with ReLU (but for the sum), aggregate, then Linear, BatchNorm and ReLU."""

    messages = True
    takes = ("node",)
    gives = "node"
    aggr: str

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        before = {} if self.aggr == "sum" else {"_in": _project()}
        return before | {"": Call(SimpleConv, (), {"aggr": self.aggr}), "_out": _finish(HIDDEN)}

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(1)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        x = layers["_in"](inputs[0]) if "_in" in layers else inputs[0]
        return cast(Tensor, layers["_out"](kernels.aggregate(x, context.graph, self.aggr)))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        x = f"{layers['_in']}({inputs[0]})" if "_in" in layers else inputs[0]
        return f"{layers['_out']}({layers['']}({x}, edge_index))"


class PoolSum(Pool):
    """Sum of the neighbours."""

    name = "sum_pool"
    aggr = "sum"


class PoolMean(Pool):
    """Mean of the projected neighbours."""

    name = "mean_pool"
    aggr = "mean"


class PoolMax(Pool):
    """Maximum of the projected neighbours."""

    name = "max_pool"
    aggr = "max"


class PoolMin(Pool):
    """Minimum of the projected neighbours."""

    name = "min_pool"
    aggr = "min"


class PoolStd(Pool):
    """Standard deviation of the projected neighbours."""

    name = "std_pool"
    aggr = "std"


class PNA(Pool):
    """Principal neighbourhood aggregation (arXiv 2004.05718): mean, min, max and std, each scaled by 1, d and 1/d.

    d is log(degree + 1) over its mean in the training graph, which the layer notes whenever it is trained; over
    batches it is a running mean. With edge features it is PyG's layer, whose messages are a projection of both states
    and the edge's.
    """

    name = "pna"
    edges = True

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        degree = torch.tensor([0, 1])
        if settings.get("edges"):
            conv = Call(PNAConv, (HIDDEN, HIDDEN, list(STATISTICS), list(SCALERS), degree), {"edge_dim": HIDDEN})
            return {"": conv, "_out": Call(nn.Sequential, (Call(nn.BatchNorm1d, (HIDDEN,)), Call(nn.ReLU)))}
        scaled = Call(DegreeScalerAggregation, (list(STATISTICS), list(SCALERS)), {"deg": degree})
        conv = Call(SimpleConv, (), {"aggr": scaled, "combine_root": None})
        return {"_in": _project(), "": conv, "_out": _finish(times(12))}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        norm = cast(DegreeScalerAggregation, layers[""].aggr_module)
        note_degrees(norm, context)
        if isinstance(layers[""], PNAConv):
            return cast(Tensor, layers["_out"](layers[""](inputs[0], context.graph.edge_index, context.edges)))
        every = scaled_statistics(layers["_in"](inputs[0]), norm, context)
        return cast(Tensor, layers["_out"](every))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        if settings.get("edges"):
            return f"{layers['_out']}({layers['']}({inputs[0]}, edge_index, edge_attr))"
        return super().source(layers, inputs, settings)


def note_degrees(norm: DegreeScalerAggregation, context: Context) -> None:
    """Move the mean of log(degree + 1) towards that of the graph that a layer is trained on; the first one is taken."""
    # Without any edge there is no degree to compare with.
    if context.training and context.tracking and context.graph.plain.entries:
        before = norm.avg_deg_log
        now = (context.graph.degree.to(before.dtype) + 1).log().mean()
        first = (before - norm.init_avg_deg_log).abs() < 1e-6
        before.copy_(torch.where(first, now, before + MOMENTUM * (now - before)))


def scaled_statistics(x: Tensor, norm: DegreeScalerAggregation, context: Context) -> Tensor:
    """The twelve statistics of the neighbours, [nodes, 12 * channels]."""
    high, low, mean, std = kernels.statistics(context.graph.plain, x)
    every = torch.cat([mean, low, high, std], dim=1)
    degree = context.graph.degree.to(x.dtype).unsqueeze(1)
    up = (degree + 1).log() / norm.avg_deg_log
    down = norm.avg_deg_log / (degree.clamp(min=1) + 1).log()
    return torch.cat([every, every * up, every * down], dim=1)


class CellMerge(Op):
    """The end of a cell: all its nodes concatenated, Linear, BatchNorm and LeakyReLU.

    Nothing is dropped here, as in no operation of a cell: BatchNorm would see another variance in training than
    afterwards (Li and others, arXiv 1801.05134). Dropout comes before the first and the last linear layer.
    """

    name = "merge"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        layers = (Call(nn.Linear, (times(inputs), HIDDEN)), Call(nn.BatchNorm1d, (HIDDEN,)), Call(nn.LeakyReLU))
        return {"": Call(nn.Sequential, layers)}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](torch.cat(list(inputs), dim=1)))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}(torch.cat([{', '.join(inputs)}], dim=1))"
