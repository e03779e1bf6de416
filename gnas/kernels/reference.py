"""Message passing in plain PyTorch: slow and true. It defines what every other backend must compute."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from gnas.kernels.graph import Structure
from gnas.kernels.mixing import Propagation, aggregates, squares_of


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """``out_i = sum_j values_ij x_j`` over the entries of row i. ``x``: [columns, channels]."""
    out = x.new_zeros(structure.shape[0], x.size(1))
    neighbours = x[structure.column]
    return out.index_add(0, structure.row, neighbours if values is None else values.unsqueeze(1) * neighbours)


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """``<left_i, right_j>`` for every entry (i, j): [entries]."""
    return (left[structure.row] * right[structure.column]).sum(dim=1)


def rectified_sum(structure: Structure, order: Tensor, x: Tensor, edge: Tensor) -> Tensor:
    """``out_i = sum_j relu(x_j + e_ij)``, where an entry's row of ``edge`` [entries, channels] is that of ``order``."""
    messages = (x.index_select(0, structure.column) + edge.index_select(0, order)).relu()
    return x.new_zeros(structure.shape[0], x.size(1)).index_add(0, structure.row, messages)


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """Largest (or smallest) of the neighbours in each channel; zero where there is no neighbour, as in PyG.

    Neighbours that tie share the gradient evenly.
    """
    index = structure.row.unsqueeze(1).expand(-1, x.size(1))
    reduce = "amax" if largest else "amin"
    # PyTorch counts what it starts from among those that tie, so it starts from what no state equals.
    out = x.new_full((structure.shape[0], x.size(1)), -torch.inf if largest else torch.inf)
    out = out.scatter_reduce(0, index, x[structure.column], reduce, include_self=False)
    return out.masked_fill((structure.pointer.diff() == 0).unsqueeze(1), 0)


def moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the neighbours; as in PyG, a variance up to 1e-5 counts as zero."""
    count = structure.pointer.diff().clamp(min=1).to(x.dtype).unsqueeze(1)
    mean = weighted_sum(structure, None, x) / count
    deviation = x[structure.column] - mean[structure.row]
    variance = torch.zeros_like(mean).index_add(0, structure.row, deviation * deviation) / count
    flat = variance <= 1e-5
    return mean, variance.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)


def statistics(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maximum, minimum, mean and standard deviation of the neighbours: four of [rows, channels]."""
    return extreme(structure, x, True), extreme(structure, x, False), *moments(structure, x)


def edge_softmax(structure: Structure, logits: Tensor) -> Tensor:
    """Softmax of ``logits`` [entries, heads] over the entries of each row."""
    index = structure.row.unsqueeze(1).expand_as(logits)
    top = logits.new_zeros(structure.shape[0], logits.size(1))
    top = top.scatter_reduce(0, index, logits.detach(), "amax", include_self=False)
    weight = (logits - top.index_select(0, structure.row)).exp()
    total = torch.zeros_like(top).index_add(0, structure.row, weight)
    return weight / (total.index_select(0, structure.row) + 1e-16)


def logits_of(structure: Structure, source: Tensor, target: Tensor, slope: float, edge: Tensor | None = None) -> Tensor:
    """Logits of GAT [entries, heads], of both halves and what the edges add."""
    both = source.index_select(0, structure.column) + target.index_select(0, structure.row)
    return leaky_relu(both if edge is None else both + edge, slope)


def logits_v2_of(structure: Structure, att: Tensor, z: Tensor, slope: float, target: Tensor | None) -> Tensor:
    """Logits of GATv2 [entries, heads]; on the way there is a tensor of entries by channels."""
    own = z if target is None else target
    both = leaky_relu(own.index_select(0, structure.row) + z.index_select(0, structure.column), slope)
    return (both * att).sum(dim=-1)


def thinned(weight: Tensor, keep: Tensor | None) -> Tensor:
    """Attention weights [entries, heads] times a mask of that shape, or as they are."""
    return weight if keep is None else weight * keep


def attention(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    """``sum_j m_j softmax_j(leaky_relu(source_j + target_i + e_ij)) z_j``, for each head: [rows, heads, channels].

    m is ``keep`` [entries, heads], or one; e is ``edge`` [entries, heads], or zero.
    """
    return _attend(structure, logits_of(structure, source, target, slope, edge), z, keep)


def attention_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """``sum_j m_j softmax_j(att . leaky_relu(t_i + z_j)) z_j``, for each head: [rows, heads, channels].

    t is ``target`` [rows, heads, channels], or z.
    """
    return _attend(structure, logits_v2_of(structure, att, z, slope, target), z, keep)


def _attend(structure: Structure, logits: Tensor, z: Tensor, keep: Tensor | None) -> Tensor:
    weight = thinned(edge_softmax(structure, logits), keep)
    out = z.new_zeros(structure.shape[0], *z.shape[1:])
    return out.index_add(0, structure.row, weight.unsqueeze(2) * z[structure.column])


def mix(
    structure: Structure, kinds: int, x: Tensor, weights: Tensor, propagation: Propagation, squares: bool
) -> tuple[Tensor, Tensor]:
    """``sum_k w_k aggregate_k(x)`` over the bits ``kinds``, and each aggregate's sum of squares, detached.

    ``weights``: [7], as :data:`gnas.kernels.AGGREGATIONS`. The squares are zero for what isn't mixed, and not computed
    (of no elements) unless asked for.
    """
    parts = _aggregates(structure, kinds, x, propagation)
    out = sum((weights[k] * part for k, part in parts.items()), torch.zeros_like(x))
    return out, squares_of(x, parts) if squares else x.new_empty(0)


def _aggregates(structure: Structure, kinds: int, x: Tensor, propagation: Propagation) -> dict[int, Tensor]:
    own = partial(weighted_sum, structure), partial(extreme, structure), partial(moments, structure)
    return aggregates(kinds, x, propagation, *own)
