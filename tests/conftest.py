"""What every test stands on: one thread, the same examples each time, and where the raw data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Set before torch is loaded, and inherited by the processes that tests start: the tests are small, and pools of
# threads would only take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Set before Triton is loaded: its programs are tested on the CPU, by its interpreter.
os.environ.setdefault("TRITON_INTERPRET", "1")

# The same examples at every run, so that a red test is red again; no deadline, because a loaded machine is no fault.
settings.register_profile("gnas", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("gnas")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of raw public data that ``GNAS_DATA`` names; a test that asks for it is skipped without one."""
    root = os.environ.get("GNAS_DATA")
    if not root:
        pytest.skip("GNAS_DATA is not set: it names the folder with the raw files of Planetoid and other data sets")
    if not Path(root).is_dir():
        pytest.fail(f"GNAS_DATA is {root!r}, which is no folder; unset it or let it name the one with the raw files")
    return Path(root)
