"""Graph classification of the TU Dortmund collection (Morris and others, arXiv 2007.08663), in ten folds.

No split was published. The usual protocol is ten stratified folds, drawn here by the call of GIN's code (Xu and
others, arXiv 1810.00826) with seed 0. ``split=i`` tests on fold i; the next fold, carved out of those that GIN trains
on, chooses the architecture, and the other eight train.

Features are the node labels, one-hot; ENZYMES has its 18 attributes beside them, as in Errica and others (arXiv
1912.09893). Graphs without either get their degrees, as in PyG's own benchmark.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.splits import numbered
from gnas.graphs import GraphSet

PROPER = {"mutag": "MUTAG", "proteins": "PROTEINS", "enzymes": "ENZYMES", "imdb-binary": "IMDB-BINARY"}
NAMES = tuple(PROPER)
PREFIX = "tu:"
FOLDS = 10
WITH_ATTRIBUTES = ("ENZYMES",)
FILES = {
    "MUTAG": ("graph_labels", "node_labels", "edge_labels"),
    "PROTEINS": ("graph_labels", "node_labels", "node_attributes"),
    "ENZYMES": ("graph_labels", "node_labels", "node_attributes"),
    "IMDB-BINARY": ("graph_labels",),
}
"""What each of the named sets has besides ``A`` and ``graph_indicator``: without one of them it would be another."""
# From here on a column for each degree would be more features than PyG's benchmark gives.
ONE_HOT_DEGREES = 1000


def load(name: str, root: str | Path | None, split: int | None) -> GraphSet:
    """The graphs with one of their ten splits, the first if none is named."""
    fold = numbered(split, FOLDS, name)
    plain = name.removeprefix(PREFIX)
    proper = PROPER.get(plain.lower(), plain)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", proper):
        raise ValueError(f"got the data set {name!r}; expected {PREFIX}NAME with a name of the collection: 'tu:NCI1'")
    graphs = fetch(_raw(proper), root)
    if graphs[0].y is None:
        raise ValueError(
            f"the graphs of {name!r} have no labels of their own; expected a set with {proper}_graph_labels.txt or "
            f"{proper}_graph_attributes.txt among its files"
        )
    y = torch.cat([torch.as_tensor(graph.y).view(1, -1) for graph in graphs])
    return GraphSet(tuple(graphs), folds(y, fold), "mae" if y.is_floating_point() else None, name)


def folds(y: Tensor, fold: int) -> dict[str, Tensor]:
    """Positions by role: fold ``fold`` tests, the next one chooses the architecture. ``y`` is ``[graphs, columns]``."""
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedKFold

    by_class = y.size(1) == 1 and not y.is_floating_point() and int(y.view(-1).bincount().max()) >= FOLDS
    kind = StratifiedKFold if by_class else KFold
    drawn = kind(n_splits=FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # some folds do without it
        parts = [torch.from_numpy(test) for _, test in drawn.split(np.zeros(y.size(0)), y[:, 0].numpy())]
    others = [part for i, part in enumerate(parts) if i not in (fold, (fold + 1) % FOLDS)]
    return {
        "weights": torch.cat(others).sort().values,
        "architecture": parts[(fold + 1) % FOLDS],
        "test": parts[fold],
    }


def degrees(graphs: list[Data]) -> None:
    """Give graphs their nodes' degrees as features: one-hot, or where some are large, scaled to mean 0, deviation 1."""
    from torch_geometric.utils import degree, one_hot

    counts = [degree(graph.edge_index[0], graph.num_nodes, torch.long) for graph in graphs]
    every = torch.cat(counts)
    highest = int(every.max())
    for graph, count in zip(graphs, counts):
        if highest < ONE_HOT_DEGREES:
            graph.x = one_hot(count, highest + 1)
        else:
            graph.x = ((count - every.float().mean()) / every.float().std()).unsqueeze(1)


def _raw(proper: str) -> Raw[list[Data]]:
    def read(root: Path) -> list[Data]:
        from torch_geometric.datasets import TUDataset

        dataset = TUDataset(str(root), proper, use_node_attr=True, use_edge_attr=True)
        graphs = [dataset[i] for i in range(len(dataset))]
        plain = 0 if proper in WITH_ATTRIBUTES or not dataset.num_node_labels else dataset.num_node_attributes
        if graphs[0].x is None:
            degrees(graphs)
        for graph in graphs:
            graph.x = graph.x[:, plain:]
        return graphs

    return Raw(
        name=proper,
        folders=(f"TUDataset/{proper}", proper),
        files=tuple(f"raw/{proper}_{part}.txt" for part in ("A", "graph_indicator", *FILES.get(proper, ()))),
        target=proper,
        built=f"{proper}/processed/data.pt",
        open=read,
        more=(f"raw/{proper}_*.txt",),
    )
