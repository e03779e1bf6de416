"""What the second order costs: step time and peak memory of ``Darts(order=2)`` against ``Darts(order=1)``.

    python -m benchmarks.orders --data cora

One process a space and order for the memory (peak resident memory above that of the loaded data; Linux), and one
process that alternates between the orders for the time, so that a drifting machine slows both.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import files, measuring

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

    def steps() -> None:
        for _ in range(3):
            strategy.step(task, state)

    return measuring.peak(steps)


def times(data: str, space: str, steps: int) -> dict[str, list[float]]:
    """Seconds of each step by order, interleaved."""
    kinds = {"1": (1, "finite"), "2": (2, "finite"), "2 exact": (2, "exact")}
    running = {name: start(data, space, order, hvp, steps + 2) for name, (order, hvp) in kinds.items()}
    ways = {name: partial(strategy.step, task, state) for name, (strategy, task, state) in running.items()}
    return measuring.interleaved(ways, steps)


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
    for space in args.spaces:
        taken = {name: median(values) for name, values in times(args.data, space, args.steps).items()}
        memory = {}
        for name, order, hvp in (("1", "1", "finite"), ("2", "2", "finite"), ("2 exact", "2", "exact")):
            arguments = ("--data", args.data, "--peak", space, order, hvp)
            memory[name] = measuring.elsewhere("benchmarks.orders", *arguments)
        result = {
            "data": args.data,
            "space": space,
            "seconds a step (median)": taken,
            "peak MiB": memory,
            "time ratio": {name: taken[name] / taken["1"] for name in taken},
            "memory ratio": {name: memory[name] / memory["1"] for name in memory},
            **measuring.about(threads=1),
        }
        files.keep(RESULTS / f"{args.data}-{space}.json", result)
        for name in taken:
            ratios = f"{result['time ratio'][name]:.2f} x time, {result['memory ratio'][name]:.2f} x memory"
            print(f"{args.data} {space} order {name}: {taken[name]:.3f} s, {memory[name]:.0f} MiB; {ratios}")


if __name__ == "__main__":
    main()
