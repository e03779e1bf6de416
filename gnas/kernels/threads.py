"""Threads for the compiled kernels: calls that release the interpreter's lock, on ranges of rows of about equal work.

The threads are PyTorch's number of them (``torch.get_num_threads``) and live as long as the process. Whoever is free
takes the next range from a counter, so a thread that starts late costs little. No result depends on the threads: a
row is computed by one of them, in its own order.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

LARGE = 1 << 20
"""Multiplications from which a second thread pays: waking one takes about as long as a tenth of these."""
RANGES = 8
"""Ranges a thread, so that a slow one holds up the others for an eighth of its share at most."""

_POOLS: dict[int, ThreadPoolExecutor] = {}

# A forked process has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOLS.clear)


def count(work: int) -> int:
    """Number of threads for that many multiplications."""
    return torch.get_num_threads() if work >= LARGE else 1


def run(function: Callable[..., None], arguments: tuple[object, ...], threads: int, ranges: int = 0) -> None:
    """Call ``function(*arguments, ranges, counter)`` on each of some threads, and wait for all.

    Args:
        function: Takes ranges from the counter until none is left.
        arguments: What precedes the number of ranges and the counter's address.
        threads: How many threads call it.
        ranges: Number of ranges; by default one for a single thread, else :data:`RANGES` each.
    """
    counter = ctypes.c_int64(0)
    arguments = (*arguments, ranges or (threads * RANGES if threads > 1 else 1), ctypes.addressof(counter))
    if threads <= 1:
        function(*arguments)
        return
    pool = _POOLS.get(threads)
    if pool is None:
        pool = _POOLS.setdefault(threads, ThreadPoolExecutor(threads - 1, thread_name_prefix="gnas-kernels"))
    helpers = [pool.submit(function, *arguments) for _ in range(threads - 1)]
    try:
        function(*arguments)
    finally:
        # What has not begun by now would find nothing to do.
        for helper in helpers:
            if not helper.cancel():
                helper.result()
