"""Message passing by PyTorch's own sparse products: no compiler needed, no tensor of edges by channels.

Each product is a :class:`torch.autograd.Function` because PyTorch's backward pass of a sparse product transposes
the matrix anew at every step; here the transposed order is part of the graph. The backward passes are made of the
same functions, so they can be differentiated again (``create_graph``, :mod:`torch.func`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnas.kernels.graph import Structure


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
    def forward(x: Tensor, structure: Structure) -> tuple[Tensor, Tensor]:
        pattern = structure.matrix(x.new_ones(structure.entries))
        # PyTorch notes which entry won only where it expects to be differentiated.
        with torch.enable_grad():
            asking = x.detach().requires_grad_()
            out, entry = torch.ops.aten._sparse_mm_reduce_impl(pattern, asking, "amax")
        empty = (structure.pointer.diff() == 0).unsqueeze(1)
        out = out.detach().masked_fill(empty, 0)
        winner = structure.column[entry.clamp(0, structure.entries - 1)]
        return out, winner.masked_fill(empty, -1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Structure], output: tuple[Tensor, Tensor]) -> None:
        _, structure = inputs
        ctx.columns = structure.shape[1]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (winner,) = ctx.saved_tensors
        grad = grad.masked_fill(winner < 0, 0)
        out = grad.new_zeros(ctx.columns, grad.size(1)).scatter_add(0, winner.clamp(min=0), grad)
        return out, None


def weighted_sum(structure: Structure, values: Tensor, x: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.weighted_sum`."""
    out: Tensor = _WeightedSum.apply(values, x, structure)
    return out


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.inner_product`."""
    out: Tensor = _InnerProduct.apply(left, right, structure)
    return out


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """As :func:`gnas.kernels.reference.extreme`, but the gradient of a tie goes to one of the neighbours."""
    out: Tensor = _Maximum.apply(x, structure)[0] if largest else -_Maximum.apply(-x, structure)[0]
    return out
