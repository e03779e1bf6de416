"""OGB: the published counts, no question, no network, and nothing for the user to patch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from raw_files import column, listing, ogbg, ogbn, papers

from gnas.data import load, ogb

ATOMS, BONDS = (119, 5, 12, 12, 10, 6, 6, 2, 2), (5, 6, 2)
CLASSES = column(np.arange(20) % 4)
BITS = np.random.RandomState(0).randint(0, 2, (20, 12))


def sizes(split: object) -> list[int]:
    assert isinstance(split, dict) and list(split) == ["weights", "architecture", "test"]
    return [part.numel() for part in split.values()]


@pytest.mark.parametrize(
    ("name", "graphs", "nodes", "edges", "parts", "tasks"),
    [
        ("ogbg-molesol", 1128, 13.3, 13.7, [902, 113, 113], 1),
        ("ogbg-mollipo", 4200, 27.0, 29.5, [3360, 420, 420], 1),
        ("ogbg-molbbbp", 2039, 24.1, 26.0, [1631, 204, 204], 1),
        ("ogbg-moltox21", 7831, 18.6, 19.3, [6264, 783, 784], 12),
        pytest.param("ogbg-molhiv", 41127, 25.5, 27.5, [32901, 4113, 4113], 1, marks=pytest.mark.slow),
    ],
)
def test_published_counts(
    name: str, graphs: int, nodes: float, edges: float, parts: list[int], tasks: int, data_root: Path
) -> None:
    before = listing(data_root / "ogb" / name.replace("-", "_"))
    data = load(name, data_root)
    assert len(data.graphs) == graphs and sizes(data.split) == parts
    assert round(sum(g.num_nodes for g in data.graphs) / graphs, 1) == nodes
    assert round(sum(g.num_edges for g in data.graphs) / graphs / 2, 1) == edges
    assert data.metric == f"ogb:{name}" and data.name == name
    assert data.categories == ATOMS and data.edge_categories == BONDS
    assert {g.y.shape for g in data.graphs} == {(1, tasks)}
    assert bool(torch.cat([g.y for g in data.graphs]).isnan().any()) == (name == "ogbg-moltox21")
    assert listing(data_root / "ogb" / name.replace("-", "_")) == before


def test_molecules_keep_their_codes(tmp_path: Path) -> None:
    root = ogbg(tmp_path, "ogbg-molesol", np.linspace(-1, 1, 20).reshape(-1, 1))
    for data in (load("ogbg-molesol", root), load("OGBG-MolESOL", root)):
        graph = data.graphs[3]
        assert graph.x.dtype == graph.edge_attr.dtype == torch.long
        assert graph.x.shape == (3, 9) and graph.edge_attr.shape == (4, 3) and graph.is_undirected()
        assert graph.y.shape == (1, 1) and graph.y.dtype == torch.float
        # The files name the graphs from the last to the first.
        assert data.split["weights"].tolist() == list(range(10, 20))
        assert data.split["architecture"].tolist() == [5, 6, 7, 8, 9] and data.split["test"].tolist() == [0, 1, 2, 3, 4]


def test_labels_that_are_not_known_are_nan(tmp_path: Path) -> None:
    y = BITS.astype(float)
    y[3, 5] = np.nan
    data = load("ogbg-moltox21", ogbg(tmp_path, "ogbg-moltox21", y))
    found = torch.cat([graph.y for graph in data.graphs])
    assert found.shape == (20, 12) and found.isnan().nonzero().tolist() == [[3, 5]]
    known = load("ogbg-molclintox", ogbg(tmp_path, "ogbg-molclintox", BITS[:, :2]))
    assert {graph.y.dtype for graph in known.graphs} == {torch.float}, "yes or no to several, not a class"


def test_arxiv_goes_both_ways(tmp_path: Path) -> None:
    x = np.random.RandomState(0).rand(20, 5)
    data = load("ogbn-arxiv", ogbn(tmp_path, "ogbn-arxiv", "time", CLASSES, x))
    assert data.x.dtype == torch.float and data.x.shape == (20, 5) and data.num_edges == 40 and data.is_undirected()
    assert data.y.tolist() == CLASSES[:, 0].tolist() and data.y.dtype == torch.long
    assert data.num_classes == 40 and data.metric == "ogb:ogbn-arxiv"
    assert data.train_mask.nonzero().view(-1).tolist() == list(range(10, 20))
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [10, 5, 5]


def test_products(tmp_path: Path) -> None:
    x = np.random.RandomState(0).rand(20, 5)
    data = load("ogbn-products", ogbn(tmp_path, "ogbn-products", "sales_ranking", CLASSES, x))
    assert data.num_edges == 40 and data.num_classes == 47 and data.metric == "ogb:ogbn-products"


def test_proteins_are_described_by_their_edges(tmp_path: Path) -> None:
    y = np.random.RandomState(0).randint(0, 2, (20, 112))
    root = ogbn(tmp_path / "root", "ogbn-proteins", "species", y, None, edge_feat=8)
    before = listing(root)
    data = load("ogbn-proteins", root)
    assert (
        data.y.shape == (20, 112)
        and data.y.dtype == torch.float
        and data.metric == "ogb:ogbn-proteins"
        and data.edge_attr.shape == (40, 8)
    )
    # Node 5 has the edges 4 and 5 of the ring, whose first features are 4 and 5.
    assert data.x.shape == (20, 8) and float(data.x[5, 0]) == 4.5
    assert listing(root) == before, "ogb renames a file of this set, but not the user's"


def test_papers_without_a_class_are_in_no_part(tmp_path: Path) -> None:
    data = load("ogbn-papers100M", papers(tmp_path))
    assert data.y.dtype == torch.long and data.y.tolist() == [0, 1, 2, 3] * 3 + [0] * 4
    assert data.metric == "ogb:ogbn-papers100M" and data.num_classes == 172


def test_a_folder_without_its_release_file_raises_no_question(tmp_path: Path) -> None:
    root = ogbg(tmp_path / "root", "ogbg-molesol", np.zeros((20, 1)), release=False)
    before = listing(root)
    assert len(load("ogbg-molesol", root).graphs) == len(load("ogbg-molesol", root).graphs) == 20
    assert listing(root) == before


def test_missing_and_spoilt_files_are_named(tmp_path: Path) -> None:
    root = ogbg(tmp_path, "ogbg-molesol", np.zeros((20, 1)))
    home = root / "ogb" / "ogbg_molesol"
    (home / "split/scaffold/valid.csv.gz").unlink()
    with pytest.raises(ValueError, match=r"raw files of 'ogbg-molesol' in .* could not be read .*valid.csv.gz"):
        load("ogbg-molesol", root)
    (home / "raw/edge-feat.csv.gz").unlink()
    with pytest.raises(ValueError, match=r"lacks \['raw/edge-feat.csv.gz'\]; expected ogb/ogbg_molesol with raw/"):
        load("ogbg-molesol", root)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ogbn-arixv", "did you mean 'ogbn-arxiv'"),
        ("ogbn-mag", "to_homogeneous"),
        ("ogbg-code2", "tasks or graphs of other kinds"),
        ("ogbl-collab", "tasks or graphs of other kinds"),
    ],
)
def test_other_sets_of_ogb_are_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"gnas does not load '{name}'.*{said}"):
        load(name)


def test_every_name_is_one_of_ogbs_own() -> None:
    for name in ogb.NAMES:
        about = ogb.information(name)
        assert about["task type"] != "subtoken prediction" and about.get("is hetero", "False") == "False"


class Answer:
    """What a server says of a file."""

    def __init__(self, size: int) -> None:
        self.headers = {"Content-Length": str(size)}

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_download_asks_nothing_and_is_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    import urllib.request

    import torch_geometric.data

    source = ogbg(tmp_path / "far", "ogbg-molesol", np.zeros((20, 1))) / "ogb" / "ogbg_molesol"
    source.rename(source.parent / "esol")
    calls = []

    def download_url(url: str, folder: str, log: bool = True) -> str:
        calls.append(url)
        return shutil.make_archive(str(Path(folder) / "esol"), "zip", source.parent, "esol")

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(2 * 2**30))
    monkeypatch.setattr(torch_geometric.data, "download_url", download_url)
    assert len(load("ogbg-molesol").graphs) == len(load("ogbg-molesol").graphs) == 20
    assert calls == ["http://snap.stanford.edu/ogb/data/graphproppred/csv_mol_download/esol.zip"]
    assert not list(cache.rglob("*.zip"))
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(56 * 2**30))
    with pytest.raises(ValueError, match=r"ogbn-papers100M is a download of 56 GiB, which gnas leaves to you: unpack"):
        load("ogbn-papers100M")


ALONE = """
import builtins, sys, threading
used = []
def watch(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto")):
        used.append((event, args))
sys.addaudithook(watch)

# A stand-in for the package that ogb asks the network through, installed or not.
import types
asked = []
outdated = types.ModuleType("outdated")
outdated.check_outdated = lambda *args: asked.append(args) or (False, "9")
sys.modules["outdated"] = outdated

import gnas
from gnas.data import load
assert "ogb" not in sys.modules
data = load("ogbg-molesol", sys.argv[1])
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(5)
assert sys.modules["outdated"] is outdated
print(len(data.graphs), used, asked)
"""


def test_a_fresh_interpreter_uses_no_network_and_says_nothing(tmp_path: Path) -> None:
    root = ogbg(tmp_path, "ogbg-molesol", np.zeros((20, 1)), release=False)
    env = {**os.environ, "PYTHONPATH": str(Path(ogb.__file__).parent.parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(root)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("20 [] []\n", "", 0)
