"""Message passing by PyTorch's own sparse products: no compiler needed, no tensor of edges by channels.

Each product is a :class:`torch.autograd.Function` because PyTorch's backward pass of a sparse product transposes
the matrix anew at every step; here the transposed order is part of the graph. The backward passes are made of the
same functions, so they can be differentiated again (``create_graph``, :mod:`torch.func`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gnas.kernels.graph import Structure
from gnas.kernels.mixing import LINEAR, Propagation, aggregates, squares_of
from gnas.kernels.reference import edge_softmax, logits_of, logits_v2_of, thinned
from gnas.kernels.reference import rectified_sum as rectified_sum

BLOCK = 1 << 22
"""Numbers that a search for ties compares at a time."""


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, x: Tensor, structure: Structure) -> Tensor:
        return structure.matrix(values) @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Structure], output: Tensor) -> None:
        values, x, ctx.structure = inputs
        ctx.save_for_backward(values, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, x = ctx.saved_tensors
        structure: Structure = ctx.structure
        to_values = _InnerProduct.apply(grad, x, structure) if ctx.needs_input_grad[0] else None
        to_x = _TransposedSum.apply(values, grad, structure) if ctx.needs_input_grad[1] else None
        return to_values, to_x, None


class _TransposedSum(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, x: Tensor, structure: Structure) -> Tensor:
        return structure.matrix_t(values) @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Structure], output: Tensor) -> None:
        values, x, ctx.structure = inputs
        ctx.save_for_backward(values, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, x = ctx.saved_tensors
        structure: Structure = ctx.structure
        to_values = _InnerProduct.apply(x, grad, structure) if ctx.needs_input_grad[0] else None
        to_x = _WeightedSum.apply(values, grad, structure) if ctx.needs_input_grad[1] else None
        return to_values, to_x, None


class _InnerProduct(torch.autograd.Function):
    @staticmethod
    def forward(left: Tensor, right: Tensor, structure: Structure) -> Tensor:
        pattern = structure.matrix(left.new_zeros(structure.entries))
        return torch.sparse.sampled_addmm(pattern, left.contiguous(), right.t(), beta=0.0).values()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Structure], output: Tensor) -> None:
        left, right, ctx.structure = inputs
        ctx.save_for_backward(left, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        left, right = ctx.saved_tensors
        structure: Structure = ctx.structure
        to_left = _WeightedSum.apply(grad, right, structure) if ctx.needs_input_grad[0] else None
        to_right = _TransposedSum.apply(grad, left, structure) if ctx.needs_input_grad[1] else None
        return to_left, to_right, None


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, structure: Structure) -> Tensor:
        pattern = structure.matrix(x.new_ones(structure.entries))
        out = torch.sparse.mm(pattern, x, "amax")
        return out.masked_fill((structure.pointer.diff() == 0).unsqueeze(1), 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Structure], output: Tensor) -> None:
        x, ctx.structure = inputs
        ctx.save_for_backward(x, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, out = ctx.saved_tensors
        row, column = ctx.structure.row, ctx.structure.column
        # PyTorch names one winner, but those that tie share the gradient. They are looked for in a few channels at a
        # time, so that the comparison doesn't grow with entries times channels.
        step = max(1, BLOCK // max(1, row.numel()))
        parts = []
        for mine, best, given in zip(x.split(step, 1), out.split(step, 1), grad.split(step, 1), strict=True):
            hit = (mine.detach().index_select(0, column) == best.detach().index_select(0, row)).to(x.dtype)
            ties = torch.zeros_like(best).index_add(0, row, hit).clamp(min=1)
            share = hit * (given / ties).index_select(0, row)
            parts.append(torch.zeros_like(mine).index_add(0, column, share))
        return torch.cat(parts, dim=1), None


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.weighted_sum`."""
    out: Tensor = _WeightedSum.apply(x.new_ones(structure.entries) if values is None else values, x, structure)
    return out


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.inner_product`."""
    out: Tensor = _InnerProduct.apply(left, right, structure)
    return out


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """As :func:`gnas.kernels.reference.extreme`."""
    out: Tensor = _Maximum.apply(x, structure) if largest else -_Maximum.apply(-x, structure)
    return out


def moments(
    structure: Structure,
    x: Tensor,
    sum_of: Callable[[Structure, None, Tensor], Tensor] = weighted_sum,
) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.moments`, by ``E[(x-c)^2] - E[x-c]^2``, of the sums of this or another backend.

    The centre c is the mean of all nodes, so that the difference doesn't cancel where the states are far from zero.
    """
    degree = structure.pointer.diff().unsqueeze(1)
    count = degree.clamp(min=1).to(x.dtype)
    centre = x.detach().mean(dim=0, keepdim=True)
    shifted = x - centre
    mean = sum_of(structure, None, shifted) / count
    square = sum_of(structure, None, shifted * shifted) / count
    variance = square - mean * mean
    flat = variance <= 1e-5
    return mean + centre * (degree > 0), variance.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)


def statistics(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.statistics`."""
    return extreme(structure, x, True), extreme(structure, x, False), *moments(structure, x)


def attention(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention`: one product for all heads, whose states are stacked."""
    return _attend(structure, logits_of(structure, source, target, slope, edge), z, keep)


def attention_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention_v2`. The logits are the one thing here of entries by channels."""
    return _attend(structure, logits_v2_of(structure, att, z, slope, target), z, keep)


def _attend(structure: Structure, logits: Tensor, z: Tensor, keep: Tensor | None) -> Tensor:
    columns, heads, channels = z.shape
    weight = thinned(edge_softmax(structure, logits), keep)
    stacked = z.transpose(0, 1).reshape(heads * columns, channels)
    out = weighted_sum(structure.repeated(heads), weight.t().flatten(), stacked)
    return out.view(heads, structure.shape[0], channels).transpose(0, 1).contiguous()


def mix(
    structure: Structure, kinds: int, x: Tensor, weights: Tensor, propagation: Propagation, squares: bool
) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.mix`: the sums are one product. With their squares, each for itself."""
    share, values, diagonal = propagation
    if squares:
        parts = _aggregates(structure, kinds, x, propagation)
        out = sum((weights[k] * part for k, part in parts.items()), torch.zeros_like(x))
        return out, squares_of(x, parts)
    out = torch.zeros_like(x)
    if kinds & LINEAR:
        zero = torch.zeros_like(weights[0])
        total, mean, gcn, identity = (weights[k] if kinds >> k & 1 else zero for k in range(4))
        factors = (total + mean * share).index_select(0, structure.row)
        own = identity.expand(x.size(0))
        if values is not None and diagonal is not None:
            factors, own = factors + gcn * values, own + gcn * diagonal
        out = weighted_sum(structure, factors, x) + own.unsqueeze(1) * x
    for k, part in _aggregates(structure, kinds & ~LINEAR, x, propagation).items():
        out = out + weights[k] * part
    return out, x.new_empty(0)


def _aggregates(structure: Structure, kinds: int, x: Tensor, propagation: Propagation) -> dict[int, Tensor]:
    own = partial(weighted_sum, structure), partial(extreme, structure), partial(moments, structure)
    return aggregates(kinds, x, propagation, *own)
