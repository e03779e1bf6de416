"""The order of a sparse matrix's entries by rows and by columns: a counting sort in C, or PyTorch's sorts.

A batch that was just drawn is sorted once and serves one step, so how long that takes is part of the step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gnas.kernels import build


class Sorted(NamedTuple):
    """Entries in compressed rows and compressed columns; see :class:`gnas.kernels.Structure`.

    Args:
        order: Which of the given entries stands where by rows, ``[entries]``.
    """

    pointer: Tensor
    column: Tensor
    row: Tensor
    pointer_t: Tensor
    column_t: Tensor
    order_t: Tensor
    order: Tensor


def by_rows_and_columns(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Sorted:
    """Entries by row and column, stably; indices are taken to lie within the shape."""
    # A subclass of Tensor, such as a traced one, has no numbers that C could read.
    plain = type(row) is type(column) is Tensor and row.device.type == column.device.type == "cpu"
    plain = plain and row.dtype == column.dtype == torch.int64 and not torch._C._are_functorch_transforms_active()
    return _counted(row, column, shape) if plain and not build.missing(torch.float32) else _sorted(row, column, shape)


def _counted(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Sorted:
    row, column, entries = row.contiguous(), column.contiguous(), row.numel()
    pointers = [row.new_empty(size + 1) for size in shape]
    order, order_t, sorted_row, sorted_column, column_t = row.new_empty(5, entries).unbind()
    room = row.new_empty(max(shape))
    call = build.function("sort_entries", torch.float32, "ppnnnpppppppp")
    places = (*pointers, order, order_t, sorted_row, sorted_column, column_t, room)
    call(row.data_ptr(), column.data_ptr(), entries, *shape, *(place.data_ptr() for place in places))
    return Sorted(pointers[0], sorted_column, sorted_row, pointers[1], column_t, order_t, order)


def _sorted(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Sorted:
    order = torch.argsort(row * max(shape[1], 1) + column, stable=True)
    row, column = row[order], column[order]
    order_t = torch.argsort(column, stable=True)
    pointer = torch._convert_indices_from_coo_to_csr(row, shape[0])
    pointer_t = torch._convert_indices_from_coo_to_csr(column[order_t], shape[1])
    return Sorted(pointer, column, row, pointer_t, row[order_t], order_t, order)
