"""A user's own split: masks or positions from a folder or a file, for a graph and for a set of graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data import load
from gnas.data.splits import with_split
from gnas.graphs import GraphSet

EDGE = torch.tensor([[0], [1]])
GRAPH = Data(x=torch.zeros(8, 1), edge_index=EDGE)
SET = GraphSet(tuple(Data(x=torch.zeros(2, 1), edge_index=EDGE) for _ in range(8)), None, metric="mae")
PARTS = {"train": [5, 1, 0], "val": [3], "test": [6, 2]}
ROLES = {"train": "weights", "val": "architecture", "test": "test"}


def mask(positions: list[int]) -> Tensor:
    return torch.tensor([i in positions for i in range(8)])


def text_folder(path: Path) -> Path:
    path.mkdir()
    for word, positions in PARTS.items():
        (path / f"{word}.txt").write_text("\n".join(map(str, positions)) + "\n\n")
    return path


def mixed_folder(path: Path) -> Path:
    path.mkdir()
    (path / "train.csv").write_text("5\n1\n0")
    torch.save(torch.tensor(PARTS["val"]), path / "valid.pt")
    torch.save(mask(PARTS["test"]), path / "test.pt")
    return path


def tensors(path: Path) -> Path:
    torch.save({"train": torch.tensor(PARTS["train"]), "val": mask(PARTS["val"]), "test": torch.tensor([6, 2])}, path)
    return path


def table(path: Path) -> Path:
    rows = [f"{word}, {position}" for word, positions in PARTS.items() for position in positions]
    path.write_text("\n".join(["split, index", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("write", "name"), [(text_folder, "split"), (mixed_folder, "split"), (tensors, "s.pt"), (table, "s.csv")]
)
def test_every_form_says_the_same(write: object, name: str, tmp_path: Path) -> None:
    assert callable(write)
    path = write(tmp_path / name)
    graph = with_split(GRAPH, path)
    for word, positions in PARTS.items():
        assert graph[f"{word}_mask"].nonzero().view(-1).tolist() == sorted(positions)
    assert "train_mask" not in GRAPH, "the graph that was given is not changed"
    graphs = with_split(SET, str(path))
    assert isinstance(graphs, GraphSet) and graphs.split is not None and graphs.metric == "mae"
    assert {role: part.tolist() for role, part in graphs.split.items()} == {
        ROLES[word]: sorted(positions) for word, positions in PARTS.items()
    }


def test_it_takes_the_place_of_a_published_one(tmp_path: Path) -> None:
    data = load("digits", split=text_folder(tmp_path / "mine"))
    assert data.train_mask.nonzero().view(-1).tolist() == [0, 1, 5] and int(data.test_mask.sum()) == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.csv", "index,part\n1,train\n", r"begins with 'index,part'; expected a folder with train, val and test"),
        ("s.csv", "index,split\n1,trian\n", r"line 2 of .* is '1,trian'; expected a position and one of \['train'"),
        ("s.csv", "index,split\n1,train,2\n", r"line 2 of .* is '1,train,2'"),
        ("s.csv", "index,split\n1.5,train\n", r"line 2 of .* is '1.5'; expected a position from 0"),
        ("s.csv", "index,split\n--5,train\n", r"line 2 of .* is '--5'; expected a position from 0"),
        ("s.csv", "index,split\n1_0,train\n", r"line 2 of .* is '1_0'; expected a position from 0"),
        ("s.csv", f"index,split\n1,train\n{10**30},val\n", r"line 3 of .* is '10+'; expected a position from 0"),
        ("s.csv", "index,split\n1,train\n2,val\n", r"has no 'test'"),
        ("s.csv", "index,split\n1,train\n2,val\n8,test\n", r"test part of .* names position 8 of 8 nodes.* 0 to 7"),
        ("s.csv", "index,split\n1,train\n2,val\n-1,test\n", r"names position -1"),
        ("s.csv", "index,split\n1,train\n2,val\n2,test\n", r"names position 2 twice"),
        ("s.csv", "index,split\n1,train\n2,val\n3,test\n3,test\n", r"names position 3 twice"),
        ("s.pt", torch.zeros(3), r"holds a Tensor, not a dict of tensors"),
        ("s.pt", {"train": [1]}, r"holds a dict, not a dict of tensors"),
        ("s.pt", {"train": mask([0])[:7], "val": mask([1]), "test": mask([2])}, r"weights mask .* has shape \[7\]"),
        ("s.pt", {"train": torch.rand(3), "val": mask([1]), "test": mask([2])}, r"dtype torch.float32; expected pos"),
        ("s.pt", {"train": mask([]), "val": mask([1]), "test": mask([2])}, r"at least one of them"),
        ("s.pt", "no checkpoint", r"could not be read"),
        ("s.csv", b"\xff\xfe\x00", r"is no text file"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, content: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=said):
        with_split(GRAPH, path)


def test_a_folder_must_name_each_part_once(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "split")
    (folder / "valid.csv").write_text("7")
    with pytest.raises(ValueError, match=r"names the architecture part twice \(valid.csv\)"):
        with_split(GRAPH, folder)
    (folder / "valid.csv").unlink()
    (folder / "test.txt").unlink()
    with pytest.raises(ValueError, match="has no 'test'; expected a folder with"):
        with_split(GRAPH, folder)
    torch.save([1], folder / "test.pt")
    with pytest.raises(ValueError, match="holds a list, not a tensor"):
        with_split(GRAPH, folder)
    with pytest.raises(ValueError, match="is neither a file nor a folder"):
        with_split(GRAPH, tmp_path / "none")


def test_a_split_runs_no_code(tmp_path: Path) -> None:
    torch.save({"train": GRAPH}, tmp_path / "s.pt")
    with pytest.raises(ValueError):
        with_split(GRAPH, tmp_path / "s.pt")


def test_a_split_of_pairs_where_the_graph_asks_for_pairs_alone(tmp_path: Path) -> None:
    pairs = torch.stack([torch.arange(8), (torch.arange(8) + 3) % 8])
    asking = Data(x=torch.zeros(8, 1), edge_index=EDGE, edge_label_index=torch.cat([pairs, pairs.roll(1, 1)], dim=1))
    path = tmp_path / "s.pt"
    torch.save({"train": torch.tensor([15, 1]), "val": torch.tensor([9]), "test": torch.tensor([0])}, path)
    found = with_split(asking, path)
    assert found.train_mask.shape == (16,) and found.train_mask.nonzero().view(-1).tolist() == [1, 15]
    torch.save({"train": torch.tensor([1]), "val": torch.tensor([2]), "valid": torch.tensor([3])}, path)
    with pytest.raises(ValueError, match=r"names the architecture part twice \(val and valid\)"):
        with_split(asking, path)


def test_a_split_of_edges_where_these_have_the_labels(tmp_path: Path) -> None:
    ring = torch.stack([torch.arange(8).repeat(2), (torch.arange(16) + 1) % 8])
    path = tmp_path / "s.pt"
    torch.save({"train": torch.tensor([15, 1]), "val": torch.tensor([9]), "test": torch.tensor([0])}, path)
    found = with_split(Data(x=torch.zeros(8, 1), edge_index=ring, y=torch.arange(16) % 2), path)
    assert found.train_mask.nonzero().view(-1).tolist() == [1, 15] and found.val_mask.shape == (16,)


def test_one_test_mask_beside_several_splits(tmp_path: Path) -> None:
    masks = torch.arange(8)[:, None] % 3 == torch.arange(2)
    data = Data(x=torch.zeros(8, 1), edge_index=EDGE, y=torch.arange(8) % 2, train_mask=masks, val_mask=masks.flip(1))
    data.test_mask = torch.arange(8) % 3 == 2
    torch.save(data, tmp_path / "wiki.pt")
    found = load(tmp_path / "wiki.pt", split=np.int64(1))
    assert torch.equal(found.train_mask, masks[:, 1]) and torch.equal(found.test_mask, data.test_mask)
