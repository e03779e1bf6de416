"""A user's own graphs from a file: one, a list, a data set; and nothing in it is run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_files import cora
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset

from gnas.data import load, quiet_sparse
from gnas.data.saved import collect
from gnas.graphs import GraphSet


def example() -> Data:
    return Data(x=torch.randn(4, 3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0, 1]))


def graphs() -> list[Data]:
    """Three graphs of different sizes with a class each."""
    edge = torch.tensor([[0], [1]])
    return [
        Data(x=torch.full((size, 2), float(size)), edge_index=edge, y=torch.tensor([size % 2])) for size in (2, 3, 4)
    ]


def same(found: object, wanted: list[Data]) -> None:
    assert isinstance(found, GraphSet) and len(found.graphs) == len(wanted)
    for one, other in zip(found.graphs, wanted):
        assert all(torch.equal(one[key], other[key]) for key in ("x", "edge_index", "y"))


def test_a_saved_graph_comes_back(tmp_path: Path) -> None:
    data = example()
    data.train_mask = torch.tensor([True, False, False, False])
    data.note = {"made": ["by", "hand"]}
    torch.save(data, tmp_path / "graph.pt")
    for path in (tmp_path / "graph.pt", str(tmp_path / "graph.pt")):
        found = load(path)
        assert torch.equal(found.x, data.x) and torch.equal(found.edge_index, data.edge_index)
        assert torch.equal(found.train_mask, data.train_mask) and found.note == data.note


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_saved_list_becomes_a_set_of_graphs(kind: type, tmp_path: Path) -> None:
    torch.save(kind(graphs()), tmp_path / "rings.pt")
    found = load(tmp_path / "rings.pt")
    same(found, graphs())
    assert found.name == "rings" and found.split is None and found.metric is None


def test_what_a_data_set_of_pyg_has_saved_comes_back(tmp_path: Path) -> None:
    InMemoryDataset.save(graphs(), str(tmp_path / "new.pt"))
    torch.save(InMemoryDataset.collate(graphs()), tmp_path / "old.pt")
    torch.save(InMemoryDataset.collate(graphs()[:1]), tmp_path / "one.pt")
    same(load(tmp_path / "new.pt"), graphs())
    same(load(tmp_path / "old.pt"), graphs())
    one = load(tmp_path / "one.pt")
    assert isinstance(one, Data) and torch.equal(one.x, graphs()[0].x), "a data set of one graph is that graph"


def test_a_data_set_in_memory_is_collected() -> None:
    dataset = InMemoryDataset()
    dataset.data, dataset.slices = InMemoryDataset.collate(graphs())
    same(collect(dataset), graphs())
    same(collect(dataset[1:]), graphs()[1:])
    for wrong, said in (([], "holds no graph"), ([3], r"'the list\[0\]' holds a int"), ([hetero()], "to_homogeneous")):
        with pytest.raises(ValueError, match=said):
            collect(wrong)


@pytest.mark.filterwarnings("error")
def test_sparse_features_come_back_without_a_warning(tmp_path: Path) -> None:
    data = example()
    with quiet_sparse():
        data.x = data.x.to_sparse_csr()
    torch.save(data, tmp_path / "graph.pt")
    assert torch.equal(load(tmp_path / "graph.pt").x.to_dense(), data.x.to_dense())


@pytest.mark.filterwarnings("error")
def test_reading_leaves_torch_as_it_was(tmp_path: Path) -> None:
    allowed = set(torch.serialization.get_safe_globals())
    assert Data in allowed, "PyG allows it for good, and its own data sets need it"
    torch.save(example(), tmp_path / "graph.pt")
    load(tmp_path / "graph.pt")
    assert set(torch.serialization.get_safe_globals()) == allowed
    root = cora(tmp_path)
    load("cora", root)
    load("cora", root)


class Bomb:
    """Would make a folder, if it were run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    data = example()
    data.bomb = Bomb(tmp_path / "exploded")
    for content in (data, [example(), data]):
        torch.save(content, tmp_path / "graph.pt")
        with pytest.raises(ValueError, match=r"holds \['posix.mkdir'\] besides tensors .* expected a file written by"):
            load(tmp_path / "graph.pt")
        assert not (tmp_path / "exploded").exists()


def old() -> Data:
    """A graph as PyG before 2.0 pickled it."""
    data = Data.__new__(Data)
    data.__dict__.update(x=example().x, edge_index=example().edge_index, edge_attr=None, y=example().y)
    return data


@pytest.mark.parametrize("several", [False, True])
def test_what_an_old_pyg_has_saved_is_refused_with_a_way_that_works(several: bool, tmp_path: Path) -> None:
    torch.save([old()] if several else old(), tmp_path / "old.pt")
    with pytest.raises(ValueError, match=r"PyG before 2.0 \(try Data.from_dict\(vars\(data\)\)"):
        load(tmp_path / "old.pt")
    torch.save(Data.from_dict(vars(old())), tmp_path / "old.pt")
    assert set(load(tmp_path / "old.pt").keys()) == {"x", "edge_index", "y"}


def test_a_saved_data_set_of_several_kinds_is_refused(tmp_path: Path) -> None:
    InMemoryDataset.save([hetero(), hetero()], str(tmp_path / "set.pt"))
    with pytest.raises(ValueError, match="holds a HeteroData, .*to_homogeneous"):
        load(tmp_path / "set.pt")


def hetero() -> HeteroData:
    data = HeteroData()
    data["author"].x = torch.zeros(2, 2)
    data["author", "writes", "paper"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    return data


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ([], "holds no graph"),
        ([example(), 3], r"pt\[1\]' holds a int"),
        (({"x": torch.zeros(2, 2)}, {"x": 3}), "holds a damaged data set"),
        ({"x": torch.zeros(2)}, "holds a dict"),
        (torch.zeros(2), "holds a Tensor"),
        (hetero(), "holds a HeteroData, .*to_homogeneous"),
        ([hetero()], "holds a HeteroData, .*to_homogeneous"),
        (Batch.from_data_list([example()]), "holds .*Batch.* besides tensors"),
        (Data(x=np.zeros((2, 2))), "holds .*numpy.* besides tensors"),
        (InMemoryDataset(), r"holds .*InMemoryDataset.* besides tensors .*of a data set, save list\(dataset\)"),
    ],
)
def test_a_file_of_something_else_is_refused(content: object, got: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=got):
        load(tmp_path / "other.pt")


def test_masks_with_several_splits_are_chosen_from(tmp_path: Path) -> None:
    data = example()
    torch.save(data, tmp_path / "graph.pt")
    with pytest.raises(ValueError, match="got split=1 of .* whose masks don't hold several splits"):
        load(tmp_path / "graph.pt", split=1)
    data.train_mask, data.test_mask = torch.eye(4).bool(), ~torch.eye(4).bool()
    torch.save(data, tmp_path / "graph.pt")
    assert load(tmp_path / "graph.pt", split=2).train_mask.tolist() == [False, False, True, False]
    torch.save(graphs(), tmp_path / "graphs.pt")
    with pytest.raises(ValueError, match="got split=0 of .* which has no numbered splits"):
        load(tmp_path / "graphs.pt", split=0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=40), cut=st.none() | st.integers(0, 900), several=st.booleans())
def test_no_junk_gets_through(junk: bytes, cut: int | None, several: bool, tmp_path: Path) -> None:
    path = tmp_path / "junk.pt"
    if cut is None:
        path.write_bytes(junk)
    else:
        torch.save([example()] if several else example(), path)
        path.write_bytes(path.read_bytes()[:cut] + junk)
    with pytest.raises(ValueError, match=r"expected a file written by torch.save"):
        load(path)
