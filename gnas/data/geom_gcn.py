"""The graphs of Geom-GCN (Pei and others, 2020): web pages of three universities, and actors, with ten splits.

They come as PyG's ``WebKB`` and ``Actor`` have them: directed, with edges as they were published.
"""

from __future__ import annotations

from pathlib import Path

from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.splits import column

WEBKB = {"cornell": "Cornell", "texas": "Texas", "wisconsin": "Wisconsin"}
NAMES = (*WEBKB, "actor")
GRAPH = ("raw/out1_node_feature_label.txt", "raw/out1_graph_edges.txt")


def load(name: str, root: str | Path | None, split: int | None) -> Data:
    """The graph with one of its ten splits, the first if none is named."""
    return column(fetch(_actor() if name == "actor" else _webkb(name), root), split or 0, name)


def _webkb(name: str) -> Raw[Data]:
    def read(root: Path) -> Data:
        from torch_geometric.datasets import WebKB

        return WebKB(str(root), WEBKB[name])[0]

    return Raw(
        name=name,
        folders=(f"WebKB/{name}", name),
        files=(*GRAPH, *(f"raw/{name}_split_0.6_0.2_{i}.npz" for i in range(10))),
        target=name,
        built=f"{name}/processed/data.pt",
        open=read,
    )


def _actor() -> Raw[Data]:
    def read(root: Path) -> Data:
        from torch_geometric.datasets import Actor

        return Actor(str(root))[0]

    return Raw(
        name="actor",
        folders=("Actor",),
        files=(*GRAPH, *(f"raw/film_split_0.6_0.2_{i}.npz" for i in range(10))),
        target="",
        built="processed/data.pt",
        open=read,
    )
