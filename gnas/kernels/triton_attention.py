"""Softmax over a node's edges and attention, for the Triton backend.

The forward pass keeps the largest logit of each row and head, and one over the sum of the exponentials; from these the
backward pass computes any weight again, once by rows and once by columns. A backward pass that is to be differentiated
again is that of formulas with tensors of edges by heads, and for the logits of GATv2 of edges by channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnas.kernels import reference
from gnas.kernels.graph import Structure
from gnas.kernels.operators import again, alike, entries_of, full, op
from gnas.kernels.triton_plan import (
    DEVICES,
    Side,
    Tile,
    accumulator,
    fold,
    launch,
    partial,
    plan,
    planned,
    power,
    share_out,
    side,
    tile,
)
from gnas.kernels.triton_sums import weighted_sum

GIVEN, GAT, GATV2 = range(3)
Sides = tuple[Tensor, Tensor, Tensor, int, int]


def _blocks(graph: Sides, on: Side, heads: int, width: int) -> tuple[Tile, int, int]:
    # The tile, how many blocks of heads there are, and channels of a head rounded up.
    wide = power(width)
    widest = max(wide, min(128, power(heads) * wide))
    size = tile(entries_of(graph[0], *graph[3:]), on.rows, heads * wide, 1024, widest)
    size = size._replace(channels=widest, warps=max(size.warps, min(4, widest // 256)))
    return size, -(-heads // (widest // wide)), wide


def _attend(
    graph: Sides, logit: int, source: Tensor, target: Tensor, att: Tensor, z: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    # What is summed, the largest logits, and one over the sums of the exponentials.
    from gnas.kernels.programs import attention

    on, heads = side(*graph, False), z.size(1)
    width = 1 if logit == GIVEN else z.size(2)
    size, blocks, wide = _blocks(graph, on, heads, width)
    out = z.new_empty((on.rows, heads, width) if logit != GIVEN else 0)
    peak = z.new_empty(on.rows, heads, dtype=accumulator(z.dtype))
    scale = torch.empty_like(peak)
    tops = partial(on, z, heads, 2)
    parts = partial(on, z, heads, width) if logit != GIVEN else tops
    arguments: tuple[object, ...] = (graph[0], on.hubs, source, target, att, z, out, peak, scale, tops, parts)
    share_out(
        attention.attend,
        on,
        blocks,
        size,
        z,
        *(*arguments, on.chunks, on.column, heads, width),
        SLOPE=slope,
        LOGIT=logit,
        BLOCK_W=wide,
    )
    if on.chunks:
        arguments = (graph[0], on.hubs, out, peak, scale, tops, parts, heads, width)
        blocking = {"BLOCK_H": size.channels // wide, "BLOCK_W": wide}
        launch(attention.merge, (on.chunks, blocks), z, *arguments, LOGIT=logit, **blocking)
    return out, peak, scale


def _attend_back(
    graph: Sides,
    by_columns: bool,
    halves: tuple[Tensor, Tensor] | None,
    att: Tensor,
    z: Tensor,
    grad: Tensor,
    kept: tuple[Tensor, Tensor, Tensor],
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    # The gradients of one side to its own half of the logits, to z, and by rows to att; what isn't asked for is empty.
    from gnas.kernels.programs import attention

    on, (heads, width) = side(*graph, by_columns), z.shape[1:]
    size, blocks, wide = _blocks(graph, on, heads, width)
    dtype, bent = accumulator(z.dtype), halves is None
    to_own = z.new_empty((on.rows, heads) if not bent else 0)
    to_z = z.new_empty((on.rows, heads, width) if bent or by_columns else 0, dtype=dtype if bent else z.dtype)
    to_att = z.new_empty((on.rows, heads, width) if bent and not by_columns else 0, dtype=dtype)
    outs = (to_own, to_z, to_att)
    parts = [partial(on, z, *out.shape[1:]) for out in outs]
    own, other = (z, z) if halves is None else (halves if by_columns else halves[::-1])
    share_out(
        attention.attend_back,
        on,
        blocks,
        size,
        z,
        *(graph[0], on.hubs, own, other, att, z, grad, *kept, *outs, *parts),
        *(on.chunks, on.pointer, on.column, heads, width),
        SLOPE=slope,
        LOGIT=GATV2 if bent else GAT,
        BY_COLUMNS=by_columns,
        BLOCK_W=wide,
    )
    for out, part in zip(outs, parts, strict=True):
        if out.dim() > 1:
            fold(on, graph[0], part, out)
    return outs


def _inner(grad: Tensor, out: Tensor) -> Tensor:
    # <grad_ih, out_ih>, which the gradient of the softmax subtracts.
    dtype = accumulator(out.dtype)
    return (grad.to(dtype) * out.to(dtype)).sum(dim=-1)


# Softmax ---------------------------------------------------------------------------------------------------------


@op("gnas::triton_edge_softmax", device_types=DEVICES)
def _edge_softmax(pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, logits: Tensor) -> Tensor:
    from gnas.kernels.programs import attention

    graph: Sides = (pattern, hubs, hubs_t, rows, columns)
    entries, heads = entries_of(pattern, rows, columns), logits.size(1)
    logits = full("logits", logits, (entries, heads), logits.dtype)
    _, peak, scale = _attend(graph, GIVEN, logits, logits, logits, logits, 0.0)
    (out,), on, size = alike(logits), side(*graph, False), tile(entries, rows, heads, 1024)
    arguments = (pattern, hubs, logits, logits, peak, scale, out, on.chunks, heads)
    share_out(attention.weigh, on, -(-heads // size.channels), size, logits, *arguments, BACK=False)
    return out


@_edge_softmax.register_fake
def _(pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, logits: Tensor) -> Tensor:
    return alike(logits)[0]


@op("gnas::triton_edge_softmax_back", device_types=DEVICES)
def _to_logits(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, weight: Tensor, grad: Tensor
) -> Tensor:
    from gnas.kernels.programs import attention

    entries, heads = entries_of(pattern, rows, columns), weight.size(1)
    weight = full("weight", weight, (entries, heads), weight.dtype)
    grad = full("grad", grad, (entries, heads), weight.dtype)
    on = side(pattern, hubs, hubs_t, rows, columns, False)
    size = tile(entries, rows, heads, 1024)
    blocks, (out,) = -(-heads // size.channels), alike(weight)
    total = weight.new_empty(rows, heads, dtype=accumulator(weight.dtype))
    parts = partial(on, weight, heads)
    arguments: tuple[object, ...] = (pattern, hubs, weight, grad, total, parts, on.chunks, heads)
    share_out(attention.products, on, blocks, size, weight, *arguments)
    fold(on, pattern, parts, total)
    arguments = (pattern, hubs, weight, grad, total, total, out, on.chunks, heads)
    share_out(attention.weigh, on, blocks, size, weight, *arguments, BACK=True)
    return out


@_to_logits.register_fake
def _(pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, weight: Tensor, grad: Tensor) -> Tensor:
    return alike(weight)[0]


def _keep_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *graph, ctx.rows, ctx.columns, logits = inputs
    ctx.save_for_backward(*graph, logits, output)


def _softmax_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *graph, logits, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        structure = planned(graph, ctx.rows, ctx.columns)
        to_logits = again(lambda a: reference.edge_softmax(structure, a), [logits], [grad])[0]
    else:
        to_logits = _to_logits(*graph, ctx.rows, ctx.columns, weight, grad)
    return None, None, None, None, None, to_logits


_edge_softmax.register_autograd(_softmax_back, setup_context=_keep_softmax)


# Attention of GAT ------------------------------------------------------------------------------------------------


@op("gnas::triton_attention", device_types=DEVICES)
def _attention(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = z.shape[1:]
    source = full("source", source, (columns, heads), z.dtype)
    target = full("target", target, (rows, heads), z.dtype)
    z = full("z", z, (columns, heads, width), z.dtype)
    return _attend((pattern, hubs, hubs_t, rows, columns), GAT, source, target, z, z, slope)


@_attention.register_fake
def _(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = z.shape[1:]
    peak = z.new_empty(rows, heads, dtype=accumulator(z.dtype))
    return z.new_empty(rows, heads, width), peak, torch.empty_like(peak)


@op("gnas::triton_attention_back", device_types=DEVICES)
def _to_attention(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    kept: list[Tensor],
    grad: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    graph: Sides = (pattern, hubs, hubs_t, rows, columns)
    source, target, z, out, peak, scale = (x.contiguous() for x in kept)
    grad = full("grad", grad, tuple(out.shape), z.dtype)
    found = (peak, scale, _inner(grad, out))
    to_target, _, _ = _attend_back(graph, False, (source, target), z, z, grad, found, slope)
    to_source, to_z, _ = _attend_back(graph, True, (source, target), z, z, grad, found, slope)
    return to_source, to_target, to_z


@_to_attention.register_fake
def _(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    kept: list[Tensor],
    grad: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    source, target, z = alike(*kept[:3])
    return source, target, z


def _keep_attention(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *graph, ctx.rows, ctx.columns, source, target, z, ctx.slope = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*graph, source, target, z, *output)


def _attention_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    graph, kept = ctx.saved_tensors[:3], list(ctx.saved_tensors[3:])
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = planned(graph, ctx.rows, ctx.columns)
        found = again(lambda s, t, z: _formula(structure, s, t, z, ctx.slope), kept[:3], [grad])
    else:
        found = _to_attention(*graph, ctx.rows, ctx.columns, kept, grad, ctx.slope)
    return None, None, None, None, None, *found, None


_attention.register_autograd(_attention_back, setup_context=_keep_attention)


# Attention of GATv2 ----------------------------------------------------------------------------------------------


@op("gnas::triton_attention_v2", device_types=DEVICES)
def _attention_v2(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, nodes: int, att: Tensor, z: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = z.shape[1:]
    att = full("att", att, (1,) * (att.dim() - 2) + (heads, width), z.dtype)
    z = full("z", z, (nodes, heads, width), z.dtype)
    return _attend((pattern, hubs, hubs_t, nodes, nodes), GATV2, z, z, att, z, slope)


@_attention_v2.register_fake
def _(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, nodes: int, att: Tensor, z: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    peak = z.new_empty(nodes, z.size(1), dtype=accumulator(z.dtype))
    return alike(z)[0], peak, torch.empty_like(peak)


@op("gnas::triton_attention_v2_back", device_types=DEVICES)
def _to_attention_v2(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, nodes: int, kept: list[Tensor], grad: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    graph: Sides = (pattern, hubs, hubs_t, nodes, nodes)
    att, z, out, peak, scale = (x.contiguous() for x in kept)
    grad = full("grad", grad, tuple(z.shape), z.dtype)
    found = (peak, scale, _inner(grad, out))
    _, by_rows, to_att = _attend_back(graph, False, None, att, z, grad, found, slope)
    _, by_columns, _ = _attend_back(graph, True, None, att, z, grad, found, slope)
    return to_att.sum(dim=0).to(att.dtype).view_as(att), by_rows.add_(by_columns).to(z.dtype)


@_to_attention_v2.register_fake
def _(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, nodes: int, kept: list[Tensor], grad: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    att, z = alike(*kept[:2])
    return att, z


def _keep_attention_v2(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *graph, ctx.nodes, att, z, ctx.slope = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*graph, att, z, *output)


def _attention_v2_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    graph, kept = ctx.saved_tensors[:3], list(ctx.saved_tensors[3:])
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = planned(graph, ctx.nodes, ctx.nodes)
        found = again(lambda a, z: _formula_v2(structure, a, z, ctx.slope), kept[:2], [grad])
    else:
        found = _to_attention_v2(*graph, ctx.nodes, kept, grad, ctx.slope)
    return None, None, None, None, *found, None


_attention_v2.register_autograd(_attention_v2_back, setup_context=_keep_attention_v2)


# As formulas, to be differentiated again -------------------------------------------------------------------------


def _formula(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    return _weighed(structure, reference.logits_of(structure, source, target, slope, edge), z, keep)


def _formula_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    return _weighed(structure, reference.logits_v2_of(structure, att, z, slope, target), z, keep)


def _weighed(structure: Structure, logits: Tensor, z: Tensor, keep: Tensor | None) -> Tensor:
    weight = reference.thinned(reference.edge_softmax(structure, logits), keep)
    heads = zip(weight.unbind(1), z.unbind(1), strict=True)
    return torch.stack([weighted_sum(structure, p, part) for p, part in heads], dim=1)


# What the front calls --------------------------------------------------------------------------------------------


def edge_softmax(structure: Structure, logits: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.edge_softmax`."""
    return _edge_softmax(*plan(structure), *structure.shape, logits)


def attention(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention`; with ``keep`` or ``edge`` PyTorch makes the logits."""
    if keep is not None or edge is not None:
        return _formula(structure, source, target, z, slope, keep, edge)
    return _attention(*plan(structure), *structure.shape, source, target, z, slope)[0]


def attention_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention_v2`; with ``keep`` or ``target`` logits are of entries by channels."""
    if keep is not None or target is not None:
        return _formula_v2(structure, att, z, slope, keep, target)
    return _attention_v2(*plan(structure), structure.shape[0], att, z, slope)[0]
