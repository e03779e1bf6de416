"""Activation checkpointing (Chen and others, arXiv 1604.06174): keep a module's inputs, compute the rest again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

FLAGS = ("training", "tracking", "track_running_stats")
"""Attributes of a module that decide what it computes or whether its running statistics move."""


def recomputed(module: nn.Module, run: Callable[..., Tensor], tensors: Sequence[Tensor]) -> Tensor:
    """``run(*tensors)``, of which nothing but the tensors is kept for the backward pass.

    The backward pass runs it a second time, as the first run's twin: it draws the same random numbers, finds buffers
    and modes of the module as the first run found them, and leaves them as they have become since. So values and
    gradients are those of the plain call, and running statistics move once.

    Args:
        module: What ``run`` reads parameters, buffers and modes of.
        run: Is called with the tensors; what else it needs may be in its closure.
        tensors: All that ``run`` reads and that was computed before.
    """
    past = _Past(module)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), past

    out: Tensor = checkpoint(run, *tensors, use_reentrant=False, context_fn=contexts)
    return out


class _Past:
    """Buffers and modes of a module as they are when this is made; within the context it has them again."""

    def __init__(self, module: nn.Module) -> None:
        self.kept = [(part, _copied(_state(part))) for part in module.modules()]
        self.now: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        self.now = [_state(part) for part, _ in self.kept]
        for part, state in self.kept:
            # Copies of the copies, which a second backward pass through the same graph finds as they are.
            _set(part, _copied(state))

    def __exit__(self, *error: object) -> None:
        for (part, _), state in zip(self.kept, self.now, strict=True):
            _set(part, state)


def _state(module: nn.Module) -> dict[str, Any]:
    flags = {name: getattr(module, name) for name in FLAGS if hasattr(module, name)}
    return flags | dict(module.named_buffers(recurse=False))


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}


def _set(module: nn.Module, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(module, name, value)
