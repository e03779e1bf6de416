"""How the work of a graph is cut into programs: which rows are hubs, how large a tile is, and the launch itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gnas.kernels.graph import Structure
from gnas.kernels.operators import entries_of

CHUNK = 256
"""Entries that one program reads at most: a row of more is a hub, whose chunks are put together afterwards."""
WIDEST = 1024
"""Channels of an attention head at most: a program holds all of them."""
DEVICES = ("cpu", "cuda")
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Plan(NamedTuple):
    """A structure as the programs read it.

    Args:
        pattern: :attr:`Structure.pattern`.
        hubs: For each chunk of a hub its row and its first entry, [chunks, 2], int32.
        hubs_t: The same for the columns.
    """

    pattern: Tensor
    hubs: Tensor
    hubs_t: Tensor


def plan(structure: Structure) -> Plan:
    """The plan of a structure, made once. Where it lies on a GPU, making it waits for the GPU."""
    key = f"plan {CHUNK}"
    if key not in structure._kept:
        _make(structure, key)
    return structure._kept[key]


@torch.compiler.disable
def _make(structure: Structure, key: str) -> None:
    # What is first asked for in torch.inference_mode may serve a backward pass later.
    with torch.inference_mode(False):
        hubs = [_chunks(pointer) for pointer in (structure.pointer, structure.pointer_t)]
        structure._kept[key] = Plan(structure.pattern, *hubs)


def _chunks(pointer: Tensor) -> Tensor:
    degree = pointer.diff()
    hub = (degree > CHUNK).nonzero().flatten()
    count = (degree[hub] + CHUNK - 1) // CHUNK
    row = hub.repeat_interleave(count)
    first = (count.cumsum(0) - count).repeat_interleave(count)
    begin = pointer[row] + CHUNK * (torch.arange(row.numel(), device=row.device) - first)
    return torch.stack([row, begin], dim=1).to(torch.int32)


def planned(plan: Sequence[Tensor], rows: int, columns: int) -> Structure:
    """The structure of a plan: its pattern and the chunks of its hubs, by rows and by columns."""
    pattern, hubs, hubs_t = plan
    structure = Structure.from_pattern(pattern, rows, columns)
    structure._kept.update({"pattern": pattern, f"plan {CHUNK}": Plan(pattern, hubs, hubs_t)})
    return structure


class Side(NamedTuple):
    """The rows of a pattern, or its columns in their place.

    Args:
        rows: How many there are.
        hubs: Their hubs.
        pointer: Where the pattern has their pointer.
        column: Where it has their neighbours.
        order: Where it has, for columns, the position of each entry in row order.
    """

    rows: int
    hubs: Tensor
    pointer: int
    column: int
    order: int

    @property
    def chunks(self) -> int:
        """Number of chunks of hubs."""
        return self.hubs.size(0)

    @property
    def tasks(self) -> int:
        """Number of programs that share out the rows."""
        return self.rows + self.chunks


def side(pattern: Tensor, hubs: Tensor, hubs_t: Tensor, rows: int, columns: int, by_columns: bool) -> Side:
    """One side of a pattern."""
    entries = entries_of(pattern, rows, columns)
    if not by_columns:
        return Side(rows, hubs, 0, rows + 1, 0)
    pointer = rows + 1 + entries
    return Side(columns, hubs_t, pointer, pointer + columns + 1, pointer + columns + 1 + entries)


class Tile(NamedTuple):
    """How much a program reads at a time.

    Args:
        entries: Neighbours.
        channels: Channels of each.
        warps: Groups of 32 threads that a program has.
    """

    entries: int
    channels: int
    warps: int


def power(n: int) -> int:
    """The next power of two."""
    return 1 << max(0, n - 1).bit_length()


def tile(entries: int, rows: int, channels: int, numbers: int, widest: int = 128) -> Tile:
    """A tile of about so many numbers: as many neighbours as a row has on average, where they fit.

    Args:
        entries: Entries of the pattern.
        rows: Its rows.
        channels: Channels of a state.
        numbers: Numbers of a tile at most, unless it has four neighbours of one block of channels.
        widest: Channels of a block at most.
    """
    width = min(widest, max(4, power(channels)))
    height = min(max(4, power(-(-entries // max(1, rows)))), max(4, numbers // width), 64)
    return Tile(height, width, max(1, min(4, height * width // 1024)))


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which numbers of a type are summed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def partial(on: Side, x: Tensor, *shape: int) -> Tensor:
    """Room for the partial results of the hubs."""
    return x.new_empty((on.chunks, *shape), dtype=accumulator(x.dtype))


def launch(program: Any, grid: tuple[int, ...], x: Tensor, *arguments: object, **constants: object) -> None:
    """Run a program on each place of a grid, where the tensor ``x`` lies and in the type in which its are summed."""
    if 0 in grid:
        return
    import triton.language as tl

    constants |= {"CHUNK": CHUNK, "ACC": tl.float64 if x.dtype == torch.float64 else tl.float32}
    if x.device.type != "cuda":
        program[grid](*arguments, **constants)
        return
    with torch.cuda.device(x.device):
        # As is the default so far; said, because Triton is about to change it and warns.
        program[grid](*arguments, **constants, enable_fp_fusion=True)


def share_out(
    program: Any, on: Side, blocks: int, size: Tile, x: Tensor, *arguments: object, **constants: object
) -> None:
    """Run a program on each row and each chunk of a hub, and for each on so many blocks of channels."""
    constants |= {"HUBS": on.chunks > 0, "BLOCK_E": size.entries, "BLOCK_C": size.channels, "num_warps": size.warps}
    launch(program, (on.tasks, blocks), x, *arguments, **constants)


def fold(on: Side, pattern: Tensor, parts: Tensor, out: Tensor) -> None:
    """Add up the partial sums ``parts`` [chunks, ...] of the hubs into their rows of ``out`` [rows, ...]."""
    if not on.chunks:
        return
    from gnas.kernels.programs import rows

    channels = out[0].numel()
    block = min(128, power(channels))
    grid = (on.chunks, -(-channels // block))
    launch(rows.fold, grid, out, pattern, on.hubs, parts, out, on.pointer, channels, BLOCK=block)
