"""From the states of nodes to one state for each graph: PyG's aggregations over ``batch``.

A second input, where there is one, says which nodes are kept (see :mod:`gnas.ops.pooling`): [nodes, 2], its first
column m between 0 and 1, which is 1 for a node that is kept and 0 for one that is not. The states of those that are
not are zero. For m of 0 and 1 the value is PyG's aggregation of the kept nodes alone; between them it changes with m
without a jump (but for ``readout_sort``, which reads all nodes with m > 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import (
    AttentionalAggregation,
    MaxAggregation,
    MeanAggregation,
    Set2Set,
    SortAggregation,
    SumAggregation,
)
from torch_geometric.utils import softmax

from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, times

SORTED = 10
STEPS = 3


def kept_nodes(x: Tensor, batch: Tensor | None, keep: Tensor) -> tuple[Tensor, Tensor]:
    """The states of the nodes that are kept, and the graph of each."""
    kept = keep[:, 0] > 0
    batch = x.new_zeros(x.size(0), dtype=torch.long) if batch is None else batch
    return x[kept], batch[kept]


def log_weight(keep: Tensor) -> Tensor:
    """What is added to a score, so that its exponential is multiplied by m: [nodes]."""
    return keep[:, 0].clamp(min=1e-30).log()


class Readout(Op):
    """An aggregation over the nodes of each graph."""

    takes = ("node",)
    gives = "graph"
    functions = (kept_nodes,)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        x, index, count = inputs[0], context.index(), context.zeros.size(0)
        if len(inputs) == 1:
            out = layers[""](x, index, dim_size=count)
        else:
            out = self.weighted_by(layers[""], x, inputs[1], index, count)
        return cast(Tensor, layers["_out"](out) if "_out" in layers else out)

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        """The aggregation over nodes with weights, [graphs, channels]."""
        raise NotImplementedError

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        nodes = f"{inputs[0]}, batch" if len(inputs) == 1 else f"*kept_nodes({inputs[0]}, batch, {inputs[1]})"
        out = f"{layers['']}({nodes}, dim_size=graphs)"
        return f"{layers['_out']}({out})" if "_out" in layers else out


class ReadoutMean(Readout):
    """Mean of the nodes (PyG's global_mean_pool)."""

    name = "readout_mean"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(MeanAggregation)}

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        total = x.new_zeros(count, x.size(1)).index_add(0, index, x)
        weight = x.new_zeros(count, 1).index_add(0, index, keep[:, :1])
        # As in PyG's mean, a graph without nodes has a state of zeros.
        return total / weight.masked_fill(weight == 0, 1)


class ReadoutSum(Readout):
    """Sum of the nodes (PyG's global_add_pool)."""

    name = "readout_sum"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(SumAggregation)}

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        return cast(Tensor, layer(x, index, dim_size=count))


class ReadoutMax(Readout):
    """Maximum in each channel (PyG's global_max_pool)."""

    name = "readout_max"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(MaxAggregation)}

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        low = log_weight(keep).masked_fill(keep[:, 0] == 0, -torch.inf)
        return cast(Tensor, layer(x + low.unsqueeze(1), index, dim_size=count))


class ReadoutAttention(Readout):
    """Soft attention over the nodes (arXiv 1511.05493; PyG's AttentionalAggregation)."""

    name = "readout_attention"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(AttentionalAggregation, (Call(nn.Linear, (HIDDEN, 1)),))}

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        gate = softmax(layer.gate_nn(x) + log_weight(keep).unsqueeze(1), index, num_nodes=count)
        return x.new_zeros(count, x.size(1)).index_add(0, index, gate * x)


class ReadoutSet2Set(Readout):
    """Set2Set (arXiv 1511.06391) with three steps, and a projection."""

    name = "readout_set2set"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        out = Call(nn.Linear, (times(2), HIDDEN))
        return {"": Call(Set2Set, (HIDDEN,), {"processing_steps": STEPS}), "_out": out}

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        low, channels = log_weight(keep).unsqueeze(1), x.size(1)
        state = x.new_zeros(1, count, channels), x.new_zeros(1, count, channels)
        found = x.new_zeros(count, 2 * channels)
        for _ in range(layer.processing_steps):
            query, state = layer.lstm(found.unsqueeze(0), state)
            query = query.squeeze(0)
            gate = softmax((x * query[index]).sum(dim=1, keepdim=True) + low, index, num_nodes=count)
            read = x.new_zeros(count, channels).index_add(0, index, gate * x)
            found = torch.cat([query, read], dim=1)
        return found


class ReadoutSort(Readout):
    """SortPool (DGCNN, AAAI 2018): the nodes with the ten largest last channels side by side, and a projection."""

    name = "readout_sort"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(SortAggregation, (), {"k": SORTED}), "_out": Call(nn.Linear, (times(SORTED), HIDDEN))}

    def weighted_by(self, layer: Any, x: Tensor, keep: Tensor, index: Tensor, count: int) -> Tensor:
        return cast(Tensor, layer(*kept_nodes(x, index, keep), dim_size=count))
