"""The embedded graph: symmetric, split, and the same on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from gnas.data import load
from gnas.data.digits import NEIGHBOURS


def test_digits_is_a_symmetric_graph_with_a_split_and_the_same_each_time() -> None:
    data = load("digits")
    assert data.x.shape == (1797, 64) and data.x.min() == 0 and data.x.max() == 1
    assert data.is_undirected() and not data.has_self_loops() and data.is_coalesced()
    assert data.edge_index.shape == (2, 24678)
    degree = torch.bincount(data.edge_index[1], minlength=1797)
    assert degree.min() >= NEIGHBOURS
    masks = [data.train_mask, data.val_mask, data.test_mask]
    assert [int(mask.sum()) for mask in masks] == [50, 300, 1000]
    assert int(torch.stack(masks).sum(0).max()) == 1
    assert data.y[data.train_mask].bincount().tolist() == [5] * 10
    # Pinned, so that tables made on different machines speak of the same graph.
    everything = torch.cat([data.edge_index.view(-1), data.y, *(mask.nonzero().view(-1) for mask in masks)])
    digest = hashlib.sha256(everything.numpy().tobytes()).hexdigest()
    assert digest.startswith("a111b81408bca1b2")


def test_digits_needs_neither_a_cache_nor_a_root(cache: Path) -> None:
    load("Digits", root="/does/not/exist")
    assert not cache.exists()


def test_digits_has_one_split() -> None:
    assert torch.equal(load("digits", split=0).train_mask, load("digits").train_mask)
    with pytest.raises(ValueError, match=r"got split=1 of 'digits'; it has one split, so leave split out"):
        load("digits", split=1)
