"""Names and files to graphs: what is known, what is refused, and where is written."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.datasets import Planetoid

from gnas import data as module
from gnas.data import NAMES, RAW_SUFFIXES, cache_folder, load


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no data but what the test names."""
    monkeypatch.setenv("GNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNAS_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: Planetoid) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(Planetoid, "download", download)


def raw_files(folder: Path, seed: int = 0) -> Path:
    """Raw files in Planetoid's form of a made-up graph of 560 nodes, and the folder that a user would name."""
    random = np.random.RandomState(seed)
    x = (random.rand(560, 6) < 0.3).astype(np.float32)
    y = np.eye(3, dtype=np.int32)[random.randint(0, 3, 560)]
    graph = {i: [int(j) for j in random.randint(0, 560, 2)] for i in range(560)}
    parts = {"x": x[:30], "allx": x[:540], "tx": x[540:], "y": y[:30], "ally": y[:540], "ty": y[540:], "graph": graph}
    raw = folder / "Planetoid" / "Cora" / "raw"
    raw.mkdir(parents=True)
    for suffix, part in parts.items():
        content = csr_matrix(part) if suffix.endswith("x") else part
        (raw / f"ind.cora.{suffix}").write_bytes(pickle.dumps(content))
    (raw / "ind.cora.test.index").write_text("".join(f"{i}\n" for i in range(540, 560)))
    return folder


def listing(folder: Path) -> list[tuple[str, int, str]]:
    """Every file below a folder with its time and content."""
    paths = sorted(folder.rglob("*"))
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder" for path in paths]
    return [(str(path), path.stat().st_mtime_ns, content) for path, content in zip(paths, contents)]


def example() -> Data:
    return Data(x=torch.randn(4, 3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0, 1]))


# -- digits


def test_digits_is_a_symmetric_graph_with_a_split_and_the_same_each_time() -> None:
    data = load("digits")
    assert data.x.shape == (1797, 64) and data.x.min() == 0 and data.x.max() == 1
    assert data.is_undirected() and not data.has_self_loops() and data.is_coalesced()
    assert data.edge_index.shape == (2, 24678)
    degree = torch.bincount(data.edge_index[1], minlength=1797)
    assert degree.min() >= module.DIGITS_NEIGHBOURS
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


# -- names


def test_names() -> None:
    assert NAMES == ("digits", "cora", "citeseer", "pubmed")


@pytest.mark.parametrize(("wrong", "near"), [("coar", "'cora'"), ("Pubmd", "'pubmed'"), ("digit", "'digits'")])
def test_an_unknown_name_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"'{wrong}' is neither .*did you mean {near}"):
        load(wrong)


def test_a_name_like_none_and_a_missing_file_are_refused_with_all_names(tmp_path: Path) -> None:
    for wrong in ("qqqqqq", str(tmp_path / "graph.pt")):
        with pytest.raises(ValueError, match=r"neither a known data set nor an existing file; expected one of \['dig"):
            load(wrong)
    with pytest.raises(TypeError, match="named by 3 of type int"):
        load(3)  # type: ignore[arg-type]


# -- citation graphs


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes", "train"),
    [
        ("cora", 2708, 10556, 1433, 7, 140),
        ("CiteSeer", 3327, 9104, 3703, 6, 120),
        ("PUBMED", 19717, 88648, 500, 3, 60),
    ],
)
def test_public_counts(
    name: str, nodes: int, edges: int, features: int, classes: int, train: int, data_root: Path
) -> None:
    data = load(name, data_root)
    assert data.x.shape == (nodes, features)
    assert data.edge_index.shape == (2, edges)
    assert int(data.y.max()) + 1 == classes
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [train, 500, 1000]


def test_the_public_root_is_only_read(data_root: Path) -> None:
    before = listing(data_root / "Planetoid" / "Cora")
    load("cora", data_root)
    assert listing(data_root / "Planetoid" / "Cora") == before


def test_a_root_is_only_read_and_its_cache_used(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = raw_files(tmp_path / "root")
    before = listing(root)
    data = load("cora", root)
    assert data.x.shape == (560, 6) and int(data.train_mask.sum()) == 30 and int(data.test_mask.sum()) == 20
    assert listing(root) == before
    links = list(cache.rglob("ind.cora.*"))
    assert len(links) == 8 and all(path.is_symlink() and path.resolve().is_relative_to(root) for path in links)

    def process(self: Planetoid) -> None:
        raise AssertionError("processed again")

    monkeypatch.setattr(Planetoid, "process", process)
    assert torch.equal(load("Cora", root).edge_index, data.edge_index)
    assert listing(root) == before


def test_the_root_comes_before_the_environment_and_two_roots_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = raw_files(tmp_path / "one", seed=1), raw_files(tmp_path / "two", seed=2)
    monkeypatch.setenv("GNAS_DATA", str(one))
    first, second = load("cora"), load("cora", two)
    assert not torch.equal(first.x, second.x)
    assert torch.equal(load("cora").x, first.x)
    assert torch.equal(load("cora", tmp_path).x, first.x), "a root that lacks the set leaves it to GNAS_DATA"


def test_changed_files_are_read_anew(tmp_path: Path) -> None:
    root = raw_files(tmp_path / "root", seed=1)
    first = load("cora", root)
    shutil.rmtree(root)
    raw_files(tmp_path / "root", seed=2)
    assert not torch.equal(load("cora", root).x, first.x)


def test_a_root_of_pygs_own_making_serves(tmp_path: Path) -> None:
    root = raw_files(tmp_path)
    (root / "Planetoid" / "Cora").rename(root / "CORA")
    assert load("cora", str(root)).num_nodes == 560


def test_nothing_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # which silences PyG by itself
    load("cora", raw_files(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_a_failing_download_names_both_ways_and_the_files(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ValueError) as caught:
        load("cora")
    message = str(caught.value)
    for part in ("no route to host", "--root (not set)", "GNAS_DATA (not set)", "Planetoid/Cora/raw/ind.cora.{x,tx,"):
        assert part in message
    with pytest.raises(ValueError, match=f"--root \\('{tmp_path}'\\)"):
        load("cora", tmp_path)
    assert not list((cache / "planetoid").iterdir()), "nothing half-made stays behind"


def test_a_download_is_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = raw_files(tmp_path / "far") / "Planetoid" / "Cora" / "raw"
    calls = []

    def download(self: Planetoid) -> None:
        calls.append(self.raw_dir)
        shutil.copytree(source, self.raw_dir, dirs_exist_ok=True)

    monkeypatch.setattr(Planetoid, "download", download)
    first, second = load("cora"), load("cora")
    assert len(calls) == 1 and torch.equal(first.x, second.x)
    assert Path(calls[0]).is_relative_to(cache)


@pytest.mark.parametrize("error", [OSError("cut off"), KeyboardInterrupt()])
def test_a_download_that_is_cut_off_is_not_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    source = raw_files(tmp_path / "far") / "Planetoid" / "Cora" / "raw"

    def cut_off(self: Planetoid) -> None:
        for suffix in RAW_SUFFIXES:
            Path(self.raw_dir, f"ind.cora.{suffix}").write_bytes(b"half")
        raise error

    def download(self: Planetoid) -> None:
        shutil.copytree(source, self.raw_dir, dirs_exist_ok=True)

    monkeypatch.setattr(Planetoid, "download", cut_off)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        load("cora")
    monkeypatch.setattr(Planetoid, "download", download)
    assert load("cora").num_nodes == 560


def test_a_root_that_is_no_folder_or_lacks_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"--root names '/nowhere', which is no folder"):
        load("cora", "/nowhere")
    root = raw_files(tmp_path)
    (root / "Planetoid/Cora/raw/ind.cora.graph").unlink()
    monkeypatch.setenv("GNAS_DATA", str(root))
    with pytest.raises(ValueError, match=r"GNAS_DATA names .* lacks \['ind.cora.graph'\]"):
        load("cora")


def test_spoilt_raw_files_are_refused(tmp_path: Path, cache: Path) -> None:
    root = raw_files(tmp_path / "root")
    (root / "Planetoid/Cora/raw/ind.cora.graph").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"raw files of 'cora' in .*root.* could not be read"):
        load("cora", root)
    assert not list((cache / "planetoid").iterdir())


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, cache: Path) -> None:
    root = raw_files(tmp_path / "root")
    cache.write_text("a file where the folder should be")
    with pytest.raises(ValueError, match=r"cannot be written .* set GNAS_CACHE"):
        load("cora", root)


def test_a_damaged_cache_says_what_to_delete(tmp_path: Path, cache: Path) -> None:
    root = raw_files(tmp_path / "root")
    load("cora", root)
    (processed,) = cache.rglob("data.pt")
    processed.write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"cached copy of 'cora' in .* could not be read .* delete that folder"):
        load("cora", root)
    processed.unlink()
    with pytest.raises(ValueError, match=r"is in the way .* delete it"):
        load("cora", root)


def test_whoever_comes_second_takes_what_the_first_has_built(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = raw_files(tmp_path / "root")
    process = Planetoid.process
    rivals: list[Data] = []

    def overtaken(self: Planetoid) -> None:
        process(self)
        monkeypatch.setattr(Planetoid, "process", process)
        rivals.append(load("cora", root))

    monkeypatch.setattr(Planetoid, "process", overtaken)
    data = load("cora", root)
    assert len(rivals) == 1 and torch.equal(data.x, rivals[0].x)
    assert len(list((cache / "planetoid").iterdir())) == 1


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path, cache: Path) -> None:
    root = raw_files(tmp_path / "root")
    code = f"from gnas.data import load; print(load('cora', {str(root)!r}).num_nodes)"
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert (out, err, run.returncode) == ("560\n", "", 0)
    assert len(list((cache / "planetoid").iterdir())) == 1


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GNAS_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "gnas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "gnas"


# -- files


def test_a_saved_graph_comes_back(tmp_path: Path) -> None:
    data = example()
    data.train_mask = torch.tensor([True, False, False, False])
    data.note = {"made": ["by", "hand"]}
    torch.save(data, tmp_path / "graph.pt")
    for path in (tmp_path / "graph.pt", str(tmp_path / "graph.pt")):
        found = load(path)
        assert torch.equal(found.x, data.x) and torch.equal(found.edge_index, data.edge_index)
        assert torch.equal(found.train_mask, data.train_mask) and found.note == data.note


@pytest.mark.filterwarnings("error")
def test_sparse_features_come_back_without_a_warning(tmp_path: Path) -> None:
    data = example()
    with module.quiet_sparse():
        data.x = data.x.to_sparse_csr()
    torch.save(data, tmp_path / "graph.pt")
    assert torch.equal(load(tmp_path / "graph.pt").x.to_dense(), data.x.to_dense())


class Bomb:
    """Would make a folder, if it were run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    data = example()
    data.bomb = Bomb(tmp_path / "exploded")
    torch.save(data, tmp_path / "graph.pt")
    with pytest.raises(ValueError, match=r"holds \['posix.mkdir'\] besides tensors .* expected a file written by"):
        load(tmp_path / "graph.pt")
    assert not (tmp_path / "exploded").exists()


def hetero() -> HeteroData:
    data = HeteroData()
    data["author"].x = torch.zeros(2, 2)
    data["author", "writes", "paper"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    return data


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ((example(), None), "holds a tuple; .* save dataset"),
        ([example()], "holds a list"),
        ({"x": torch.zeros(2)}, "holds a dict"),
        (torch.zeros(2), "holds a Tensor"),
        (hetero(), "holds a HeteroData, .*to_homogeneous"),
        (Batch.from_data_list([example()]), "holds .*Batch.* besides tensors"),
        (Data(x=np.zeros((2, 2))), "holds .*numpy.* besides tensors"),
    ],
)
def test_a_file_of_something_else_is_refused(content: object, got: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=got):
        load(tmp_path / "other.pt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; expected a file"):
        load(tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=40), cut=st.none() | st.integers(0, 900))
def test_no_junk_gets_through(junk: bytes, cut: int | None, tmp_path: Path) -> None:
    path = tmp_path / "junk.pt"
    if cut is None:
        path.write_bytes(junk)
    else:
        torch.save(example(), path)
        path.write_bytes(path.read_bytes()[:cut] + junk)
    with pytest.raises(ValueError, match=r"expected a file written by torch.save"):
        load(path)
