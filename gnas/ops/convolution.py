"""The aggregators of the layered space: PyG's convolutions, each with its projection or propagating only.

Every one has the setting ``transform``. With it a layer projects: ``conv(dropout(relu(x)))``, so that the
non-linearity belongs to the projection. Without it the layer propagates only, as SGC and APPNP do, and what would
be projected is passed as it is. The layers are PyG's; on the CPU their sums go through :mod:`gnas.kernels`. Where a
network has edge features, those that can read them (``edges``) do, as PyG's layer does: messages of edges times
channels are the size of what is read there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import APPNP, GATConv, GATv2Conv, GCNConv, GINConv, GINEConv, SAGEConv, SimpleConv

from gnas import kernels
from gnas.ops.attention_conv import AttentionConv, GeniePathConv
from gnas.ops.base import HIDDEN, Call, Context, Layers, Op, Settings, activate, split

IDENTITY = Call(nn.Identity)
HEADS = 8

Read: TypeAlias = Callable[[str], Tensor]
"""An aggregation of the activated input by its name in the kernels; the same tensor whoever asks."""

Products: TypeAlias = list[tuple[Tensor, Tensor]]
"""States to be projected, each with its matrix."""


class Convolution(Op):
    """Base of the convolutions: activation before a projection, and the printed call."""

    messages = True
    takes: ClassVar[tuple[str, ...]] = ("node",)
    gives = "node"

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        project = bool(settings.get("transform", True))
        call = self.projecting() if project else self.propagating()
        return {"": self.reading(call, project) if settings.get("edges") else call}

    def reading(self, call: Call, project: bool) -> Call:
        """The layer as it is where it reads edge features: with a projection of them, or adding them as they are."""
        replaced = call.replaced if project else {**call.replaced, "lin_edge": IDENTITY}
        return replace(call, settings={**call.settings, "edge_dim": HIDDEN}, replaced=replaced)

    def projecting(self) -> Call:
        """The PyG layer with its projection."""
        raise NotImplementedError

    def propagating(self) -> Call:
        """The PyG layer without projection."""
        raise NotImplementedError

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        """What the PyG layer computes, by kernels where that is faster."""
        raise NotImplementedError

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """What a weight of the projecting layer's value may go into: square matrices, and the bias that is added last.

        A mixture weights those of all candidates together, before they meet a state.
        """
        return (), None

    def folds(self, conv: Any, matrices: Sequence[Tensor], read: Read) -> Products | None:
        """The projecting layer, but for its bias, as a sum of products with its weighted matrices.

        ``None`` for one whose projection comes before an aggregation that is no sum. Candidates that fold cost a
        product for each state that they project, however many they are.
        """
        return None

    def weighted_value(
        self, conv: Any, weight: Tensor, matrices: Sequence[Tensor], x: Tensor, context: Context
    ) -> Tensor:
        """The weight times what the projecting layer makes of the activated input, but for the bias of :meth:`linear`.

        Args:
            conv: The layer.
            weight: The candidate's.
            matrices: Those of :meth:`linear` with the weight.
            x: The activated input.
            context: The graph.
        """
        return kernels.combine(weight.view(1), [self.propagate(conv, x, context, True)])

    def reads(self, inputs: int, settings: Settings) -> range:
        return range(1)

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        project = bool(settings.get("transform", True))
        x = activate(inputs[0], context) if project else inputs[0]
        return self.propagate(layers[""], x, context, project)

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        x = f"self.activate({inputs[0]})" if settings.get("transform", True) else inputs[0]
        more = ", edge_weight" if self.weighted else ", edge_attr" if settings.get("edges") else ""
        return f"{layers['']}({x}, edge_index{more})"


def plus(out: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias that may be missing."""
    return out if bias is None else out + bias


def _scales(weight: Tensor) -> bool:
    """Whether what is homogeneous may be weighted by its argument, which spares a pass over its value and its gradient.

    That takes a weight that is surely positive; on a GPU, to look is to wait.
    """
    traced = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    return not traced and weight.device.type == "cpu" and weight.item() > 1e-6


class GCN(Convolution):
    """Kipf and Welling's graph convolution (arXiv 1609.02907): D^-1/2 (A + I) D^-1/2 x W. Without W: SGC's step."""

    name = "gcn"
    weighted = True

    def projecting(self) -> Call:
        return Call(GCNConv, (HIDDEN, HIDDEN))

    def propagating(self) -> Call:
        return Call(APPNP, (), {"K": 1, "alpha": 0.0})

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return (conv.lin.weight,), conv.bias

    def folds(self, conv: Any, matrices: Sequence[Tensor], read: Read) -> Products:
        return [(read("gcn"), matrices[0])]

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        graph = context.graph
        z = conv.lin(x) if project else x
        out = kernels.weighted_sum(graph.looped, graph.symmetric(z.dtype), z)
        return plus(out, conv.bias) if project else out


class SAGE(Convolution):
    """GraphSAGE (arXiv 1706.02216): W_1 aggr_j x_j + W_2 x_i. Without projections: the neighbours' aggregate."""

    aggr: str

    def projecting(self) -> Call:
        return Call(SAGEConv, (HIDDEN, HIDDEN), {"aggr": self.aggr})

    def propagating(self) -> Call:
        return Call(SimpleConv, (), {"aggr": self.aggr})

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return (conv.lin_l.weight, conv.lin_r.weight), conv.lin_l.bias

    def folds(self, conv: Any, matrices: Sequence[Tensor], read: Read) -> Products:
        return [(read(self.aggr), matrices[0]), (read("identity"), matrices[1])]

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        out = kernels.aggregate(x, context.graph, self.aggr)
        return cast(Tensor, conv.lin_l(out) + conv.lin_r(x)) if project else out


class SAGEMean(SAGE):
    """GraphSAGE with the mean."""

    name = "sage_mean"
    aggr = "mean"


class SAGESum(SAGE):
    """GraphSAGE with the sum."""

    name = "sage_sum"
    aggr = "sum"


class SAGEMax(SAGE):
    """GraphSAGE with the maximum."""

    name = "sage_max"
    aggr = "max"


class Aggregate(Convolution):
    """One statistic of the projected neighbours: aggr_j W x_j + b, where GraphSAGE projects after its aggregation.

    Candidates of this kind that share W are one pass over the neighbours, however many they are.
    """

    aggr: str

    def projecting(self) -> Call:
        return Call(GCNConv, (HIDDEN, HIDDEN), {"aggr": self.aggr, "normalize": False})

    def propagating(self) -> Call:
        return Call(SimpleConv, (), {"aggr": self.aggr})

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        # The standard deviation isn't homogeneous: what is small counts as zero.
        return () if self.aggr == "std" else (conv.lin.weight,), conv.bias

    def folds(self, conv: Any, matrices: Sequence[Tensor], read: Read) -> Products | None:
        return [(read(self.aggr), matrices[0])] if self.aggr in ("sum", "mean") else None

    def weighted_value(
        self, conv: Any, weight: Tensor, matrices: Sequence[Tensor], x: Tensor, context: Context
    ) -> Tensor:
        if matrices and _scales(weight):
            return kernels.aggregate(nn.functional.linear(x, matrices[0]), context.graph, self.aggr)
        return kernels.combine(weight.view(1), [kernels.aggregate(conv.lin(x), context.graph, self.aggr)])

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        out = kernels.aggregate(conv.lin(x) if project else x, context.graph, self.aggr)
        return plus(out, conv.bias) if project else out


class ConvSum(Aggregate):
    """Their sum."""

    name = "conv_sum"
    aggr = "sum"


class ConvMean(Aggregate):
    """Their mean."""

    name = "conv_mean"
    aggr = "mean"


class ConvMax(Aggregate):
    """Their maximum."""

    name = "conv_max"
    aggr = "max"


class ConvMin(Aggregate):
    """Their minimum."""

    name = "conv_min"
    aggr = "min"


class ConvStd(Aggregate):
    """Their standard deviation."""

    name = "conv_std"
    aggr = "std"


class GAT(Convolution):
    """Graph attention (arXiv 1710.10903): softmax_j leaky_relu(a . W x_i + b . W x_j), eight heads."""

    name = "gat"
    edges = True
    heads = HEADS

    def projecting(self) -> Call:
        return Call(GATConv, (HIDDEN, split(self.heads)), {"heads": self.heads})

    def propagating(self) -> Call:
        return Call(GATConv, (HIDDEN, split(self.heads)), {"heads": self.heads, "bias": False}, {"lin": IDENTITY})

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        z = conv.lin(x).view(-1, conv.heads, x.size(1) // conv.heads)
        return plus(gat(conv.att_src, conv.att_dst, z, context, edge_logits(conv, context)), conv.bias)

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return (conv.lin.weight,), conv.bias

    def weighted_value(
        self, conv: Any, weight: Tensor, matrices: Sequence[Tensor], x: Tensor, context: Context
    ) -> Tensor:
        # The value is linear in what is summed; the logits are without the weight, and have a product of their own.
        both = torch.cat([conv.att_src, conv.att_dst])
        logits = (both.unsqueeze(-1) * conv.lin.weight.view(*both.shape[1:], -1)).sum(dim=2).flatten(0, 1)
        source, target = nn.functional.linear(x, logits).split(conv.heads, dim=1)
        z = nn.functional.linear(x, matrices[0]).view(-1, *both.shape[1:])
        edge = edge_logits(conv, context)
        return kernels.attention(context.graph.looped, source, target, z, edge=edge).flatten(1)


def edge_logits(conv: Any, context: Context) -> Tensor | None:
    """What the edge features add to GAT's logits, [entries of the looped graph, heads]; None if it doesn't read them.

    PyG's layer projects the features of every edge to all channels, a . W e. Here a W is taken first.
    """
    if conv.edge_dim is None:
        return None
    assert context.edges is not None
    att: Tensor = conv.att_edge.squeeze(0)
    if isinstance(conv.lin_edge, nn.Identity):
        logits = (context.edges.view(-1, *att.shape) * att).sum(dim=-1)
    else:
        matrix = (att.unsqueeze(-1) * conv.lin_edge.weight.view(*att.shape, -1)).sum(dim=1)
        logits = nn.functional.linear(context.edges, matrix)
    return context.graph.along_looped(logits)


def gat(att_src: Tensor, att_dst: Tensor, z: Tensor, context: Context, edge: Tensor | None = None) -> Tensor:
    """Attention of GAT over projected states ``z`` [nodes, heads, channels]; edges add to its logits."""
    # As one product: each head's vector lies in the rows that belong to the head.
    spread = [torch.diag_embed(att.squeeze(0).t()).transpose(0, 1).flatten(0, 1) for att in (att_src, att_dst)]
    source, target = (z.flatten(1) @ torch.cat(spread, dim=1)).split(z.size(1), dim=1)
    return kernels.attention(context.graph.looped, source, target, z, edge=edge).flatten(1)


class GATv2(Convolution):
    """Dynamic graph attention (arXiv 2105.14491): softmax_j a . leaky_relu(W x_i + W x_j), eight heads."""

    name = "gatv2"
    edges = True

    def projecting(self) -> Call:
        return Call(GATv2Conv, (HIDDEN, split(HEADS)), {"heads": HEADS, "share_weights": True})

    def propagating(self) -> Call:
        settings = {"heads": HEADS, "share_weights": True, "bias": False}
        return Call(GATv2Conv, (HIDDEN, split(HEADS)), settings, {"lin_l": IDENTITY, "lin_r": IDENTITY})

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        if conv.edge_dim is not None:
            return cast(Tensor, conv(x, context.graph.edge_index, context.edges))
        z = conv.lin_l(x).view(-1, HEADS, x.size(1) // HEADS)
        return plus(gatv2(conv.att, z, context), conv.bias)

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return ((), None) if conv.edge_dim is not None else ((conv.lin_l.weight,), conv.bias)

    def weighted_value(
        self, conv: Any, weight: Tensor, matrices: Sequence[Tensor], x: Tensor, context: Context
    ) -> Tensor:
        if not matrices:
            return super().weighted_value(conv, weight, matrices, x, context)
        shape = (-1, HEADS, x.size(1) // HEADS)
        if not _scales(weight):
            return kernels.combine(weight.view(1), [gatv2(conv.att, conv.lin_l(x).view(shape), context)])
        # What the states are scaled by, the logits' vectors undo.
        z = nn.functional.linear(x, matrices[0], weight * conv.lin_l.bias)
        return gatv2(conv.att / weight, z.view(shape), context)


def gatv2(att: Tensor, z: Tensor, context: Context) -> Tensor:
    """Attention of GATv2 over projected states ``z`` [nodes, heads, channels]."""
    return kernels.attention_v2(context.graph.looped, att, z).flatten(1)


class GIN(Convolution):
    """Graph isomorphism network (arXiv 1810.00826): MLP((1 + eps) x_i + sum_j x_j).

    With edge features it is GINE (arXiv 1905.12265): the sum is that of relu(x_j + e_ji).
    """

    name = "gin"
    edges = True

    def projecting(self) -> Call:
        project = Call(nn.Linear, (HIDDEN, HIDDEN))
        return Call(GINConv, (Call(nn.Sequential, (project, Call(nn.ReLU), project)),), {"train_eps": True})

    def propagating(self) -> Call:
        return Call(GINConv, (IDENTITY,), {"train_eps": True})

    def reading(self, call: Call, project: bool) -> Call:
        return replace(call, factory=GINEConv, settings={**call.settings, **({"edge_dim": HIDDEN} if project else {})})

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return ((), None) if isinstance(conv, GINEConv) else ((conv.nn[2].weight,), conv.nn[2].bias)

    def folds(self, conv: Any, matrices: Sequence[Tensor], read: Read) -> Products | None:
        if not matrices:
            return None
        inner = conv.nn[0](kernels.combine(1 + conv.eps, [read("identity")]).add_(read("sum")))
        return [(inner.relu_(), matrices[0])]

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        if isinstance(conv, GINEConv):
            assert context.edges is not None
            edges = context.edges if conv.lin is None else conv.lin(context.edges)
            out = kernels.rectified_sum(context.graph, x, edges)
        else:
            out = kernels.aggregate(x, context.graph, "sum")
        return cast(Tensor, conv.nn((1 + conv.eps) * x + out))


class Identity(Convolution):
    """No neighbour is read: a projection of the node's own state, or that state itself."""

    name = "identity"
    messages = False
    takes = ()
    gives = ""

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        return {"": Call(nn.Linear, (HIDDEN, HIDDEN))} if settings.get("transform", False) else {}

    def coefficients(self, inputs: int, settings: Settings) -> tuple[float, ...] | None:
        return None if settings.get("transform", False) else (1.0,) + (0.0,) * (inputs - 1)

    def linear(self, conv: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return (conv.weight,), conv.bias

    def folds(self, conv: Any, matrices: Sequence[Tensor], read: Read) -> Products:
        return [(read("identity"), matrices[0])]

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        project = settings.get("transform", False)
        return cast(Tensor, layers[""](activate(inputs[0], context))) if project else inputs[0]

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        return f"{layers['']}(self.activate({inputs[0]}))" if settings.get("transform", False) else inputs[0]


class Attention(Convolution):
    """The attention scores of GraphNAS (arXiv 1904.09981), see :class:`gnas.ops.attention_conv.AttentionConv`."""

    score: str

    def projecting(self) -> Call:
        return Call(AttentionConv, (HIDDEN, split(HEADS)), {"heads": HEADS, "score": self.score})

    def propagating(self) -> Call:
        settings = {"heads": HEADS, "score": self.score, "bias": False}
        return Call(AttentionConv, (HIDDEN, split(HEADS)), settings, {"lin": IDENTITY})

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        return cast(Tensor, conv(x, context.graph.edge_index))


class GATSym(Attention):
    """Attention that looks both ways along an edge."""

    name = "gat_sym"
    score = "sym"


class GATCos(Attention):
    """Attention by the product of both states."""

    name = "gat_cos"
    score = "cos"


class GATLinear(Attention):
    """Attention by the sender alone."""

    name = "gat_linear"
    score = "linear"


class GATGenLinear(Attention):
    """Attention by a small network of both states."""

    name = "gat_gen_linear"
    score = "gen_linear"


class GeniePath(Convolution):
    """GeniePath (arXiv 1802.00910): attention for the breadth, an LSTM gate for the depth."""

    name = "geniepath"

    def projecting(self) -> Call:
        return Call(GeniePathConv, (HIDDEN, HIDDEN))

    def propagating(self) -> Call:
        return self.projecting()

    def propagate(self, conv: Any, x: Tensor, context: Context, project: bool) -> Tensor:
        return cast(Tensor, conv(x, context.graph.edge_index))
