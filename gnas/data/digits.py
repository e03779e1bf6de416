"""Scikit-learn's handwritten digits as a graph of nearest neighbours, without a download."""

from __future__ import annotations

from pathlib import Path

import torch
from torch_geometric.data import Data

from gnas.data.splits import numbered

NAMES = ("digits",)

# Ten neighbours and five labels a class leave room between a network that ignores the edges (about 85 % on the
# test nodes), a GCN (about 92 %) and better networks.
NEIGHBOURS = 10
LABELS_PER_CLASS = 5
ARCHITECTURE = 300
TEST = 1000


def load(name: str, root: str | Path | None, split: int | None) -> Data:
    """The 1,797 digits, each joined with its ten nearest neighbours in both directions; 50/300/1000 nodes."""
    import numpy as np
    from sklearn.datasets import load_digits
    from torch_geometric.utils import to_undirected

    numbered(split, 1, name)
    digits = load_digits()
    pixels, labels = digits.data, digits.target
    # Pixels are whole numbers up to 16, so these squared distances are exact, and the stable sort gives ties to the
    # lower node: the graph is the same on every machine, which a neighbour search does not promise.
    squares = (pixels * pixels).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * pixels @ pixels.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    nodes = np.repeat(np.arange(len(labels)), NEIGHBOURS)
    edges = torch.from_numpy(np.stack([nearest.reshape(-1), nodes]))

    # The legacy generator, because NumPy promises that its stream never changes.
    order = np.random.RandomState(0).permutation(len(labels))
    train = np.concatenate([order[labels[order] == c][:LABELS_PER_CLASS] for c in range(10)])
    rest = order[~np.isin(order, train)]
    data = Data(
        x=torch.from_numpy(pixels / 16).float(),
        edge_index=to_undirected(edges, num_nodes=len(labels)),
        y=torch.from_numpy(labels).long(),
    )
    parts = {
        "train_mask": train,
        "val_mask": rest[:ARCHITECTURE],
        "test_mask": rest[ARCHITECTURE : ARCHITECTURE + TEST],
    }
    for mask, chosen in parts.items():
        data[mask] = torch.zeros(len(labels), dtype=torch.bool)
        data[mask][torch.from_numpy(chosen)] = True
    return data
