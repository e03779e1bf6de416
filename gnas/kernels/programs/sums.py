"""The programs of weighted sums over neighbours and of inner products along entries."""

# Triton reads the annotations, and knows none but its own.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from gnas.kernels.programs.rows import deliver, span


@triton.jit(do_not_specialize=["chunks", "pointer", "column", "order"])
def weighted_sum(
    pattern,
    hubs,
    values,
    x,
    out,
    partial,
    chunks,
    pointer,
    column,
    order,
    channels,
    VALUES: tl.constexpr,
    ORDERED: tl.constexpr,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """``out_i = sum_j values_ij x_j``, or by columns, where ``order`` says which value belongs to an entry."""
    row, begin, end, chunk, whole = span(pattern, pointer, hubs, chunks, CHUNK, HUBS)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    some = c < channels
    total = tl.zeros([BLOCK_E, BLOCK_C], ACC)
    for e in range(begin, end, BLOCK_E):
        entry = e + tl.arange(0, BLOCK_E)
        inside = entry < end
        neighbour = tl.load(pattern + column + entry, mask=inside, other=0).to(tl.int64)
        place = neighbour[:, None] * channels + c[None, :]
        v = tl.load(x + place, mask=inside[:, None] & some[None, :], other=0.0).to(ACC)
        if VALUES:
            if ORDERED:
                entry = tl.load(pattern + order + entry, mask=inside, other=0)
            v *= tl.load(values + entry, mask=inside, other=0.0).to(ACC)[:, None]
        total += v
    result = tl.sum(total, 0)
    part = tl.program_id(0).to(tl.int64) * channels + c
    deliver(result, partial, out, part, row * channels + c, c < channels * chunk, c < channels * whole, HUBS)


@triton.jit(do_not_specialize=["chunks", "column"])
def inner_product(
    pattern,
    hubs,
    left,
    right,
    out,
    chunks,
    column,
    channels,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """``out_ij = <left_i, right_j>`` for every entry."""
    row, begin, end, _chunk, _whole = span(pattern, 0, hubs, chunks, CHUNK, HUBS)
    for e in range(begin, end, BLOCK_E):
        entry = e + tl.arange(0, BLOCK_E)
        inside = entry < end
        neighbour = tl.load(pattern + column + entry, mask=inside, other=0).to(tl.int64)
        total = tl.zeros([BLOCK_E, BLOCK_C], ACC)
        for f in range(0, channels, BLOCK_C):
            c = f + tl.arange(0, BLOCK_C)
            some = c < channels
            own = tl.load(left + row * channels + c, mask=some, other=0.0).to(ACC)
            place = neighbour[:, None] * channels + c[None, :]
            total += own[None, :] * tl.load(right + place, mask=inside[:, None] & some[None, :], other=0.0).to(ACC)
        tl.store(out + entry, tl.sum(total, 1), mask=inside)
