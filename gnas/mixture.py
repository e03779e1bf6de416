"""The sum that a supernet is made of, ``sum_k w_k v_k``, with as few passes over the states as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(weights: Tensor, *values: Tensor) -> Tensor:
        factors = weights.tolist()
        out = values[0] * factors[0]
        for factor, value in zip(factors[1:], values[1:], strict=True):
            out.add_(value, alpha=factor)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Written in terms that can be differentiated again; a dot product makes no product of the size of a state.
        weights, *values = ctx.saved_tensors
        to_weights, *to_values = ctx.needs_input_grad
        flat = grad.reshape(-1)
        dots = torch.stack([torch.dot(flat, value.reshape(-1)) for value in values]) if to_weights else None
        factors = weights if torch.is_grad_enabled() else weights.tolist()
        return dots, *(grad * factor if asked else None for asked, factor in zip(to_values, factors, strict=True))


@torch.compiler.disable
def mixture(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    """``sum_k w_k v_k``.

    Autograd's own way makes a product of each pair in both directions, and another for the gradient of each weight;
    on a CPU these passes over memory are most of a supernet's time.

    Args:
        weights: [options].
        values: A tensor for each option, all of one shape.
    """
    if weights.device.type != "cpu":
        return torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum(dim=0)
    out: Tensor = _Mixture.apply(weights, *values)
    return out
