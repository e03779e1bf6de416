"""Message passing on compressed rows: one front, several backends. Knows torch, never PyG's layers, never spaces."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from gnas.kernels import portable, reference
from gnas.kernels.graph import Graph, Structure, graph_of, structure_of

__all__ = [
    "Graph",
    "Structure",
    "edge_softmax",
    "extreme",
    "graph_of",
    "inner_product",
    "moments",
    "structure_of",
    "weighted_sum",
]


def _backend(structure: Structure, x: Tensor) -> ModuleType:
    # PyTorch's reduced sparse products exist on the CPU, for these two types, and neither for empty matrices nor for
    # those with more entries than places.
    fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    fits = fits and 0 < structure.entries <= structure.shape[0] * structure.shape[1]
    return portable if fits and x.numel() > 0 else reference


@torch.compiler.disable
def weighted_sum(structure: Structure, values: Tensor, x: Tensor) -> Tensor:
    """``out_i = sum_j values_ij x_j``: [rows, channels] from ``values`` [entries] and ``x`` [columns, channels]."""
    out: Tensor = _backend(structure, x).weighted_sum(structure, values.to(x.dtype), x)
    return out


@torch.compiler.disable
def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """``<left_i, right_j>`` for every entry: [entries]."""
    out: Tensor = _backend(structure, left).inner_product(structure, left, right)
    return out


@torch.compiler.disable
def extreme(structure: Structure, x: Tensor, largest: bool = True) -> Tensor:
    """Channel-wise maximum (minimum) over the neighbours, zero where there is none: [rows, channels]."""
    out: Tensor = _backend(structure, x).extreme(structure, x, largest)
    return out


@torch.compiler.disable
def moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the neighbours, as PyG's ``mean`` and ``std``: two of [rows, channels].

    The variance is taken around the mean of all nodes, ``E[(x-c)^2] - E[x-c]^2``, so that it doesn't cancel.
    """
    count = structure.pointer.diff().clamp(min=1).to(x.dtype).unsqueeze(1)
    centre = x.detach().mean(dim=0, keepdim=True) if x.size(0) else x.new_zeros(1, x.size(1))
    ones = x.new_ones(structure.entries)
    shifted = x - centre
    mean = weighted_sum(structure, ones, shifted) / count
    square = weighted_sum(structure, ones, shifted * shifted) / count
    std = (square - mean * mean).clamp(min=1e-5).sqrt()
    std = std.masked_fill(std <= 1e-5**0.5, 0)
    return mean + centre * (structure.pointer.diff() > 0).unsqueeze(1), std


def edge_softmax(structure: Structure, logits: Tensor) -> Tensor:
    """Softmax of ``logits`` [entries, heads] over the entries of each row."""
    index = structure.row.unsqueeze(1).expand_as(logits)
    top = logits.new_zeros(structure.shape[0], logits.size(1))
    top = top.scatter_reduce(0, index, logits.detach(), "amax", include_self=False)
    weight = (logits - top.index_select(0, structure.row)).exp()
    total = torch.zeros_like(top).index_add(0, structure.row, weight)
    return weight / (total.index_select(0, structure.row) + 1e-16)
