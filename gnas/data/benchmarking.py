"""The graphs of Dwivedi and others' "Benchmarking graph neural networks" (arXiv 2003.00982), with their splits.

ZINC-12k and AQSOL are molecules whose atoms and bonds are codes, measured by MAE; PATTERN and CLUSTER are nodes of many
graphs, measured by accuracy averaged over the classes; MNIST and CIFAR10 are graphs of superpixels, whose features are
their colours and their places. All through PyG's ``ZINC``, ``AQSOL`` and ``GNNBenchmarkDataset``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.splits import numbered
from gnas.graphs import GraphSet

# Atoms and bonds, as the paper's code counts them.
CODES = {"zinc": (28, 4), "aqsol": (65, 5)}
METRICS = {"pattern": "balanced_accuracy", "cluster": "balanced_accuracy", "mnist": None, "cifar10": None}
NAMES = (*CODES, *METRICS)
PARTS = {"train": "weights", "val": "architecture", "test": "test"}


def load(name: str, root: str | Path | None, split: int | None) -> GraphSet:
    """The graphs with their one split."""
    numbered(split, 1, name)
    if name not in CODES:
        return replace(fetch(_synthetic(name), root), metric=METRICS[name])
    atoms, bonds = CODES[name]
    raw = _zinc() if name == "zinc" else _aqsol()
    return replace(fetch(raw, root), metric="mae", categories=(atoms,), edge_categories=(bonds,))


def _joined(name: str, part: Callable[[str], Any], shape: Callable[[Data], None]) -> GraphSet:
    """The three parts as one set, each graph brought into the form that gnas has for all."""
    graphs: list[Data] = []
    split = {}
    for word, role in PARTS.items():
        dataset = part(word)
        split[role] = torch.arange(len(graphs), len(graphs) + len(dataset))
        graphs += [dataset[i] for i in range(len(dataset))]
    for graph in graphs:
        shape(graph)
    return GraphSet(tuple(graphs), split, name=name)


def _codes(graph: Data) -> None:
    """One column of codes for atoms and one for bonds, and one number to predict."""
    graph.x = graph.x.long().view(graph.num_nodes, 1)
    graph.edge_attr = graph.edge_attr.long().view(graph.num_edges, 1)
    graph.y = graph.y.float().view(1)


def _pixels(graph: Data) -> None:
    """Features beside places, as in the paper, and edge weights as a column."""
    if graph.pos is not None:
        graph.x = torch.cat([graph.x, graph.pos], dim=1)
        del graph.pos
    if graph.edge_attr is not None and graph.edge_attr.dim() == 1:
        graph.edge_attr = graph.edge_attr.unsqueeze(1)


def _zinc() -> Raw[GraphSet]:
    def read(root: Path) -> GraphSet:
        from torch_geometric.datasets import ZINC

        return _joined("zinc", lambda part: ZINC(str(root), subset=True, split=part), _codes)

    return Raw(
        name="zinc",
        folders=("ZINC",),
        files=tuple(f"raw/{part}.{kind}" for kind in ("pickle", "index") for part in PARTS),
        target="",
        built="subset/processed/test.pt",
        open=read,
    )


def _aqsol() -> Raw[GraphSet]:
    def read(root: Path) -> GraphSet:
        from torch_geometric.datasets import AQSOL

        return _joined("aqsol", lambda part: AQSOL(str(root), split=part), _codes)

    files = (*PARTS, "atom_dict", "bond_dict")
    return Raw(
        name="aqsol",
        folders=("AQSOL",),
        files=tuple(f"raw/{file}.pickle" for file in files),
        target="",
        built="processed/test.pt",
        open=read,
    )


def _synthetic(name: str) -> Raw[GraphSet]:
    proper = name.upper()

    def read(root: Path) -> GraphSet:
        from torch_geometric.datasets import GNNBenchmarkDataset

        return _joined(name, lambda part: GNNBenchmarkDataset(str(root), proper, split=part), _pixels)

    return Raw(
        name=name,
        folders=(f"GNNBenchmarkDataset/{proper}", proper),
        files=(f"raw/{proper}_v2.pt",),
        target=proper,
        built=f"{proper}/processed/test_data.pt",
        open=read,
    )
