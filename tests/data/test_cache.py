"""Raw files into the cache: what is found where, what is refused, and where is written; Cora stands for all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from raw_files import cora, listing
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid

from gnas.data import cache_folder, load
from gnas.data.planetoid import SUFFIXES


def test_the_public_root_is_only_read(data_root: Path) -> None:
    before = listing(data_root / "Planetoid" / "Cora")
    load("cora", data_root)
    assert listing(data_root / "Planetoid" / "Cora") == before


def test_a_root_is_only_read_and_its_cache_used(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = cora(tmp_path / "root")
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
    one, two = cora(tmp_path / "one", seed=1), cora(tmp_path / "two", seed=2)
    monkeypatch.setenv("GNAS_DATA", str(one))
    first, second = load("cora"), load("cora", two)
    assert not torch.equal(first.x, second.x)
    assert torch.equal(load("cora").x, first.x)
    assert torch.equal(load("cora", tmp_path).x, first.x), "a root that lacks the set leaves it to GNAS_DATA"


def test_changed_files_are_read_anew(tmp_path: Path) -> None:
    root = cora(tmp_path / "root", seed=1)
    first = load("cora", root)
    shutil.rmtree(root)
    cora(tmp_path / "root", seed=2)
    assert not torch.equal(load("cora", root).x, first.x)


def test_a_root_of_pygs_own_making_serves(tmp_path: Path) -> None:
    root = cora(tmp_path)
    (root / "Planetoid" / "Cora").rename(root / "CORA")
    assert load("cora", str(root)).num_nodes == 560


def test_nothing_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # which silences PyG by itself
    load("cora", cora(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_a_failing_download_names_both_ways_and_the_files(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ValueError) as caught:
        load("cora")
    message = str(caught.value)
    places = ("--root (not set)", "GNAS_DATA (not set)", "Planetoid/Cora with raw/ind.cora.x, raw/ind.cora.tx, ")
    for part in ("no route to host", *places):
        assert part in message
    with pytest.raises(ValueError, match=f"--root \\('{tmp_path}'\\)"):
        load("cora", tmp_path)
    assert not list((cache / "planetoid").iterdir()), "nothing half-made stays behind"


def test_a_download_is_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = cora(tmp_path / "far") / "Planetoid" / "Cora" / "raw"
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
    source = cora(tmp_path / "far") / "Planetoid" / "Cora" / "raw"

    def cut_off(self: Planetoid) -> None:
        for suffix in SUFFIXES:
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
    root = cora(tmp_path)
    (root / "Planetoid/Cora/raw/ind.cora.graph").unlink()
    monkeypatch.setenv("GNAS_DATA", str(root))
    with pytest.raises(ValueError, match=r"GNAS_DATA names .* lacks \['raw/ind.cora.graph'\]"):
        load("cora")


def test_spoilt_raw_files_are_refused(tmp_path: Path, cache: Path) -> None:
    root = cora(tmp_path / "root")
    (root / "Planetoid/Cora/raw/ind.cora.graph").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"raw files of 'cora' in .*root.* could not be read"):
        load("cora", root)
    assert not list((cache / "planetoid").iterdir())


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, cache: Path) -> None:
    root = cora(tmp_path / "root")
    cache.write_text("a file where the folder should be")
    with pytest.raises(ValueError, match=r"cannot be written .* set GNAS_CACHE"):
        load("cora", root)


def test_a_damaged_cache_says_what_to_delete(tmp_path: Path, cache: Path) -> None:
    root = cora(tmp_path / "root")
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
    root = cora(tmp_path / "root")
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
    root = cora(tmp_path / "root")
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
