"""Weighted sums over neighbours and inner products along entries, for the Triton backend.

Each is the other's gradient, so that both can be differentiated to any order.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gnas.kernels.graph import Structure
from gnas.kernels.operators import entries_of, full, op
from gnas.kernels.triton_plan import DEVICES, fold, partial, plan, share_out, side, tile


@op("gnas::triton_weighted_sum", device_types=DEVICES)
def _weighted_sum(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    values: Tensor | None,
    x: Tensor,
    transposed: bool,
) -> Tensor:
    from gnas.kernels.programs import sums

    entries, channels = entries_of(pattern, rows, columns), x.size(1)
    x = full("x", x, (rows if transposed else columns, channels), x.dtype)
    values = None if values is None else full("values", values, (entries,), x.dtype)
    on = side(pattern, hubs, hubs_t, rows, columns, transposed)
    out, parts = x.new_empty(on.rows, channels), partial(on, x, channels)
    size = tile(entries, on.rows, channels, 1024)
    arguments = (pattern, on.hubs, x if values is None else values, x, out, parts, on.chunks)
    share_out(
        sums.weighted_sum,
        on,
        -(-channels // size.channels),
        size,
        x,
        *(*arguments, on.pointer, on.column, on.order, channels),
        VALUES=values is not None,
        ORDERED=transposed,
    )
    fold(on, pattern, parts, out)
    return out


@_weighted_sum.register_fake
def _(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    values: Tensor | None,
    x: Tensor,
    transposed: bool,
) -> Tensor:
    return x.new_empty(columns if transposed else rows, x.size(1))


def _keep_sum(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *graph, ctx.rows, ctx.columns, values, x, ctx.transposed = inputs
    # The sum is linear: what is summed serves the gradient to the values alone, and the other way round.
    ctx.save_for_backward(*graph, values, x if ctx.needs_input_grad[5] else None)


def _sum_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *graph, values, x = ctx.saved_tensors
    to_values = to_x = None
    if ctx.needs_input_grad[5]:
        left, right = (x, grad) if ctx.transposed else (grad, x)
        to_values = _inner_product(*graph, ctx.rows, ctx.columns, left, right)
    if ctx.needs_input_grad[6]:
        to_x = _weighted_sum(*graph, ctx.rows, ctx.columns, values, grad, not ctx.transposed)
    return None, None, None, None, None, to_values, to_x, None


_weighted_sum.register_autograd(_sum_back, setup_context=_keep_sum)


@op("gnas::triton_inner_product", device_types=DEVICES)
def _inner_product(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, left: Tensor, right: Tensor
) -> Tensor:
    from gnas.kernels.programs import sums

    entries, channels = entries_of(pattern, rows, columns), left.size(1)
    left = full("left", left, (rows, channels), left.dtype)
    right = full("right", right, (columns, channels), left.dtype)
    on = side(pattern, hubs, hubs_t, rows, columns, False)
    out = left.new_empty(entries)
    size = tile(entries, rows, channels, 1024)
    arguments = (pattern, on.hubs, left, right, out, on.chunks, on.column, channels)
    share_out(sums.inner_product, on, 1, size, left, *arguments)
    return out


@_inner_product.register_fake
def _(pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(entries_of(pattern, rows, columns))


def _keep_product(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *graph, ctx.rows, ctx.columns, left, right = inputs
    to_left, to_right = ctx.needs_input_grad[5:7]
    ctx.save_for_backward(*graph, left if to_right else None, right if to_left else None)


def _product_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *graph, left, right = ctx.saved_tensors
    to_left = to_right = None
    if ctx.needs_input_grad[5]:
        to_left = _weighted_sum(*graph, ctx.rows, ctx.columns, grad, right, False)
    if ctx.needs_input_grad[6]:
        to_right = _weighted_sum(*graph, ctx.rows, ctx.columns, grad, left, True)
    return None, None, None, None, None, to_left, to_right


_inner_product.register_autograd(_product_back, setup_context=_keep_product)


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.weighted_sum`."""
    return _weighted_sum(*plan(structure), *structure.shape, values, x, False)


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.inner_product`."""
    return _inner_product(*plan(structure), *structure.shape, left, right)
