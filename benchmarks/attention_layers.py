"""A training step of the hand-made networks GAT and GATv2, with PyG's layers and with those on gnas's kernels.

    python -m benchmarks.attention_layers
    python -m benchmarks.attention_layers --table

The networks are the same, attention's dropout included, and take turns in one process with a step of GCN; a row holds
medians. Each data set is a file in ``benchmarks/results/attention_layers``; what is there is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch_geometric.nn import GATConv, GATv2Conv

import gnas
from benchmarks import files, measuring
from gnas import kernels
from gnas.baselines import BASELINES
from gnas.recipe import recipes_of

RESULTS = Path(__file__).parent / "results" / "attention_layers"
DATA = ("cora", "pubmed", "minesweeper", "computers")
LAYERS: dict[str, Callable[..., nn.Module]] = {"GAT": GATConv, "GATv2": GATv2Conv}
PLAIN = ", PyG's layers"


def network(name: str, task: gnas.Task, plain: bool) -> nn.Module:
    """A hand-made network of the first recipe, with PyG's layers if it is to be plain."""
    net = BASELINES[name](task, recipes_of(task)[0])
    for key in ("conv1", "conv2") if plain else ():
        own = net.get_submodule(key)
        sizes = (own.in_channels, own.out_channels, own.heads)
        other = LAYERS[name](*sizes, dropout=own.dropout)
        for part in ("lin", "lin_l", "lin_r"):
            if hasattr(own, part):
                setattr(other, part, getattr(own, part))
        setattr(net, key, other)
    return net


def step(net: nn.Module, task: gnas.Task, anew: bool = False) -> Callable[[], None]:
    """One step of training; ``anew`` with edges that no kernel has sorted yet, as of a batch just drawn."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, fused=True)
    batch = next(iter(task.steps(torch.default_generator, ("weights",))))["weights"]

    def run() -> None:
        given = replace(batch, edge_index=batch.edge_index.clone()) if anew else batch
        optimizer.zero_grad()
        task.loss(task.forward(net, given), given, "weights").backward()
        optimizer.step()

    return run


def measure(name: str, root: str | None) -> dict[str, Any]:
    """Median milliseconds of a step of each network on one graph."""
    torch.set_num_threads(1)
    retained = kernels.retain()
    task = gnas.Task.from_data(gnas.load(name, root), name=name)
    nets = {"GCN": network("GCN", task, False)}
    for attention in LAYERS:
        nets |= {attention: network(attention, task, False), attention + PLAIN: network(attention, task, True)}
    taken = measuring.interleaved({key: step(net.train(), task) for key, net in nets.items()}, 7)
    milliseconds = {key: 1e3 * median(values) for key, values in taken.items()}
    return {"data": name, "edges": task.edge_index.size(1), "ms": milliseconds, **measuring.about(1, retained)}


def compared(milliseconds: Mapping[str, float], names: Iterable[str]) -> str:
    """Cells of a table: milliseconds of each network, and how many times as long PyG's layers take."""
    ratios = ((milliseconds[name], milliseconds[name + PLAIN] / milliseconds[name]) for name in names)
    return " | ".join(f"{own:.1f} | x {ratio:.1f}" for own, ratio in ratios)


def table() -> str:
    """Milliseconds, and how many times as long PyG's layers take, as Markdown."""
    lines = [
        f"| data | edges | GCN, ms | {' | '.join(f'{name}, ms | with PyG' for name in LAYERS)} |",
        "| --- " * 7 + "|",
    ]
    for result in sorted(files.every(RESULTS), key=lambda result: DATA.index(result["data"])):
        ms = result["ms"]
        lines.append(f"| {result['data']} | {result['edges']:,} | {ms['GCN']:.1f} | {compared(ms, LAYERS)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    files.each(__doc__, RESULTS, DATA, measure, table)
