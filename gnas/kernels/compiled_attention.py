"""Softmax over a node's edges and attention, for the compiled backend; see :mod:`gnas.kernels.compiled`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, portable, threads
from gnas.kernels.graph import Structure
from gnas.kernels.operators import PARTIAL, address, again, alike, entries_of, full, op


@op("gnas::edge_softmax", device_types="cpu")
def _edge_softmax(pattern: Tensor, rows: int, columns: int, logits: Tensor) -> Tensor:
    heads = logits.size(1)
    logits = full("logits", logits, (entries_of(pattern, rows, columns), heads), logits.dtype)
    out = torch.empty_like(logits)
    call = build.function("edge_softmax", logits.dtype, "pnnnpnpnp")
    arguments = (pattern.data_ptr(), rows, columns, logits.size(0), logits.data_ptr(), heads, out.data_ptr())
    threads.run(call, arguments, threads.count(20 * logits.numel()))
    return out


@_edge_softmax.register_fake
def _(pattern: Tensor, rows: int, columns: int, logits: Tensor) -> Tensor:
    return alike(logits)[0]


@op("gnas::edge_softmax_back", device_types="cpu")
def _to_logits(pattern: Tensor, rows: int, columns: int, weight: Tensor, grad: Tensor) -> Tensor:
    weight = full("weight", weight, (entries_of(pattern, rows, columns), weight.size(1)), weight.dtype)
    grad = full("grad", grad, tuple(weight.shape), weight.dtype)
    out = torch.empty_like(weight)
    call = build.function("edge_softmax_back", weight.dtype, "pnnnppnpnp")
    places = (weight.data_ptr(), grad.data_ptr(), weight.size(1), out.data_ptr())
    threads.run(call, (pattern.data_ptr(), rows, columns, weight.size(0), *places), threads.count(weight.numel()))
    return out


@_to_logits.register_fake
def _(pattern: Tensor, rows: int, columns: int, weight: Tensor, grad: Tensor) -> Tensor:
    return alike(weight)[0]


def _keep_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pattern, ctx.rows, ctx.columns, logits = inputs
    ctx.save_for_backward(pattern, logits, output)


def _softmax_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    pattern, logits, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)
        to_logits = again(lambda z: portable.edge_softmax(structure, z), [logits], [grad])[0]
    else:
        to_logits = _to_logits(pattern, ctx.rows, ctx.columns, weight, grad)
    return None, None, None, to_logits


_edge_softmax.register_autograd(_softmax_back, setup_context=_keep_softmax)


def _of_edges(name: str, x: Tensor | None, entries: int, z: Tensor) -> Tensor | None:
    return None if x is None else full(name, x, (entries, z.size(1)), z.dtype)


@op("gnas::attention", device_types="cpu")
def _attention(
    pattern: Tensor,
    rows: int,
    columns: int,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None,
    edge: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    entries, (heads, width) = entries_of(pattern, rows, columns), z.shape[1:]
    keep, edge = _of_edges("keep", keep, entries, z), _of_edges("edge", edge, entries, z)
    source = full("source", source, (columns, heads), z.dtype)
    target = full("target", target, (rows, heads), z.dtype)
    z = full("z", z, (columns, heads, width), z.dtype)
    out, peak, scale = z.new_empty(rows, heads, width), z.new_empty(rows, heads), z.new_empty(rows, heads)
    call = build.function("attention", z.dtype, "pnnnnnfppppppppnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, heads, width, slope)
    places = map(address, (source, target, edge, z, keep, out, peak, scale))
    threads.run(call, (*arguments, *places), threads.count(entries * heads * (width + 20)))
    return out, peak, scale


@_attention.register_fake
def _(
    pattern: Tensor,
    rows: int,
    columns: int,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None,
    edge: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = z.shape[1:]
    return z.new_empty(rows, heads, width), z.new_empty(rows, heads), z.new_empty(rows, heads)


@op("gnas::attention_back", device_types="cpu")
def _to_attention(
    pattern: Tensor,
    rows: int,
    columns: int,
    kept: list[Tensor],
    grad: Tensor,
    slope: float,
    keep: Tensor | None,
    edge: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    source, target, z, out, peak, scale = (x.contiguous() for x in kept)
    grad = full("grad", grad, tuple(out.shape), z.dtype)
    entries, (heads, width) = entries_of(pattern, rows, columns), z.shape[1:]
    inner, to_source, to_target, to_z = alike(peak, source, target, z)
    keep, edge = _of_edges("keep", keep, entries, z), _of_edges("edge", edge, entries, z)
    to_edge = z.new_empty(0) if edge is None else torch.empty_like(edge)
    call = build.function("attention_back", z.dtype, "pnnnnnnfpppppppppppppnp")
    shared = [address(x) for x in (source, target, edge, z, keep, out, grad, peak, scale, inner)]
    workers = threads.count(entries * heads * (width + 20))
    for by_columns, to_own in ((False, to_target), (True, to_source)):
        sizes = (pattern.data_ptr(), rows, columns, entries, by_columns, heads, width, slope)
        threads.run(call, (*sizes, *shared, to_own.data_ptr(), to_z.data_ptr(), to_edge.data_ptr()), workers)
    return to_source, to_target, to_z, to_edge


@_to_attention.register_fake
def _(
    pattern: Tensor,
    rows: int,
    columns: int,
    kept: list[Tensor],
    grad: Tensor,
    slope: float,
    keep: Tensor | None,
    edge: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    source, target, z = alike(*kept[:3])
    return source, target, z, z.new_empty(0) if edge is None else alike(edge)[0]


def _keep_attention(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pattern, ctx.rows, ctx.columns, source, target, z, ctx.slope, keep, edge = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(pattern, keep, edge, source, target, z, *output)


def _attention_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    pattern, keep, edge, *kept = ctx.saved_tensors
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)

        def formula(source: Tensor, target: Tensor, z: Tensor, along: Tensor | None = None) -> Tensor:
            return portable.attention(structure, source, target, z, ctx.slope, keep, along)

        found = again(formula, kept[:3] if edge is None else [*kept[:3], edge], [grad])
    else:
        found = _to_attention(pattern, ctx.rows, ctx.columns, kept, grad, ctx.slope, keep, edge)
    to_source, to_target, to_z, *to_edge = found
    return None, None, None, to_source, to_target, to_z, None, None, None if edge is None else to_edge[0]


_attention.register_autograd(_attention_back, setup_context=_keep_attention)


@op("gnas::attention_v2", device_types="cpu")
def _attention_v2(
    pattern: Tensor,
    rows: int,
    columns: int,
    att: Tensor,
    z: Tensor,
    target: Tensor | None,
    slope: float,
    keep: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    entries, (heads, width) = entries_of(pattern, rows, columns), z.shape[1:]
    att = full("att", att, (1,) * (att.dim() - 2) + (heads, width), z.dtype)
    z = full("z", z, (columns, heads, width), z.dtype)
    target = full("target", z if target is None else target, (rows, heads, width), z.dtype)
    keep = _of_edges("keep", keep, entries, z)
    out, peak, scale = torch.empty_like(target), z.new_empty(rows, heads), z.new_empty(rows, heads)
    call = build.function("attention_v2", z.dtype, "pnnnnnfpppppppnp")
    arguments = (pattern.data_ptr(), rows, columns, entries, heads, width, slope)
    places = map(address, (att, z, target, keep, out, peak, scale))
    threads.run(call, (*arguments, *places), threads.count(entries * heads * (2 * width + 20)))
    return out, peak, scale


@_attention_v2.register_fake
def _(
    pattern: Tensor,
    rows: int,
    columns: int,
    att: Tensor,
    z: Tensor,
    target: Tensor | None,
    slope: float,
    keep: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = z.shape[1:]
    return z.new_empty(rows, heads, width), z.new_empty(rows, heads), z.new_empty(rows, heads)


@op("gnas::attention_v2_back", device_types="cpu")
def _to_attention_v2(
    pattern: Tensor,
    rows: int,
    columns: int,
    kept: list[Tensor],
    target: Tensor | None,
    grad: Tensor,
    slope: float,
    keep: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    att, z, out, peak, scale = (x.contiguous() for x in kept)
    grad = full("grad", grad, tuple(out.shape), z.dtype)
    entries, (heads, width) = entries_of(pattern, rows, columns), z.shape[1:]
    inner, to_z = alike(peak, z)
    own, to_own = (z, to_z) if target is None else (target.contiguous(), alike(target)[0])
    partial = z.new_empty(PARTIAL, heads, width)
    keep = _of_edges("keep", keep, entries, z)
    call = build.function("attention_v2_back", z.dtype, "pnnnnnnfppppppppppppnp")
    places = [address(x) for x in (att, z, own, keep, out, grad, peak, scale, inner, to_z, to_own, partial)]
    workers = threads.count(2 * entries * heads * (width + 20))
    for by_columns, ranges in ((False, PARTIAL), (True, 0)):
        sizes = (pattern.data_ptr(), rows, columns, entries, by_columns, heads, width, slope)
        threads.run(call, (*sizes, *places), workers, ranges)
    return partial.sum(dim=0).view_as(att), to_z, z.new_empty(0) if target is None else to_own


@_to_attention_v2.register_fake
def _(
    pattern: Tensor,
    rows: int,
    columns: int,
    kept: list[Tensor],
    target: Tensor | None,
    grad: Tensor,
    slope: float,
    keep: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    att, z = alike(*kept[:2])
    return att, z, z.new_empty(0) if target is None else alike(target)[0]


def _keep_attention_v2(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pattern, ctx.rows, ctx.columns, att, z, target, ctx.slope, keep = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(pattern, keep, target, att, z, *output)


def _attention_v2_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    pattern, keep, target, *kept = ctx.saved_tensors
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)

        def formula(att: Tensor, z: Tensor, own: Tensor | None = None) -> Tensor:
            return portable.attention_v2(structure, att, z, ctx.slope, keep, own)

        found = again(formula, kept[:2] if target is None else [*kept[:2], target], [grad])
    else:
        found = _to_attention_v2(pattern, ctx.rows, ctx.columns, kept, target, grad, ctx.slope, keep)
    to_att, to_z, *to_target = found
    return None, None, None, to_att, to_z, None if target is None else to_target[0], None, None


_attention_v2.register_autograd(_attention_v2_back, setup_context=_keep_attention_v2)
