"""What a site of the supernet costs, forward and backward, beside the same candidates as PyG's layers.

    python -m benchmarks.sites --threads 1 2 --large
    python -m benchmarks.sites --table

A site mixes seven aggregators in one pass over the neighbours, or ten candidates with GAT, GATv2 and GIN among them,
which share one projection (``share="site"``) or have each its own (``share="none"``). The naive way is the same
candidates with the same sharing, each a PyG layer. Beside them: one GCN layer on our kernels, PyG's, and what no site
of these can do without, a ReLU and a projection. All take turns in one process; a row holds medians and their ratios.
Peak memory (above that of the graph and the weights; Linux) is that of a process of its own. Each graph and number of
threads is a file in ``benchmarks/results/sites``, and so is the memory of each graph, way by way; what is there is not
measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from benchmarks import files, measuring
from benchmarks.kernels import CASES, Case
from benchmarks.naive import NaiveOwnSite, NaiveSite
from benchmarks.search_step import SEVEN
from gnas import kernels
from gnas.kernels import Graph
from gnas.ops import Context
from gnas.sites import Mix, site_of
from gnas.space import Choice, Node

RESULTS = Path(__file__).parent / "results" / "sites"
TEN = (*SEVEN, "gat", "gatv2", "gin")
Forward = Callable[[Tensor], Tensor]
RATIOS = {
    "7 aggregators, shared projection / naive": ("seven", "seven naive"),
    "7 aggregators, shared projection / one layer on our kernels": ("seven", "layer"),
    "7 aggregators, shared projection / PyG's GCNConv": ("seven", "GCNConv"),
    "10 candidates, shared projection / naive": ("ten", "ten naive"),
    "10 candidates, shared projection / PyG's GCNConv": ("ten", "GCNConv"),
    "10 candidates, own projections / naive": ("ten own", "ten own naive"),
    "one candidate, shared projection / PyG's GCNConv": ("one", "GCNConv"),
    "ReLU and projection alone / one layer on our kernels": ("projection", "layer"),
}


def ways(case: Case) -> dict[str, Callable[[], Forward]]:
    """For each way what makes it: a function of the states, with its weights drawn anew."""
    graph = Graph(case.edge_index, case.nodes)
    hidden = case.channels
    context = Context(graph, torch.zeros(case.nodes, hidden), 0.0, True)

    def site(ops: tuple[str, ...], build: Callable[[Node], nn.Module]) -> Callable[[], Forward]:
        def start() -> Forward:
            made = build(Node("conv", Choice("op", ops), ("x",), attrs={"transform": True})).train()
            alpha = torch.zeros(len(ops), requires_grad=True)
            return lambda x: made({0: x}, {"op": Mix(alpha.softmax(0), tuple(range(len(ops))))}, context)

        return start

    def layer() -> Forward:
        made = site_of(Node("conv", "gcn", ("x",), attrs={"transform": True}), hidden, "none")
        return lambda x: made({0: x}, {}, context)

    def projection() -> Forward:
        made = nn.Linear(hidden, hidden, bias=False)
        return lambda x: made(x.relu())

    def pyg() -> Forward:
        made = GCNConv(hidden, hidden)
        return lambda x: made(x.relu(), case.edge_index)

    return {
        "seven": site(SEVEN, lambda node: site_of(node, hidden, "site")),
        "seven naive": site(SEVEN, lambda node: NaiveSite(node, hidden)),
        "ten": site(TEN, lambda node: site_of(node, hidden, "site")),
        "ten naive": site(TEN, lambda node: NaiveSite(node, hidden)),
        "ten own": site(TEN, lambda node: site_of(node, hidden, "none")),
        "ten own naive": site(TEN, lambda node: NaiveOwnSite(node, hidden)),
        "one": site(("gcn",), lambda node: site_of(node, hidden, "site")),
        "layer": layer,
        "projection": projection,
        "GCNConv": pyg,
    }


def running(case: Case, forward: Forward) -> measuring.Run:
    """A forward and a backward pass to the states, and to all weights."""
    x = torch.randn(case.nodes, case.channels, generator=torch.Generator().manual_seed(0), requires_grad=True)
    direction = torch.randn(case.nodes, case.channels, generator=torch.Generator().manual_seed(1))

    def run() -> None:
        forward(x).backward(direction)
        x.grad = None

    return run


def times(case: Case, repeats: int) -> dict[str, float]:
    """Median milliseconds of each way."""
    torch.manual_seed(0)
    runs = {name: running(case, start()) for name, start in ways(case).items()}
    return {name: 1e3 * median(taken) for name, taken in measuring.interleaved(runs, repeats).items()}


def peak(case: Case, name: str) -> float:
    """MiB that two passes take above the graph, the states and the weights."""
    run = running(case, ways(case)[name]())
    run()
    measuring.settle()
    return measuring.peak(run)


def peaks(case: str, retained: bool) -> None:
    """Keep the peak MiB of each way, each in a process of its own, as they come."""
    target = RESULTS / f"peak-{case}.json"
    found = files.read(target) if target.exists() else {"case": case, "peak MiB": {}, **measuring.about(1, retained)}
    for name in sorted({name for pair in RATIOS.values() for name in pair} - set(found["peak MiB"])):
        found["peak MiB"][name] = measuring.elsewhere("benchmarks.sites", "--peak", case, name)
        files.keep(target, found)
        print(f"{case}, {name}: {found['peak MiB'][name]:.0f} MiB", flush=True)


def ratios(values: Mapping[str, float]) -> dict[str, float]:
    """The table's ratios, of what is there."""
    there = {title: pair for title, pair in RATIOS.items() if all(name in values for name in pair)}
    return {title: values[one] / values[other] for title, (one, other) in there.items()}


def table() -> str:
    """Times and peak memory of each graph and number of threads as Markdown, from the result files."""
    parts, every = [], []
    for title, key, pattern in (("time", "ms", "[!p]*.json"), ("peak memory", "peak MiB", "peak-*.json")):
        found = files.every(RESULTS, pattern)
        found.sort(key=lambda result: (list(CASES).index(result["case"]), result["threads"]))
        names = [f"{r['case']}, {r['threads']} thread{'s' * (r['threads'] > 1)}" for r in found]
        lines = [f"| {' | '.join([title, *names])} |", "| --- " * (len(names) + 1) + "|"]
        for name in RATIOS:
            cells = (f"{ratios(r[key])[name]:.3g}" if name in ratios(r[key]) else "" for r in found)
            lines.append(f"| {' | '.join([name, *cells])} |")
        parts.append("\n".join(lines))
        every += found
    about = sorted({f"{r['allocator']}; {r['kernels']} kernels; {json.dumps(r['versions'])}" for r in every})
    return "\n\n".join([*parts, *about])


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__, root=False)
    parser.add_argument("--threads", type=int, nargs="*", default=[1], help="of the times; none for the memory alone")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--large", action="store_true", help="169,343 nodes and 2.3M edges too, with fewer repeats")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out peak memory")
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    retained = kernels.retain()
    if args.peak:
        torch.set_num_threads(1)
        print(peak(CASES[args.peak[0]](), args.peak[1]))
        return
    if args.table:
        print(table())
        return
    for name in ("cora", "molecules", *(["large"] if args.large else [])):
        case = CASES[name]()
        for threads in args.threads:
            target = RESULTS / f"{name}-{threads}.json"
            if target.exists():
                continue
            torch.set_num_threads(threads)
            taken = times(case, args.repeats if name != "large" else max(3, args.repeats // 7))
            result: dict[str, Any] = {
                "case": name,
                "nodes": case.nodes,
                "edges": case.edge_index.size(1),
                "channels": case.channels,
                "ms": taken,
                **measuring.about(threads, retained),
            }
            files.keep(target, result)
            print(f"{name}, {threads} threads: {taken}", flush=True)
            for title, ratio in ratios(taken).items():
                print(f"  {title}: {ratio:.3f}", flush=True)
        if args.memory:
            peaks(name, retained)


if __name__ == "__main__":
    main()
