"""Statistics of order and moment and the weighted mixture of aggregations, for the Triton backend.

The backward pass reads each row's neighbours again for its extremes, how many tie, and its moments, keeps these as
[rows, channels], and then goes through the columns, which compare themselves with them. A backward pass that is to be
differentiated again is that of the same formulas made of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial as bound
from typing import Any

import torch
from torch import Tensor

from gnas.kernels import portable
from gnas.kernels.graph import Structure
from gnas.kernels.mixing import KINDS, LINEAR, Propagation, aggregates, squares_of
from gnas.kernels.operators import again, alike, entries_of, full, op
from gnas.kernels.triton_plan import (
    DEVICES,
    accumulator,
    fold,
    launch,
    partial,
    plan,
    planned,
    share_out,
    side,
    tile,
)
from gnas.kernels.triton_sums import weighted_sum

HIGH, LOW, STD = 16, 32, 64
STATISTICS, MIXTURE, BACKWARD = range(3)
NUMBERS = 512
"""Numbers of a tile: a program keeps up to eight of these."""


def _gather(
    graph: Sequence[Tensor],
    shape: tuple[int, int],
    kinds: int,
    mode: int,
    x: Tensor,
    weighing: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    outs: Sequence[Tensor],
    tally: bool,
) -> Tensor:
    # What is made of each row; returns the tallies, [7].
    from gnas.kernels.programs import mixture

    (pattern, hubs, hubs_t), (rows, columns) = graph, shape
    on, channels = side(pattern, hubs, hubs_t, rows, columns, False), x.size(1)
    size = tile(entries_of(pattern, rows, columns), rows, channels, NUMBERS)
    blocks = -(-channels // size.channels)
    tallies = x.new_zeros((rows, blocks, KINDS) if tally else 0, dtype=accumulator(x.dtype))
    weights, values, diagonal = (x if t is None else t for t in weighing)
    given = [x if grad is None else grad for grad in grads]
    places = (*outs, *[x] * (4 - len(outs)), tallies)
    parts = partial(on, x, 8, channels)
    flags = {"KINDS": kinds, "MODE": mode, "MIXED": weighing[0] is not None, "TALLY": tally}
    shared = (x, weights, diagonal, *given, *places)
    arguments: tuple[object, ...] = (pattern, hubs, parts, values, *shared, on.chunks, rows, channels)
    share_out(mixture.gather, on, blocks, size, x, *arguments, **flags)
    if on.chunks:
        arguments = (pattern, hubs, parts, *shared, rows, channels)
        launch(mixture.merge, (on.chunks, blocks), x, *arguments, **flags, BLOCK_C=size.channels)
    return tallies.sum(dim=(0, 1)) if tally else tallies


def _spread(
    graph: Sequence[Tensor],
    shape: tuple[int, int],
    kinds: int,
    x: Tensor,
    weighing: Sequence[Tensor | None],
    grad: Tensor | None,
    kept: Sequence[Tensor],
) -> Tensor:
    # The gradient by columns, from the gradient of the sums and from what _gather kept.
    from gnas.kernels.programs import mixture

    (pattern, hubs, hubs_t), (rows, columns) = graph, shape
    on, channels = side(pattern, hubs, hubs_t, rows, columns, True), x.size(1)
    size = tile(entries_of(pattern, rows, columns), columns, channels, 2 * NUMBERS)
    (out,), parts = alike(x), partial(on, x, channels)
    weights, values, diagonal = (x if t is None else t for t in weighing)
    arguments = (pattern, on.hubs, parts, values, x, weights, diagonal, x if grad is None else grad, *kept, out)
    share_out(
        mixture.spread,
        on,
        -(-channels // size.channels),
        size,
        x,
        *(*arguments, on.chunks, rows, on.pointer, on.column, on.order, channels),
        KINDS=kinds,
        SUMS=grad is not None,
        MIXED=weighing[0] is not None,
    )
    fold(on, pattern, parts, out)
    return out


def _kept(kinds: int, x: Tensor, rows: int) -> list[Tensor]:
    # Room for what the columns compare themselves with, and what they receive: [2, rows, channels] each.
    dtype = accumulator(x.dtype)
    return [x.new_empty((2, rows, x.size(1)) if kinds & kind else 0, dtype=dtype) for kind in (HIGH, LOW, STD)]


# Statistics ------------------------------------------------------------------------------------------------------


@op("gnas::triton_statistics", device_types=DEVICES)
def _statistics(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    x: Tensor,
    high: bool,
    low: bool,
    moments: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = full("x", x, (columns, x.size(1)), x.dtype)
    outs = [x.new_empty((rows, x.size(1)) if want else 0) for want in (high, low, moments, moments)]
    kinds = HIGH * high + LOW * low + STD * moments
    none = [None] * 3
    _gather((pattern, hubs, hubs_t), (rows, columns), kinds, STATISTICS, x, none, none, outs, False)
    return outs[0], outs[1], outs[2], outs[3]


@_statistics.register_fake
def _(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    rows: int,
    columns: int,
    x: Tensor,
    high: bool,
    low: bool,
    moments: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    outs = [x.new_empty((rows, x.size(1)) if want else 0) for want in (high, low, moments, moments)]
    return outs[0], outs[1], outs[2], outs[3]


def _keep_statistics(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *graph, ctx.rows, ctx.columns, x, ctx.high, ctx.low, ctx.moments = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*graph, x)


def _statistics_back(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    *graph, x = ctx.saved_tensors
    asked = (ctx.high, ctx.low, ctx.moments, ctx.moments)
    given = [grad if want else None for grad, want in zip(grads, asked, strict=True)]
    to_x = None
    if torch.is_grad_enabled():
        structure = planned(graph, ctx.rows, ctx.columns)
        to_x = again(lambda z: _formulas(structure, z), [x], given)[0]
    elif any(grad is not None for grad in given):
        to_x = _to_statistics(*graph, ctx.rows, ctx.columns, x, given)
    return None, None, None, None, None, to_x, None, None, None


_statistics.register_autograd(_statistics_back, setup_context=_keep_statistics)


@op("gnas::triton_statistics_back", device_types=DEVICES)
def _to_statistics(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, x: Tensor, grads: list[Tensor | None]
) -> Tensor:
    graph, shape = (pattern, hubs, hubs_t), (rows, columns)
    x = full("x", x, (columns, x.size(1)), x.dtype)
    given = [None if grad is None else full("grad", grad, (rows, x.size(1)), x.dtype) for grad in grads]
    to_high, to_low, to_mean, to_std = given
    kinds = HIGH * (to_high is not None) + LOW * (to_low is not None) + STD * (to_std is not None)
    kept, none = _kept(kinds, x, rows), [None] * 3
    if kinds:
        _gather(graph, shape, kinds, BACKWARD, x, none, [to_high, to_low, to_std], kept, False)
    if to_mean is not None:
        count = pattern[: rows + 1].diff().clamp(min=1).unsqueeze(1)
        to_mean = to_mean.to(accumulator(x.dtype)) / count
    return _spread(graph, shape, kinds, x, none, to_mean, kept)


@_to_statistics.register_fake
def _(
    pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, x: Tensor, grads: list[Tensor | None]
) -> Tensor:
    return alike(x)[0]


# The mixture -----------------------------------------------------------------------------------------------------


def _checked(
    pattern: Tensor, x: Tensor, weights: Tensor, share: Tensor, values: Tensor | None, diagonal: Tensor | None
) -> tuple[Tensor, list[Tensor | None]]:
    # The states, and what weighs them: weights, values and diagonal.
    nodes = share.numel()
    weighing: list[Tensor | None] = [full("weights", weights, (KINDS,), x.dtype), None, None]
    if values is not None and diagonal is not None:
        weighing[1] = full("values", values, (entries_of(pattern, nodes, nodes),), x.dtype)
        weighing[2] = full("diagonal", diagonal, (nodes,), x.dtype)
    return full("x", x, (nodes, x.size(1)), x.dtype), weighing


@op("gnas::triton_mix", device_types=DEVICES)
def _mix(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    x, weighing = _checked(pattern, x, weights, share, values, diagonal)
    out, shape = torch.empty_like(x), (share.numel(), share.numel())
    tallies = _gather((pattern, hubs, hubs_t), shape, kinds, MIXTURE, x, weighing, [None] * 3, [out], squares)
    return out, tallies.to(x.dtype)


@_mix.register_fake
def _(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    return alike(x)[0], x.new_empty(KINDS if squares else 0)


@op("gnas::triton_mix_back", device_types=DEVICES)
def _to_mix(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    grad: Tensor,
    to_x: bool,
    to_weights: bool,
) -> tuple[Tensor, Tensor]:
    x, weighing = _checked(pattern, x, weights, share, values, diagonal)
    grad = full("grad", grad, tuple(x.shape), x.dtype)
    graph, shape = (pattern, hubs, hubs_t), (share.numel(), share.numel())
    tallies, kept = x.new_empty(0), _kept(kinds, x, share.numel())
    if to_weights or kinds & ~LINEAR:
        tallies = _gather(graph, shape, kinds, BACKWARD, x, weighing, [grad] * 3, kept, to_weights)
    out = _spread(graph, shape, kinds, x, weighing, grad, kept) if to_x else x.new_empty(0)
    return out, tallies.to(x.dtype)


@_to_mix.register_fake
def _(
    pattern: Tensor,
    hubs: Tensor,
    hubs_t: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    grad: Tensor,
    to_x: bool,
    to_weights: bool,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape if to_x else 0), x.new_empty(KINDS if to_weights else 0)


def _keep_mix(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *graph, ctx.kinds, x, weights, share, values, diagonal, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*graph, x, weights, share, values, diagonal)


def _mix_back(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *graph, x, weights, share, values, diagonal = ctx.saved_tensors
    to_x, to_weights = ctx.needs_input_grad[4:6]
    if torch.is_grad_enabled():
        structure = planned(graph, share.numel(), share.numel())
        own = Propagation(share, values, diagonal)
        found = again(lambda z, w: _formula(structure, ctx.kinds, z, w, own, False)[0], [x, weights], [grad])
    else:
        both = _to_mix(*graph, ctx.kinds, x, weights, share, values, diagonal, grad, to_x, to_weights)
        found = [both[0] if to_x else None, both[1] if to_weights else None]
    return None, None, None, None, *found, None, None, None, None


_mix.register_autograd(_mix_back, setup_context=_keep_mix)


# As formulas, to be differentiated again -------------------------------------------------------------------------


class _Maximum(portable._Maximum):
    @staticmethod
    def forward(x: Tensor, structure: Structure) -> Tensor:
        return _statistics(*plan(structure), *structure.shape, x, True, False, False)[0]


def _extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    out: Tensor = _Maximum.apply(x, structure) if largest else -_Maximum.apply(-x, structure)
    return out


def _moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    return portable.moments(structure, x, weighted_sum)


def _formulas(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _extreme(structure, x, True), _extreme(structure, x, False), *_moments(structure, x)


def _formula(
    structure: Structure, kinds: int, x: Tensor, weights: Tensor, propagation: Propagation, squares: bool
) -> tuple[Tensor, Tensor]:
    own = bound(weighted_sum, structure), bound(_extreme, structure), bound(_moments, structure)
    parts = aggregates(kinds, x, propagation, *own)
    out = sum((weights[k] * part for k, part in parts.items()), torch.zeros_like(x))
    return out, squares_of(x, parts) if squares else x.new_empty(0)


# What the front calls --------------------------------------------------------------------------------------------


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """As :func:`gnas.kernels.reference.extreme`."""
    return _statistics(*plan(structure), *structure.shape, x, largest, not largest, False)[0 if largest else 1]


def moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.moments`."""
    mean, std = _statistics(*plan(structure), *structure.shape, x, False, False, True)[2:]
    return mean, std


def statistics(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.statistics`, of one read of the neighbours."""
    return _statistics(*plan(structure), *structure.shape, x, True, True, True)


def mix(
    structure: Structure, kinds: int, x: Tensor, weights: Tensor, propagation: Propagation, squares: bool
) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.mix`, of one read of the neighbours.

    Coefficients of propagation that are learned get their gradient where each aggregate is made for itself.
    """
    if any(t is not None and t.requires_grad for t in propagation):
        return _formula(structure, kinds, x, weights, propagation, squares)
    out, found = _mix(*plan(structure), kinds, x, weights, *propagation, squares)
    return out, found
