"""Message passing by one C file, built at first use: no tensor of edges by channels, and none kept of edges by heads.

The kernels are operators of :mod:`torch.library` (``torch.ops.gnas``), each with its gradient, so ``torch.compile`` and
``torch.export`` carry them through. The gradients of ``weighted_sum`` and ``inner_product`` are made of the same two,
to any order. The others recompute in the backward pass what they would otherwise keep, by operators that have no
gradient of their own; where a backward pass is to be differentiated again (``create_graph``), it is that of
:mod:`gnas.kernels.portable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, portable, threads
from gnas.kernels.graph import PADDING, Structure

HEADS = 256
"""More attention heads than this are left to other backends."""
PARTIAL = 64
"""Partial sums of a gradient that all rows add to; a fixed number, so that it doesn't depend on the threads."""
CHANNELS = 16
"""Channels that a thread takes at least where threads share out channels: one line of the processor's cache."""

op = torch.library.custom_op


def reason(dtype: torch.dtype) -> str:
    """Why this backend can't serve a type, or nothing where it can."""
    return build.missing(dtype)


def fits(structure: Structure, x: Tensor) -> bool:
    """Whether this backend serves such a graph and such states."""
    return x.device.type == "cpu" and x.dtype in build.TYPES and structure.compact


def _entries(pattern: Tensor, rows: int, columns: int) -> int:
    return (pattern.numel() - rows - columns - 2 - PADDING) // 3


def _at(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _full(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _again(
    formula: Callable[..., Any], inputs: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    # Gradients that can be differentiated: those of the portable formula, evaluated anew.
    with torch.enable_grad():
        outputs = formula(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
        if not pairs:
            return [None for _ in inputs]
        asked = [x for x in inputs if x.requires_grad]
        found = iter(
            torch.autograd.grad(
                [out for out, _ in pairs], asked, [grad for _, grad in pairs], create_graph=True, allow_unused=True
            )
        )
    return [next(found) if x.requires_grad else None for x in inputs]


# Weighted sums ---------------------------------------------------------------------------------------------------


@op("gnas::weighted_sum", mutates_args=(), device_types="cpu")
def _weighted_sum(
    pattern: Tensor, rows: int, columns: int, values: Tensor | None, x: Tensor, transposed: bool
) -> Tensor:
    x, values = x.contiguous(), _full(values)
    entries, channels = _entries(pattern, rows, columns), x.size(1)
    out = x.new_empty(columns if transposed else rows, channels)
    call = build.function("weighted_sum", x.dtype, "pnnnnppnpnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, transposed, _at(values), x.data_ptr(), channels)
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


@op("gnas::inner_product", mutates_args=(), device_types="cpu")
def _inner_product(pattern: Tensor, rows: int, columns: int, left: Tensor, right: Tensor) -> Tensor:
    left, right = left.contiguous(), right.contiguous()
    entries, channels = _entries(pattern, rows, columns), left.size(1)
    out = left.new_empty(entries) if channels else left.new_zeros(entries)
    call = build.function("inner_product", left.dtype, "pnnnppnpnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, left.data_ptr(), right.data_ptr(), channels)
    threads.run(call, (*arguments, out.data_ptr()), threads.count(entries * channels))
    return out


@_inner_product.register_fake
def _(pattern: Tensor, rows: int, columns: int, left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(_entries(pattern, rows, columns))


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


@op("gnas::statistics", mutates_args=(), device_types="cpu")
def _statistics(
    pattern: Tensor, rows: int, columns: int, x: Tensor, high: bool, low: bool, moments: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = x.contiguous()
    entries, channels = _entries(pattern, rows, columns), x.size(1)
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
        to_x = _again(lambda z: portable.statistics(structure, z), [x], given)[0]
    elif all(grad is None for grad in given):
        to_x = None
    else:
        to_x = _to_statistics(pattern, ctx.rows, ctx.columns, x, [high, low, mean, std], given)
    return None, None, None, to_x, None, None, None


_statistics.register_autograd(_statistics_back, setup_context=_keep_statistics)


@op("gnas::statistics_back", mutates_args=(), device_types="cpu")
def _to_statistics(
    pattern: Tensor, rows: int, columns: int, x: Tensor, outs: list[Tensor], grads: list[Tensor | None]
) -> Tensor:
    x = x.contiguous()
    entries, channels = _entries(pattern, rows, columns), x.size(1)
    given = [_full(grad) for grad in grads]
    out = torch.zeros_like(x)
    call = build.function("statistics_back", x.dtype, "pnnnpnpppppppppnp")
    sizes = (pattern.data_ptr(), rows, columns, entries, x.data_ptr(), channels)
    places = [value.data_ptr() for value in outs] + [_at(grad) for grad in given] + [out.data_ptr()]
    workers = min(threads.count(2 * entries * channels), -(-channels // CHANNELS))
    threads.run(call, (*sizes, *places), workers, ranges=workers)
    return out


@_to_statistics.register_fake
def _(pattern: Tensor, rows: int, columns: int, x: Tensor, outs: list[Tensor], grads: list[Tensor | None]) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


# Softmax and attention -------------------------------------------------------------------------------------------


@op("gnas::edge_softmax", mutates_args=(), device_types="cpu")
def _edge_softmax(pattern: Tensor, rows: int, columns: int, logits: Tensor) -> Tensor:
    logits = logits.contiguous()
    out = torch.empty_like(logits)
    heads = logits.size(1)
    call = build.function("edge_softmax", logits.dtype, "pnnnpnpnp")
    arguments = (pattern.data_ptr(), rows, columns, logits.size(0), logits.data_ptr(), heads, out.data_ptr())
    threads.run(call, arguments, threads.count(20 * logits.numel()))
    return out


@_edge_softmax.register_fake
def _(pattern: Tensor, rows: int, columns: int, logits: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


@op("gnas::edge_softmax_back", mutates_args=(), device_types="cpu")
def _to_logits(pattern: Tensor, rows: int, columns: int, weight: Tensor, grad: Tensor) -> Tensor:
    grad = grad.contiguous()
    out = torch.empty_like(weight)
    call = build.function("edge_softmax_back", weight.dtype, "pnnnppnpnp")
    places = (weight.data_ptr(), grad.data_ptr(), weight.size(1), out.data_ptr())
    threads.run(call, (pattern.data_ptr(), rows, columns, weight.size(0), *places), threads.count(weight.numel()))
    return out


@_to_logits.register_fake
def _(pattern: Tensor, rows: int, columns: int, weight: Tensor, grad: Tensor) -> Tensor:
    return torch.empty_like(weight)


def _keep_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pattern, ctx.rows, ctx.columns, logits = inputs
    ctx.save_for_backward(pattern, logits, output)


def _softmax_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    pattern, logits, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)
        to_logits = _again(lambda z: portable.edge_softmax(structure, z), [logits], [grad])[0]
    else:
        to_logits = _to_logits(pattern, ctx.rows, ctx.columns, weight, grad)
    return None, None, None, to_logits


_edge_softmax.register_autograd(_softmax_back, setup_context=_keep_softmax)


@op("gnas::attention", mutates_args=(), device_types="cpu")
def _attention(
    pattern: Tensor, rows: int, columns: int, source: Tensor, target: Tensor, z: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    source, target, z = source.contiguous(), target.contiguous(), z.contiguous()
    entries, (heads, width) = _entries(pattern, rows, columns), z.shape[1:]
    out, peak, scale = z.new_empty(rows, heads, width), z.new_empty(rows, heads), z.new_empty(rows, heads)
    call = build.function("attention", z.dtype, "pnnnnnfppppppnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, heads, width, slope)
    places = (x.data_ptr() for x in (source, target, z, out, peak, scale))
    threads.run(call, (*arguments, *places), threads.count(entries * heads * (width + 20)))
    return out, peak, scale


@_attention.register_fake
def _(
    pattern: Tensor, rows: int, columns: int, source: Tensor, target: Tensor, z: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = z.shape[1:]
    return z.new_empty(rows, heads, width), z.new_empty(rows, heads), z.new_empty(rows, heads)


@op("gnas::attention_back", mutates_args=(), device_types="cpu")
def _to_attention(
    pattern: Tensor, rows: int, columns: int, kept: list[Tensor], grad: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    source, target, z, out, peak, scale = (x.contiguous() for x in kept)
    grad = grad.contiguous()
    entries, (heads, width) = _entries(pattern, rows, columns), z.shape[1:]
    inner = torch.empty_like(peak)
    to_source, to_target, to_z = torch.empty_like(source), torch.empty_like(target), torch.empty_like(z)
    call = build.function("attention_back", z.dtype, "pnnnnnnfppppppppppnp")
    shared = [x.data_ptr() for x in (source, target, z, out, grad, peak, scale, inner)]
    workers = threads.count(entries * heads * (width + 20))
    for by_columns, to_own in ((False, to_target), (True, to_source)):
        sizes = (pattern.data_ptr(), rows, columns, entries, by_columns, heads, width, slope)
        threads.run(call, (*sizes, *shared, to_own.data_ptr(), to_z.data_ptr()), workers)
    return to_source, to_target, to_z


@_to_attention.register_fake
def _(
    pattern: Tensor, rows: int, columns: int, kept: list[Tensor], grad: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    source, target, z = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in kept[:3])
    return source, target, z


def _keep_attention(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pattern, ctx.rows, ctx.columns, source, target, z, ctx.slope = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(pattern, source, target, z, *output)


def _attention_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    pattern, *kept = ctx.saved_tensors
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)
        found = _again(lambda s, t, z: portable.attention(structure, s, t, z, ctx.slope), kept[:3], [grad])
    else:
        found = _to_attention(pattern, ctx.rows, ctx.columns, kept, grad, ctx.slope)
    return None, None, None, *found, None


_attention.register_autograd(_attention_back, setup_context=_keep_attention)


@op("gnas::attention_v2", mutates_args=(), device_types="cpu")
def _attention_v2(pattern: Tensor, nodes: int, att: Tensor, z: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    att, z = att.contiguous(), z.contiguous()
    entries, (heads, width) = _entries(pattern, nodes, nodes), z.shape[1:]
    out, peak, scale = torch.empty_like(z), z.new_empty(nodes, heads), z.new_empty(nodes, heads)
    call = build.function("attention_v2", z.dtype, "pnnnnnfpppppnp")
    arguments = (pattern.data_ptr(), nodes, nodes, entries, heads, width, slope)
    places = (x.data_ptr() for x in (att, z, out, peak, scale))
    threads.run(call, (*arguments, *places), threads.count(entries * heads * (2 * width + 20)))
    return out, peak, scale


@_attention_v2.register_fake
def _(pattern: Tensor, nodes: int, att: Tensor, z: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    out = torch.empty_like(z, memory_format=torch.contiguous_format)
    return out, z.new_empty(nodes, z.size(1)), z.new_empty(nodes, z.size(1))


@op("gnas::attention_v2_back", mutates_args=(), device_types="cpu")
def _to_attention_v2(
    pattern: Tensor, nodes: int, kept: list[Tensor], grad: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    att, z, out, peak, scale = (x.contiguous() for x in kept)
    grad = grad.contiguous()
    entries, (heads, width) = _entries(pattern, nodes, nodes), z.shape[1:]
    inner, to_z = torch.empty_like(peak), torch.empty_like(z)
    partial = z.new_empty(PARTIAL, heads, width)
    call = build.function("attention_v2_back", z.dtype, "pnnnnnnfpppppppppnp")
    places = [x.data_ptr() for x in (att, z, out, grad, peak, scale, inner, to_z, partial)]
    workers = threads.count(2 * entries * heads * (width + 20))
    for by_columns, ranges in ((False, PARTIAL), (True, 0)):
        sizes = (pattern.data_ptr(), nodes, nodes, entries, by_columns, heads, width, slope)
        threads.run(call, (*sizes, *places), workers, ranges)
    return partial.sum(dim=0).view_as(att), to_z


@_to_attention_v2.register_fake
def _(pattern: Tensor, nodes: int, kept: list[Tensor], grad: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    att, z = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in kept[:2])
    return att, z


def _keep_attention_v2(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pattern, ctx.nodes, att, z, ctx.slope = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(pattern, att, z, *output)


def _attention_v2_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    pattern, *kept = ctx.saved_tensors
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.nodes, ctx.nodes)
        found = _again(lambda a, z: portable.attention_v2(structure, a, z, ctx.slope), kept[:2], [grad])
    else:
        found = _to_attention_v2(pattern, ctx.nodes, kept, grad, ctx.slope)
    return None, None, *found, None


_attention_v2.register_autograd(_attention_v2_back, setup_context=_keep_attention_v2)


# What the front calls --------------------------------------------------------------------------------------------


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.weighted_sum`."""
    return _weighted_sum(structure.pattern, *structure.shape, values, x, False)


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.inner_product`."""
    return _inner_product(structure.pattern, *structure.shape, left, right)


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


def attention(structure: Structure, source: Tensor, target: Tensor, z: Tensor, slope: float) -> Tensor:
    """As :func:`gnas.kernels.reference.attention`."""
    return _attention(structure.pattern, *structure.shape, source, target, z, slope)[0]


def attention_v2(structure: Structure, att: Tensor, z: Tensor, slope: float) -> Tensor:
    """As :func:`gnas.kernels.reference.attention_v2`."""
    return _attention_v2(structure.pattern, structure.shape[0], att, z, slope)[0]
