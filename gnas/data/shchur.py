"""The graphs of Shchur and others (arXiv 1811.05868): Amazon's goods bought together, and authors of joint papers.

No split was published with them. The usual one, of that paper, is drawn by a seed: of each class 20 nodes for the
weights and 30 for the architecture, and the rest for the test. ``split`` is the seed. Unlike the paper, gnas takes the
whole graph, as PyG's ``Amazon`` and ``Coauthor`` do, not its largest component.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.splits import seed_of

FILES = {
    "computers": ("Amazon", "Computers", "amazon_electronics_computers.npz"),
    "photo": ("Amazon", "Photo", "amazon_electronics_photo.npz"),
    "physics": ("Coauthor", "Physics", "ms_academic_phy.npz"),
    "cs": ("Coauthor", "CS", "ms_academic_cs.npz"),
}
NAMES = tuple(FILES)
WEIGHTS_PER_CLASS = 20
ARCHITECTURE_PER_CLASS = 30


def load(name: str, root: str | Path | None, split: int | None) -> Data:
    """The graph with the split that the seed ``split`` draws, 0 if none is named."""
    seed = seed_of(split, name)
    data = fetch(_raw(name), root)
    data.train_mask, data.val_mask, data.test_mask = drawn(data.y, seed)
    return data


def drawn(y: torch.Tensor, seed: int) -> torch.Tensor:
    """Three rows of masks ``[3, nodes]``: 20 nodes of each class, 30 nodes of each class, the others."""
    import numpy as np

    # The legacy generator, because NumPy promises that its stream never changes.
    order = torch.from_numpy(np.random.RandomState(seed).permutation(y.numel()))
    rank = torch.empty_like(y)
    for c in y.unique():
        members = order[y[order] == c]
        rank[members] = torch.arange(members.numel())
    first, second = WEIGHTS_PER_CLASS, WEIGHTS_PER_CLASS + ARCHITECTURE_PER_CLASS
    return torch.stack([rank < first, (rank >= first) & (rank < second), rank >= second])


def _raw(name: str) -> Raw[Data]:
    family, proper, file = FILES[name]

    def read(root: Path) -> Data:
        from torch_geometric import datasets

        return getattr(datasets, family)(str(root), proper)[0]

    return Raw(
        name=name,
        folders=(f"{family}/{proper}", proper),
        files=(f"raw/{file}",),
        target=proper,
        built=f"{proper}/processed/data.pt",
        open=read,
    )
