"""Normalisations of states between layers, which keep deep networks apart from oversmoothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn
from torch_geometric.nn import GraphNorm, PairNorm

from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings


class Norm(Op):
    """A normalisation; ``by_graph`` says whether it compares the nodes of a graph."""

    takes = ("node",)
    gives = "node"
    layer: Call
    by_graph = False

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": self.layer}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        arguments = (inputs[0], context.batch) if self.by_graph else (inputs[0],)
        return cast(Tensor, layers[""](*arguments))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}({inputs[0]}{', batch' if self.by_graph else ''})"


class BatchNorm(Norm):
    """Batch normalisation (arXiv 1502.03167)."""

    name = "batch_norm"
    layer = Call(nn.BatchNorm1d, (HIDDEN,))


class LayerNorm(Norm):
    """Layer normalisation (arXiv 1607.06450) of each node's state."""

    name = "layer_norm"
    layer = Call(nn.LayerNorm, (HIDDEN,))


class GraphNormalisation(Norm):
    """GraphNorm (arXiv 2009.03294): a learned share of each graph's mean is taken away."""

    name = "graph_norm"
    layer = Call(GraphNorm, (HIDDEN,))
    by_graph = True
    local = False


class PairNormalisation(Norm):
    """PairNorm (arXiv 1909.12223): the mean distance between the nodes of a graph stays what it is."""

    name = "pair_norm"
    layer = Call(PairNorm)
    by_graph = True
    local = False
