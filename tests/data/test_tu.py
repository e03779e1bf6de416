"""Sets of the TU Dortmund collection: the published counts, the ten folds, features where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from raw_files import tu

from gnas.data import load
from gnas.data.tu import folds


@pytest.mark.parametrize(
    ("name", "graphs", "nodes", "edges", "features", "classes"),
    [
        ("mutag", 188, 17.93, 19.79, 7, [63, 125]),
        ("proteins", 1113, 39.06, 72.82, 3, [663, 450]),
        ("enzymes", 600, 32.63, 62.14, 21, [100] * 6),
        ("imdb-binary", 1000, 19.77, 96.53, 136, [500, 500]),
    ],
)
def test_published_counts(
    name: str, graphs: int, nodes: float, edges: float, features: int, classes: list[int], data_root: Path
) -> None:
    data = load(name, data_root)
    assert len(data.graphs) == graphs and data.name == name and data.metric is None
    assert round(sum(g.num_nodes for g in data.graphs) / graphs, 2) == nodes
    assert round(sum(g.num_edges for g in data.graphs) / graphs / 2, 2) == edges
    assert {g.num_node_features for g in data.graphs} == {features}
    assert torch.cat([g.y for g in data.graphs]).bincount().tolist() == classes
    if name == "mutag":
        assert {g.num_edge_features for g in data.graphs} == {4}
    if name == "imdb-binary":
        assert all((g.x.sum(1) == 1).all() for g in data.graphs)


def test_the_folds_of_a_set_test_each_graph_once_and_choose_by_each_once(data_root: Path) -> None:
    splits = [load("mutag", data_root, split=i).split for i in range(10)]
    for role in ("test", "architecture"):
        every = torch.cat([split[role] for split in splits])
        assert every.sort().values.tolist() == list(range(188))
    for split in splits:
        assert torch.cat(list(split.values())).sort().values.tolist() == list(range(188))
    # Pinned, so that tables made on different machines speak of the same folds.
    assert splits[0]["test"].tolist()[:8] == [0, 14, 16, 17, 23, 50, 52, 61]


@pytest.mark.parametrize("classes", [[30, 70], [95, 5], [40, 30, 30]])
def test_folds_are_stratified(classes: list[int]) -> None:
    y = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(classes)).view(-1, 1)
    for i in range(10):
        for role, share in (("test", 0.1), ("architecture", 0.1), ("weights", 0.8)):
            found = y[folds(y, i)[role]].view(-1).bincount(minlength=len(classes))
            assert all(abs(int(n) - share * size) <= 2 for n, size in zip(found, classes))


def test_values_to_predict_are_folded_without_classes() -> None:
    split = folds(torch.rand(25, 1), 3)
    assert sorted(part.numel() for part in split.values()) == [3, 3, 19]


def test_labels_come_without_attributes_except_for_enzymes(tmp_path: Path) -> None:
    for name, features in (("PROTEINS", 3), ("ENZYMES", 5)):
        root = tu(tmp_path, name, attributes=2)
        assert load(name, root).graphs[0].num_node_features == features
    root = tu(tmp_path, "FINGERPRINT", labels=False, attributes=2)
    assert load("tu:FINGERPRINT", root).graphs[0].num_node_features == 2


def test_nodes_without_features_get_their_degrees(tmp_path: Path) -> None:
    graphs = load("tu:REDDIT", tu(tmp_path, "REDDIT", labels=False, hub=5)).graphs
    assert graphs[0].x.argmax(1).tolist() == [7, 2, 2, 2, 1, 1, 1, 1, 1] and graphs[1].x.shape == (4, 8)
    graphs = load("tu:STARS", tu(tmp_path, "STARS", labels=False, hub=1200)).graphs
    every = torch.cat([g.x for g in graphs])
    assert every.shape[1] == 1 and abs(float(every.mean())) < 1e-4 and abs(float(every.std()) - 1) < 1e-3


def test_a_named_set_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    root = tu(tmp_path, "PROTEINS", attributes=2)
    assert load("tu:proteins", root).graphs[0].num_node_features == load("proteins", root).graphs[0].num_node_features
    lacking = tu(tmp_path / "lacking", "PROTEINS", labels=False)
    with pytest.raises(ValueError, match="PROTEINS_node_labels.txt"):
        load("proteins", lacking)


def test_any_other_set_by_its_own_name(tmp_path: Path) -> None:
    data = load("TU:NCI1", tu(tmp_path, "NCI1"), split=3)
    assert data.name == "tu:NCI1" and len(data.graphs) == 40 and data.split["test"].numel() == 4
    for wrong in ("tu:", "tu:../x", "tu:a b"):
        with pytest.raises(ValueError, match="expected tu:NAME with a name of the collection"):
            load(wrong, tmp_path)
    (tmp_path / "TUDataset/NCI1/raw/NCI1_graph_labels.txt").unlink()
    with pytest.raises(ValueError, match="the graphs of 'tu:NCI1' have no labels of their own"):
        load("tu:NCI1", tmp_path)
