"""What a name in a space computes: PyG's layers and conventions."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import product

from gnas.ops import bench_conv, cell, combine, convolution, message_conv, norm, pair, pooling, readout, relation
from gnas.ops.base import Call, Context, Op, Settings, activate, dropout
from gnas.ops.encoder import CategoryEncoder, encoder_of
from gnas.ops.linear import sparse_dropout_linear
from gnas.space import Choice, Node, Space

__all__ = [
    "OPS",
    "Call",
    "CategoryEncoder",
    "Context",
    "Op",
    "activate",
    "dropout",
    "encoder_of",
    "find",
    "options",
    "settled",
    "sparse_dropout_linear",
    "unread",
    "variants",
]

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        combine.Zero(),
        combine.ReLU(),
        combine.Sum(),
        combine.Lerp(),
        combine.Concat(),
        combine.Max(),
        combine.LSTM(),
        convolution.Identity(),
        convolution.GCN(),
        convolution.SAGEMean(),
        convolution.SAGESum(),
        convolution.SAGEMax(),
        convolution.ConvSum(),
        convolution.ConvMean(),
        convolution.ConvMax(),
        convolution.ConvMin(),
        convolution.ConvStd(),
        convolution.GAT(),
        convolution.GATv2(),
        convolution.GIN(),
        convolution.GATSym(),
        convolution.GATCos(),
        convolution.GATLinear(),
        convolution.GATGenLinear(),
        convolution.GeniePath(),
        message_conv.GENSoftmax(),
        message_conv.GENPower(),
        message_conv.PNALayer(),
        bench_conv.GATTwo(),
        bench_conv.Cheb(),
        bench_conv.ARMA(),
        bench_conv.GraphConvolution(),
        bench_conv.Linear(),
        bench_conv.Skip(),
        cell.SparseFilter(),
        cell.DenseFilter(),
        cell.PoolMean(),
        cell.PoolSum(),
        cell.PoolMax(),
        cell.PoolMin(),
        cell.PoolStd(),
        cell.PNA(),
        cell.CellMerge(),
        norm.BatchNorm(),
        norm.LayerNorm(),
        norm.GraphNormalisation(),
        norm.PairNormalisation(),
        readout.ReadoutMean(),
        readout.ReadoutSum(),
        readout.ReadoutMax(),
        readout.ReadoutAttention(),
        readout.ReadoutSet2Set(),
        readout.ReadoutSort(),
        pair.PairHadamard(),
        pair.PairDifference(),
        pair.PairConcat(),
        pair.PairEdge(),
        pooling.Keep(),
        pooling.TopK(),
        pooling.SAG(),
        pooling.Gate(),
        pooling.Virtual(),
        pooling.KeptGCN(),
        pooling.KeptMean(),
        pooling.KeptSum(),
        pooling.KeptMax(),
        pooling.KeptGAT(),
        pooling.KeptGIN(),
        relation.RelateSum(),
        relation.RelateMean(),
        relation.RelateMax(),
        relation.RelateStd(),
        relation.EdgeDifference(),
        relation.EdgeGauss(),
        relation.EdgeHadamard(),
        relation.EdgeMean(),
        relation.EdgeSum(),
        relation.EdgeMax(),
    )
}


def find(name: str, node: str) -> Op:
    """The operation of that name; an unknown one is refused with the nearest known names."""
    if name not in OPS:
        near = get_close_matches(name, OPS, n=3) or sorted(OPS)
        raise ValueError(f"node {node!r} names the operation {name!r}, which gnas doesn't know; try one of {near}")
    return OPS[name]


def options(node: Node) -> list[Op]:
    """The operations that a node may be."""
    names = node.op.options if isinstance(node.op, Choice) else (node.op,)
    return [find(str(name), node.name) for name in names]


def variants(node: Node) -> Iterator[tuple[tuple[int, ...], Op, Settings]]:
    """Every operation and settings that a node may have, each with the positions of the options that it takes: of the
    operation, then of each setting; 0 where nothing is open."""
    places = [("op", node.op), *node.settings.items()]
    values = [tuple(place.options) if isinstance(place, Choice) else (place,) for _, place in places]
    for positions in product(*(range(len(each)) for each in values)):
        op, *rest = (each[i] for each, i in zip(values, positions, strict=True))
        yield positions, find(str(op), node.name), dict(zip(node.settings, rest, strict=True))


def settled(op: Op, settings: Settings, edges: bool) -> Settings:
    """Settings of an operation in a network with edge features (``edges``) or without."""
    return {**settings, "edges": True} if edges and op.edges else settings


def unread(space: Space, *, edge_attr: bool = False, edge_weight: bool = False) -> list[str]:
    """What operations of a space leave unread of the edges' data that there is: one sentence for each kind of data.

    Args:
        space: The space.
        edge_attr: Whether the data has edge features.
        edge_weight: Whether the data has edge weights.
    """
    ops = {op.name: op for node in space.nodes for op in options(node) if op.messages}
    notes = []
    for name, there in (("edge_attr", edge_attr), ("edge_weight", edge_weight)):
        can = {n for n, op in ops.items() if (op.weighted if name == "edge_weight" else op.edges or "edge" in op.takes)}
        if there and len(can) < len(ops):
            by = ", ".join(n for n in ops if n in can) or "none of its operations"
            cannot = ", ".join(n for n in ops if n not in can)
            notes.append(f"{name} in the space {space.name!r} is read by {by}; {cannot} can't read it")
    return notes
