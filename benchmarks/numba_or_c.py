"""Why the fast CPU kernels are written in C: the same loops by numba, beside them.

    pip install numba
    python -m benchmarks.numba_or_c --large

The weighted sum, and the pass that gives the maximum, the minimum, the mean and the standard deviation, forward and
backward, on one thread; both take turns in one process, and the table holds medians. Numba's loops are written as
plainly as they can be, with ``fastmath``, as the C file is compiled for the machine's own instructions.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
import torch

from benchmarks import files
from benchmarks.kernels import CASES, Case
from gnas import kernels
from gnas.kernels import Graph, compiled

RESULTS = Path(__file__).parent / "results" / "numba_or_c"
Array = Any


@numba.njit(fastmath=True, error_model="numpy")
def weighted_sum(pointer: Array, column: Array, values: Array, x: Array, out: Array) -> None:
    """``out_i = sum_j values_ij x_j``."""
    for i in range(len(pointer) - 1):
        out[i] = 0
        for e in range(pointer[i], pointer[i + 1]):
            value, row = values[e], x[column[e]]
            for c in range(x.shape[1]):
                out[i, c] += value * row[c]


@numba.njit(fastmath=True, error_model="numpy")
def statistics(pointer: Array, column: Array, x: Array, high: Array, low: Array, mean: Array, std: Array) -> None:
    """Largest, smallest, mean and standard deviation of the neighbours, around the first of them."""
    for i in range(len(pointer) - 1):
        begin, end = pointer[i], pointer[i + 1]
        if begin == end:
            high[i], low[i], mean[i], std[i] = 0, 0, 0, 0
            continue
        shift = x[column[begin]]
        high[i], low[i], mean[i], std[i] = shift, shift, 0, 0
        for e in range(begin, end):
            row = x[column[e]]
            for c in range(x.shape[1]):
                d = row[c] - shift[c]
                high[i, c] = max(high[i, c], row[c])
                low[i, c] = min(low[i, c], row[c])
                mean[i, c] += d
                std[i, c] += d * d
        share = np.float32(1 / (end - begin))
        for c in range(x.shape[1]):
            first = mean[i, c] * share
            variance = std[i, c] * share - first * first
            std[i, c] = np.sqrt(variance) if variance > 1e-5 else np.float32(0)
            mean[i, c] = first + shift[c]


@numba.njit(fastmath=True, error_model="numpy")
def statistics_back(
    pointer: Array, column: Array, x: Array, outs: Array, grads: Array, ties: Array, back: Array
) -> None:
    """The gradient to ``x`` of all four: ties share that of an extreme."""
    high, low, mean, std = outs
    to_high, to_low, to_mean, to_std = grads
    back[:] = 0
    channels = x.shape[1]
    for i in range(len(pointer) - 1):
        begin, end = pointer[i], pointer[i + 1]
        ties[:] = 0
        for e in range(begin, end):
            row = x[column[e]]
            for c in range(channels):
                ties[0, c] += row[c] == high[i, c]
                ties[1, c] += row[c] == low[i, c]
        share = np.float32(1 / max(end - begin, 1))
        for e in range(begin, end):
            row, to = x[column[e]], back[column[e]]
            for c in range(channels):
                part = share * to_mean[i, c]
                part += share * to_std[i, c] * (row[c] - mean[i, c]) / std[i, c] if std[i, c] > 0 else np.float32(0)
                part += to_high[i, c] / ties[0, c] if row[c] == high[i, c] else np.float32(0)
                part += to_low[i, c] / ties[1, c] if row[c] == low[i, c] else np.float32(0)
                to[c] += part


def ways(case: Case) -> dict[str, dict[str, Callable[[], Any]]]:
    """For each computation what runs it in C and by numba, on the same numbers."""
    generator = torch.Generator().manual_seed(0)
    graph = Graph(case.edge_index, case.nodes)
    structure = graph.plain
    x = torch.randn(case.nodes, case.channels, generator=generator)
    values = torch.rand(structure.entries, generator=generator)
    pattern, (rows, columns) = structure.pattern, structure.shape
    pointer, column = (t.to(torch.int32).numpy() for t in (structure.pointer, structure.column))
    kept = compiled._statistics(pattern, rows, columns, x, True, True, True)
    grads = [torch.randn(x.shape, generator=generator) for _ in kept]
    sums, back = (np.empty(x.shape, np.float32) for _ in range(2))
    outs = tuple(np.empty(x.shape, np.float32) for _ in kept)
    ties = np.empty((2, case.channels), np.float32)
    arrays = x.numpy(), values.numpy(), tuple(out.numpy() for out in kept), tuple(grad.numpy() for grad in grads)
    plain, factors, known, given = arrays

    def check() -> None:
        weighted_sum(pointer, column, factors, plain, sums)
        statistics(pointer, column, plain, *outs)
        statistics_back(pointer, column, plain, known, given, ties, back)
        expected = compiled._to_statistics(pattern, rows, columns, x, list(kept), list(grads))
        pairs = [(sums, kernels.weighted_sum(structure, values, x)), *zip(outs, kept, strict=True), (back, expected)]
        for found, true in pairs:
            np.testing.assert_allclose(found, true.numpy(), rtol=1e-2, atol=1e-3 * float(true.abs().max()))

    check()
    return {
        "weighted sum": {
            "C": lambda: kernels.weighted_sum(structure, values, x),
            "numba": lambda: weighted_sum(pointer, column, factors, plain, sums),
        },
        "max, min, mean, std": {
            "C": lambda: compiled._statistics(pattern, rows, columns, x, True, True, True),
            "numba": lambda: statistics(pointer, column, plain, *outs),
        },
        "max, min, mean, std, backward": {
            "C": lambda: compiled._to_statistics(pattern, rows, columns, x, list(kept), list(grads)),
            "numba": lambda: statistics_back(pointer, column, plain, known, given, ties, back),
        },
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="169,343 nodes and 2.3M edges too, with fewer repeats")
    parser.add_argument("--repeats", type=int, default=21)
    args = parser.parse_args()
    if kernels.reason():
        raise SystemExit(f"nothing to compare: {kernels.reason()}")
    torch.set_num_threads(1)
    kernels.retain()
    for name in ("cora", "molecules", *(["large"] if args.large else [])):
        found = {}
        for computation, running in ways(CASES[name]()).items():
            taken: dict[str, list[float]] = {way: [] for way in running}
            for i in range((args.repeats if name != "large" else max(3, args.repeats // 7)) + 1):
                for way, run in running.items():
                    began = time.perf_counter()
                    run()
                    if i:
                        taken[way].append((time.perf_counter() - began) * 1e3)
            found[computation] = {way: median(values) for way, values in taken.items()}
            ratio = found[computation]["numba"] / found[computation]["C"]
            print(f"{name}, {computation}: numba takes {ratio:.1f} times as long as C", flush=True)
        versions = {"torch": torch.__version__, "numba": numba.__version__, "python": platform.python_version()}
        result = {"case": name, "milliseconds": found, "threads": 1, "versions": versions}
        files.keep(RESULTS / f"{name}.json", result)


if __name__ == "__main__":
    main()
