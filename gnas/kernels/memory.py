"""Memory that a training step frees serves the next one, instead of going back to the system.

glibc returns large blocks to the system at once, and the system hands out fresh pages one by one and zeroed, which
takes longer than the arithmetic on them. A training loop asks for the same blocks again and again.
"""

from __future__ import annotations

import ctypes
import os

LARGEST = 1 << 25
"""Blocks above so many bytes still go back; glibc allows no more."""
_TRIM, _MAP = -1, -3


def retain() -> bool:
    """Tell glibc to keep what is freed, for the whole process; whether it listened.

    The process then holds on to the largest amount of memory that it had. What the environment's
    ``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_MMAP_THRESHOLD_`` say is left as it is. Other allocators, such as jemalloc,
    have their own ways, and this does nothing to them.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - it is there in glibc alone
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MAP, LARGEST)) and bool(mallopt(_TRIM, 2**31 - 1))
