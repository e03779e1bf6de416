"""Amazon and Coauthor: the published counts, and a split of 20 and 30 nodes a class that a seed draws."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import shchur

from gnas.data import load
from gnas.data.shchur import FILES, drawn


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes"),
    [
        ("computers", 13752, 491722, 767, 10),
        pytest.param("physics", 34493, 495924, 8415, 5, marks=pytest.mark.slow),
    ],
)
def test_published_counts(name: str, nodes: int, edges: int, features: int, classes: int, data_root: Path) -> None:
    data = load(name, data_root)
    assert data.x.shape == (nodes, features) and data.edge_index.shape == (2, edges)
    assert data.y[data.train_mask].bincount().tolist() == [20] * classes
    assert data.y[data.val_mask].bincount().tolist() == [30] * classes
    assert int(data.test_mask.sum()) == nodes - 50 * classes
    if name == "computers":  # pinned, so that tables made on different machines speak of the same split
        digest = hashlib.sha256(data.train_mask.numpy().tobytes() + data.val_mask.numpy().tobytes())
        assert digest.hexdigest().startswith("9684d0b0bf006820")


@pytest.mark.parametrize("name", FILES)
def test_a_made_up_graph(name: str, tmp_path: Path) -> None:
    family, proper, file = FILES[name]
    shchur(tmp_path / family / proper / "raw" / file)
    data, again, other = (load(name, tmp_path, split=seed) for seed in (None, 0, 1))
    assert data.num_nodes == 240 and data.num_edges == 480
    assert torch.equal(data.train_mask, again.train_mask) and not torch.equal(data.train_mask, other.train_mask)
    with pytest.raises(ValueError, match=f"got split=-1 of '{name}', which has no published split; expected a seed"):
        load(name, tmp_path, split=-1)


@settings(max_examples=30)
@given(y=st.lists(st.integers(0, 3), min_size=1, max_size=300), seed=st.integers(0, 9))
def test_every_node_is_in_one_part_and_no_class_has_more_than_its_share(y: list[int], seed: int) -> None:
    labels = torch.tensor(y)
    parts = drawn(labels, seed)
    assert parts.shape == (3, len(y)) and bool((parts.sum(0) == 1).all())
    for c in labels.unique():
        size = int((labels == c).sum())
        found = [int((part & (labels == c)).sum()) for part in parts]
        assert found == [min(size, 20), min(max(size - 20, 0), 30), max(size - 50, 0)]
