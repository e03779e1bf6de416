"""Message passing on a GPU by programs that Triton compiles: no tensor of entries by channels.

A program reads one row's neighbours, or one chunk of a hub's, whose partial results a second program puts together; so
no row is one program's long work, and no result depends on an order of additions that a GPU chooses. float16 and
bfloat16 are summed in float32. The kernels are operators of :mod:`torch.library`, each with its gradient; see
:mod:`gnas.kernels.triton_sums`, :mod:`gnas.kernels.triton_mixture` and :mod:`gnas.kernels.triton_attention`.

Triton is imported when a kernel is first run. With ``TRITON_INTERPRET=1`` in the environment from the beginning, the
same programs run on the CPU: slowly, to be tested.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata
from importlib.util import find_spec

import torch
from torch import Tensor

from gnas.kernels.graph import Structure
from gnas.kernels.reference import rectified_sum
from gnas.kernels.triton_attention import attention, attention_v2, edge_softmax
from gnas.kernels.triton_mixture import extreme, mix, moments, statistics
from gnas.kernels.triton_plan import TYPES, WIDEST
from gnas.kernels.triton_sums import inner_product, weighted_sum

__all__ = [
    "INTERPRETED",
    "attention",
    "attention_v2",
    "edge_softmax",
    "extreme",
    "fits",
    "inner_product",
    "mix",
    "moments",
    "reason",
    "rectified_sum",
    "statistics",
    "weighted_sum",
]


INTERPRETED = os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on")
"""Whether Triton's interpreter is asked for; Triton, too, looks once."""


@cache
def reason() -> str:
    """Why this backend isn't available here, or nothing where it is."""
    if find_spec("triton") is None:
        return "triton isn't installed"
    if INTERPRETED:
        # It takes arrays of one number for numbers, which NumPy no longer does.
        old = _version("triton") < (3, 7) and _version("numpy") >= (2, 5)
        return "the interpreter of Triton before 3.7 needs NumPy before 2.5" if old else ""
    if torch.cuda.is_available():
        return ""
    return "there is no CUDA GPU, and TRITON_INTERPRET=1 is not set"


def _version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in metadata.version(package).split(".")[:2])


def fits(structure: Structure, x: Tensor) -> bool:
    """Whether this backend serves such a graph and such states."""
    here = x.device.type == ("cpu" if INTERPRETED else "cuda")
    return here and x.dtype in TYPES and structure.compact and (x.dim() < 3 or x.size(2) <= WIDEST)
