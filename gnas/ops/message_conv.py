"""Convolutions whose messages are made on the edges: DeeperGCN's GENConv and PNAConv, as PyG has them.

Each makes a message of edges times channels, with edge features or without, so they are no defaults: on graphs with
many edges the others need less memory and time.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.nn import GENConv, PNAConv

from gnas.ops.base import HIDDEN, Call, Context
from gnas.ops.cell import SCALERS, STATISTICS, note_degrees
from gnas.ops.convolution import IDENTITY, Convolution


class GEN(Convolution):
    """DeeperGCN's convolution (arXiv 2006.07739): MLP(x_i + aggr_j (relu(x_j + e_ji) + eps)).

    Without a transform there is no perceptron.
    """

    edges = True
    aggr: str
    learned: str

    def projecting(self) -> Call:
        return Call(GENConv, (HIDDEN, HIDDEN), {"aggr": self.aggr, self.learned: True, "num_layers": 2})

    def propagating(self) -> Call:
        call = self.projecting()
        return Call(GENConv, call.arguments, {"aggr": self.aggr, self.learned: True}, {"mlp": IDENTITY})

    def reading(self, call: Call, project: bool) -> Call:
        # Encoded edge features have the channels of the states: they are added as they are.
        return call

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        return cast(Tensor, conv(x, context.graph.edge_index, context.edges))


class GENSoftmax(GEN):
    """Softmax aggregation with a learned temperature."""

    name = "gen_softmax"
    aggr = "softmax"
    learned = "learn_t"


class GENPower(GEN):
    """Power mean aggregation with a learned exponent."""

    name = "gen_power"
    aggr = "powermean"
    learned = "learn_p"


class PNALayer(Convolution):
    """Principal neighbourhood aggregation (arXiv 2004.05718) of messages W [x_i, x_j, e_ji] + b.

    It always projects. The mean degree that its scalers compare with is that of the graph it was last trained on.
    """

    name = "pna_conv"
    edges = True

    def projecting(self) -> Call:
        degree = torch.tensor([0, 1])
        return Call(PNAConv, (HIDDEN, HIDDEN, list(STATISTICS), list(SCALERS), degree))

    def propagating(self) -> Call:
        return self.projecting()

    def reading(self, call: Call, project: bool) -> Call:
        return super().reading(call, True)

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        note_degrees(conv.aggr_module, context)
        edges = context.edges if conv.edge_dim is not None else None
        return cast(Tensor, conv(x, context.graph.edge_index, edges))
