"""Operations that combine states without reading the graph: zero, relu, sum, lerp, and the jumping-knowledge merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge

from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, times

ZEROS = {
    "node": "torch.zeros_like(x)",
    "edge": "x.new_zeros(edge_index.size(1), x.size(1))",
    "pair": "x.new_zeros(edge_label_index.size(1), x.size(1))",
    "graph": "x.new_zeros(graphs, x.size(1))",
}


class Zero(Op):
    """Nothing: zeros that don't depend on any input, so that an infinity upstream stays upstream."""

    name = "zero"

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(0)

    def coefficients(self, inputs: int, settings: Settings) -> tuple[float, ...]:
        return (0.0,) * inputs

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return context.zeros

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return ZEROS[settings.get("kind", "node")]


class ReLU(Op):
    """The positive part: it ends a layer of a perceptron."""

    name = "relu"

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return inputs[0].relu()

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{inputs[0]}.relu()"


class Sum(Op):
    """Sum of the inputs."""

    name = "sum"

    def coefficients(self, inputs: int, settings: Settings) -> tuple[float, ...]:
        return (1.0,) * inputs

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return torch.stack(list(inputs)).sum(dim=0) if len(inputs) > 2 else cast(Tensor, sum(inputs))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return " + ".join(inputs)


class Lerp(Op):
    """(1 - weight) a + weight b: the residual of APPNP (arXiv 1810.05997) and GCNII (arXiv 2007.02133)."""

    name = "lerp"

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(2 if settings["weight"] else 1)

    def coefficients(self, inputs: int, settings: Settings) -> tuple[float, ...]:
        weight = cast(float, settings["weight"])
        return (1 - weight, weight)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return torch.lerp(inputs[0], inputs[1], cast(float, settings["weight"])) if len(inputs) > 1 else inputs[0]

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"torch.lerp({inputs[0]}, {inputs[1]}, {settings['weight']!r})" if len(inputs) > 1 else inputs[0]


class Concat(Op):
    """Layer aggregation by concatenation and a projection (jumping knowledge, arXiv 1806.03536)."""

    name = "concat"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(nn.Linear, (times(inputs), HIDDEN))}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](torch.cat(list(inputs), dim=1)))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}(torch.cat([{', '.join(inputs)}], dim=1))"


class Max(Op):
    """Layer aggregation by the maximum in each channel (jumping knowledge)."""

    name = "max"

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return torch.stack(list(inputs)).amax(dim=0)

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"torch.stack([{', '.join(inputs)}]).amax(dim=0)"


class LSTM(Op):
    """Layer aggregation by attention over layers from a bidirectional LSTM (jumping knowledge)."""

    name = "lstm"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(JumpingKnowledge, ("lstm",), {"channels": HIDDEN, "num_layers": max(inputs, 2)})}

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        jump: Any = layers[""]
        return cast(Tensor, jump(list(inputs)))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}([{', '.join(inputs)}])"
