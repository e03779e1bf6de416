"""The programs of the softmax over a node's edges and of attention.

A tile is neighbours by heads by channels of a head, each rounded up to a power of two. The largest logit of a row and
head is kept as it grows, and what was summed before is scaled down then.
"""

# Triton reads the annotations, and knows none but its own.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from gnas.kernels.programs.rows import deliver, pieces, span

# Where a logit comes from: it is given, or that of GAT, or that of GATv2.
GIVEN = tl.constexpr(0)
GAT = tl.constexpr(1)
GATV2 = tl.constexpr(2)


@triton.jit
def settle(
    top,
    total,
    sums,
    row,
    limit,
    out,
    peak,
    scale,
    heads,
    width,
    LOGIT: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """Divide by the sum of weights and write, for the heads below a limit."""
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    factor = 1.0 / (total + 1e-16)
    tl.store(peak + row * heads + h, tl.where(total == 0.0, 0.0, top), mask=h < limit)
    tl.store(scale + row * heads + h, factor, mask=h < limit)
    if LOGIT != GIVEN:
        w = tl.arange(0, BLOCK_W)
        place = (row * heads + h)[:, None] * width + w[None, :]
        tl.store(out + place, sums * factor[:, None], mask=(h < limit)[:, None] & (w < width)[None, :])


@triton.jit(do_not_specialize=["chunks", "column"])
def attend(
    pattern,
    hubs,
    source,
    target,
    att,
    z,
    out,
    peak,
    scale,
    tops,
    partial,
    chunks,
    column,
    heads,
    width,
    SLOPE: tl.constexpr,
    LOGIT: tl.constexpr,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ACC: tl.constexpr,
):
    """``sum_j softmax_j(logit_ij) z_j``, the largest logit of each row, and one over the sum of the exponentials."""
    BLOCK_H: tl.constexpr = BLOCK_C // BLOCK_W
    slope = tl.full([1], SLOPE, ACC)
    row, begin, end, chunk, whole = span(pattern, 0, hubs, chunks, CHUNK, HUBS)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    w = tl.arange(0, BLOCK_W)
    some = (h < heads)[:, None] & (w < width)[None, :]
    flat = h[:, None] * width + w[None, :]
    top = tl.full([BLOCK_H], -float("inf"), ACC)
    total = tl.zeros([BLOCK_H], ACC)
    sums = tl.zeros([BLOCK_H, BLOCK_W], ACC)
    if LOGIT == GAT:
        own = tl.load(target + row * heads + h, mask=h < heads, other=0.0).to(ACC)
    if LOGIT == GATV2:
        mine = tl.load(z + row * heads * width + flat, mask=some, other=0.0).to(ACC)
        vector = tl.load(att + flat, mask=some, other=0.0).to(ACC)
    for e in range(begin, end, BLOCK_E):
        entry = e + tl.arange(0, BLOCK_E)
        inside = entry < end
        each = inside[:, None] & (h < heads)[None, :]
        if LOGIT == GIVEN:
            logit = tl.load(source + entry.to(tl.int64)[:, None] * heads + h[None, :], mask=each, other=0.0).to(ACC)
        else:
            neighbour = tl.load(pattern + column + entry, mask=inside, other=0).to(tl.int64)
            place = neighbour[:, None, None] * heads * width + flat[None, :, :]
            v = tl.load(z + place, mask=inside[:, None, None] & some[None, :, :], other=0.0).to(ACC)
            if LOGIT == GAT:
                logit = tl.load(source + neighbour[:, None] * heads + h[None, :], mask=each, other=0.0).to(ACC)
                logit += own[None, :]
                logit = tl.where(logit > 0.0, logit, logit * slope)
            else:
                both = v + mine[None, :, :]
                logit = tl.sum(vector[None, :, :] * tl.where(both > 0.0, both, both * slope), 2)
        before = top
        top = tl.maximum(top, tl.max(tl.where(each, logit, -float("inf")), 0))
        # Where a row begins there is nothing to scale down.
        fall = tl.where(before == -float("inf"), 0.0, tl.exp(before - top))
        weight = tl.where(each, tl.exp(tl.where(each, logit - top[None, :], 0.0)), 0.0)
        total = total * fall + tl.sum(weight, 0)
        if LOGIT != GIVEN:
            sums = sums * fall[:, None] + tl.sum(weight[:, :, None] * v, 0)
    if HUBS:
        to = tl.program_id(0).to(tl.int64) * heads + h
        limit = heads * chunk
        tl.store(tops + 2 * to, top, mask=h < limit)
        tl.store(tops + 2 * to + 1, total, mask=h < limit)
        if LOGIT != GIVEN:
            kept = (h < limit)[:, None] & (w < width)[None, :]
            tl.store(partial + to[:, None] * width + w[None, :], sums, mask=kept)
    settle(top, total, sums, row, heads * whole, out, peak, scale, heads, width, LOGIT, BLOCK_H, BLOCK_W)


@triton.jit
def merge(
    pattern,
    hubs,
    out,
    peak,
    scale,
    tops,
    partial,
    heads,
    width,
    LOGIT: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ACC: tl.constexpr,
):
    """The same of each hub, from the partial results of its chunks."""
    row, _entries, count = pieces(pattern, 0, hubs, CHUNK)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    w = tl.arange(0, BLOCK_W)
    some = (h < heads)[:, None] & (w < width)[None, :]
    top = tl.full([BLOCK_H], -float("inf"), ACC)
    total = tl.zeros([BLOCK_H], ACC)
    sums = tl.zeros([BLOCK_H, BLOCK_W], ACC)
    for k in range(count):
        of = (tl.program_id(0).to(tl.int64) + k) * heads + h
        before = top
        other = tl.load(tops + 2 * of, mask=h < heads, other=0.0)
        top = tl.maximum(top, other)
        fall = tl.where(before == -float("inf"), 0.0, tl.exp(before - top))
        factor = tl.exp(other - top)
        total = total * fall + factor * tl.load(tops + 2 * of + 1, mask=h < heads, other=0.0)
        if LOGIT != GIVEN:
            v = tl.load(partial + of[:, None] * width + w[None, :], mask=some, other=0.0)
            sums = sums * fall[:, None] + factor[:, None] * v
    limit = tl.where(count > 0, heads, 0)
    settle(top, total, sums, row, limit, out, peak, scale, heads, width, LOGIT, BLOCK_H, BLOCK_W)


@triton.jit(do_not_specialize=["chunks", "pointer", "column"])
def attend_back(
    pattern,
    hubs,
    own,
    other,
    att,
    z,
    grad,
    peak,
    scale,
    inner,
    to_own,
    to_z,
    to_att,
    own_parts,
    z_parts,
    att_parts,
    chunks,
    pointer,
    column,
    heads,
    width,
    SLOPE: tl.constexpr,
    LOGIT: tl.constexpr,
    BY_COLUMNS: tl.constexpr,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ACC: tl.constexpr,
):
    """The gradients of one side: to its own half of each logit (of GAT), to ``z`` and, by rows, to ``att`` (GATv2)."""
    BLOCK_H: tl.constexpr = BLOCK_C // BLOCK_W
    slope = tl.full([1], SLOPE, ACC)
    row, begin, end, chunk, whole = span(pattern, pointer, hubs, chunks, CHUNK, HUBS)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    w = tl.arange(0, BLOCK_W)
    some = (h < heads)[:, None] & (w < width)[None, :]
    flat = h[:, None] * width + w[None, :]
    here = row * heads + h
    place = row * heads * width + flat
    half = tl.zeros([BLOCK_H], ACC)
    towards = tl.zeros([BLOCK_H, BLOCK_W], ACC)
    bent = tl.zeros([BLOCK_H, BLOCK_W], ACC)
    if BY_COLUMNS:
        left = tl.load(z + place, mask=some, other=0.0).to(ACC)
        mine = left
    else:
        left = tl.load(grad + place, mask=some, other=0.0).to(ACC)
        top = tl.load(peak + here, mask=h < heads, other=0.0)[None, :]
        factor = tl.load(scale + here, mask=h < heads, other=0.0)[None, :]
        mean = tl.load(inner + here, mask=h < heads, other=0.0)[None, :]
        if LOGIT == GATV2:
            mine = tl.load(z + place, mask=some, other=0.0).to(ACC)
    if LOGIT == GATV2:
        vector = tl.load(att + flat, mask=some, other=0.0).to(ACC)
    else:
        first = tl.load(own + here, mask=h < heads, other=0.0).to(ACC)
    for e in range(begin, end, BLOCK_E):
        inside = e + tl.arange(0, BLOCK_E) < end
        neighbour = tl.load(pattern + column + e + tl.arange(0, BLOCK_E), mask=inside, other=0).to(tl.int64)
        each = inside[:, None] & (h < heads)[None, :]
        all_of = inside[:, None, None] & some[None, :, :]
        there = neighbour[:, None] * heads + h[None, :]
        far = neighbour[:, None, None] * heads * width + flat[None, :, :]
        if BY_COLUMNS:
            right = tl.load(grad + far, mask=all_of, other=0.0).to(ACC)
            top = tl.load(peak + there, mask=each, other=0.0)
            factor = tl.load(scale + there, mask=each, other=0.0)
            mean = tl.load(inner + there, mask=each, other=0.0)
        else:
            right = tl.load(z + far, mask=all_of, other=0.0).to(ACC)
        if LOGIT == GATV2:
            if BY_COLUMNS:
                both = mine[None, :, :] + tl.load(z + far, mask=all_of, other=0.0).to(ACC)
            else:
                both = mine[None, :, :] + right
            leaky = tl.where(both > 0.0, both, both * slope)
            logit = tl.sum(vector[None, :, :] * leaky, 2)
        else:
            raw = first[None, :] + tl.load(other + there, mask=each, other=0.0).to(ACC)
            logit = tl.where(raw > 0.0, raw, raw * slope)
        weight = tl.where(each, tl.exp(tl.where(each, logit - top, 0.0)) * factor, 0.0)
        to_logit = weight * (tl.sum(left[None, :, :] * right, 2) - mean)
        if LOGIT == GATV2:
            towards += tl.sum(to_logit[:, :, None] * tl.where(both > 0.0, 1.0, slope), 0) * vector
            if not BY_COLUMNS:
                bent += tl.sum(to_logit[:, :, None] * leaky, 0)
        else:
            half += tl.sum(to_logit * tl.where(raw > 0.0, 1.0, slope), 0)
        if BY_COLUMNS:
            towards += tl.sum(weight[:, :, None] * right, 0)
    part = tl.program_id(0).to(tl.int64) * heads
    of_chunk = (h < heads * chunk)[:, None] & (w < width)[None, :]
    of_row = (h < heads * whole)[:, None] & (w < width)[None, :]
    if LOGIT == GAT:
        deliver(half, own_parts, to_own, part + h, here, h < heads * chunk, h < heads * whole, HUBS)
    if BY_COLUMNS or LOGIT == GATV2:
        deliver(towards, z_parts, to_z, part * width + flat, place, of_chunk, of_row, HUBS)
    if LOGIT == GATV2 and not BY_COLUMNS:
        deliver(bent, att_parts, to_att, part * width + flat, place, of_chunk, of_row, HUBS)


@triton.jit(do_not_specialize=["chunks"])
def weigh(
    pattern,
    hubs,
    logits,
    grad,
    peak,
    scale,
    out,
    chunks,
    heads,
    BACK: tl.constexpr,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """The weights ``exp(logit - peak) scale``; or, of weights p in place of logits, ``p (grad - peak)``."""
    row, begin, end, _chunk, _whole = span(pattern, 0, hubs, chunks, CHUNK, HUBS)
    h = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    top = tl.load(peak + row * heads + h, mask=h < heads, other=0.0)[None, :]
    for e in range(begin, end, BLOCK_E):
        entry = (e + tl.arange(0, BLOCK_E)).to(tl.int64)
        each = (entry < end)[:, None] & (h < heads)[None, :]
        place = entry[:, None] * heads + h[None, :]
        v = tl.load(logits + place, mask=each, other=0.0).to(ACC)
        if BACK:
            v *= tl.load(grad + place, mask=each, other=0.0).to(ACC) - top
        else:
            v = tl.exp(v - top) * tl.load(scale + row * heads + h, mask=h < heads, other=0.0)[None, :]
        tl.store(out + place, v, mask=each)


@triton.jit(do_not_specialize=["chunks"])
def products(
    pattern,
    hubs,
    left,
    right,
    out,
    partial,
    chunks,
    heads,
    HUBS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """``out_i = sum_ij left_ij right_ij`` over the entries of a row, for each head."""
    row, begin, end, chunk, whole = span(pattern, 0, hubs, chunks, CHUNK, HUBS)
    h = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    total = tl.zeros([BLOCK_E, BLOCK_C], ACC)
    for e in range(begin, end, BLOCK_E):
        entry = (e + tl.arange(0, BLOCK_E)).to(tl.int64)
        each = (entry < end)[:, None] & (h < heads)[None, :]
        place = entry[:, None] * heads + h[None, :]
        v = tl.load(left + place, mask=each, other=0.0).to(ACC)
        total += v * tl.load(right + place, mask=each, other=0.0).to(ACC)
    result = tl.sum(total, 0)
    part = tl.program_id(0).to(tl.int64) * heads + h
    deliver(result, partial, out, part, row * heads + h, h < heads * chunk, h < heads * whole, HUBS)
