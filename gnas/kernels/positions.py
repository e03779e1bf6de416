"""Positions that Python knows, as a tensor that is made once for each device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_KEPT: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}


def positions(places: Sequence[int], device: torch.device) -> Tensor:
    """``torch.tensor(places, device=device)``, not to be changed: int64 [places].

    Numbers that go to a GPU make Python wait for it, and can't go there while a CUDA graph is recorded.
    """
    key = tuple(places), device
    if torch.compiler.is_compiling() or _standing_in():
        return torch.tensor(key[0], dtype=torch.int64, device=device)
    if key not in _KEPT:
        _KEPT[key] = torch.tensor(key[0], dtype=torch.int64, device=device)
    return _KEPT[key]


def _standing_in() -> bool:
    # Tensors that only stand for others belong to what traces them.
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None
