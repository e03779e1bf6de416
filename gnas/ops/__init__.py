"""What a name in a space computes: PyG's layers and conventions."""

from __future__ import annotations

from difflib import get_close_matches

from gnas.ops import cell, combine, convolution
from gnas.ops.base import Call, Context, Op, activate, dropout
from gnas.ops.linear import sparse_dropout_linear

__all__ = ["OPS", "Call", "Context", "Op", "activate", "dropout", "find", "sparse_dropout_linear"]

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
        cell.SparseFilter(),
        cell.DenseFilter(),
        cell.PoolMean(),
        cell.PoolSum(),
        cell.PoolMax(),
        cell.PoolMin(),
        cell.PoolStd(),
        cell.PNA(),
        cell.CellMerge(),
    )
}


def find(name: str, node: str) -> Op:
    """The operation of that name; an unknown one is refused with the nearest known names."""
    if name not in OPS:
        near = get_close_matches(name, OPS, n=3) or sorted(OPS)
        raise ValueError(f"node {node!r} names the operation {name!r}, which gnas doesn't know; try one of {near}")
    return OPS[name]
