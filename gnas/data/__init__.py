"""Names and files to graphs: ``load("cora")`` gives a PyG :class:`~torch_geometric.data.Data` with its published split.

A name gives what its family's module says; docs/data.md has them all in one table. Anything else is the path of a
user's own data: a file that ``torch.save`` wrote (``saved.py``), or a folder of CSV files (``tables.py``).

A folder of raw files (``GNAS_DATA``, ``--root``) is only read: its files are linked into gnas's own cache folder,
where PyG and OGB may write (``cache.py``).
"""

from __future__ import annotations

import difflib
from numbers import Integral
from pathlib import Path

from torch_geometric.data import Data

from gnas.data import benchmarking, digits, geom_gcn, heterophilous, ogb, planetoid, saved, shchur, tables, tu
from gnas.data.cache import cache_folder
from gnas.data.saved import quiet_sparse
from gnas.data.splits import column, split_of, with_split
from gnas.graphs import GraphSet

FAMILIES = (digits, planetoid, shchur, heterophilous, geom_gcn, tu, ogb, benchmarking)
NAMES: tuple[str, ...] = tuple(name for family in FAMILIES for name in family.NAMES)

__all__ = ["NAMES", "cache_folder", "known", "load", "quiet_sparse", "split_of"]


def load(
    name_or_path: str | Path, root: str | Path | None = None, split: int | str | Path | None = None
) -> Data | GraphSet:
    """A graph, or a set of graphs, by name or from a user's files.

    Args:
        name_or_path: One of :data:`NAMES` in any case, ``"tu:NAME"`` for any other set of the TU Dortmund collection,
            the path of a file written by ``torch.save`` for a ``Data`` or a list of them, or of a folder of CSV files.
            A user's files cannot run code.
        root: Folder of raw files, laid out as PyG and OGB do; it is only read. Without it the folder named by the
            environment variable ``GNAS_DATA`` is used, and where neither holds the files they are downloaded once.
        split: The number of a published split, the first if None; for Amazon and Coauthor, which have none, the seed.
            Cora, CiteSeer and PubMed have the public split if None, and Geom-GCN's as 0 to 9. Or a path: a user's own
            split, as ``splits.py`` describes it.

    Returns:
        A ``Data`` with ``x`` of shape ``[nodes, features]``, ``edge_index`` ``[2, edges]``, ``y`` ``[nodes]`` and the
        masks ``train_mask``, ``val_mask`` and ``test_mask`` where a split is known; its ``metric`` is set where the
        published one is not accuracy. Or a :class:`~gnas.graphs.GraphSet`.

    Raises:
        ValueError: The name is unknown, a file holds something else, or the raw files cannot be had.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise TypeError(
            f"a data set was named by {name_or_path!r} of type {type(name_or_path).__name__}; expected one of "
            f"{list(NAMES)} or the path of a saved PyG Data file"
        )
    if isinstance(split, bool) or not isinstance(split, (Integral, str, Path, type(None))):
        raise TypeError(f"got split={split!r}; expected a number, or the path of a file or folder with a split")
    number = int(split) if isinstance(split, Integral) else None
    name = known(str(name_or_path))
    data = _own(name_or_path, number) if name is None else _named(name, root, number)
    return with_split(data, split) if isinstance(split, (str, Path)) else data


def known(name: str) -> str | None:
    """The name of a data set as gnas writes it, or None where it is no such name but perhaps a path."""
    lower = name.lower()
    if lower.startswith(tu.PREFIX):
        return tu.PREFIX + name[len(tu.PREFIX) :]
    return lower if lower in NAMES or lower.startswith(ogb.PREFIXES) else None


def _named(name: str, root: str | Path | None, split: int | None) -> Data | GraphSet:
    if name.startswith(tu.PREFIX):
        return tu.load(name, root, split)
    if name.startswith(ogb.PREFIXES):
        return ogb.load(name, root, split)
    return next(family for family in FAMILIES if name in family.NAMES).load(name, root, split)


def _own(given: str | Path, split: int | None) -> Data | GraphSet:
    path = Path(given).expanduser()
    if not path.exists():
        near = difflib.get_close_matches(str(given).lower(), NAMES, n=2, cutoff=0.5)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise ValueError(
            f"{str(given)!r} is neither a known data set nor an existing file{hint}; expected one of {list(NAMES)}, "
            "tu:NAME, the path of a file written by torch.save(data, path), or a folder of CSV files"
        )
    data = tables.read(path) if path.is_dir() else saved.read(path)
    if split is None:
        return data
    if isinstance(data, GraphSet):
        raise ValueError(f"got split={split} of {str(given)!r}, which has no numbered splits; name a file or folder")
    return column(data, split, str(given))
