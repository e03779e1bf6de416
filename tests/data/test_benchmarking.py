"""Dwivedi and others' graphs: the published counts of AQSOL, and made-up files in the form of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from raw_files import aqsol, benchmark, zinc

from gnas.data import load


def test_published_counts_of_aqsol(data_root: Path) -> None:
    data = load("aqsol", data_root)
    assert {role: part.numel() for role, part in data.split.items()} == {
        "weights": 7836,
        "architecture": 998,
        "test": 999,
    }
    assert len(data.graphs) == 9833 and data.metric == "mae"
    assert round(sum(g.num_nodes for g in data.graphs) / 9833, 1) == 17.6
    assert round(sum(g.num_edges for g in data.graphs) / 9833, 1) == 35.8
    assert data.categories == (65,) and data.edge_categories == (5,)
    assert max(int(g.x.max()) for g in data.graphs) < 65 and max(int(g.edge_attr.max()) for g in data.graphs) < 5


def test_codes_of_atoms_and_bonds_stay_whole_numbers(tmp_path: Path) -> None:
    made = {"zinc": zinc(tmp_path), "aqsol": aqsol(tmp_path)}
    for name, root in made.items():
        data = load(name, root)
        counts = {"zinc": 3, "aqsol": 4}[name]
        assert [part.numel() for part in data.split.values()] == [counts] * 3
        assert torch.cat(list(data.split.values())).tolist() == list(range(3 * counts))
        assert data.metric == "mae" and data.name == name
        for graph in data.graphs:
            assert graph.x.dtype == graph.edge_attr.dtype == torch.long and graph.y.dtype == torch.float
            assert graph.x.shape == (graph.num_nodes, 1) and graph.edge_attr.shape == (graph.num_edges, 1)
            assert graph.y.shape == (1,)
            assert data.categories and int(graph.x.max()) < data.categories[0]
            assert data.edge_categories and int(graph.edge_attr.max()) < data.edge_categories[0]


def test_zinc_is_the_subset_of_12000(tmp_path: Path) -> None:
    data = load("zinc", zinc(tmp_path))
    # The index of each part names the molecules 0, 2 and 3.
    assert [round(float(graph.y), 1) for graph in data.graphs] == [0.0, 0.2, 0.3] * 3
    assert data.categories == (28,) and data.edge_categories == (4,)


@pytest.mark.parametrize(("name", "features"), [("PATTERN", 3), ("CLUSTER", 3), ("MNIST", 3), ("CIFAR10", 5)])
def test_superpixels_and_communities(name: str, features: int, tmp_path: Path) -> None:
    root = benchmark(tmp_path, name)
    data = load(name, root)
    assert [part.tolist() for part in data.split.values()] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]
    assert list(data.split) == ["weights", "architecture", "test"]
    assert {graph.num_node_features for graph in data.graphs} == {features}
    if name in ("MNIST", "CIFAR10"):
        assert data.metric is None and data.graphs[0].y.shape == (1,)
        assert data.graphs[0].edge_attr.shape == (3, 1) and "pos" not in data.graphs[0]
    else:
        assert data.metric == "balanced_accuracy" and data.graphs[0].y.shape == (3,)
    assert len(load(name, root).graphs) == 10, "from the cache"


def test_there_is_one_split(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got split=2 of 'zinc'; it has one split"):
        load("zinc", zinc(tmp_path), split=2)
