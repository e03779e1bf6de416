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

_LIBRARY = torch.library.Library("gnas", "FRAGMENT")


class Operator:
    """A function as an operator of PyTorch, on some devices: what :func:`torch.library.custom_op` makes, for less.

    That one reads the operator's schema anew in every call, to fill in defaults that there are none of here: as long as
    a small graph's sum takes.

    Args:
        name: ``"gnas::"`` and a name.
        function: What it does; typed, without defaults, and changes none of its arguments.
        devices: Types of the devices that it serves.
    """

    def __init__(self, name: str, function: Callable[..., Any], devices: Sequence[str]) -> None:
        self.name, (_, self.own) = name, name.split("::")
        schema = self.own + torch.library.infer_schema(function, mutates_args=())
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        for device in devices:
            _LIBRARY.impl(self.own, function, device.upper())
        self.operator = getattr(torch.ops.gnas, self.own).default

    def __call__(self, *inputs: Any) -> Any:
        return self.operator(*inputs)

    def register_fake(self, fake: Callable[..., Any]) -> None:
        """What the results look like, for who traces without computing."""
        torch.library.register_fake(self.name, fake, lib=_LIBRARY)

    def register_autograd(self, backward: Callable[..., Any], setup_context: Callable[..., None]) -> None:
        """The gradients, as of :meth:`torch.library.CustomOpDef.register_autograd`."""
        operator = self.operator

        class Differentiated(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Any) -> Any:
                # The keys come last, so that the positions of the inputs are those that the formulas know.
                *inputs, keys = given
                with torch._C._AutoDispatchBelowAutograd():
                    output = operator.redispatch(keys & torch._C._after_autograd_keyset, *inputs)
                setup_context(ctx, inputs, output)
                return output

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                return *backward(ctx, *grads), None

        def call(keys: Any, *inputs: Any) -> Any:
            if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
                return Differentiated.apply(*inputs, keys)
            with torch._C._AutoDispatchBelowAutograd():
                return operator.redispatch(keys & torch._C._after_autograd_keyset, *inputs)

        _LIBRARY.impl(self.own, call, "Autograd", with_keyset=True)


def op(name: str, device_types: str | Sequence[str]) -> Callable[[Callable[..., Any]], Operator]:
    """Makes a function an :class:`Operator`."""
    devices = (device_types,) if isinstance(device_types, str) else device_types
    return lambda function: Operator(name, function, devices)


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
