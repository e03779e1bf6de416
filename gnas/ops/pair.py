"""From the states of nodes to one state for each pair of nodes of ``edge_label_index``, [2, pairs].

Link prediction and the classification of edges score these pairs. For an undirected question the first two give the
same for (u, v) and (v, u).
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
        return self.join(layers, inputs[0][pairs[0]], inputs[0][pairs[1]])

    def join(self, layers: Layers, left: Tensor, right: Tensor) -> Tensor:
        """The value of pairs from the states of their ends, each [pairs, channels]."""
        raise NotImplementedError

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        left, right = (f"{inputs[0]}[edge_label_index[{end}]]" for end in (0, 1))
        return self.written(layers, left, right)

    def written(self, layers: Mapping[str, str], left: str, right: str) -> str:
        """The same as :meth:`join` as an expression."""
        raise NotImplementedError


class PairHadamard(Pair):
    """Product in each channel: with the decoder, DistMult's score."""

    name = "pair_hadamard"

    def join(self, layers: Layers, left: Tensor, right: Tensor) -> Tensor:
        return left * right

    def written(self, layers: Mapping[str, str], left: str, right: str) -> str:
        return f"{left} * {right}"


class PairDifference(Pair):
    """Absolute difference in each channel."""

    name = "pair_difference"

    def join(self, layers: Layers, left: Tensor, right: Tensor) -> Tensor:
        return (left - right).abs()

    def written(self, layers: Mapping[str, str], left: str, right: str) -> str:
        return f"({left} - {right}).abs()"


class PairConcat(Pair):
    """Both states side by side, a projection and ReLU."""

    name = "pair_concat"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(nn.Sequential, (Call(nn.Linear, (times(2), HIDDEN)), Call(nn.ReLU)))}

    def join(self, layers: Layers, left: Tensor, right: Tensor) -> Tensor:
        return cast(Tensor, layers[""](torch.cat([left, right], dim=1)))

    def written(self, layers: Mapping[str, str], left: str, right: str) -> str:
        return f"{layers['']}(torch.cat([{left}, {right}], dim=1))"
