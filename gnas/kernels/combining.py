"""The sum that a supernet is made of, ``base + sum_k w_k v_k`` over whole states, with as few passes as it takes.

Autograd's own way makes a product of each pair in both directions, and another for the gradient of each weight: passes
over memory that a CPU waits for. Here each state is read once in either direction.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, threads
from gnas.kernels.operators import PARTIAL


def _addresses(tensors: Sequence[Tensor | None]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(0 if t is None else t.data_ptr() for t in tensors))


class _Combine(torch.autograd.Function):
    # With a setup_context of its own, PyTorch would read this method's signature in every call.
    @staticmethod
    def forward(ctx: Any, weights: Tensor, compiled: bool, base: Tensor | None, *values: Tensor) -> Tensor:
        ctx.compiled = compiled
        ctx.save_for_backward(weights, *values)
        if not compiled:
            factors = weights.tolist()
            out = values[0] * factors[0] if base is None else torch.add(base, values[0], alpha=factors[0])
            for factor, value in zip(factors[1:], values[1:], strict=True):
                out.add_(value, alpha=factor)
            return out
        out = torch.empty_like(values[0])
        places, size = _addresses(values), out.numel()
        call = build.function("combine", out.dtype, "ppnnppnp")
        start = 0 if base is None else base.data_ptr()
        arguments = (ctypes.addressof(places), weights.data_ptr(), len(values), size, start, out.data_ptr())
        threads.run(call, arguments, threads.count(len(values) * size))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, *values = ctx.saved_tensors
        to_weights, _, to_base, *to_values = ctx.needs_input_grad
        base = grad if to_base else None
        if ctx.compiled and not torch.is_grad_enabled():
            dots, outs = _back(weights, values, grad.contiguous(), to_weights, to_values)
            return dots, None, base, *outs
        # Written in terms that can be differentiated again; a dot product makes no product of the size of a state.
        flat = grad.reshape(-1)
        dots = torch.stack([torch.dot(flat, value.reshape(-1)) for value in values]) if to_weights else None
        factors = weights if torch.is_grad_enabled() else weights.tolist()
        outs = [grad * factor if asked else None for asked, factor in zip(to_values, factors, strict=True)]
        return dots, None, base, *outs


def _back(
    weights: Tensor, values: Sequence[Tensor], grad: Tensor, to_weights: bool, to_values: Sequence[bool]
) -> tuple[Tensor | None, list[Tensor | None]]:
    outs = [torch.empty_like(grad) if asked else None for asked in to_values]
    work = len(values) * grad.numel()
    # A fixed number for a size, so that no sum depends on the threads.
    ranges = PARTIAL if work >= threads.LARGE else 1
    dots = grad.new_zeros((ranges, len(values)), dtype=torch.float64) if to_weights else None
    inputs, results = _addresses(values), _addresses(outs)
    call = build.function("combine_back", grad.dtype, "ppnnpppnp")
    arguments = (ctypes.addressof(inputs), weights.data_ptr(), len(values), grad.numel(), grad.data_ptr())
    found = 0 if dots is None else dots.data_ptr()
    threads.run(call, (*arguments, ctypes.addressof(results), found), threads.count(work), ranges)
    return (None if dots is None else dots.sum(dim=0).to(weights.dtype)), outs


def combine(weights: Tensor, values: Sequence[Tensor], base: Tensor | None, compiled: bool) -> Tensor:
    """``base + sum_k w_k v_k``; see :func:`gnas.kernels.combine`."""
    if compiled:
        weights, values = weights.to(values[0].dtype).contiguous(), [value.contiguous() for value in values]
        base = None if base is None else base.contiguous()
    out: Tensor = _Combine.apply(weights, compiled, base, *values)
    return out
