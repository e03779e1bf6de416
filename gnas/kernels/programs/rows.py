"""How programs share out rows: a short row each, and a hub's chunks, whose partial results are put together here."""

# Triton reads the annotations, and knows none but its own.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def span(pattern, pointer, hubs, chunks, CHUNK: tl.constexpr, HUBS: tl.constexpr):
    """What this program reads: its row, the first of its entries and the end; then 1 if these are a chunk of a hub, and
    1 if they are the whole row, else 0. For a hub's own program they are neither, and none."""
    # The chunks come first, because they take longest.
    task = tl.program_id(0)
    if HUBS:
        chunk = task < chunks
        place = hubs + 2 * tl.where(chunk, task, 0)
        row = tl.where(chunk, tl.load(place), task - chunks)
        begin = tl.where(chunk, tl.load(place + 1), tl.load(pattern + pointer + row))
        end = tl.load(pattern + pointer + row + 1)
        whole = (end - begin <= CHUNK) & (task >= chunks)
        end = tl.where(chunk | whole, tl.minimum(end, begin + CHUNK), begin)
    else:
        row = task
        begin = tl.load(pattern + pointer + row)
        end = tl.load(pattern + pointer + row + 1)
        whole = row >= 0
        chunk = row < 0
    return row.to(tl.int64), begin, end, chunk.to(tl.int32), whole.to(tl.int32)


@triton.jit
def deliver(value, parts, out, part, place, of_chunk, of_row, HUBS: tl.constexpr):
    """Store what a program made: of a hub's chunk among the parts, of a whole row where it belongs."""
    if HUBS:
        tl.store(parts + part, value, mask=of_chunk)
    tl.store(out + place, value, mask=of_row)


@triton.jit
def pieces(pattern, pointer, hubs, CHUNK: tl.constexpr):
    """Where a program for each chunk puts a hub together: the hub's row, its entries, and its number of chunks, which
    is zero for all programs but that of its first chunk."""
    chunk = tl.program_id(0)
    row = tl.load(hubs + 2 * chunk)
    begin = tl.load(pattern + pointer + row)
    entries = tl.load(pattern + pointer + row + 1) - begin
    count = tl.where(tl.load(hubs + 2 * chunk + 1) == begin, (entries + CHUNK - 1) // CHUNK, 0)
    return row.to(tl.int64), entries, count


@triton.jit(do_not_specialize=["pointer"])
def fold(
    pattern,
    hubs,
    partial,
    out,
    pointer,
    channels,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
):
    """``out_i = sum of partial`` over the chunks of each hub i."""
    row, _entries, count = pieces(pattern, pointer, hubs, CHUNK)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    some = c < channels
    first = tl.program_id(0).to(tl.int64)
    total = tl.zeros([8, BLOCK], ACC)
    for k in range(0, count, 8):
        chunk = k + tl.arange(0, 8)
        place = (first + chunk)[:, None] * channels + c[None, :]
        total += tl.load(partial + place, mask=(chunk < count)[:, None] & some[None, :], other=0.0)
    tl.store(out + row * channels + c, tl.sum(total, 0), mask=c < tl.where(count > 0, channels, 0))
