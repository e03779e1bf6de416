"""Message passing by one C file, built at first use: no tensor of edges by channels, and none kept of edges by heads.

The kernels are operators of :mod:`torch.library` (``torch.ops.gnas``), each with its gradient, so ``torch.compile`` and
``torch.export`` carry them through. The gradients of ``weighted_sum`` and ``inner_product`` are made of the same two,
to any order. The others recompute in the backward pass what they would otherwise keep, by operators that have no
gradient of their own; where a backward pass is to be differentiated again (``create_graph``), it is that of
:mod:`gnas.kernels.portable`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, portable, threads
from gnas.kernels.compiled_attention import _attention, _attention_v2, _edge_softmax
from gnas.kernels.compiled_edges import _rectified_sum
from gnas.kernels.compiled_mixture import _mix
from gnas.kernels.graph import Structure
from gnas.kernels.mixing import Propagation
from gnas.kernels.operators import CHANNELS, HEADS, address, again, alike, entries_of, full, op


def reason(dtype: torch.dtype) -> str:
    """Why this backend can't serve a type, or nothing where it can."""
    return build.missing(dtype)


def fits(structure: Structure, x: Tensor, heads: int) -> bool:
    """Whether this backend serves such a graph, such states and so many attention heads."""
    return x.device.type == "cpu" and x.dtype in build.TYPES and structure.compact and heads <= HEADS


@op("gnas::weighted_sum", device_types="cpu")
def _weighted_sum(
    pattern: Tensor, rows: int, columns: int, values: Tensor | None, x: Tensor, transposed: bool
) -> Tensor:
    entries, channels = entries_of(pattern, rows, columns), x.size(1)
    x = full("x", x, (rows if transposed else columns, channels), x.dtype)
    values = None if values is None else full("values", values, (entries,), x.dtype)
    out = x.new_empty(columns if transposed else rows, channels)
    call = build.function("weighted_sum", x.dtype, "pnnnnppnpnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, transposed, address(values), address(x), channels)
    threads.run(call, (*arguments, out.data_ptr()), threads.count(entries * channels))
    return out


@_weighted_sum.register_fake
def _(pattern: Tensor, rows: int, columns: int, values: Tensor | None, x: Tensor, transposed: bool) -> Tensor:
    return x.new_empty(columns if transposed else rows, x.size(1))


def _keep_sum(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pattern, ctx.rows, ctx.columns, values, x, ctx.transposed = inputs
    # The sum is linear: what is summed serves the gradient to the values alone, and the other way round.
    ctx.save_for_backward(pattern, values, x if ctx.needs_input_grad[3] else None)


def _sum_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    pattern, values, x = ctx.saved_tensors
    to_values = to_x = None
    if ctx.needs_input_grad[3]:
        left, right = (x, grad) if ctx.transposed else (grad, x)
        to_values = _inner_product(pattern, ctx.rows, ctx.columns, left, right)
    if ctx.needs_input_grad[4]:
        to_x = _weighted_sum(pattern, ctx.rows, ctx.columns, values, grad, not ctx.transposed)
    return None, None, None, to_values, to_x, None


_weighted_sum.register_autograd(_sum_back, setup_context=_keep_sum)


@op("gnas::inner_product", device_types="cpu")
def _inner_product(pattern: Tensor, rows: int, columns: int, left: Tensor, right: Tensor) -> Tensor:
    entries, channels = entries_of(pattern, rows, columns), left.size(1)
    left = full("left", left, (rows, channels), left.dtype)
    right = full("right", right, (columns, channels), left.dtype)
    out = left.new_empty(entries) if channels else left.new_zeros(entries)
    call = build.function("inner_product", left.dtype, "pnnnppnpnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, left.data_ptr(), right.data_ptr(), channels)
    threads.run(call, (*arguments, out.data_ptr()), threads.count(entries * channels))
    return out


@_inner_product.register_fake
def _(pattern: Tensor, rows: int, columns: int, left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(entries_of(pattern, rows, columns))


def _keep_product(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pattern, ctx.rows, ctx.columns, left, right = inputs
    to_left, to_right = ctx.needs_input_grad[3:5]
    ctx.save_for_backward(pattern, left if to_right else None, right if to_left else None)


def _product_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    pattern, left, right = ctx.saved_tensors
    to_left = to_right = None
    if ctx.needs_input_grad[3]:
        to_left = _weighted_sum(pattern, ctx.rows, ctx.columns, grad, right, False)
    if ctx.needs_input_grad[4]:
        to_right = _weighted_sum(pattern, ctx.rows, ctx.columns, grad, left, True)
    return None, None, None, to_left, to_right


_inner_product.register_autograd(_product_back, setup_context=_keep_product)


# Statistics of order and moment ----------------------------------------------------------------------------------


@op("gnas::statistics", device_types="cpu")
def _statistics(
    pattern: Tensor, rows: int, columns: int, x: Tensor, high: bool, low: bool, moments: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    entries, channels = entries_of(pattern, rows, columns), x.size(1)
    x = full("x", x, (columns, channels), x.dtype)
    wanted = (high, low, moments, moments)
    outs = [x.new_empty((rows, channels) if want else 0) for want in wanted]
    call = build.function("statistics", x.dtype, "pnnnpnppppnp")
    places = [out.data_ptr() if want else 0 for out, want in zip(outs, wanted, strict=True)]
    arguments = (pattern.data_ptr(), rows, columns, entries, x.data_ptr(), channels, *places)
    threads.run(call, arguments, threads.count(entries * channels))
    return outs[0], outs[1], outs[2], outs[3]


@_statistics.register_fake
def _(
    pattern: Tensor, rows: int, columns: int, x: Tensor, high: bool, low: bool, moments: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    outs = [x.new_empty((rows, x.size(1)) if want else 0) for want in (high, low, moments, moments)]
    return outs[0], outs[1], outs[2], outs[3]


def _keep_statistics(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pattern, ctx.rows, ctx.columns, x, *ctx.wanted = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(pattern, x, *output)


def _statistics_back(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    pattern, x, high, low, mean, std = ctx.saved_tensors
    want_high, want_low, moments = ctx.wanted
    asked = (want_high, want_low, moments, moments)
    given = [grad if want else None for grad, want in zip(grads, asked, strict=True)]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)
        to_x = again(lambda z: portable.statistics(structure, z), [x], given)[0]
    elif all(grad is None for grad in given):
        to_x = None
    else:
        to_x = _to_statistics(pattern, ctx.rows, ctx.columns, x, [high, low, mean, std], given)
    return None, None, None, to_x, None, None, None


_statistics.register_autograd(_statistics_back, setup_context=_keep_statistics)


@op("gnas::statistics_back", device_types="cpu")
def _to_statistics(
    pattern: Tensor, rows: int, columns: int, x: Tensor, outs: list[Tensor], grads: list[Tensor | None]
) -> Tensor:
    entries, channels = entries_of(pattern, rows, columns), x.size(1)
    x = full("x", x, (columns, channels), x.dtype)
    given = [None if grad is None else full("grad", grad, (rows, channels), x.dtype) for grad in grads]
    out = torch.zeros_like(x)
    call = build.function("statistics_back", x.dtype, "pnnnpnpppppppppnp")
    sizes = (pattern.data_ptr(), rows, columns, entries, x.data_ptr(), channels)
    places = [value.data_ptr() for value in outs] + [address(grad) for grad in given] + [out.data_ptr()]
    workers = min(threads.count(2 * entries * channels), -(-channels // CHANNELS))
    threads.run(call, (*sizes, *places), workers, ranges=workers)
    return out


@_to_statistics.register_fake
def _(pattern: Tensor, rows: int, columns: int, x: Tensor, outs: list[Tensor], grads: list[Tensor | None]) -> Tensor:
    return alike(x)[0]


# What the front calls --------------------------------------------------------------------------------------------


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.weighted_sum`."""
    return _weighted_sum(structure.pattern, *structure.shape, values, x, False)


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.inner_product`."""
    return _inner_product(structure.pattern, *structure.shape, left, right)


def rectified_sum(structure: Structure, order: Tensor, x: Tensor, edge: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.rectified_sum`."""
    return _rectified_sum(structure.pattern, *structure.shape, order, x, edge)


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """As :func:`gnas.kernels.reference.extreme`."""
    return _statistics(structure.pattern, *structure.shape, x, largest, not largest, False)[0 if largest else 1]


def moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.moments`."""
    mean, std = _statistics(structure.pattern, *structure.shape, x, False, False, True)[2:]
    return mean, std


def statistics(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.statistics`, of one read of the neighbours."""
    return _statistics(structure.pattern, *structure.shape, x, True, True, True)


def edge_softmax(structure: Structure, logits: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.edge_softmax`."""
    return _edge_softmax(structure.pattern, *structure.shape, logits)


def attention(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention`."""
    return _attention(structure.pattern, *structure.shape, source, target, z, slope, keep, edge)[0]


def attention_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention_v2`."""
    return _attention_v2(structure.pattern, *structure.shape, att, z, target, slope, keep)[0]


def mix(
    structure: Structure,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    propagation: Propagation,
    att: Tensor | None,
    slope: float,
    bias: Tensor | None,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.mixing.with_attention`, of one read of the neighbours for all but the attentions, and of
    one for these; plus the bias."""
    out, found, _ = _mix(structure.pattern, kinds, x, weights, *propagation, bias, att, slope, squares)
    return out, found
