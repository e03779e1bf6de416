"""A training step on molecules of the hand-made networks with four layers, by gnas's kernels and by PyG's layers.

    python -m benchmarks.molecule_layers
    python -m benchmarks.molecule_layers --table

The networks are the same, those of :mod:`gnas.headed`: GIN (as GINE) and GAT read the bonds, GCN and SAGE don't. They
take turns in one process, each time with edges that have to be sorted, as those of a batch just drawn; a row holds
medians over 128 graphs. Each data set is a file in
``benchmarks/results/molecule_layers``; what is there is not measured again.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

import gnas
from benchmarks import files, measuring
from benchmarks.attention_layers import PLAIN, compared, step
from gnas import kernels
from gnas.headed import Headed
from gnas.ops.base import Context
from gnas.recipe import recipes_of

RESULTS = Path(__file__).parent / "results" / "molecule_layers"
DATA = ("ogbg-molesol", "ogbg-mollipo")
LAYERS = ("GCN", "SAGE", "GIN", "GAT")


class Plain(Headed):
    """The same with PyG's layers as they are."""

    def propagate(self, conv: nn.Module, x: Tensor, context: Context) -> Tensor:
        edges = () if context.edges is None else (context.edges,)
        return cast(Tensor, conv(x, context.graph.edge_index, *edges))


def measure(name: str, root: str | None) -> dict[str, Any]:
    """Median milliseconds of a step of each network on a batch of one data set."""
    torch.set_num_threads(1)
    retained = kernels.retain()
    task = gnas.Task.from_data(gnas.load(name, root), name=name)
    recipe = recipes_of(task)[0]
    nets = {
        layer + more: kind(layer, task, recipe.hidden_channels, recipe.dropout)
        for layer in LAYERS
        for kind, more in ((Headed, ""), (Plain, PLAIN))
    }
    torch.manual_seed(0)
    batch = next(iter(task.steps(torch.default_generator, ("weights",))))["weights"]
    taken = measuring.interleaved({key: step(net.train(), task, anew=True) for key, net in nets.items()}, 15)
    milliseconds = {key: 1e3 * median(values) for key, values in taken.items()}
    size = {"nodes": batch.x.size(0), "edges": batch.edge_index.size(1)}
    return {"data": name, **size, "ms": milliseconds, **measuring.about(1, retained)}


def table() -> str:
    """Milliseconds, and how many times as long PyG's layers take, as Markdown."""
    lines = [
        f"| data | nodes | edges | {' | '.join(f'{name}, ms | with PyG' for name in LAYERS)} |",
        "| --- " * 11 + "|",
    ]
    for result in sorted(files.every(RESULTS), key=lambda result: DATA.index(result["data"])):
        cells = compared(result["ms"], LAYERS)
        lines.append(f"| {result['data']} | {result['nodes']:,} | {result['edges']:,} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    files.each(__doc__, RESULTS, DATA, measure, table)
