"""Web pages and actors: the published counts, directed edges, ten splits."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_files import geom_gcn

from gnas.data import load


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "sizes"),
    [
        ("cornell", 183, 298, 1703, [87, 59, 37]),
        ("texas", 183, 325, 1703, [87, 59, 37]),
        ("actor", 7600, 30019, 932, [3648, 2432, 1520]),
    ],
)
def test_published_counts(name: str, nodes: int, edges: int, features: int, sizes: list[int], data_root: Path) -> None:
    data, other = load(name, data_root), load(name, data_root, split=9)
    assert data.x.shape == (nodes, features) and data.edge_index.shape == (2, edges)
    assert int(data.y.max()) + 1 == 5 and not data.is_undirected()
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == sizes
    assert (data.test_mask != other.test_mask).any()


@pytest.mark.parametrize("name", ["cornell", "texas", "wisconsin", "actor"])
def test_a_made_up_graph(name: str, tmp_path: Path) -> None:
    root = geom_gcn(tmp_path, name)
    assert [int(load(name, root, split=i).train_mask.sum()) for i in (0, 3, 9)] == [1, 4, 10]
    data = load(name, root)
    assert data.num_nodes == 20 and data.num_edges == 20 and int(data.train_mask.sum()) == 1
    with pytest.raises(ValueError, match=f"got split=-1 of '{name}'; it has the splits 0 to 9"):
        load(name, root, split=-1)
