"""Message passing in plain PyTorch: slow and true. It defines what every other backend must compute."""

from __future__ import annotations

from torch import Tensor

from gnas.kernels.graph import Structure


def weighted_sum(structure: Structure, values: Tensor, x: Tensor) -> Tensor:
    """``out_i = sum_j values_ij x_j`` over the entries of row i. ``x``: [columns, channels]."""
    out = x.new_zeros(structure.shape[0], x.size(1))
    return out.index_add(0, structure.row, values.unsqueeze(1) * x[structure.column])


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """``<left_i, right_j>`` for every entry (i, j): [entries]."""
    return (left[structure.row] * right[structure.column]).sum(dim=1)


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """Largest (or smallest) of the neighbours in each channel; zero where there is no neighbour, as in PyG."""
    index = structure.row.unsqueeze(1).expand(-1, x.size(1))
    out = x.new_zeros(structure.shape[0], x.size(1))
    reduce = "amax" if largest else "amin"
    return out.scatter_reduce(0, index, x[structure.column], reduce, include_self=False)
