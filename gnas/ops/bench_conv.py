"""The operations of NAS-Bench-Graph (arXiv 2206.09166) that no other space has: PyG's layers, which always project.

The paper names the layers and not all of their settings: ``ChebConv`` has two Chebyshev polynomials here, ``ARMAConv``
and ``GraphConv`` PyG's settings, and attention the paper's two heads. Messages of ``ARMAConv`` and ``ChebConv`` are
edges times channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from torch_geometric.nn import ARMAConv, ChebConv, GraphConv

from gnas import kernels
from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, activate
from gnas.ops.convolution import GAT, Convolution


class GATTwo(GAT):
    """Graph attention with two heads."""

    name = "gat2"
    heads = 2


class Projecting(Convolution):
    """A convolution that has no form without its projection."""

    call: ClassVar[Call]

    def projecting(self) -> Call:
        return self.call

    def propagating(self) -> Call:
        return self.call

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        return cast(Tensor, conv(x, context.graph.edge_index))


class Cheb(Projecting):
    """Chebyshev filter (arXiv 1606.09375): W_0 x + W_1 L x, with the scaled Laplacian L."""

    name = "cheb"
    local = False  # PyG's layer counts the degrees in the graph that it is given
    call = Call(ChebConv, (HIDDEN, HIDDEN, 2))


class ARMA(Projecting):
    """Auto-regressive filter (arXiv 1901.01343): relu(D^-1/2 A D^-1/2 x W + x V)."""

    name = "arma"
    local = False  # likewise
    call = Call(ARMAConv, (HIDDEN, HIDDEN))


class GraphConvolution(Projecting):
    """The convolution of k-GNNs (arXiv 1810.02244): W_1 x_i + W_2 sum_j x_j."""

    name = "graph_conv"
    call = Call(GraphConv, (HIDDEN, HIDDEN))

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        return cast(Tensor, conv.lin_rel(kernels.aggregate(x, context.graph, "sum")) + conv.lin_root(x))


class Linear(Op):
    """A projection of the node's own state, where ``identity`` would have to be told to project."""

    name = "linear"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(nn.Linear, (HIDDEN, HIDDEN))}

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(1)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return cast(Tensor, layers[""](activate(inputs[0], context)))

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}(self.activate({inputs[0]}))"


class Skip(Op):
    """Passes its input on, and stays a node of the program, where ``identity`` leaves no trace.

    For spaces in which it counts where a node skips.
    """

    name = "skip"

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(1)

    def coefficients(self, inputs: int, settings: Settings) -> tuple[float, ...]:
        return (1.0,) + (0.0,) * (inputs - 1)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        return inputs[0]

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return inputs[0]
