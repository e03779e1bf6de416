"""What a step of a search costs, in training steps of PyG's GCN, and a whole search in trainings.

    python -m benchmarks.search_step --threads 1 2
    python -m benchmarks.search_step --device cuda
    python -m benchmarks.search_step --table --picture docs/step.svg

A step of a search is what :class:`gnas.Darts` does in an epoch but for its measuring: an update of the architecture
and one of the weights. Each row's step takes turns in one process with a training step of PyG's GCN of four layers and
of two on the same graph, with dense features as PyG has them; the row holds medians and their ratios. Peak memory
(above the graph, its sorted forms, network and optimizer; Linux) is that of a process of its own with one thread. Every
row is a file in ``benchmarks/results/search_step``, and a call that was broken off goes on with those that are missing.
``--table`` prints the tables from these files and measures nothing, ``--picture`` draws what a step costs against the
candidates, the depth and the edges (it needs matplotlib).

The supernet has up to four layers with a projection each, the kernels' seven aggregators to choose from in each
(``gcn``, ``identity`` and the five ``conv_...``, in one pass over the neighbours), and the choice of depth. The naive
supernet has the same alphas and projections, and runs PyG's layers one after another. The levers are measured in
``layered(4)``, whose candidates keep more. On a GPU it is steps of the first order on Cora alone, as they are and
recorded as CUDA graphs, all taking turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN

import gnas
from benchmarks import files, kernels_device, measuring
from benchmarks.naive import NaiveSite
from gnas import Darts, GraphModel, GraphSupernet, OnePath, Space, Task, TwoPaths, baselines, kernels, layered
from gnas.sites import SharedSite
from gnas.strategy import PcDarts, capture
from gnas.strategy.base import Task as AnyTask
from gnas.strategy.differentiable import Differentiable

RESULTS = Path(__file__).parent / "results" / "search_step"
SEVEN = ("gcn", "conv_mean", "conv_max", "identity", "conv_sum", "conv_min", "conv_std")
HIDDEN, DROPOUT = 64, 0.6
Start = Callable[[Task], measuring.Run]


def chain(depth: int = 4, ops: tuple[str, ...] = SEVEN) -> Space:
    """Layers that project and choose their aggregator, each for itself, and the choice of the last one."""
    return layered(depth, ops, transforms=0, transform=(True,), previous=(0.0,), initial=(0.0,), tie=())


class NaiveDarts(Darts):
    """DARTS on a supernet whose sites run PyG's layers."""

    def build(self, space: Space, task: AnyTask) -> GraphSupernet:
        net = super().build(space, task)
        for node in space.nodes:
            if isinstance(net.sites[node.name], SharedSite):
                net.sites[node.name] = NaiveSite(node, HIDDEN)
        return net


def searching(space: Space, kind: type[Differentiable] = Darts, **settings: Any) -> Start:
    """The two updates of a search step."""

    def start(task: Task) -> measuring.Run:
        strategy = kind(hidden_channels=HIDDEN, dropout=DROPOUT, **settings)
        torch.manual_seed(0)
        state = strategy.init(space, task, torch.default_generator)
        strategy.prepare(state)
        state.supernet.train()
        (batches,) = task.steps(torch.default_generator)

        def step() -> None:
            strategy.update_architecture(task, state, batches)
            strategy.update_weights(task, state, batches)

        return step

    return start


def training(build: Callable[[Task], nn.Module]) -> Start:
    """A step of Adam on the weights of a network."""

    def start(task: Task) -> measuring.Run:
        torch.manual_seed(0)
        model = build(task).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4, fused=True)
        (batch,) = task.batches("weights")

        def step() -> None:
            optimizer.zero_grad()
            task.loss(task.forward(model, batch), batch, "weights").backward()
            optimizer.step()

        return step

    return start


def on_dense(start: Start) -> Start:
    """The same with features as a dense matrix."""

    def dense(task: Task) -> measuring.Run:
        return start(replace(task, x=task.x.to_dense()) if task.x.layout == torch.sparse_csr else task)

    return dense


def gcn(layers: int, **settings: Any) -> Start:
    """A training step of PyG's GCN."""
    return on_dense(training(lambda t: GCN(t.in_channels, HIDDEN, layers, t.out_channels, dropout=DROPOUT, **settings)))


def discrete(task: Task) -> nn.Module:
    """One network of the space, four GCN layers, as gnas trains it."""
    space = chain()
    choices = {name: "gcn" if "gcn" in c.options else c.options[-1] for name, c in space.choices.items()}
    return GraphModel(space.bind(space.genotype(choices)), task.in_channels, HIDDEN, task.out_channels, DROPOUT)


YARDSTICKS = {"GCN 4": gcn(4), "GCN 2": gcn(2)}


def cora() -> Data:
    """Cora."""
    return gnas.load("cora")


def drawn(edges: int, nodes: int = 20_000) -> Data:
    """A random graph with dense features."""
    generator = torch.Generator().manual_seed(0)
    return Data(
        x=torch.randn(nodes, HIDDEN, generator=generator),
        edge_index=torch.randint(nodes, (2, edges), generator=generator),
        y=torch.randint(7, (nodes,), generator=generator),
    )


@dataclass(frozen=True)
class Row:
    """A line of a table: what is measured, and on which graph."""

    name: str
    start: Start
    graph: Callable[[], Data] = cora


LEVERS: dict[str, Start] = {
    "none": searching(layered(4)),
    "checkpoint": searching(layered(4), checkpoint=True),
    "two paths": searching(layered(4), relaxation=TwoPaths()),
    "one path": searching(layered(4), relaxation=OnePath()),
    "two paths, checkpoint": searching(layered(4), relaxation=TwoPaths(), checkpoint=True),
    "a quarter of the channels": searching(layered(4), PcDarts),
    "a quarter of the channels, checkpoint": searching(layered(4), PcDarts, checkpoint=True),
    "order 2 exact": searching(layered(4), order=2, hvp="exact"),
    "order 2 exact, checkpoint": searching(layered(4), order=2, hvp="exact", checkpoint=True),
}
GRAPHS: dict[str, Callable[[], Data]] = {"cora": cora, "200,000 edges": partial(drawn, 200_000)}
TABLES: dict[str, list[Row]] = {
    "steps": [
        Row("order 1", searching(chain())),
        Row("order 2", searching(chain(), order=2)),
        Row("order 2, exact product", searching(chain(), order=2, hvp="exact")),
        Row("order 1, default space", searching(layered())),
        Row("naive, order 1", on_dense(searching(chain(), NaiveDarts))),
        Row("naive, order 2", on_dense(searching(chain(), NaiveDarts, order=2))),
        Row("naive, sparse features, order 1", searching(chain(), NaiveDarts)),
        Row("training, one network of the space", training(discrete)),
        Row(
            "training, GCN 2 with gnas's kernels", training(lambda t: baselines.GCN(t.in_channels, HIDDEN, 7, DROPOUT))
        ),
        Row("training, GCN 4", gcn(4)),
        Row("training, GCN 4 with a cached adjacency", gcn(4, cached=True)),
        Row("training, GCN 2", gcn(2)),
    ],
    "candidates": [Row(str(count), searching(chain(4, SEVEN[:count]))) for count in (1, 2, 4, 7)],
    "depth": [Row(str(depth), searching(chain(depth))) for depth in range(1, 7)],
    "edges": [
        Row(f"{edges:,}", searching(chain()), partial(drawn, edges))
        for edges in (25_000, 50_000, 100_000, 200_000, 400_000, 800_000)
    ],
    "levers": [
        Row(f"{graph}: {name}", start, build) for graph, build in GRAPHS.items() for name, start in LEVERS.items()
    ],
}
ON_GPU: dict[str, Start] = {
    "order 1": searching(chain()),
    "order 1, recorded": searching(chain(), capture=True),
    "order 1, default space": searching(layered()),
    "order 1, default space, recorded": searching(layered(), capture=True),
}
SEARCH = "search"
"""The table of whole searches."""


def step_row(table: str, row: Row, repeats: int, memory: bool) -> dict[str, Any]:
    """Median milliseconds of a row and of the yardsticks, their ratios, and the row's peak memory."""
    task = Task.from_data(row.graph())
    ways = {"this": row.start(task)} | {name: start(task) for name, start in YARDSTICKS.items()}
    taken = {way: 1e3 * median(values) for way, values in measuring.interleaved(ways, repeats).items()}
    return {
        "nodes": task.num_nodes,
        "edges": task.edge_index.size(1),
        "repeats": repeats,
        "ms": taken,
        "ratio": {name: taken["this"] / taken[name] for name in YARDSTICKS},
        "peak MiB": measuring.elsewhere("benchmarks.search_step", "--peak", table, row.name) if memory else None,
    }


def peak(row: Row) -> float:
    """MiB that a step takes above what stays between the steps."""
    run = row.start(Task.from_data(row.graph()))
    run()
    measuring.settle()
    return measuring.peak(run)


def search_row(epochs: int, budget: str | None) -> dict[str, Any]:
    """Seconds of a default search on Cora, and of trainings of PyG's GCN of two layers before and after it."""
    task = Task.from_data(cora(), name="cora")

    def trained() -> float:
        step = YARDSTICKS["GCN 2"](task)
        began = time.perf_counter()
        for _ in range(epochs):
            step()
        return time.perf_counter() - began

    before = trained()
    with tempfile.TemporaryDirectory() as folder:
        run = gnas.search(task, budget=budget, folder=Path(folder) / "run", progress=False)
        seconds = run.journal.run()["seconds"]
    yardstick = fmean([before, trained()])
    found = seconds["search"] + seconds["derivation"]
    return {
        "budget": budget,
        "epochs": epochs,
        "seconds": {**seconds, "genotype": found, "GCN 2": yardstick},
        "ratio": {"search": seconds["search"] / yardstick, "genotype": found / yardstick},
    }


def on_gpu(repeats: int, results: Path) -> None:
    """Measure, write and print search steps on Cora on the first GPU, beside training steps of PyG's GCN."""
    if not torch.cuda.is_available():
        raise SystemExit("got --device cuda, but PyTorch sees no GPU; expected one, try --device cpu")
    device = torch.device("cuda", 0)
    task = Task.from_data(cora()).to(device)
    runs = {name: start(task) for name, start in (ON_GPU | YARDSTICKS).items()}
    # Recorded steps run a few times before they are recorded.
    warm = kernels_device.WARM + capture.WARM
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(warm + repeats):
        for name, run in runs.items():
            seconds, _ = kernels_device.clock(run, device)
            if i >= warm:
                taken[name].append(1e3 * seconds)
    ms = {name: median(values) for name, values in taken.items()}
    result = {
        "ms": ms,
        "ratio": {name: {yardstick: ms[name] / ms[yardstick] for yardstick in YARDSTICKS} for name in ON_GPU},
        "repeats": repeats,
        **measuring.about(torch.get_num_threads()),
        "kernels": kernels.backend(device),
        "machine": torch.cuda.get_device_name(device),
    }
    files.keep(results / "cuda.json", result)
    print(f"{result['machine']}: {result['ms']}, {result['ratio']}", flush=True)


def slug(text: str) -> str:
    """A name as part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in text)


def measure(table: str, name: str, threads: int, results: Path, run: Callable[[], Mapping[str, Any]]) -> None:
    """Measure a row, unless its file is there."""
    target = results / f"{table}-{slug(name)}-{threads}.json"
    if target.exists():
        return
    torch.set_num_threads(threads)
    result = {"table": table, "row": name, **run(), **measuring.about(threads, kernels.retain())}
    files.keep(target, result)
    print(f"{table}, {name}, {threads} threads: {result['ratio']}", flush=True)


def table(name: str, results: Path) -> str:
    """One table as Markdown, from the result files."""
    found = files.every(results, f"{name}-*.json")
    order = [row.name for row in TABLES.get(name, [])]
    found.sort(key=lambda result: (result["threads"], order.index(result["row"]) if result["row"] in order else 0))
    lines = [f"### {name}", ""]
    if name == SEARCH:
        lines += ["| threads | row | epochs | search s | derivation s | GCN 2 s | search / GCN 2 | genotype / GCN 2 |"]
        lines += ["| --- " * 8 + "|"]
        for r in found:
            s, ratio = r["seconds"], r["ratio"]
            numbers = (s["search"], s["derivation"], s["GCN 2"], ratio["search"], ratio["genotype"])
            cells = [r["threads"], r["row"], r["epochs"], *(f"{number:.1f}" for number in numbers)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    else:
        lines += ["| threads | row | ms | / GCN 4 | / GCN 2 | peak MiB |", "| --- " * 6 + "|"]
        for r in found:
            mib = "" if r["peak MiB"] is None else f"{r['peak MiB']:.0f}"
            ratios = " | ".join(f"{r['ratio'][yardstick]:.2f}" for yardstick in YARDSTICKS)
            lines.append(f"| {r['threads']} | {r['row']} | {r['ms']['this']:.2f} | {ratios} | {mib} |")
    about = sorted({f"{r['allocator']}; {r['kernels']} kernels; {json.dumps(r['versions'])}" for r in found})
    return "\n".join([*lines, "", *about])


def picture(target: Path, results: Path) -> None:
    """Draw time and memory of a step against the number of candidates, layers and edges."""
    from matplotlib import pyplot

    titles = {"candidates": "candidates of a layer", "depth": "layers", "edges": "thousand edges, 20,000 nodes"}
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        found = {int(r["row"].replace(",", "")): r for r in files.every(results, f"{name}-*-1.json")}
        rows = [found[n] for n in sorted(found)]
        at = [n / 1000 if name == "edges" else n for n in sorted(found)]
        axis.plot(at, [r["ms"]["this"] for r in rows], "o-", color="black", label="search step, order 1")
        axis.plot(at, [r["ms"]["GCN 4"] for r in rows], "o:", color="C0", label="training step, PyG's GCN of 4")
        axis.set_xlabel(title)
        axis.set_ylim(0, 1.08 * max(max(r["ms"]["this"], r["ms"]["GCN 4"]) for r in rows))
        axis.spines[["top"]].set_visible(False)
        beside = axis.twinx()
        memory = [r["peak MiB"] for r in rows]
        beside.plot(
            at, memory, "s--", color="C1", linewidth=1, markersize=4, label="the search step's peak memory, MiB (right)"
        )
        beside.set_ylim(0, 2 * max(memory))
        beside.spines[["top"]].set_visible(False)
        beside.tick_params(axis="y", labelcolor="C1")
    axes[0].set_ylabel("ms")
    handles = [line for each in (axes[0], beside) for line in each.get_lines()]
    figure.legend(
        handles, [str(line.get_label()) for line in handles], loc="outside lower center", ncols=3, frameon=False
    )
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__, root=False)
    parser.add_argument("--tables", nargs="+", default=[*TABLES, SEARCH], choices=[*TABLES, SEARCH])
    parser.add_argument("--rows", nargs="+", help="names of rows; all if not given")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out peak memory")
    parser.add_argument("--epochs", type=int, default=200, help="of the training beside the whole search")
    parser.add_argument("--budget", help="of the whole search, to try it out; without it, the default search")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--picture", type=Path, default=None, help="draw what a step costs; needs matplotlib")
    parser.add_argument("--peak", nargs=2, metavar=("TABLE", "ROW"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        kernels.retain()
        torch.set_num_threads(1)
        print(peak(next(row for row in TABLES[args.peak[0]] if row.name == args.peak[1])))
        return
    if args.table:
        print(
            "\n\n".join(table(name, args.results) for name in args.tables if list(args.results.glob(f"{name}-*.json")))
        )
    if args.picture:
        picture(args.picture, args.results)
    if args.table or args.picture:
        return
    if args.device == "cuda":
        on_gpu(args.repeats, args.results)
        return
    kernels.retain()
    for threads in args.threads:
        for name in args.tables:
            if name == SEARCH:
                row_name = f"budget {args.budget}" if args.budget else "default"
                measure(name, row_name, threads, args.results, partial(search_row, args.epochs, args.budget))
                continue
            for row in TABLES[name]:
                if not args.rows or row.name in args.rows:
                    run = partial(step_row, name, row, args.repeats, args.memory)
                    measure(name, row.name, threads, args.results, run)


if __name__ == "__main__":
    main()
