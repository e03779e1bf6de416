"""What a program reads of a row's neighbours for a mixture: sums, extremes with their ties, and moments.

A program keeps what it has seen for each place of its tile and puts the places together at the end, so that nothing
is reduced within the loop. Means and squared deviations are Welford's, put together by Chan, Golub and LeVeque.
"""

# Triton reads the annotations, and knows none but its own.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

# Bits of the aggregations, as in gnas.kernels.mixing.
SUM = tl.constexpr(0b1)
MEAN = tl.constexpr(0b10)
GCN = tl.constexpr(0b100)
SELF = tl.constexpr(0b1000)
HIGH = tl.constexpr(0b10000)
LOW = tl.constexpr(0b100000)
STD = tl.constexpr(0b1000000)


@triton.jit
def greatest(x):
    """The largest over the first dimension, where what is not a number counts as such."""
    wrong = tl.sum((x != x).to(tl.int32), 0) > 0
    return tl.where(wrong, float("nan"), tl.max(tl.where(x != x, -float("inf"), x), 0))


@triton.jit
def read(
    pattern,
    values,
    x,
    column,
    begin,
    end,
    channels,
    KINDS: tl.constexpr,
    TIES: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """Of some entries: the plain and the propagated sum, the largest, the smallest and how many tie, the mean and the
    sum of squared deviations from it. What the kinds don't ask for is zero."""
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    slot = tl.arange(0, BLOCK_E)
    nothing = tl.zeros([BLOCK_E, BLOCK_C], ACC)
    plain, propagated, mean, square, ups, downs = nothing, nothing, nothing, nothing, nothing, nothing
    high, low = nothing - float("inf"), nothing + float("inf")
    count = 0.0
    for e in range(begin, end, BLOCK_E):
        inside = e + slot < end
        neighbour = tl.load(pattern + column + e + slot, mask=inside, other=0).to(tl.int64)
        given = inside[:, None] & (c < channels)[None, :]
        v = tl.load(x + neighbour[:, None] * channels + c[None, :], mask=given, other=0.0).to(ACC)
        if (SUM | MEAN) & KINDS:
            plain += v
        if GCN & KINDS:
            propagated += v * tl.load(values + e + slot, mask=inside, other=0.0).to(ACC)[:, None]
        if HIGH & KINDS:
            up = tl.where(given, v, -float("inf"))
            if TIES:
                ups = tl.where(up > high, 1.0, tl.where(given & (up == high), ups + 1.0, ups))
            high = tl.maximum(high, up, propagate_nan=tl.PropagateNan.ALL)
        if LOW & KINDS:
            down = tl.where(given, v, float("inf"))
            if TIES:
                downs = tl.where(down < low, 1.0, tl.where(given & (down == low), downs + 1.0, downs))
            low = tl.minimum(low, down, propagate_nan=tl.PropagateNan.ALL)
        if STD & KINDS:
            count += 1.0
            away = tl.where(given, v - mean, 0.0)
            mean += away / count
            square += away * (v - mean)
    none = tl.zeros([BLOCK_C], ACC)
    total, spread, best, least, middle, around, tied, tied_low = none, none, none, none, none, none, none, none
    if (SUM | MEAN) & KINDS:
        total = tl.sum(plain, 0)
    if GCN & KINDS:
        spread = tl.sum(propagated, 0)
    if HIGH & KINDS:
        best = greatest(high)
        if TIES:
            tied = tl.sum(tl.where(high == best[None, :], ups, 0.0), 0)
    if LOW & KINDS:
        least = -greatest(-low)
        if TIES:
            tied_low = tl.sum(tl.where(low == least[None, :], downs, 0.0), 0)
    if STD & KINDS:
        number = tl.maximum((end - begin - slot + BLOCK_E - 1) // BLOCK_E, 0).to(ACC)[:, None]
        middle = tl.sum(number * mean, 0) / tl.maximum(end - begin, 1).to(ACC)
        away = mean - middle[None, :]
        around = tl.sum(square + number * away * away, 0)
    return total, spread, best, tied, least, tied_low, middle, around


@triton.jit
def keep(state, partial, limit, channels, KINDS: tl.constexpr, TIES: tl.constexpr, BLOCK_C: tl.constexpr):
    """Write the partial results of a hub's chunk: [chunks, 8, channels]."""
    plain, propagated, high, ups, low, downs, mean, square = state
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    to = partial + tl.program_id(0).to(tl.int64) * 8 * channels + c
    some = c < limit
    if (SUM | MEAN) & KINDS:
        tl.store(to, plain, mask=some)
    if GCN & KINDS:
        tl.store(to + channels, propagated, mask=some)
    if HIGH & KINDS:
        tl.store(to + 2 * channels, high, mask=some)
        if TIES:
            tl.store(to + 3 * channels, ups, mask=some)
    if LOW & KINDS:
        tl.store(to + 4 * channels, low, mask=some)
        if TIES:
            tl.store(to + 5 * channels, downs, mask=some)
    if STD & KINDS:
        tl.store(to + 6 * channels, mean, mask=some)
        tl.store(to + 7 * channels, square, mask=some)


@triton.jit
def put_together(
    partial,
    entries,
    count,
    channels,
    KINDS: tl.constexpr,
    TIES: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """What :func:`read` would have found of a hub, from its chunks."""
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    some = c < channels
    none = tl.zeros([BLOCK_C], ACC)
    plain, propagated, mean, square, ups, downs = none, none, none, none, none, none
    high, low = none - float("inf"), none + float("inf")
    for k in range(count):
        of = partial + (tl.program_id(0).to(tl.int64) + k) * 8 * channels + c
        if (SUM | MEAN) & KINDS:
            plain += tl.load(of, mask=some, other=0.0)
        if GCN & KINDS:
            propagated += tl.load(of + channels, mask=some, other=0.0)
        if HIGH & KINDS:
            up = tl.load(of + 2 * channels, mask=some, other=0.0)
            if TIES:
                more = tl.load(of + 3 * channels, mask=some, other=0.0)
                ups = tl.where(up > high, more, tl.where(up == high, ups + more, ups))
            high = tl.maximum(high, up, propagate_nan=tl.PropagateNan.ALL)
        if LOW & KINDS:
            down = tl.load(of + 4 * channels, mask=some, other=0.0)
            if TIES:
                more = tl.load(of + 5 * channels, mask=some, other=0.0)
                downs = tl.where(down < low, more, tl.where(down == low, downs + more, downs))
            low = tl.minimum(low, down, propagate_nan=tl.PropagateNan.ALL)
        if STD & KINDS:
            before = (k * CHUNK + 0 * entries).to(ACC)
            number = tl.minimum(CHUNK, entries - k * CHUNK).to(ACC)
            away = tl.load(of + 6 * channels, mask=some, other=0.0) - mean
            mean += away * (number / (before + number))
            square += tl.load(of + 7 * channels, mask=some, other=0.0)
            square += away * away * (before * number / (before + number))
    return plain, propagated, high, ups, low, downs, mean, square
