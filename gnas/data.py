"""Names to graphs: ``load("cora")`` gives a PyG :class:`~torch_geometric.data.Data` with labels and split masks.

Four names are known: ``digits`` is built from scikit-learn's handwritten digits, without a download; ``cora``,
``citeseer`` and ``pubmed`` are PyG's :class:`~torch_geometric.datasets.Planetoid` with the public split. Anything
else is the path of a file that ``torch.save(data, path)`` wrote.

A folder of raw files (``GNAS_DATA``, ``--root``) is only read: its files are linked into gnas's own cache folder,
where PyG may write.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import BaseStorage, EdgeStorage, GlobalStorage, NodeStorage

PLANETOID = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
NAMES: tuple[str, ...] = ("digits", *PLANETOID)

RAW_SUFFIXES = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
SAFE_CLASSES = [Data, HeteroData, DataEdgeAttr, DataTensorAttr, BaseStorage, GlobalStorage, NodeStorage, EdgeStorage]

# Ten neighbours and five labels a class leave room between a network that ignores the edges (about 85 % on the
# test nodes), a GCN (about 92 %) and better networks.
DIGITS_NEIGHBOURS = 10
DIGITS_LABELS_PER_CLASS = 5
DIGITS_ARCHITECTURE = 300
DIGITS_TEST = 1000


def load(name_or_path: str | Path, root: str | Path | None = None) -> Data:
    """A graph by name, or from a file.

    Args:
        name_or_path: One of :data:`NAMES`, in any case, or the path of a file written by ``torch.save(data, path)``.
            The file is read with ``weights_only=True``, so it cannot run code.
        root: Folder that holds ``Planetoid/<Name>/raw``; it is only read. Without it the folder named by the
            environment variable ``GNAS_DATA`` is used, and where neither holds the files PyG downloads them once.

    Returns:
        A graph with ``x`` of shape ``[nodes, features]``, ``edge_index`` of shape ``[2, edges]`` and, for a name,
        ``y`` of shape ``[nodes]`` and the masks ``train_mask``, ``val_mask`` and ``test_mask``.

    Raises:
        ValueError: The name is unknown, the file holds no ``Data``, or the raw files cannot be had.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise TypeError(
            f"a data set was named by {name_or_path!r} of type {type(name_or_path).__name__}; expected one of "
            f"{list(NAMES)} or the path of a saved PyG Data file"
        )
    name = str(name_or_path).lower()
    if name == "digits":
        return _digits()
    if name in PLANETOID:
        return _planetoid(name, root)
    path = Path(name_or_path).expanduser()
    if path.exists():
        return _read(path)
    near = difflib.get_close_matches(name, NAMES, n=2, cutoff=0.5)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise ValueError(
        f"{str(name_or_path)!r} is neither a known data set nor an existing file{hint}; expected one of {list(NAMES)} "
        "or the path of a file written by torch.save(data, path)"
    )


@contextlib.contextmanager
def quiet_sparse() -> Iterator[None]:
    """Silence torch's one remark that sparse CSR tensors are in beta, and nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        yield


def cache_folder() -> Path:
    """Where gnas may write: ``$GNAS_CACHE``, else ``$XDG_CACHE_HOME/gnas``, else ``~/.cache/gnas``."""
    if own := os.environ.get("GNAS_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "gnas"
    return Path.home() / ".cache" / "gnas"


def _digits() -> Data:
    """Scikit-learn's 1,797 handwritten digits, each joined with its nearest neighbours in both directions."""
    import numpy as np
    from sklearn.datasets import load_digits
    from torch_geometric.utils import to_undirected

    digits = load_digits()
    pixels, labels = digits.data, digits.target
    # Pixels are whole numbers up to 16, so these squared distances are exact, and the stable sort gives ties to the
    # lower node: the graph is the same on every machine, which a neighbour search does not promise.
    squares = (pixels * pixels).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * pixels @ pixels.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :DIGITS_NEIGHBOURS]
    nodes = np.repeat(np.arange(len(labels)), DIGITS_NEIGHBOURS)
    edges = torch.from_numpy(np.stack([nearest.reshape(-1), nodes]))

    # The legacy generator, because NumPy promises that its stream never changes.
    order = np.random.RandomState(0).permutation(len(labels))
    train = np.concatenate([order[labels[order] == c][:DIGITS_LABELS_PER_CLASS] for c in range(10)])
    rest = order[~np.isin(order, train)]
    data = Data(
        x=torch.from_numpy(pixels / 16).float(),
        edge_index=to_undirected(edges, num_nodes=len(labels)),
        y=torch.from_numpy(labels).long(),
    )
    splits = {
        "train_mask": train,
        "val_mask": rest[:DIGITS_ARCHITECTURE],
        "test_mask": rest[DIGITS_ARCHITECTURE : DIGITS_ARCHITECTURE + DIGITS_TEST],
    }
    for mask, chosen in splits.items():
        data[mask] = torch.zeros(len(labels), dtype=torch.bool)
        data[mask][torch.from_numpy(chosen)] = True
    return data


def _planetoid(name: str, root: str | Path | None) -> Data:
    """A citation graph through PyG, which writes its processed file in gnas's cache folder only."""
    raw = _raw_folder(name, root)
    key = f"{name}-downloaded" if raw is None else _key(raw, name)
    folder = cache_folder() / "planetoid" / key
    if not _processed(folder, name).exists():
        _build(name, raw, root, folder)
    try:
        return _pyg(folder, name)
    except Exception as error:  # a damaged file can fail in any way inside the unpickler
        raise ValueError(
            f"the cached copy of {name!r} in {str(folder)!r} could not be read ({_brief(error)}); "
            "delete that folder and try again"
        ) from error


def _raw_folder(name: str, root: str | Path | None) -> Path | None:
    """The folder that holds the raw files, or None where PyG has to download them."""
    for source, given in _sources(root):
        if not given:
            continue
        top = Path(given).expanduser().resolve()
        if not top.is_dir():
            raise ValueError(
                f"{source} names {str(given)!r}, which is no folder; expected one that holds "
                f"Planetoid/{PLANETOID[name]}/raw"
            )
        # PyG takes the name in any case, so a folder made by Planetoid(root, "Citeseer") serves too.
        for parent in (top / "Planetoid", top):
            found = [child / "raw" for child in _listing(parent) if child.name.lower() == name]
            for raw in filter(Path.is_dir, found):
                missing = [file for file in _raw_files(name) if not (raw / file).is_file()]
                if missing:
                    raise ValueError(
                        f"{source} names {str(given)!r}, where {str(raw)!r} lacks {missing}; expected the eight raw "
                        f"files {_raw_files(name)}"
                    )
                return raw
    return None


def _sources(root: str | Path | None) -> list[tuple[str, str | Path | None]]:
    return [("--root", root), ("GNAS_DATA", os.environ.get("GNAS_DATA"))]


def _listing(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _raw_files(name: str) -> list[str]:
    return [f"ind.{name}.{suffix}" for suffix in RAW_SUFFIXES]


def _key(raw: Path, name: str) -> str:
    """Names the cache of one source: another folder, or files that have changed, get another one."""
    stats = [(file, (raw / file).stat()) for file in _raw_files(name)]
    text = repr([str(raw), *((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)])
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _processed(folder: Path, name: str) -> Path:
    return folder / PLANETOID[name] / "processed" / "data.pt"


def _build(name: str, raw: Path | None, root: str | Path | None, folder: Path) -> None:
    """Fill a cache folder. It is built aside and renamed, so that nobody ever reads half of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as error:
        raise ValueError(
            f"the cache folder {str(folder.parent)!r} cannot be written ({_brief(error)}); "
            "set GNAS_CACHE to a folder that can"
        ) from error
    try:
        try:
            if raw is not None:
                _link(raw, aside / PLANETOID[name] / "raw", _raw_files(name))
            _pyg(aside, name)
        except Exception as error:  # aiohttp, fsspec and the unpickler have no base class in common
            raise ValueError(_not_had(name, raw, root, error)) from error
        try:
            aside.rename(folder)
        except OSError as error:
            # Another process was first, and what it built is as good; otherwise something else is in the way.
            if not _processed(folder, name).exists():
                raise ValueError(
                    f"the cache folder {str(folder)!r} is in the way ({_brief(error)}); delete it and try again"
                ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _link(source: Path, target: Path, files: list[str]) -> None:
    """Link single files: where the folder itself is linked, PyG might write through it."""
    target.mkdir(parents=True)
    for file in files:
        try:
            (target / file).symlink_to(source / file)
        except OSError:  # Windows without the right to make links
            shutil.copyfile(source / file, target / file)


def _pyg(folder: Path, name: str) -> Data:
    from torch_geometric.datasets import Planetoid

    # PyG tells of downloading and processing on stderr, and its reader changes the warning filters for good.
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        data = Planetoid(str(folder), PLANETOID[name])[0]
    assert isinstance(data, Data)
    return data


def _not_had(name: str, raw: Path | None, root: str | Path | None, error: Exception) -> str:
    if raw is not None:
        return (
            f"the raw files of {name!r} in {str(raw)!r} could not be read ({_brief(error)}); expected PyG's own files"
        )
    given = [f"{what} ({repr(str(value)) if value else 'not set'})" for what, value in _sources(root)]
    return (
        f"{name!r} could not be downloaded ({_brief(error)}) and is in neither of {' and '.join(given)}; set one of "
        f"them to a folder with Planetoid/{PLANETOID[name]}/raw/ind.{name}.{{{','.join(RAW_SUFFIXES)}}}"
    )


def _read(path: Path) -> Data:
    """A graph from a file that ``torch.save(data, path)`` wrote; nothing in the file is run."""
    expected = "expected a file written by torch.save(data, path) for one torch_geometric.data.Data"
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is a folder; {expected}")
    with quiet_sparse(), torch.serialization.safe_globals(SAFE_CLASSES):
        try:
            with torch.sparse.check_sparse_tensor_invariants():
                found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a file of any other kind can fail in any way inside the unpickler
            if foreign := _foreign(path):
                reason = f"holds {foreign} besides tensors and plain values, and gnas runs nothing that it loads"
            else:
                reason = f"could not be read ({_brief(error)})"
            raise ValueError(f"{str(path)!r} {reason}; {expected}") from error
    if isinstance(found, HeteroData):
        raise ValueError(
            f"{str(path)!r} holds a HeteroData, which gnas does not search yet; save data.to_homogeneous() instead"
        )
    if not isinstance(found, Data):
        raise ValueError(f"{str(path)!r} holds a {type(found).__name__}; {expected} (of a data set, save dataset[0])")
    if not isinstance(found.__dict__.get("_store"), GlobalStorage):
        raise ValueError(f"{str(path)!r} holds a damaged Data without its tensors; {expected}")
    return found


def _foreign(path: Path) -> list[str]:
    """Classes in the file that are no part of a plain graph."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # not a checkpoint at all, as for the caller
        return []


def _brief(error: Exception) -> str:
    """First sentence of an error, which torch likes to follow with a page of advice."""
    lines = str(error).strip().splitlines()
    first = lines[0].split(". ")[0].strip() if lines else ""
    if first.startswith("Weights only load failed"):
        return "no checkpoint of torch.save"
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__
