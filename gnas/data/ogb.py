"""The Open Graph Benchmark (Hu and others, arXiv 2005.00687): ``ogbn-*`` and ``ogbg-mol*`` with OGB's splits.

OGB's own classes read the files. Three things of ogb 1.3.6 are kept from the user: importing it asks a package index
for its newest version, in a thread; it asks questions on the terminal; and it reads back what it has written by a plain
``torch.load``, which torch 2.6 and later refuse for PyG's classes (snap-stanford/ogb issue 497), so just these classes
are allowed while it reads.
"""

from __future__ import annotations

import csv
import difflib
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data.cache import Raw, fetch
from gnas.data.saved import graphs_allowed
from gnas.data.splits import numbered
from gnas.graphs import GraphSet

NODES = ("ogbn-arxiv", "ogbn-products", "ogbn-proteins", "ogbn-papers100m")
MOLECULES = tuple(
    f"ogbg-mol{name}"
    for name in (
        *("bace", "bbbp", "chembl", "clintox", "esol", "freesolv", "hiv", "lipo", "muv", "pcba", "sider", "tox21"),
        "toxcast",
    )
)
NAMES = (*NODES, *MOLECULES)
PREFIXES = ("ogbn-", "ogbg-", "ogbl-")
LARGEST_DOWNLOAD = 8 * 2**30
"""Bytes; ogbn-products is 1.4 GiB, ogbn-papers100M 56 GiB."""
ROLES = {"train": "weights", "valid": "architecture", "test": "test"}


def load(name: str, root: str | Path | None, split: int | None) -> Data | GraphSet:
    """A graph with masks, or molecules with positions; the metric is OGB's own evaluator, ``"ogb:NAME"``."""
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=2, cutoff=0.6)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise ValueError(
            f"gnas does not load {name!r}{hint}; expected one of {list(NAMES)} (ogbn-mag has several kinds of nodes: "
            "save its data.to_homogeneous(); ogbl-*, ogbg-ppa and ogbg-code2 have tasks or graphs of other kinds)"
        )
    numbered(split, 1, name)
    return fetch(_nodes(name) if name in NODES else _molecules(name), root)


def quiet_import(module: str) -> ModuleType:
    """A module of ogb, imported without its question to a package index and without its warnings."""
    # ogb does without this package if it is missing, and None makes it so for a moment.
    held = {"outdated": sys.modules.get("outdated")} if "outdated" in sys.modules else {}
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    finally:
        del sys.modules["outdated"]
        sys.modules.update(held)  # type: ignore[arg-type]


def information(name: str) -> dict[str, str]:
    """What OGB's own table says of a data set: ``"eval metric"``, ``"task type"``, ``"num tasks"`` and more."""
    home = Path(str(quiet_import(_home(name)).__file__)).parent
    with (home / "master.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    place = header.index(_proper(name))
    return {row[0]: row[place] for row in rows}


def _home(name: str) -> str:
    return "ogb.nodeproppred" if name.startswith("ogbn-") else "ogb.graphproppred"


def _proper(name: str) -> str:
    return "ogbn-papers100M" if name == "ogbn-papers100m" else name


def _raw(name: str, label: str, open_: Any) -> Raw[Any]:
    about = information(name)
    if about["binary"] == "True":
        files = ["data.npz", f"{label}.npz"]
    else:
        features = [part for part in ("node", "edge") if about[f"has_{part}_attr"] == "True"]
        files = ["edge.csv.gz", "num-node-list.csv.gz", "num-edge-list.csv.gz", f"{label}.csv.gz"]
        files += [f"{part}-feat.csv.gz" for part in features]
    folder = _proper(name).replace("-", "_")
    return Raw(
        name=name,
        folders=(f"ogb/{folder}", folder),
        files=tuple(f"raw/{file}" for file in files),
        target=folder,
        built=f"{folder}/processed/geometric_data_processed.pt",
        open=open_,
        more=("raw/*", f"split/{about['split']}/*", "mapping/*", "RELEASE_v*.txt"),
    )


def _nodes(name: str) -> Raw[Data]:
    def read(root: Path) -> Data:
        dataset, split = _dataset(name, root, "PygNodePropPredDataset")
        data = dataset[0]
        # Several tasks are several labels of yes or no, whatever their type; some may be missing.
        data.y = data.y.view(-1) if data.y.size(1) == 1 else data.y.float()
        if name == "ogbn-papers100m":  # a paper without a class has NaN, and is in no part of the split
            data.y = data.y.nan_to_num(0).long()
        _homogeneous(name, data)
        for word, key in (("train", "train_mask"), ("valid", "val_mask"), ("test", "test_mask")):
            data[key] = torch.zeros(data.num_nodes, dtype=torch.bool)
            data[key][split[word]] = True
        if data.y.dim() == 1:
            data.num_classes = dataset.num_classes
        data.metric = f"ogb:{_proper(name)}"
        return data

    return _raw(name, "node-label", read)


def _homogeneous(name: str, data: Data) -> None:
    """What OGB's own baselines do before they train: citations both ways, and features where there are none."""
    from torch_geometric.utils import scatter, to_undirected

    if name == "ogbn-arxiv":
        data.edge_index = to_undirected(data.edge_index, num_nodes=data.num_nodes)
    if data.x is None:  # proteins: a node's features are the mean of its edges'
        data.x = scatter(data.edge_attr, data.edge_index[1], dim=0, dim_size=data.num_nodes, reduce="mean")


def _molecules(name: str) -> Raw[GraphSet]:
    def read(root: Path) -> GraphSet:
        dataset, split = _dataset(name, root, "PygGraphPropPredDataset")
        features = quiet_import("ogb.utils.features")
        graphs = tuple(dataset[i] for i in range(len(dataset)))
        for graph in graphs:
            graph.y = graph.y if graph.y.size(1) == 1 else graph.y.float()
        return GraphSet(
            graphs=graphs,
            split={role: split[word].long().sort().values for word, role in ROLES.items()},
            metric=f"ogb:{name}",
            name=name,
            categories=tuple(features.get_atom_feature_dims()),
            edge_categories=tuple(features.get_bond_feature_dims()),
        )

    return _raw(name, "graph-label", read)


def _dataset(name: str, root: Path, kind: str) -> tuple[Any, dict[str, Tensor]]:
    """OGB's data set and its split, without a question and with PyG's classes allowed."""
    base: Any = getattr(quiet_import(_home(name)), kind)
    about = information(name)

    class Unasked(base):
        def download(self) -> None:
            _download(self.name, about["url"], about["download_name"], Path(self.root))

    folder = root / _proper(name).replace("-", "_")
    if folder.is_dir() and not (folder / f"RELEASE_v{about['version']}.txt").exists():
        # Where it is missing ogb asks whether to download everything anew.
        (folder / f"RELEASE_v{about['version']}.txt").touch()
    with graphs_allowed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = Unasked(_proper(name), root=str(root), pre_transform=_plain)
        return dataset, dataset.get_idx_split()


def _plain(data: Data) -> Data:
    """Without the NumPy number that ogb counts the nodes of its largest graph by, which torch would refuse."""
    data.num_nodes = int(data.num_nodes)
    return data


def _download(name: str, url: str, unpacked: str, folder: Path) -> None:
    """Fetch and unpack what ogb would fetch, without a question; only the very largest is left to the user."""
    import shutil
    from urllib.request import urlopen

    from torch_geometric.data import download_url, extract_zip

    with urlopen(url, timeout=60) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
    if size > LARGEST_DOWNLOAD:
        raise ValueError(
            f"{name} is a download of {size / 2**30:.0f} GiB, which gnas leaves to you: unpack {url} and call the "
            f"folder {folder.name}"
        )
    path = Path(download_url(url, str(folder.parent), log=False))
    extract_zip(str(path), str(folder.parent), log=False)
    path.unlink()
    shutil.rmtree(folder)
    shutil.move(str(folder.parent / unpacked), str(folder))
