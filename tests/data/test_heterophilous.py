"""Graphs of Platonov and others: the published counts, ROC-AUC where there are two classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_files import heterophilous

from gnas.data import load
from gnas.data.heterophilous import BINARY, FILTERED, NAMES


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes"),
    [("minesweeper", 10000, 78804, 7, 2), ("chameleon_filtered", 890, 17708, 2325, 5)],
)
def test_published_counts(name: str, nodes: int, edges: int, features: int, classes: int, data_root: Path) -> None:
    splits = [load(name, data_root, split=i) for i in range(10)]
    data = splits[0]
    assert data.x.shape == (nodes, features) and data.edge_index.shape == (2, edges)
    assert int(data.y.max()) + 1 == classes and data.is_undirected()
    assert all(int((s.train_mask.int() + s.val_mask.int() + s.test_mask.int()).min()) == 1 for s in splits)
    assert len({tuple(s.test_mask.tolist()) for s in splits}) == 10
    if name == "minesweeper":
        assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [5000, 2500, 2500]


@pytest.mark.parametrize("name", NAMES)
def test_a_made_up_graph(name: str, tmp_path: Path) -> None:
    file = name.replace("-", "_")
    folder = "WikipediaFiltered" if name in FILTERED else f"HeterophilousGraphDataset/{file}/raw"
    heterophilous(tmp_path / folder / f"{file}.npz")
    data = load(name, tmp_path, split=4)
    assert data.num_edges == 60 and data.is_undirected() and int(data.train_mask.sum()) == 5
    assert data.train_mask.shape == (30,) and int(load(name, tmp_path).train_mask.sum()) == 1
    assert ("metric" in data) == (name in BINARY) and data.to_dict().get("metric", "roc_auc") == "roc_auc"


def test_a_folder_with_the_other_filtered_graph_leaves_it_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heterophilous(tmp_path / "one" / "WikipediaFiltered" / "chameleon_filtered.npz")
    heterophilous(tmp_path / "two" / "squirrel_filtered.npz")
    monkeypatch.setenv("GNAS_DATA", str(tmp_path / "two"))
    assert load("squirrel_filtered", tmp_path / "one").num_nodes == 30
