"""A user's own graphs from one file that ``torch.save`` wrote; nothing in the file is run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import torch
from torch_geometric.data import Data, HeteroData, InMemoryDataset
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import BaseStorage, EdgeStorage, GlobalStorage, NodeStorage

from gnas.data.cache import brief
from gnas.graphs import GraphSet

SAFE_CLASSES = [Data, HeteroData, DataEdgeAttr, DataTensorAttr, BaseStorage, GlobalStorage, NodeStorage, EdgeStorage]
EXPECTED = (
    "expected a file written by torch.save(data, path) for one torch_geometric.data.Data or a list of them, or by "
    "InMemoryDataset.save"
)
OLD = "a damaged Data, or one of PyG before 2.0 (try Data.from_dict(vars(data)) of that)"


@contextlib.contextmanager
def quiet_sparse() -> Iterator[None]:
    """Silence torch's one remark that sparse CSR tensors are in beta, and nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        yield


@contextlib.contextmanager
def graphs_allowed() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read PyG's graphs, and no other class."""
    # On its way out torch forgets what it was given here, also what PyG had allowed for good.
    allowed = torch.serialization.get_safe_globals()
    with quiet_sparse(), torch.serialization.safe_globals([kind for kind in SAFE_CLASSES if kind not in allowed]):
        yield


def read(path: Path) -> Data | GraphSet:
    """A graph, or the graphs of a list, from a file; a saved data set of one graph is that graph."""
    with graphs_allowed():
        try:
            with torch.sparse.check_sparse_tensor_invariants():
                found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a file of any other kind can fail in any way inside the unpickler
            if foreign := _foreign(path):
                reason = f"holds {foreign} besides tensors and plain values, and gnas runs nothing that it loads"
            else:
                reason = f"could not be read ({brief(error)})"
            raise ValueError(f"{str(path)!r} {reason}; {EXPECTED}{_hint(foreign)}") from error
    if isinstance(found, tuple) and len(found) in (2, 3) and isinstance(found[1], (dict, type(None))):
        graphs = _collated(found, path)
        return graphs[0] if len(graphs) == 1 else collect(graphs, path.stem, str(path))
    if isinstance(found, (list, tuple)):
        return collect(found, path.stem, str(path))
    return _whole(found, str(path))


def collect(graphs: Iterable[object], name: str = "data", source: str = "the list") -> GraphSet:
    """A set of graphs from a list of them, or from a PyG data set that fits in memory; without a split.

    Raises:
        ValueError: There are none, or one of them is no ``Data``.
    """
    items = list(graphs)
    if not items:
        raise ValueError(f"{source!r} holds no graph; expected at least one torch_geometric.data.Data")
    return GraphSet(tuple(_whole(item, f"{source}[{i}]") for i, item in enumerate(items)), None, name=name)


def _collated(found: tuple[object, ...], path: Path) -> list[Data]:
    """The graphs that ``InMemoryDataset.save`` has put in one: ``(data, slices)``, in newer files with a class."""
    # Of a HeteroData the stores have pairs and triples of words for keys, and one of them all the rest.
    if isinstance(found[0], dict) and ("_global_store" in found[0] or any(isinstance(key, tuple) for key in found[0])):
        refuse_hetero(str(path))
    data = Data.from_dict(found[0]) if isinstance(found[0], dict) else found[0]
    dataset = InMemoryDataset()
    try:
        dataset._data, dataset.slices = _whole(data, str(path)), found[1]
        return [dataset.get(i) for i in range(dataset.len())]
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{str(path)!r} holds a damaged data set ({brief(error)}); {EXPECTED}") from error


def _whole(found: object, source: str) -> Data:
    if isinstance(found, HeteroData):
        refuse_hetero(source)
    if not isinstance(found, Data):
        raise ValueError(f"{source!r} holds a {type(found).__name__}; {EXPECTED}")
    if lacks_store(found):
        raise ValueError(f"{source!r} holds {OLD}; {EXPECTED}")
    return found


def lacks_store(data: Data) -> bool:
    """Whether a graph has no place for its tensors, as what PyG before 2.0 pickled: whatever it is asked, it raises."""
    return not isinstance(data.__dict__.get("_store"), GlobalStorage)


def refuse_hetero(source: str) -> NoReturn:
    """Say that graphs with several kinds of nodes or edges can't be searched yet, and what can."""
    raise ValueError(
        f"{source!r} holds a HeteroData, which gnas does not search yet; save data.to_homogeneous() instead"
    )


def _foreign(path: Path) -> list[str]:
    """Classes in the file that are no part of a plain graph."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # not a checkpoint at all, as for the caller
        return []


def _hint(foreign: list[str]) -> str:
    return " (of a data set, save list(dataset))" if any("dataset" in name.lower() for name in foreign) else ""
