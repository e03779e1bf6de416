"""What the kernels cost on a GPU: beside torch-scatter's way or PyTorch's, and beside the speed of a plain copy.

Called by ``python -m benchmarks.kernels --device cuda``; needs PyTorch, Triton and PyG only. The ways take turns.
Bytes are those that must move if nothing is cached: for each pass, a row of channels for every entry read, one for
every node written, and the index of every entry. What a cache saves counts for a way, what it moves twice against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gnas import kernels
from gnas.kernels import Graph

HEADS = 8
WARM = 3
"""Passes before the first that counts: the first compiles."""
Call = tuple[Callable[[], Tensor], list[Tensor]]


def computations(edge_index: Tensor, nodes: int, channels: int, dtype: torch.dtype) -> dict[str, Call]:
    """What is computed on a graph, and what its gradient is taken to."""
    graph, device = Graph(edge_index, nodes), edge_index.device
    generator = torch.Generator(device).manual_seed(0)

    def states(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, generator=generator).to(dtype).requires_grad_()

    x, z = states(nodes, channels), states(nodes, HEADS, channels // HEADS)
    source, target, att = states(nodes, HEADS), states(nodes, HEADS), states(HEADS, channels // HEADS)
    weights, values = states(len(kernels.AGGREGATIONS)), graph.symmetric(torch.float32).to(dtype)
    return {
        "weighted sum": (lambda: kernels.weighted_sum(graph.looped, values, x), [x]),
        "max": (lambda: kernels.extreme(graph.plain, x), [x]),
        "max, min, mean, std": (lambda: torch.cat(kernels.statistics(graph.plain, x), dim=1), [x]),
        "attention": (lambda: kernels.attention(graph.looped, source, target, z), [source, target, z]),
        "attention of GATv2": (lambda: kernels.attention_v2(graph.looped, att, z), [att, z]),
        "mixture of 7": (lambda: kernels.mix_aggregate(x, graph, weights), [x, weights]),
    }


def clock(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds that a call takes where it runs, and what it returns."""
    if device.type != "cuda":
        began = time.perf_counter()
        out = run()
        return time.perf_counter() - began, out
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    begin.record()
    out = run()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1e3, out


def copy_bandwidth(device: torch.device, numbers: int = 1 << 28) -> float:
    """Bytes a second of a copy, read and written, the median of 21."""
    one = torch.ones(numbers, device=device)
    other = torch.empty_like(one)
    taken = [clock(lambda: other.copy_(one), device)[0] for _ in range(WARM + 21)]
    return 2 * one.nbytes / median(taken[WARM:])


def _once(backend: str, call: Call, device: torch.device) -> tuple[float, float]:
    # Seconds of the forward and of the backward pass.
    run, inputs = call
    with kernels.use(backend):
        forward, out = clock(run, device)
        direction = torch.ones_like(out)
        backward, _ = clock(lambda: torch.autograd.grad(out, inputs, direction), device)
    return forward, backward


def measure(
    edge_index: Tensor,
    nodes: int,
    channels: int,
    repeats: int,
    backends: tuple[str, ...],
    bandwidth: float,
    dtype: torch.dtype = torch.float32,
) -> dict[str, dict[str, dict[str, float]]]:
    """Medians of each computation by each backend, the first of which the others are compared with.

    Returns:
        By computation and backend: milliseconds, the share of the bandwidth, the ratio to the first backend's time,
        and on a GPU the peak of memory above what was there before.
    """
    device = edge_index.device
    result: dict[str, dict[str, dict[str, float]]] = {}
    size = torch.empty(0, dtype=dtype).element_size()
    must = 2 * (edge_index.size(1) * (channels * size + 4) + nodes * channels * size)
    for name, call in computations(edge_index, nodes, channels, dtype).items():
        taken: dict[str, list[tuple[float, float]]] = {backend: [] for backend in backends}
        peaks = dict.fromkeys(backends, 0.0)
        for i in range(WARM + repeats):
            for backend in backends:
                if device.type == "cuda" and i == WARM:
                    torch.cuda.reset_peak_memory_stats(device)
                    before = torch.cuda.memory_allocated(device)
                pair = _once(backend, call, device)
                if i >= WARM:
                    taken[backend].append(pair)
                if device.type == "cuda" and i == WARM:
                    peaks[backend] = (torch.cuda.max_memory_allocated(device) - before) / 2**20
        both = {backend: median(f + b for f, b in pairs) for backend, pairs in taken.items()}
        result[name] = {
            backend: {
                "forward ms": median(f for f, _ in pairs) * 1e3,
                "backward ms": median(b for _, b in pairs) * 1e3,
                "both ms": both[backend] * 1e3,
                "share of copy": must / both[backend] / bandwidth,
                "ratio": both[backend] / both[backends[0]],
                "peak MiB": peaks[backend],
            }
            for backend, pairs in taken.items()
        }
    return result


def compared() -> tuple[str, ...]:
    """Triton, and what it is compared with: torch-scatter where it is installed, else PyTorch's gather and scatter.

    Raises:
        SystemExit: Nothing to compare.
    """
    if kernels.backend("cuda") != "triton":
        why = kernels.reason("triton") or "Triton's interpreter is on"
        raise SystemExit(f"got --device cuda, but {why}; expected a CUDA GPU and Triton, try --device cpu")
    return "triton", "reference" if kernels.reason("scatter") else "scatter"
