"""The graphs of Platonov and others (arXiv 2302.11640), where neighbours tend to differ, with ten splits of 50/25/25 %.

Five are PyG's ``HeterophilousGraphDataset``; ``chameleon_filtered`` and ``squirrel_filtered`` are the same authors'
Wikipedia graphs without the duplicated nodes that leak test labels, which PyG does not have. Three have two classes of
unequal size and are measured by ROC-AUC.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.splits import column

BINARY = ("minesweeper", "questions", "tolokers")
FILTERED = ("chameleon_filtered", "squirrel_filtered")
NAMES = ("minesweeper", "roman-empire", "amazon-ratings", "questions", "tolokers", *FILTERED)
URL = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"


def load(name: str, root: str | Path | None, split: int | None) -> Data:
    """The graph with one of its ten splits, the first if none is named; edges in both directions."""
    data = column(fetch(_filtered(name) if name in FILTERED else _pyg(name), root), split or 0, name)
    if name in BINARY:
        data.metric = "roc_auc"
    return data


def _pyg(name: str) -> Raw[Data]:
    file = name.replace("-", "_")

    def read(root: Path) -> Data:
        from torch_geometric.datasets import HeterophilousGraphDataset

        return HeterophilousGraphDataset(str(root), name)[0]

    return Raw(
        name=name,
        folders=(f"HeterophilousGraphDataset/{file}", file),
        files=(f"raw/{file}.npz",),
        target=file,
        built=f"{file}/processed/data.pt",
        open=read,
    )


def _filtered(name: str) -> Raw[Data]:
    def read(root: Path) -> Data:
        from torch_geometric.data import download_url

        if not (root / f"{name}.npz").exists():
            download_url(f"{URL}/{name}.npz", str(root), log=False)
        return _graph(root / f"{name}.npz")

    return Raw(
        name=name,
        folders=("WikipediaFiltered", ""),
        files=(f"{name}.npz",),
        target="",
        built=f"{name}.npz",
        open=read,
    )


def _graph(path: Path) -> Data:
    import numpy as np
    from torch_geometric.utils import to_undirected

    with np.load(path, allow_pickle=False) as arrays:
        x, y = torch.from_numpy(arrays["node_features"]), torch.from_numpy(arrays["node_labels"])
        edges = torch.from_numpy(arrays["edges"]).long().t().contiguous()
        masks = {
            f"{part}_mask": torch.from_numpy(arrays[f"{part}_masks"]).bool().t().contiguous()
            for part in ("train", "val", "test")
        }
    return Data(x=x.float(), edge_index=to_undirected(edges, num_nodes=x.size(0)), y=y.long(), **masks)
