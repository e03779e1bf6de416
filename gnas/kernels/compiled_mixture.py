"""The weighted mixture of aggregations, for the compiled backend; see :mod:`gnas.kernels.compiled`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, portable, threads
from gnas.kernels.graph import Structure
from gnas.kernels.mixing import KINDS, LINEAR, Propagation
from gnas.kernels.operators import CHANNELS, PARTIAL, address, again, alike, entries_of, full, op


def _checked(
    pattern: Tensor, x: Tensor, weights: Tensor, share: Tensor, values: Tensor | None, diagonal: Tensor | None
) -> tuple[int, list[Tensor], tuple[int, ...]]:
    # Number of entries, tensors to keep alive, and the addresses as the library takes them.
    nodes, channels = share.numel(), x.size(1)
    entries = entries_of(pattern, nodes, nodes)
    kept = [full("weights", weights, (KINDS,), x.dtype), full("share", share, (nodes,), x.dtype)]
    if values is not None and diagonal is not None:
        kept += [full("values", values, (entries,), x.dtype), full("diagonal", diagonal, (nodes,), x.dtype)]
    kept.append(full("x", x, (nodes, channels), x.dtype))
    weighing = [address(t) for t in kept[:-1]]
    return entries, kept, (*weighing, *([0, 0] if values is None else []), address(kept[-1]), channels)


def _totals(x: Tensor, ranges: int) -> Tensor:
    return x.new_zeros((ranges, KINDS, x.size(1)), dtype=torch.float64)


def _ranges(work: int) -> int:
    # A fixed number for a graph, whatever the number of threads; one range where there is little to share out.
    return PARTIAL if work >= threads.LARGE else 1


@op("gnas::mix", device_types="cpu")
def _mix(
    pattern: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    entries, _kept, places = _checked(pattern, x, weights, share, values, diagonal)
    nodes, work = share.numel(), 2 * entries * x.size(1)
    (out,) = alike(x)
    ranges = _ranges(work) if squares else 0
    totals = _totals(x, ranges)
    call = build.function("mix", x.dtype, "pnnnnpppppnpppnp")
    arguments = (pattern.data_ptr(), nodes, entries, False, kinds, *places, out.data_ptr(), 0)
    threads.run(call, (*arguments, totals.data_ptr() if squares else 0), threads.count(work), ranges)
    return out, totals.sum(dim=(0, 2)).to(x.dtype) if squares else x.new_empty(0)


@_mix.register_fake
def _(
    pattern: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    return alike(x)[0], x.new_empty(KINDS if squares else 0)


@op("gnas::mix_back", device_types="cpu")
def _to_mix(
    pattern: Tensor,
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
    entries, _kept, places = _checked(pattern, x, weights, share, values, diagonal)
    grad = full("grad", grad, tuple(x.shape), x.dtype)
    nodes, channels, work = share.numel(), x.size(1), 2 * entries * x.size(1)
    workers = threads.count(work)
    if kinds & ~LINEAR:
        totals, out = _totals(x, 1), torch.zeros_like(grad)
        call = build.function("mix_back", x.dtype, "pnnnpppppnpppnp")
        arguments = (pattern.data_ptr(), nodes, entries, kinds, *places, grad.data_ptr(), out.data_ptr())
        workers = min(workers, -(-channels // CHANNELS))
        threads.run(call, (*arguments, totals.data_ptr() if to_weights else 0), workers, ranges=workers)
        return out, totals.sum(dim=(0, 2)).to(x.dtype)
    # What is all sums is one sum by columns, and its products with the gradient by rows.
    call = build.function("mix", x.dtype, "pnnnnpppppnpppnp")
    out = x.new_empty(x.shape if to_x else 0)
    if to_x:
        towards = (*places[:-2], grad.data_ptr(), channels)
        threads.run(call, (pattern.data_ptr(), nodes, entries, True, kinds, *towards, out.data_ptr(), 0, 0), workers)
    totals = _totals(x, _ranges(work) if to_weights else 0)
    if to_weights:
        arguments = (pattern.data_ptr(), nodes, entries, False, kinds, *places, 0, grad.data_ptr(), totals.data_ptr())
        threads.run(call, arguments, workers, ranges=totals.size(0))
    return out, totals.sum(dim=(0, 2)).to(x.dtype)


@_to_mix.register_fake
def _(
    pattern: Tensor,
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
    return x.new_empty(x.shape if to_x or kinds & ~LINEAR else 0), x.new_empty(KINDS)


def _keep_mix(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    pattern, ctx.kinds, x, weights, share, values, diagonal, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(pattern, x, weights, share, values, diagonal)


def _mix_back(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    pattern, x, weights, share, values, diagonal = ctx.saved_tensors
    to_x, to_weights = ctx.needs_input_grad[2:4]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, share.numel(), share.numel())
        propagation = Propagation(share, values, diagonal)
        found = again(
            lambda z, w: portable.mix(structure, ctx.kinds, z, w, propagation, False)[0], [x, weights], [grad]
        )
    else:
        both = _to_mix(pattern, ctx.kinds, x, weights, share, values, diagonal, grad, to_x, to_weights)
        found = [both[0] if to_x else None, both[1] if to_weights else None]
    return None, None, *found, None, None, None, None


_mix.register_autograd(_mix_back, setup_context=_keep_mix)
