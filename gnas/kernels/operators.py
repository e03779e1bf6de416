"""What the operators of the compiled backend have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gnas.kernels.graph import PADDING

HEADS = 256
"""More attention heads than this are left to other backends."""
PARTIAL = 64
"""Partial sums over all rows; a fixed number, so that no sum depends on the threads."""
CHANNELS = 16
"""Channels that a thread takes at least where threads share out channels: one line of the processor's cache."""

op = torch.library.custom_op


def entries_of(pattern: Tensor, rows: int, columns: int) -> int:
    """Number of entries of a pattern."""
    return (pattern.numel() - rows - columns - 2 - PADDING) // 3


def full(name: str, x: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """``x`` in one piece, if it is what is expected: the kernels read wherever a shape points to.

    Raises:
        ValueError: It isn't.
    """
    if x.shape != shape or x.dtype != dtype:
        raise ValueError(
            f"{name} has shape {list(x.shape)} and dtype {x.dtype}; expected {list(shape)} and {dtype}, as the graph "
            "and the other arguments have it"
        )
    return x.contiguous()


def address(x: Tensor | None) -> int:
    """Where the numbers lie, 0 for none."""
    return 0 if x is None else x.data_ptr()


def alike(*tensors: Tensor) -> list[Tensor]:
    """New tensors of the same shapes, in one piece each."""
    return [torch.empty_like(x, memory_format=torch.contiguous_format) for x in tensors]


def again(formula: Callable[..., Any], inputs: Sequence[Tensor], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients of a formula to its inputs that can be differentiated in turn; ``None`` where none is asked for."""
    with torch.enable_grad():
        # One input may have been made from another; what is asked for are the partial gradients.
        inputs = [x.view_as(x) for x in inputs]
        outputs = formula(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
        asked = [x for x in inputs if x.requires_grad]
        if not pairs or not asked:
            return [None for _ in inputs]
        values, given = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(values, asked, given, create_graph=True, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in inputs]
