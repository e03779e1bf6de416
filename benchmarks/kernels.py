"""What the kernels cost: forward and backward passes beside the other backends and PyG's own layers.

    python -m benchmarks.kernels --threads 1 2 --large --memory
    python -m benchmarks.kernels --table
    python -m benchmarks.kernels --device cuda --large

The backends are the compiled one, the portable one (PyTorch's sparse products) and, where torch-scatter is installed,
``scatter``, which computes on gathered rows as people do with that library. The ways to compute the same thing take
turns in one process, so that a drifting machine slows all of them; the table holds medians and their ratios. Peak
memory (above that of the graph and its layers; Linux) is that of a process of its own. Each computation is kept in
``benchmarks/results/kernels`` when it is done, and what is there is not measured again. Cora and molhiv are read from
``GNAS_DATA``, or drawn at random in their size where they are missing.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SimpleConv

from benchmarks import files, kernels_device, measuring
from gnas import kernels
from gnas.kernels import Graph

RESULTS = Path(__file__).parent / "results" / "kernels"
HEADS = 8
OURS = ("compiled", "portable", *(() if kernels.reason("scatter") else ("scatter",)))
WAYS = ("apart", "portable", "scatter", "PyG")
"""What the compiled backend is compared with, as far as it was there; ``apart`` are its own kernels one by one."""
NINE = (*kernels.AGGREGATIONS, *kernels.ATTENTIONS)
Way = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """A graph and the states of its nodes.

    Args:
        name: What the result file is called.
        edge_index: [2, edges].
        nodes: Number of nodes.
        channels: Channels of a state; a multiple of the heads.
        words: Features as ``torch.sparse_csr``, for the first projection; not everywhere.
    """

    name: str
    edge_index: Tensor
    nodes: int
    channels: int
    words: Tensor | None = None


def cora() -> Case:
    """Cora with its bag-of-words features, or a graph of its size."""
    if os.environ.get("GNAS_DATA"):
        from torch_geometric.data import Data

        import gnas
        from gnas.data import quiet_sparse

        data = gnas.load("cora")
        assert isinstance(data, Data)
        with quiet_sparse():
            words = data.x.to_sparse_csr()
        return Case("cora", data.edge_index, data.num_nodes, 64, words)
    return Case("cora", torch.randint(2708, (2, 10556), generator=_generator()), 2708, 64)


def molecules() -> Case:
    """The first 128 molecules of ogbg-molhiv as one batch, or random graphs of their size; channels for 8 heads."""
    count = 128
    folder = Path(os.environ.get("GNAS_DATA", "")) / "ogb" / "ogbg_molhiv" / "raw"
    if folder.is_dir():
        nodes, edges = (torch.tensor(_table(folder / f"num-{what}-list.csv.gz", count)) for what in ("node", "edge"))
        one, other = torch.tensor(_table(folder / "edge.csv.gz", int(edges.sum()))).unbind(dim=1)
    else:
        nodes, (one, other) = torch.full((count, 1), 25), _drawn_molecules(count, 25)
        edges = torch.full((count, 1), one.numel() // count)
    offset = (nodes.cumsum(0) - nodes).squeeze(1).repeat_interleave(edges.squeeze(1))
    joined = torch.stack([one + offset, other + offset])
    return Case("molecules", torch.cat([joined, joined.flip(0)], dim=1), int(nodes.sum()), 72)


def _table(path: Path, rows: int) -> list[list[int]]:
    with gzip.open(path, "rt", encoding="ascii") as file:
        return [[int(cell) for cell in line.split(",")] for line in islice(file, rows)]


def _drawn_molecules(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Both ends of the bonds of random trees with two bonds more."""
    generator = _generator()
    child = torch.arange(1, size).repeat(count, 1)
    # Most atoms follow the one before, so that a node has about two neighbours.
    back = 1 + (3 * torch.rand(count, size - 1, generator=generator) ** 4).long()
    rings = torch.randint(size, (2, count, 2), generator=generator)
    one = torch.cat([child, rings[0]], dim=1)
    return one.flatten(), torch.cat([(child - back).clamp(min=0), rings[1]], dim=1).flatten()


def large() -> Case:
    """A power-law graph of the size of ogbn-arxiv in both directions."""
    nodes, edges = 169_343, 1_157_799
    target = (nodes * torch.rand(edges, generator=_generator()) ** 3).long()
    source = torch.randint(nodes, (edges,), generator=_generator())
    both = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    return Case("large", both, nodes, 128)


CASES: dict[str, Callable[[], Case]] = {"cora": cora, "molecules": molecules, "large": large}


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def ways(case: Case) -> dict[str, dict[str, tuple[Way, list[Tensor]]]]:
    """For each computation its ways: what runs it, and what its gradient is taken to."""
    torch.manual_seed(0)
    graph, edge_index, channels = Graph(case.edge_index, case.nodes), case.edge_index, case.channels
    x = torch.randn(case.nodes, channels, requires_grad=True)
    gcn = GCNConv(channels, channels)
    gat = GATConv(channels, channels // HEADS, heads=HEADS)
    gatv2 = GATv2Conv(channels, channels // HEADS, heads=HEADS, share_weights=True)
    # Attention over states that are projected already, with the vectors of those above.
    bare_gat = GATConv(channels, channels // HEADS, heads=HEADS, bias=False)
    bare_gat.lin, bare_gat.att_src, bare_gat.att_dst = nn.Identity(), gat.att_src, gat.att_dst
    bare_gatv2 = GATv2Conv(channels, channels // HEADS, heads=HEADS, share_weights=True, bias=False)
    bare_gatv2.lin_l, bare_gatv2.lin_r, bare_gatv2.att = nn.Identity(), nn.Identity(), gatv2.att
    plain = {name: SimpleConv(aggr=name) for name in ("sum", "mean", "max", "min", "std")}
    four = SimpleConv(aggr=["max", "min", "mean", "std"], combine_root=None)
    weights, nine = torch.rand(7, requires_grad=True), torch.rand(9, requires_grad=True)
    vectors = {"gat": (gat.att_src, gat.att_dst), "gatv2": (gatv2.att,)}

    def ours_gcn() -> Tensor:
        return kernels.weighted_sum(graph.looped, graph.symmetric(x.dtype), gcn.lin(x)) + gcn.bias

    def ours_gat() -> Tensor:
        z = gat.lin(x).view(-1, HEADS, channels // HEADS)
        source, target = (z * gat.att_src).sum(-1), (z * gat.att_dst).sum(-1)
        return kernels.attention(graph.looped, source, target, z).flatten(1) + gat.bias

    def ours_gatv2() -> Tensor:
        z = gatv2.lin_l(x).view(-1, HEADS, channels // HEADS)
        return kernels.attention_v2(graph.looped, gatv2.att, z).flatten(1) + gatv2.bias

    def ours_mixture() -> Tensor:
        z = gcn.lin(x)
        return kernels.mix_aggregate(z, graph, weights)

    def naive_mixture() -> Tensor:
        parts = naive(gcn.lin(x))
        return torch.stack([w * parts[name] for w, name in zip(weights, kernels.AGGREGATIONS, strict=True)]).sum(0)

    def naive(z: Tensor) -> dict[str, Tensor]:
        return {name: conv(z, edge_index) for name, conv in plain.items()} | {"gcn": gcn(x, edge_index), "identity": z}

    def ours_nine() -> Tensor:
        return kernels.mix_aggregate(gcn.lin(x), graph, nine, NINE, attention=vectors)

    def apart() -> Tensor:
        z = gcn.lin(x)
        heads = z.view(-1, HEADS, channels // HEADS)
        source, target = (heads * gat.att_src).sum(-1), (heads * gat.att_dst).sum(-1)
        one = kernels.attention(graph.looped, source, target, heads).flatten(1)
        other = kernels.attention_v2(graph.looped, gatv2.att, heads).flatten(1)
        return kernels.combine(nine[7:], [one, other], kernels.mix_aggregate(z, graph, nine[:7]))

    def naive_nine() -> Tensor:
        z = gcn.lin(x)
        parts = naive(z) | {"gat": bare_gat(z, edge_index), "gatv2": bare_gatv2(z, edge_index)}
        return torch.stack([w * parts[name] for w, name in zip(nine, NINE, strict=True)]).sum(0)

    def pair(ours: Way, layer: Way, *asked: Tensor | None) -> dict[str, tuple[Way, list[Tensor]]]:
        inputs = [x, *(t for t in asked if t is not None)]
        return {name: (_with(name, ours), inputs) for name in OURS} | {"PyG": (layer, inputs)}

    found = {
        "GCNConv": pair(ours_gcn, lambda: gcn(x, edge_index), gcn.lin.weight),
        "max": pair(lambda: kernels.extreme(graph.plain, x), lambda: plain["max"](x, edge_index)),
        "max, min, mean, std": pair(
            lambda: torch.cat(kernels.statistics(graph.plain, x), dim=1), lambda: four(x, edge_index)
        ),
        "GATConv": pair(ours_gat, lambda: gat(x, edge_index), gat.lin.weight, gat.att_src, gat.att_dst),
        "GATv2Conv": pair(ours_gatv2, lambda: gatv2(x, edge_index), gatv2.lin_l.weight, gatv2.att),
        "mixture of 7": pair(ours_mixture, naive_mixture, weights, gcn.lin.weight),
    }
    asked = [nine, gcn.lin.weight, gat.att_src, gat.att_dst, gatv2.att]
    found["mixture of 9"] = pair(ours_nine, naive_nine, *asked) | {"apart": (_with("compiled", apart), [x, *asked])}
    if case.words is not None:
        structure, values = kernels.structure_of(case.words), case.words.values()
        dense, first = case.words.to_dense(), nn.Linear(case.words.size(1), channels, bias=False).weight
        sparse: Way = lambda: kernels.weighted_sum(structure, values, first.t().contiguous())  # noqa: E731
        found["first projection"] = {name: (_with(name, sparse), [first]) for name in OURS} | {
            "PyG": (lambda: dense @ first.t(), [first])
        }
    return found


def _with(backend: str, run: Way) -> Way:
    def chosen() -> Tensor:
        with kernels.use(backend):
            return run()

    return chosen


def once(run: Way, inputs: list[Tensor], direction: Tensor | None) -> tuple[float, float, Tensor]:
    """Seconds of the forward and of the backward pass, and a direction for the next time."""
    began = time.perf_counter()
    out = run()
    between = time.perf_counter()
    direction = torch.randn_like(out) if direction is None else direction
    start = time.perf_counter()
    torch.autograd.grad(out, inputs, direction, allow_unused=True)
    return between - began, time.perf_counter() - start, direction


def times(running: dict[str, tuple[Way, list[Tensor]]], repeats: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each way of a computation, and each way's ratio to the compiled one."""
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in running}
    direction: Tensor | None = None
    for i in range(repeats + 1):
        for way, (run, inputs) in running.items():
            forward, backward, direction = once(run, inputs, direction)
            if i:
                taken[way].append((forward, backward))
    both = {way: median(f + b for f, b in pairs) * 1e3 for way, pairs in taken.items()}
    return {
        way: {
            "forward ms": median(f for f, _ in pairs) * 1e3,
            "backward ms": median(b for _, b in pairs) * 1e3,
            "both ms": both[way],
            "ratio": both[way] / both["compiled"],
        }
        for way, pairs in taken.items()
    }


def measure(name: str, threads: int, repeats: int, memory: bool) -> None:
    """What is missing of a graph's computations: each is kept when it is done."""
    target = RESULTS / f"{name}-{threads}.json"
    case = CASES[name]()
    torch.set_num_threads(threads)
    result: dict[str, Any] = {
        "case": name,
        "nodes": case.nodes,
        "edges": case.edge_index.size(1),
        "channels": case.channels,
        "times": {},
        "peak MiB": {},
        **measuring.about(threads),
    }
    result = files.read(target) if target.exists() else result
    for computation, running in ways(case).items():
        if computation not in result["times"]:
            result["times"][computation] = by_way = times(running, repeats)
            files.keep(target, result)
            row = ", ".join(f"{way} {t['both ms']:.2f} ms ({t['ratio']:.2f})" for way, t in by_way.items())
            print(f"{name} {threads} threads, {computation}: {row}", flush=True)
        if memory and computation not in result["peak MiB"]:
            both = [way for way in ("compiled", "PyG") if way in running]
            result["peak MiB"][computation] = {way: elsewhere(name, computation, way) for way in both}
            files.keep(target, result)


def table(results: Path) -> str:
    """Milliseconds of the compiled way, and how many times as long and as much memory others take, as Markdown."""
    found = [r for r in files.every(results) if "threads" in r]
    found.sort(key=lambda r: (list(CASES).index(r["case"]), r["threads"]))
    lines = [
        f"| graph | threads | computation | compiled, ms | {' | '.join(WAYS)} | compiled, peak MiB | PyG |",
        "| --- " * (6 + len(WAYS)) + "|",
    ]
    for r in found:
        for name, by_way in r["times"].items():
            ratios = [f"x {by_way[way]['ratio']:.1f}" if way in by_way else "" for way in WAYS]
            peaks = r["peak MiB"].get(name, {})
            memory = [f"{peaks[way]:.0f}" if way in peaks else "" for way in ("compiled", "PyG")]
            cells = [r["case"], str(r["threads"]), name, f"{by_way['compiled']['both ms']:.2f}", *ratios, *memory]
            lines.append(f"| {' | '.join(cells)} |")
    about = sorted({f"{r['allocator']}; {r['versions']}" for r in found})
    return "\n".join([*lines, "", *about])


def peak(case: Case, name: str, way: str) -> float:
    """MiB that two forward and backward passes take above the graph, its sorted forms and the layers."""
    run, inputs = ways(case)[name][way]
    warm = Graph(case.edge_index[:, :2], case.nodes)
    kernels.weighted_sum(warm.plain, None, torch.zeros(case.nodes, 1))

    def passes() -> None:
        direction: Tensor | None = None
        for _ in range(2):
            _, _, direction = once(run, inputs, direction)

    return measuring.peak(passes)


def elsewhere(case: str, name: str, way: str) -> float:
    """The same in a process of its own."""
    return measuring.elsewhere("benchmarks.kernels", "--peak", case, name, way)


def on_gpu(names: tuple[str, ...], repeats: int) -> None:
    """Measure, write and print what the kernels cost on the first GPU, in single and in half precision."""
    device = torch.device("cuda", 0)
    backends, bandwidth = kernels_device.compared(), kernels_device.copy_bandwidth(device)
    print(f"{torch.cuda.get_device_name(device)}: a copy moves {bandwidth / 1e9:.0f} GB/s", flush=True)
    for name in names:
        case = CASES[name]()
        for dtype, ways in ((torch.float32, backends), (torch.bfloat16, ("triton", "reference"))):
            found = kernels_device.measure(
                case.edge_index.to(device), case.nodes, case.channels, repeats, ways, bandwidth, dtype
            )
            result = {
                "case": name,
                "nodes": case.nodes,
                "edges": case.edge_index.size(1),
                "channels": case.channels,
                "type": str(dtype),
                "copy GB/s": bandwidth / 1e9,
                "times": found,
                "versions": measuring.about(1)["versions"],
                "machine": torch.cuda.get_device_name(device),
            }
            files.keep(RESULTS / f"{name}-cuda-{str(dtype).removeprefix('torch.')}.json", result)
            for computation, by_way in found.items():
                row = ", ".join(
                    f"{way} {t['both ms']:.3f} ms ({t['ratio']:.2f}; {t['share of copy']:.0%} of a copy)"
                    for way, t in by_way.items()
                )
                print(f"{name} {dtype}, {computation}: {row}", flush=True)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__, root=False)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--large", action="store_true", help="169,343 nodes and 2.3M edges too, with fewer repeats")
    parser.add_argument("--memory", action="store_true", help="peak memory too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--peak", nargs=3, metavar=("CASE", "NAME", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print(peak(CASES[args.peak[0]](), *args.peak[1:]))
        return
    if args.table:
        print(table(RESULTS))
        return
    names = ("cora", "molecules", *(["large"] if args.large else []))
    if args.device == "cuda":
        # Cora is drawn at random there: reading it takes packages that a machine lent for its GPU may not have.
        os.environ.pop("GNAS_DATA", None)
        on_gpu(names, args.repeats)
        return
    if kernels.reason():
        raise SystemExit(f"nothing to compare: {kernels.reason()}")
    for name in names:
        for threads in args.threads:
            measure(name, threads, args.repeats if name != "large" else max(3, args.repeats // 7), args.memory)


if __name__ == "__main__":
    main()
