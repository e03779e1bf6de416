"""What the benchmarks have in common: ways that take turns, peak memory, and what a result says of its machine."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Run = Callable[[], object]


def interleaved(ways: Mapping[str, Run], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, in turns, so that a drifting machine slows all of them; the first turn is left out."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(repeats + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            if i:
                taken[name].append(time.perf_counter() - began)
    return taken


def memory(entry: str) -> float:
    """MiB of an entry of ``/proc/self/status``, such as ``"VmRSS"`` (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:")) / 1024


def peak(run: Run) -> float:
    """MiB that a run takes above what the process has before it (Linux)."""
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
    run()
    return memory("VmHWM") - before


def settle() -> None:
    """Give what is free back to the system, so that a peak is measured above what is in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def elsewhere(module: str, *arguments: str) -> float:
    """The number that a module prints last when it is run in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def about(threads: int, retained: bool = False) -> dict[str, Any]:
    """Threads, allocator, versions and machine, for a result file.

    Args:
        threads: PyTorch's.
        retained: What :func:`gnas.kernels.retain` answered.
    """
    import torch
    import torch_geometric

    import gnas
    from gnas import kernels

    plain = "glibc malloc, freed memory kept" if retained else "glibc malloc"
    return {
        "threads": threads,
        "allocator": os.environ.get("LD_PRELOAD") or plain,
        "kernels": kernels.backend(),
        "versions": {
            "gnas": gnas.__version__,
            "torch": torch.__version__,
            "torch_geometric": torch_geometric.__version__,
            "python": platform.python_version(),
        },
        "machine": platform.machine(),
    }
