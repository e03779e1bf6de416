"""Citation graphs: the published counts, the public split and Geom-GCN's ten."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from raw_files import cora, listing

from gnas.data import load

PUBLISHED = [
    ("cora", 2708, 10556, 1433, 7, 140),
    ("CiteSeer", 3327, 9104, 3703, 6, 120),
    ("PUBMED", 19717, 88648, 500, 3, 60),
]


@pytest.mark.parametrize(("name", "nodes", "edges", "features", "classes", "train"), PUBLISHED)
def test_public_counts(
    name: str, nodes: int, edges: int, features: int, classes: int, train: int, data_root: Path
) -> None:
    data = load(name, data_root)
    assert data.x.shape == (nodes, features)
    assert data.edge_index.shape == (2, edges)
    assert int(data.y.max()) + 1 == classes
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [train, 500, 1000]
    assert "metric" not in data


# Cora's splits leave out what isn't in the largest component.
@pytest.mark.parametrize(("name", "sizes"), [("cora", [1192, 796, 497]), ("citeseer", [1596, 1065, 666])])
def test_geom_gcn_counts(name: str, sizes: list[int], data_root: Path) -> None:
    splits = [load(name, data_root, split=i) for i in range(10)]
    assert [int(splits[0][f"{part}_mask"].sum()) for part in ("train", "val", "test")] == sizes
    assert len({tuple(data.test_mask.tolist()) for data in splits}) == 10
    assert torch.equal(splits[9].edge_index, load(name, data_root).edge_index)
    assert splits[0].train_mask.dtype == torch.bool, "the files hold bytes"


def test_the_ten_splits_take_the_graph_from_the_public_folder(tmp_path: Path, cache: Path) -> None:
    root = cora(tmp_path / "root", geom_gcn=True)
    before = listing(root)
    first, last = load("cora", root, split=0), load("cora", root, split=9)
    assert [int(data.train_mask.sum()) for data in (first, last)] == [1, 10]
    assert first.train_mask.shape == (560,) and torch.equal(first.x, load("cora", root).x)
    assert listing(root) == before
    assert all(path.is_symlink() for path in cache.rglob("geom-gcn/raw/*"))


def test_a_missing_split_file_and_a_number_too_high_are_refused(tmp_path: Path) -> None:
    root = cora(tmp_path / "root", geom_gcn=True)
    with pytest.raises(ValueError, match=r"got split=10 of 'cora'; it has the splits 0 to 9"):
        load("cora", root, split=10)
    (root / "Planetoid/Cora/geom-gcn/raw/cora_split_0.6_0.2_4.npz").unlink()
    with pytest.raises(ValueError, match=r"lacks \['geom-gcn/raw/cora_split_0.6_0.2_4.npz'\]"):
        load("cora", root, split=0)
