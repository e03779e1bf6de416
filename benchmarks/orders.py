"""What the second order costs: step time and peak memory of ``Darts(order=2)`` against ``Darts(order=1)``.

    python -m benchmarks.orders --data cora

One process a space and order for the memory (peak resident memory above that of the loaded data; Linux), and one
process that alternates between the orders for the time, so that a drifting machine slows both.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results" / "orders"


def start(data: str, space: str, order: int, hvp: str, epochs: int) -> tuple[Any, Any, Any]:
    """A strategy, its task and its state after no step."""
    import torch

    import gnas
    from gnas.space import SPACES

    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = gnas.Task.from_data(gnas.load(data), name=data)
    strategy = gnas.Darts(order=order, hvp=hvp, epochs=epochs, warmup=0)
    return strategy, task, strategy.init(SPACES[space](), task, torch.default_generator)


def peak(data: str, space: str, order: int, hvp: str) -> float:
    """MiB above the loaded data and supernet, over three steps."""
    strategy, task, state = start(data, space, order, hvp, 4)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew (Linux)
    for _ in range(3):
        strategy.step(task, state)
    return _memory("VmHWM") - before


def _memory(entry: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:")) / 1024


def times(data: str, space: str, steps: int) -> dict[str, list[float]]:
    """Seconds of each step by order, interleaved."""
    kinds = {"1": (1, "finite"), "2": (2, "finite"), "2 exact": (2, "exact")}
    running = {name: start(data, space, order, hvp, steps + 2) for name, (order, hvp) in kinds.items()}
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for i in range(steps + 1):
        for name, (strategy, task, state) in running.items():
            began = time.perf_counter()
            strategy.step(task, state)
            if i:
                taken[name].append(time.perf_counter() - began)
    return taken


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cora")
    parser.add_argument("--spaces", nargs="+", default=["layered", "gap"])
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--peak", nargs=3, metavar=("SPACE", "ORDER", "HVP"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        space, order, hvp = args.peak
        print(peak(args.data, space, int(order), hvp))
        return
    import torch
    import torch_geometric

    RESULTS.mkdir(parents=True, exist_ok=True)
    for space in args.spaces:
        taken = {name: median(values) for name, values in times(args.data, space, args.steps).items()}
        memory = {}
        for name, order, hvp in (("1", "1", "finite"), ("2", "2", "finite"), ("2 exact", "2", "exact")):
            command = [sys.executable, "-m", "benchmarks.orders", "--data", args.data, "--peak", space, order, hvp]
            memory[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        result = {
            "data": args.data,
            "space": space,
            "seconds a step (median)": taken,
            "peak MiB": memory,
            "time ratio": {name: taken[name] / taken["1"] for name in taken},
            "memory ratio": {name: memory[name] / memory["1"] for name in memory},
            "threads": 1,
            "allocator": "glibc malloc",
            "versions": {"torch": torch.__version__, "torch_geometric": torch_geometric.__version__},
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
        }
        (RESULTS / f"{args.data}-{space}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        for name in taken:
            ratios = f"{result['time ratio'][name]:.2f} x time, {result['memory ratio'][name]:.2f} x memory"
            print(f"{args.data} {space} order {name}: {taken[name]:.3f} s, {memory[name]:.0f} MiB; {ratios}")


if __name__ == "__main__":
    main()
