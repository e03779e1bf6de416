"""The citation graphs of Yang and others (arXiv 1603.08861): Cora, CiteSeer, PubMed, through PyG's ``Planetoid``.

Two published protocols: the public split (20 labels a class, 500 and 1000 nodes), and the ten splits of Geom-GCN (Pei
and others, 2020) as ``split=0`` to ``9``.
"""

from __future__ import annotations

from pathlib import Path

from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.splits import column

PROPER = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
NAMES = tuple(PROPER)
SUFFIXES = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


def load(name: str, root: str | Path | None, split: int | None) -> Data:
    """The graph with the public split, or with a numbered one of Geom-GCN."""
    if split is None:
        return fetch(_public(name), root)
    return column(fetch(_geom_gcn(name), root), split, name)


def _public(name: str) -> Raw[Data]:
    proper = PROPER[name]

    def read(root: Path) -> Data:
        from torch_geometric.datasets import Planetoid

        return Planetoid(str(root), proper)[0]

    return Raw(
        name=name,
        folders=(f"Planetoid/{proper}", proper),
        files=tuple(f"raw/ind.{name}.{suffix}" for suffix in SUFFIXES),
        target=proper,
        built=f"{proper}/processed/data.pt",
        open=read,
    )


def _geom_gcn(name: str) -> Raw[Data]:
    proper = PROPER[name]

    def read(root: Path) -> Data:
        from torch_geometric.datasets import Planetoid

        return Planetoid(str(root), proper, split="geom-gcn")[0]

    graph = [f"ind.{name}.{suffix}" for suffix in SUFFIXES]
    masks = [f"{name}_split_0.6_0.2_{i}.npz" for i in range(10)]
    return Raw(
        name=f"{name}-geom-gcn",
        folders=(f"Planetoid/{proper}", proper),
        files=tuple(f"geom-gcn/raw/{file}" for file in [*graph, *masks]),
        target=proper,
        built=f"{proper}/geom-gcn/processed/data.pt",
        open=read,
        also="raw",
    )
