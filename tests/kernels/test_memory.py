"""What a step frees is there for the next one: counted in the pages that the system has to hand out."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import torch
from gnas.kernels import memory
if "retain" in sys.argv:
    print(memory.retain())
def step():
    blocks = [torch.ones(4_000_000) for _ in range(4)]
for _ in range(3):
    step()
faults = []
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
# A busy system may take back what lies idle, but not at every step.
print(min(faults))
"""


def counted(*words: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", COUNT, *words]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**clean, **environment})
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    told, faults = counted("retain")
    assert told == "True"
    # A single block of the step has 3,906 pages. Those that glibc has to map go back each time.
    assert int(faults) < 1000 < int(*counted(MALLOC_MMAP_THRESHOLD_="65536"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_the_environment_has_the_last_word() -> None:
    assert counted("retain", MALLOC_TRIM_THRESHOLD_="65536")[0] == "False"
