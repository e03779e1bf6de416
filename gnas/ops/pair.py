"""From the states of nodes to one state for each pair of nodes of ``edge_label_index``, [2, pairs].

Link prediction and the classification of edges score these pairs. For an undirected question the first two give the
same for (u, v) and (v, u). Where the pairs are edges with features, the last one reads these, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, times


class Pair(Op):
    """A function of the states of both nodes."""

    takes = ("node",)
    gives = "pair"

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(1)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        pairs = cast(Tensor, context.pairs)
        parts = [inputs[0][pairs[0]], inputs[0][pairs[1]]]
        if settings.get("edges"):
            if context.pair_edges is None:
                raise ValueError(
                    f"the operation {self.name!r} reads the features of each pair's own edge and got no "
                    "edge_label_attr; expected [pairs, edge_channels], try edge_label_attr=edge_attr where the pairs "
                    "are the edges, and the operation 'pair_concat' where they aren't"
                )
            parts.append(context.pair_edges)
        return self.join(layers, *parts)

    def join(self, layers: Layers, left: Tensor, right: Tensor, *edge: Tensor) -> Tensor:
        """The value of pairs from the states of their ends and, if it is read, their edge, each [pairs, channels]."""
        raise NotImplementedError

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        left, right = (f"{inputs[0]}[edge_label_index[{end}]]" for end in (0, 1))
        return self.written(layers, left, right, *(["edge_label_attr"] if settings.get("edges") else []))

    def written(self, layers: Mapping[str, str], left: str, right: str, *edge: str) -> str:
        """The same as :meth:`join` as an expression."""
        raise NotImplementedError


class PairHadamard(Pair):
    """Product in each channel: with the decoder, DistMult's score."""

    name = "pair_hadamard"

    def join(self, layers: Layers, left: Tensor, right: Tensor, *edge: Tensor) -> Tensor:
        return left * right

    def written(self, layers: Mapping[str, str], left: str, right: str, *edge: str) -> str:
        return f"{left} * {right}"


class PairDifference(Pair):
    """Absolute difference in each channel."""

    name = "pair_difference"

    def join(self, layers: Layers, left: Tensor, right: Tensor, *edge: Tensor) -> Tensor:
        return (left - right).abs()

    def written(self, layers: Mapping[str, str], left: str, right: str, *edge: str) -> str:
        return f"({left} - {right}).abs()"


class PairConcat(Pair):
    """Both states side by side, a projection and ReLU."""

    name = "pair_concat"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(nn.Sequential, (Call(nn.Linear, (times(2), HIDDEN)), Call(nn.ReLU)))}

    def join(self, layers: Layers, left: Tensor, right: Tensor, *edge: Tensor) -> Tensor:
        return cast(Tensor, layers[""](torch.cat([left, right, *edge], dim=1)))

    def written(self, layers: Mapping[str, str], left: str, right: str, *edge: str) -> str:
        return f"{layers['']}(torch.cat([{', '.join([left, right, *edge])}], dim=1))"


class PairEdge(PairConcat):
    """The states of both nodes and the features of the edge between them side by side, a projection and ReLU."""

    name = "pair_edge"
    edges = True

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        project = Call(nn.Linear, (times(3 if settings.get("edges") else 2), HIDDEN))
        return {"": Call(nn.Sequential, (project, Call(nn.ReLU)))}
