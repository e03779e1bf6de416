"""Small made-up data sets in the layouts in which the named ones were published, for tests without the real files."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix


def listing(folder: Path) -> list[tuple[str, int, str]]:
    """Every file below a folder with its time and content."""
    paths = sorted(folder.rglob("*"))
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder" for path in paths]
    return [(str(path), path.stat().st_mtime_ns, content) for path, content in zip(paths, contents)]


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cora(folder: Path, seed: int = 0, geom_gcn: bool = False) -> Path:
    """Raw files in Planetoid's form of a graph of 560 nodes."""
    random = np.random.RandomState(seed)
    x = (random.rand(560, 6) < 0.3).astype(np.float32)
    y = np.eye(3, dtype=np.int32)[random.randint(0, 3, 560)]
    graph = {i: [int(j) for j in random.randint(0, 560, 2)] for i in range(560)}
    parts = {"x": x[:30], "allx": x[:540], "tx": x[540:], "y": y[:30], "ally": y[:540], "ty": y[540:], "graph": graph}
    raw = made(folder / "Planetoid" / "Cora" / "raw")
    for suffix, part in parts.items():
        content = csr_matrix(part) if suffix.endswith("x") else part
        (raw / f"ind.cora.{suffix}").write_bytes(pickle.dumps(content))
    (raw / "ind.cora.test.index").write_text("".join(f"{i}\n" for i in range(540, 560)))
    if geom_gcn:
        masks(made(folder / "Planetoid" / "Cora" / "geom-gcn" / "raw"), "cora", 560)
    return folder


def masks(folder: Path, name: str, nodes: int) -> None:
    """Ten splits in Geom-GCN's form; in split i the first i + 1 nodes train."""
    for i in range(10):
        train, val = np.arange(nodes) <= i, np.arange(nodes) == i + 1
        parts = {"train_mask": train, "val_mask": val, "test_mask": ~(train | val)}
        np.savez(
            folder / f"{name}_split_0.6_0.2_{i}.npz", **{key: part.astype(np.uint8) for key, part in parts.items()}
        )


def geom_gcn(folder: Path, name: str, nodes: int = 20) -> Path:
    """Text files of a WebKB graph, or of Actor: a ring of directed edges."""
    actor = name == "actor"
    raw = made(folder / "Actor" / "raw" if actor else folder / "WebKB" / name / "raw")
    rows = [f"{i}\t{'0,2,3' if actor else '0,1,0,1'}\t{i % 5}\n" for i in range(nodes)]
    (raw / "out1_node_feature_label.txt").write_text("node_id\tfeature\tlabel\n" + "".join(rows))
    ring = "".join(f"{i}\t{(i + 1) % nodes}\n" for i in range(nodes))
    (raw / "out1_graph_edges.txt").write_text("node_id\tnode_id\n" + ring)
    masks(raw, "film" if actor else name, nodes)
    return folder


def heterophilous(path: Path, nodes: int = 30, classes: int = 2) -> None:
    """An npz of Platonov and others, each edge once; in split i the first i + 1 nodes train."""
    made(path.parent)
    order = np.arange(nodes)
    train = np.stack([order <= i for i in range(10)])
    val = np.stack([order == i + 1 for i in range(10)])
    np.savez(
        path,
        node_features=np.random.RandomState(0).rand(nodes, 4).astype(np.float32),
        node_labels=order % classes,
        edges=np.stack([order, (order + 1) % nodes], axis=1),
        train_masks=train,
        val_masks=val,
        test_masks=~(train | val),
    )


def shchur(path: Path, nodes: int = 240, classes: int = 3) -> None:
    """An npz of Shchur and others: features and adjacency as sparse matrices, each edge once."""
    made(path.parent)
    random = np.random.RandomState(0)
    x = csr_matrix((random.rand(nodes, 8) < 0.4).astype(np.float32))
    order = np.arange(nodes)
    a = csr_matrix((np.ones(nodes, dtype=np.float32), (order, (order + 1) % nodes)), (nodes, nodes))
    arrays = {}
    for key, matrix in (("attr", x), ("adj", a)):
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
        arrays |= {f"{key}_{part}": value for part, value in parts.items()}
    np.savez(path, labels=order % classes, **arrays)


def tu(
    folder: Path, name: str, graphs: int = 40, nodes: int = 4, labels: bool = True, attributes: int = 0, hub: int = 0
) -> Path:
    """Text files of the TU Dortmund collection: rings; the first graph has a hub with ``hub`` more edges."""
    raw = made(folder / "TUDataset" / name / "raw")
    sizes = [nodes + (hub if g == 0 else 0) for g in range(graphs)]
    first = np.cumsum([1, *sizes])
    edges = []
    for start, size in zip(first, sizes):
        edges += [(start + i, start + (i + 1) % nodes) for i in range(nodes)]
        edges += [(start, start + i) for i in range(nodes, size)]
    both = sorted(edges + [(b, a) for a, b in edges])
    texts = {
        "A": [f"{a}, {b}" for a, b in both],
        "graph_indicator": [str(g + 1) for g, size in enumerate(sizes) for _ in range(size)],
        "graph_labels": [str(1 if g % 4 else -1) for g in range(graphs)],
    }
    if labels:
        texts["node_labels"] = [str(i % 3) for i in range(sum(sizes))]
    if attributes:
        texts["node_attributes"] = [", ".join(f"{i}.5" for _ in range(attributes)) for i in range(sum(sizes))]
    for suffix, lines in texts.items():
        (raw / f"{name}_{suffix}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def gzipped(path: Path, rows: np.ndarray) -> None:
    """Numbers as a gzipped CSV file without a header; NaN is an empty field."""
    made(path.parent)
    lines = (",".join("" if value != value else str(value) for value in row) for row in np.atleast_2d(rows).tolist())
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def column(values: object) -> np.ndarray:
    return np.asarray(values).reshape(-1, 1)


def ogb_split(folder: Path, kind: str, count: int) -> None:
    """Half of the items to train, a quarter each to the others; in OGB's files the order is arbitrary."""
    order = np.arange(count)[::-1]
    parts = {"train": order[: count // 2], "valid": order[count // 2 : count * 3 // 4], "test": order[count * 3 // 4 :]}
    for word, index in parts.items():
        gzipped(folder / "split" / kind / f"{word}.csv.gz", column(index))


def ogbn(folder: Path, name: str, kind: str, y: np.ndarray, x: np.ndarray | None, edge_feat: int = 0) -> Path:
    """A graph in OGB's form: a directed ring. ``y`` is ``[nodes, tasks]``."""
    nodes = len(y)
    home = folder / "ogb" / name.replace("-", "_")
    ring = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes], axis=1)
    gzipped(home / "raw" / "edge.csv.gz", ring)
    gzipped(home / "raw" / "num-node-list.csv.gz", column([nodes]))
    gzipped(home / "raw" / "num-edge-list.csv.gz", column([nodes]))
    gzipped(home / "raw" / "node-label.csv.gz", y)
    gzipped(home / "raw" / "node_year.csv.gz", column(np.arange(nodes) + 1990))
    gzipped(home / "raw" / "species.csv.gz", column(np.arange(nodes)))
    if x is not None:
        gzipped(home / "raw" / "node-feat.csv.gz", x)
    if edge_feat:
        gzipped(home / "raw" / "edge-feat.csv.gz", np.arange(nodes * edge_feat).reshape(nodes, edge_feat) / 8)
    ogb_split(home, kind, nodes)
    (home / "RELEASE_v1.txt").write_text("")
    return folder


def papers(folder: Path, nodes: int = 16) -> Path:
    """ogbn-papers100M's form: arrays, and NaN for a paper without a class."""
    home = folder / "ogb" / "ogbn_papers100M"
    made(home / "raw")
    ring = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes])
    np.savez(
        home / "raw" / "data.npz",
        edge_index=ring,
        num_nodes_list=np.array([nodes]),
        num_edges_list=np.array([nodes]),
        node_feat=np.random.RandomState(0).rand(nodes, 3).astype(np.float32),
        node_year=column(np.arange(nodes)),
    )
    labels = np.where(np.arange(nodes) < nodes * 3 // 4, np.arange(nodes) % 4, np.nan)
    np.savez(home / "raw" / "node-label.npz", node_label=column(labels))
    ogb_split(home, "time", nodes)
    return folder


def ogbg(folder: Path, name: str, y: np.ndarray, release: bool = True) -> Path:
    """Molecules in OGB's form, each a chain of three atoms. ``y`` is ``[graphs, tasks]``."""
    graphs = len(y)
    home = folder / "ogb" / name.replace("-", "_")
    gzipped(home / "raw" / "edge.csv.gz", np.tile([[0, 1], [1, 2]], (graphs, 1)))
    gzipped(home / "raw" / "edge-feat.csv.gz", np.tile([[0, 1, 0], [3, 0, 1]], (graphs, 1)))
    gzipped(home / "raw" / "node-feat.csv.gz", np.tile([[5, 0, 4, 5, 3, 0, 2, 0, 0]], (3 * graphs, 1)))
    gzipped(home / "raw" / "num-node-list.csv.gz", column([3] * graphs))
    gzipped(home / "raw" / "num-edge-list.csv.gz", column([2] * graphs))
    gzipped(home / "raw" / "graph-label.csv.gz", y)
    ogb_split(home, "scaffold", graphs)
    if release:
        (home / "RELEASE_v1.txt").write_text("")
    return folder


def zinc(folder: Path) -> Path:
    """ZINC's pickles: dicts with adjacency matrices of bond types, and the index of the subset of each part."""
    raw = made(folder / "ZINC" / "raw")
    bonds = torch.tensor([[0, 1, 0], [1, 0, 2], [0, 2, 0]], dtype=torch.int8)
    for start, part in enumerate(("train", "val", "test")):
        molecules = [
            {
                "atom_type": torch.tensor([0, i % 28, 27], dtype=torch.int8),
                "bond_type": bonds,
                "logP_SA_cycle_normalized": torch.tensor([i / 10]),
            }
            for i in range(6 - start)
        ]
        (raw / f"{part}.pickle").write_bytes(pickle.dumps(molecules))
        (raw / f"{part}.index").write_text("0,2,3\n")
    return folder


def aqsol(folder: Path) -> Path:
    """AQSOL's pickles: tuples of arrays; the last molecule of each part has no bond."""
    raw = made(folder / "AQSOL" / "raw")
    edges, none = np.array([[0, 1], [1, 0]]), np.zeros((2, 0), dtype=np.int64)
    for part in ("train", "val", "test"):
        molecules = [(np.array([64, 0]), np.array([1, 1]), edges, float(i)) for i in range(4)]
        molecules.append((np.array([3]), np.zeros(0, dtype=np.int64), none, 0.0))
        (raw / f"{part}.pickle").write_bytes(pickle.dumps(molecules))
    for part in ("atom", "bond"):
        (raw / f"{part}_dict.pickle").write_bytes(pickle.dumps({}))
    return folder


def benchmark(folder: Path, name: str) -> Path:
    """A file of GNNBenchmarkDataset: three lists of dicts of tensors."""
    raw = made(folder / "GNNBenchmarkDataset" / name / "raw")
    ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
    pixels = name in ("MNIST", "CIFAR10")

    def graph(i: int) -> dict[str, torch.Tensor]:
        own = {"x": torch.rand(3, 3 if name == "CIFAR10" else 1), "pos": torch.rand(3, 2), "edge_attr": torch.rand(3)}
        plain = {"x": torch.eye(3), "y": torch.tensor([0, 1, i % 2])}
        return {"edge_index": ring, **(own | {"y": torch.tensor([i % 10])} if pixels else plain)}

    parts = [[graph(i) for i in range(count)] for count in (5, 3, 2)]
    torch.save(parts, raw / f"{name}_v2.pt")
    return folder
