"""GINE's sum, of neighbours and edges that a ReLU lets through, for the backend :mod:`gnas.kernels.compiled`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, reference, threads
from gnas.kernels.graph import Structure
from gnas.kernels.operators import again, alike, entries_of, full, op


@op("gnas::rectified_sum", device_types="cpu")
def _rectified_sum(pattern: Tensor, rows: int, columns: int, order: Tensor, x: Tensor, edge: Tensor) -> Tensor:
    entries, channels = entries_of(pattern, rows, columns), x.size(1)
    x, order = full("x", x, (columns, channels), x.dtype), full("order", order, (entries,), torch.int64)
    edge = full("edge", edge, (entries, channels), x.dtype)
    out = x.new_empty(rows, channels)
    call = build.function("rectified_sum", x.dtype, "pnnnpppnpnp")
    places = (order.data_ptr(), x.data_ptr(), edge.data_ptr(), channels, out.data_ptr())
    threads.run(call, (pattern.data_ptr(), rows, columns, entries, *places), threads.count(2 * entries * channels))
    return out


@_rectified_sum.register_fake
def _(pattern: Tensor, rows: int, columns: int, order: Tensor, x: Tensor, edge: Tensor) -> Tensor:
    return x.new_empty(rows, x.size(1))


@op("gnas::rectified_sum_back", device_types="cpu")
def _to_rectified(
    pattern: Tensor, rows: int, columns: int, order: Tensor, x: Tensor, edge: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    entries, channels = entries_of(pattern, rows, columns), x.size(1)
    x, order = full("x", x, (columns, channels), x.dtype), full("order", order, (entries,), torch.int64)
    edge = full("edge", edge, (entries, channels), x.dtype)
    grad = full("grad", grad, (rows, channels), x.dtype)
    to_x, to_edge = alike(x, edge)
    call = build.function("rectified_sum_back", x.dtype, "pnnnpppnpppnp")
    places = (order.data_ptr(), x.data_ptr(), edge.data_ptr(), channels, grad.data_ptr())
    sizes = (pattern.data_ptr(), rows, columns, entries)
    workers = threads.count(3 * entries * channels)
    threads.run(call, (*sizes, *places, to_x.data_ptr(), to_edge.data_ptr()), workers)
    return to_x, to_edge


@_to_rectified.register_fake
def _(
    pattern: Tensor, rows: int, columns: int, order: Tensor, x: Tensor, edge: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    to_x, to_edge = alike(x, edge)
    return to_x, to_edge


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pattern, ctx.rows, ctx.columns, order, x, edge = inputs
    ctx.save_for_backward(pattern, order, x, edge)


def _back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    pattern, order, *kept = ctx.saved_tensors
    found: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, ctx.rows, ctx.columns)
        found = again(lambda x, edge: reference.rectified_sum(structure, order, x, edge), kept, [grad])
    else:
        found = _to_rectified(pattern, ctx.rows, ctx.columns, order, *kept, grad)
    return None, None, None, None, *found


_rectified_sum.register_autograd(_back, setup_context=_keep)
