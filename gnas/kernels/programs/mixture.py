"""The programs of statistics of order and moment, and of the mixture of aggregations."""

# Triton reads the annotations, and knows none but its own.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from gnas.kernels.programs.gathering import GCN, HIGH, LOW, MEAN, SELF, STD, SUM, keep, put_together, read
from gnas.kernels.programs.rows import deliver, pieces, span

# What is made of a row: its statistics, its mixture, or what the gradient by columns reads.
STATISTICS = tl.constexpr(0)
MIXTURE = tl.constexpr(1)
BACKWARD = tl.constexpr(2)


@triton.jit
def mixed(state, own, weights, share, KINDS: tl.constexpr, ACC: tl.constexpr):
    """The weighted sum of a row's aggregates."""
    plain, propagated, high, _ups, low, _downs, _mean, std = state
    out = (tl.load(weights).to(ACC) + tl.load(weights + 1).to(ACC) * share) * plain
    if GCN & KINDS:
        out += tl.load(weights + 2).to(ACC) * propagated
    if SELF & KINDS:
        out += tl.load(weights + 3).to(ACC) * own
    if HIGH & KINDS:
        out += tl.load(weights + 4).to(ACC) * high
    if LOW & KINDS:
        out += tl.load(weights + 5).to(ACC) * low
    if STD & KINDS:
        out += tl.load(weights + 6).to(ACC) * std
    return out


@triton.jit
def prepare(
    state,
    at,
    far,
    some,
    share,
    weights,
    to_high,
    to_low,
    to_std,
    highs,
    lows,
    moments,
    KINDS: tl.constexpr,
    MIXED: tl.constexpr,
    ACC: tl.constexpr,
):
    """Write what a row's neighbours compare themselves with, and what they receive where they are equal."""
    _plain, _propagated, high, ups, low, downs, mean, std = state
    if HIGH & KINDS:
        given = tl.load(to_high + at, mask=some, other=0.0).to(ACC) / tl.maximum(ups, 1.0)
        if MIXED:
            given *= tl.load(weights + 4).to(ACC)
        tl.store(highs + at, high, mask=some)
        tl.store(highs + far + at, given, mask=some)
    if LOW & KINDS:
        given = tl.load(to_low + at, mask=some, other=0.0).to(ACC) / tl.maximum(downs, 1.0)
        if MIXED:
            given *= tl.load(weights + 5).to(ACC)
        tl.store(lows + at, low, mask=some)
        tl.store(lows + far + at, given, mask=some)
    if STD & KINDS:
        given = tl.load(to_std + at, mask=some, other=0.0).to(ACC) * share
        if MIXED:
            given *= tl.load(weights + 6).to(ACC)
        steep = tl.where(std == 0.0, 0.0, given / tl.where(std == 0.0, 1.0, std))
        tl.store(moments + at, mean, mask=some)
        tl.store(moments + far + at, steep, mask=some)


@triton.jit
def tally(state, own, against, share, to, limit, KINDS: tl.constexpr, SQUARES: tl.constexpr):
    """Write the sum over channels of each aggregate times what is given against it, or of its square."""
    plain, propagated, high, _ups, low, _downs, _mean, std = state
    kept = limit > 0
    if SUM & KINDS:
        tl.store(to, tl.sum(plain * (plain if SQUARES else against), 0), mask=kept)
    if MEAN & KINDS:
        mean = share * plain
        tl.store(to + 1, tl.sum(mean * (mean if SQUARES else against), 0), mask=kept)
    if GCN & KINDS:
        tl.store(to + 2, tl.sum(propagated * (propagated if SQUARES else against), 0), mask=kept)
    if SELF & KINDS:
        tl.store(to + 3, tl.sum(own * (own if SQUARES else against), 0), mask=kept)
    if HIGH & KINDS:
        tl.store(to + 4, tl.sum(high * (high if SQUARES else against), 0), mask=kept)
    if LOW & KINDS:
        tl.store(to + 5, tl.sum(low * (low if SQUARES else against), 0), mask=kept)
    if STD & KINDS:
        tl.store(to + 6, tl.sum(std * (std if SQUARES else against), 0), mask=kept)


@triton.jit
def write(
    found,
    row,
    limit,
    entries,
    inputs,
    outs,
    tallies,
    rows,
    channels,
    KINDS: tl.constexpr,
    MODE: tl.constexpr,
    MIXED: tl.constexpr,
    TALLY: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """Write what is made of a row, for the channels below a limit."""
    plain, propagated, high, ups, low, downs, mean, square = found
    x, weights, diagonal, to_high, to_low, to_std = inputs
    out, second, third, fourth = outs
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    some = c < limit
    at = row * channels + c
    far = rows.to(tl.int64) * channels
    share = 1.0 / tl.maximum(entries, 1).to(ACC)
    there = c < tl.where(entries > 0, limit, 0)
    variance = square * share
    std = tl.sqrt(tl.where(variance <= 1e-5, 0.0, variance))
    own = plain
    if MIXED and (GCN | SELF) & KINDS:
        own = tl.load(x + at, mask=some, other=0.0).to(ACC)
    if GCN & KINDS:
        propagated += tl.load(diagonal + row).to(ACC) * own
    state = plain, propagated, tl.where(there, high, 0.0), ups, tl.where(there, low, 0.0), downs, mean, std
    if STATISTICS == MODE:
        if HIGH & KINDS:
            tl.store(out + at, state[2], mask=some)
        if LOW & KINDS:
            tl.store(second + at, state[4], mask=some)
        if STD & KINDS:
            tl.store(third + at, mean, mask=some)
            tl.store(fourth + at, std, mask=some)
    if MIXTURE == MODE:
        tl.store(out + at, mixed(state, own, weights, share, KINDS, ACC), mask=some)
    if BACKWARD == MODE:
        prepare(state, at, far, some, share, weights, to_high, to_low, to_std, out, second, third, KINDS, MIXED, ACC)
    if TALLY:
        against = own
        if BACKWARD == MODE:
            against = tl.load(to_high + at, mask=some, other=0.0).to(ACC)
        to = tallies + (row * tl.num_programs(1) + tl.program_id(1)) * 7
        tally(state, own, against, share, to, limit, KINDS, MIXTURE == MODE)


@triton.jit(do_not_specialize=["chunks", "rows"])
def gather(
    pattern,
    hubs,
    partial,
    values,
    x,
    weights,
    diagonal,
    to_high,
    to_low,
    to_std,
    out,
    second,
    third,
    fourth,
    tallies,
    chunks,
    rows,
    channels,
    KINDS: tl.constexpr,
    MODE: tl.constexpr,
    MIXED: tl.constexpr,
    TALLY: tl.constexpr,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """What is made of each row that is no hub, and the partial results of the hubs' chunks."""
    TIES: tl.constexpr = BACKWARD == MODE
    row, begin, end, chunk, whole = span(pattern, 0, hubs, chunks, CHUNK, HUBS)
    found = read(pattern, values, x, rows + 1, begin, end, channels, KINDS, TIES, BLOCK_E, BLOCK_C, ACC)
    if HUBS:
        keep(found, partial, channels * chunk, channels, KINDS, TIES, BLOCK_C)
    inputs = (x, weights, diagonal, to_high, to_low, to_std)
    outs = (out, second, third, fourth)
    limit = channels * whole
    write(
        found, row, limit, end - begin, inputs, outs, tallies, rows, channels, KINDS, MODE, MIXED, TALLY, BLOCK_C, ACC
    )


@triton.jit(do_not_specialize=["rows"])
def merge(
    pattern,
    hubs,
    partial,
    x,
    weights,
    diagonal,
    to_high,
    to_low,
    to_std,
    out,
    second,
    third,
    fourth,
    tallies,
    rows,
    channels,
    KINDS: tl.constexpr,
    MODE: tl.constexpr,
    MIXED: tl.constexpr,
    TALLY: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """What is made of each hub, from the partial results of its chunks."""
    row, entries, count = pieces(pattern, 0, hubs, CHUNK)
    found = put_together(partial, entries, count, channels, KINDS, BACKWARD == MODE, CHUNK, BLOCK_C, ACC)
    inputs = (x, weights, diagonal, to_high, to_low, to_std)
    outs = (out, second, third, fourth)
    limit = tl.where(count > 0, channels, 0)
    write(found, row, limit, entries, inputs, outs, tallies, rows, channels, KINDS, MODE, MIXED, TALLY, BLOCK_C, ACC)


@triton.jit(do_not_specialize=["chunks", "rows", "pointer", "column", "order"])
def spread(
    pattern,
    hubs,
    partial,
    values,
    x,
    weights,
    diagonal,
    grad,
    highs,
    lows,
    moments,
    out,
    chunks,
    rows,
    pointer,
    column,
    order,
    channels,
    KINDS: tl.constexpr,
    SUMS: tl.constexpr,
    MIXED: tl.constexpr,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """The gradient by columns: what each node receives from the rows that read it."""
    j, begin, end, chunk, whole = span(pattern, pointer, hubs, chunks, CHUNK, HUBS)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    some = c < channels
    far = rows.to(tl.int64) * channels
    own = tl.load(x + j * channels + c, mask=some, other=0.0).to(ACC)
    total = tl.zeros([BLOCK_E, BLOCK_C], ACC)
    for e in range(begin, end, BLOCK_E):
        entry = e + tl.arange(0, BLOCK_E)
        inside = entry < end
        row = tl.load(pattern + column + entry, mask=inside, other=0)
        at = row.to(tl.int64)[:, None] * channels + c[None, :]
        given = inside[:, None] & some[None, :]
        if SUMS:
            g = tl.load(grad + at, mask=given, other=0.0).to(ACC)
            if MIXED:
                degree = tl.load(pattern + row + 1, mask=inside, other=1) - tl.load(pattern + row, mask=inside, other=0)
                factor = tl.load(weights).to(ACC) + tl.load(weights + 1).to(ACC) / tl.maximum(degree, 1).to(ACC)
                if GCN & KINDS:
                    place = tl.load(pattern + order + entry, mask=inside, other=0)
                    factor += tl.load(weights + 2).to(ACC) * tl.load(values + place, mask=inside, other=0.0).to(ACC)
                g *= factor[:, None]
            total += g
        if HIGH & KINDS:
            best = tl.load(highs + at, mask=given, other=0.0)
            total += tl.where(best == own[None, :], tl.load(highs + far + at, mask=given, other=0.0), 0.0)
        if LOW & KINDS:
            best = tl.load(lows + at, mask=given, other=0.0)
            total += tl.where(best == own[None, :], tl.load(lows + far + at, mask=given, other=0.0), 0.0)
        if STD & KINDS:
            away = tl.where(given, own[None, :] - tl.load(moments + at, mask=given, other=0.0), 0.0)
            total += tl.load(moments + far + at, mask=given, other=0.0) * away
    result = tl.sum(total, 0)
    if MIXED and (GCN | SELF) & KINDS:
        factor = tl.load(weights + 3).to(ACC)
        if GCN & KINDS:
            factor += tl.load(weights + 2).to(ACC) * tl.load(diagonal + j).to(ACC)
        # A hub receives its own share with its first chunk.
        limit = tl.where(begin == tl.load(pattern + pointer + j), channels, 0)
        result += factor * tl.load(grad + j * channels + c, mask=c < limit, other=0.0).to(ACC)
    part = tl.program_id(0).to(tl.int64) * channels + c
    deliver(result, partial, out, part, j * channels + c, c < channels * chunk, c < channels * whole, HUBS)
