"""Tabular: networks that have all been trained are looked up.

The tables of NAS-Bench-Graph (Qin et al., arXiv 2206.09166): for each of 26,206 networks of the space ``bench`` (2,021
for proteins) the validation and the test metric, each a mean of three trainings, the latency and the number of
parameters. A search on a table costs nothing but the strategy's own time, and the whole truth is known.

A table is a file ``NAME.npz`` of the arrays ``key``, ``valid_perf``, ``perf``, ``latency`` and ``para``, or
``NAME.bench``, the pickle that its authors publish. Such a pickle is read by an unpickler that knows plain values and
no function, so nothing in it can run.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gnas.evaluate import Result
from gnas.space import Genotype, Space, bench
from gnas.space.bench import OPS, PROTEINS_OPS, SKIP, WIRINGS, key, numbers

TABLES = ("cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv", "proteins")
"""Data sets that have been published; those of accuracy are fractions, proteins has ROC AUC."""
COLUMNS = ("valid_perf", "perf", "latency", "para")
FOLDERS = ("nas-bench-graph", "nas-bench-graph/light", "nas_bench_graph", "light", ".")
"""Where a table may lie below a data folder."""
PACKAGE = "nas_bench_graph"
PRICES = {"parameters": ("parameters", 1e6), "latency": ("latency", 1e3)}
"""Costs that a table has: the column, and what makes single parameters and milliseconds of it."""


@dataclass(frozen=True)
class Table:
    """One table, its rows in the order of their keys.

    Args:
        name: The data set.
        key: Number of each network, see :func:`gnas.space.bench.key`; [networks].
        valid: Validation metric, [networks].
        test: Test metric, [networks].
        latency: Seconds as its authors measured, [networks].
        parameters: In millions, [networks].
    """

    name: str
    key: NDArray[np.int64]
    valid: NDArray[np.float64]
    test: NDArray[np.float64]
    latency: NDArray[np.float64]
    parameters: NDArray[np.float64]
    rows: dict[int, int] = field(init=False, repr=False, compare=False)
    ranks: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", {number: row for row, number in enumerate(self.key.tolist())})
        # 0 is the best; equals share the better rank.
        object.__setattr__(self, "ranks", np.searchsorted(np.sort(-self.valid), -self.valid))

    def row(self, space: Space, genotype: Genotype) -> int | None:
        """Row of a genotype's network; ``None`` for the one of four skips, which has none."""
        if space.rule != "bench":
            raise ValueError(
                f"the table {self.name!r} got a genotype of the space {space.name!r}; expected one of the space "
                "'bench', try gnas.space.bench()"
            )
        wiring, ops = numbers(genotype)
        number = key(wiring, ops)
        if number not in self.rows and any(op != SKIP for op in ops):
            named = ", ".join(OPS[op] for op in ops)
            raise ValueError(
                f"the table {self.name!r} has no network of wiring {wiring} and operations {named} (key {number}); "
                f"expected a network of {len(self.key)}, try {self.name!r} with Tabular({self.name!r}).space()"
            )
        return self.rows.get(number)

    def price(self, cost: str, space: Space, genotype: Genotype) -> float:
        """A cost of a genotype's network in the units of :data:`gnas.costs.COSTS`; the dearest where it has no row."""
        if cost not in PRICES:
            raise ValueError(
                f"the table {self.name!r} got the cost {cost!r}; expected one of {list(PRICES)}, which it has"
            )
        column, unit = PRICES[cost]
        values: NDArray[np.float64] = getattr(self, column)
        row = self.row(space, genotype)
        return unit * float(values.max() if row is None else values[row])


@dataclass(frozen=True)
class TableTask:
    """What a strategy may know of a table: its name, what networks cost, and that a higher metric is a better one."""

    name: str
    higher_is_better: bool = True
    table: Table | None = field(default=None, repr=False, compare=False)

    def price(self, cost: str, space: Space, genotype: Genotype) -> float:
        """A cost of a genotype's network, see :meth:`Table.price`."""
        if self.table is None:
            raise ValueError(f"the task {self.name!r} has no table to look costs up; try Tabular({self.name!r}).task()")
        return self.table.price(cost, space, genotype)


@dataclass(frozen=True)
class Tabular:
    """Looks a network up instead of training it.

    A :class:`~gnas.evaluate.Result` has the validation metric and no test metric, and no loss, since the tables have
    none. The network of four skips, the only one without a row, counts as the worst one of the table.

    Args:
        data: Name of the table, one of :data:`TABLES`, or the path of its file.
        root: Folder with the tables. Without it the folder named by the environment variable ``GNAS_DATA`` is used,
            else the package ``nas-bench-graph``, where it is installed.

    Raises:
        ValueError: There is no such table, or its file holds something else.
    """

    data: str
    root: str | None = None

    def __post_init__(self) -> None:
        self.table()

    def table(self) -> Table:
        """The table, read once."""
        return _read(self.data, self.root, os.environ.get("GNAS_DATA"))

    def space(self) -> Space:
        """The space that the table has all networks of."""
        return bench(PROTEINS_OPS if len(self.table().key) == PROTEINS else OPS)

    def task(self) -> TableTask:
        """What a strategy searches on."""
        return TableTask(self.table().name, table=self.table())

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int) -> Result:
        """The row of a genotype's network, whatever the seed."""
        table = self.table()
        row = table.row(space, genotype)
        return Result(
            metric_architecture=float(table.valid.min() if row is None else table.valid[row]),
            loss_architecture=math.nan,
            epochs=0,
            seconds=0.0,
            parameters=round(table.price("parameters", space, genotype)),
        )

    def rank(self, space: Space, genotype: Genotype) -> int:
        """How many networks of the table have a better validation metric."""
        table = self.table()
        row = table.row(space, genotype)
        return len(table.key) - 1 if row is None else int(table.ranks[row])

    def test(self, space: Space, genotype: Genotype) -> float:
        """The test metric: for the last word on a search, and for nothing before."""
        table = self.table()
        row = table.row(space, genotype)
        return float(table.test.min() if row is None else table.test[row])


PROTEINS = 2021


@functools.lru_cache(maxsize=16)
def _read(data: str, root: str | None, default: str | None) -> Table:
    path = _find(data, root, default)
    columns = _npz(path) if path.suffix == ".npz" else _bench(path)
    return _checked(path, columns)


def _find(data: str, root: str | None, default: str | None) -> Path:
    own = Path(data).expanduser()
    if own.suffix in (".npz", ".bench"):
        if own.is_file():
            return own
        raise ValueError(f"got the table {data!r}; there is no such file: expected a path, or one of {list(TABLES)}")
    if data not in TABLES:
        near = difflib.get_close_matches(data.lower(), TABLES, n=2, cutoff=0.6)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"got the table {data!r}; expected one of {list(TABLES)}, or the path of its file{hint}")
    tops = [Path(top).expanduser() for top in (root or default,) if top]
    if root is None:
        spec = importlib.util.find_spec(PACKAGE)
        tops += [Path(place) for place in (spec.submodule_search_locations or () if spec else ())]
    for top in tops:
        for folder in FOLDERS:
            for ending in (".npz", ".bench"):
                path = top / folder / (data + ending)
                if path.is_file():
                    return path
    raise ValueError(
        f"the table {data!r} of NAS-Bench-Graph was looked for in {[str(top) for top in tops] or 'no folder'} and is "
        f"not there; expected {FOLDERS[0]}/{data}.npz or {data}.bench, try a root or GNAS_DATA that has the folder "
        "'light' of github.com/THUMNLab/NAS-Bench-Graph"
    )


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("key", *COLUMNS)}
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        _damaged(path, f"it can't be read as arrays ({error})")


def _bench(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            content = _Plain(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, ValueError) as error:
        _damaged(path, f"it is no pickle of plain values ({error})")
    if not isinstance(content, dict) or not all(isinstance(record, Mapping) for record in content.values()):
        _damaged(path, "it is no dictionary of records")
    try:
        columns = {name: np.array([float(record[name]) for record in content.values()]) for name in COLUMNS}
        return {"key": np.array([int(number) for number in content], dtype=np.int64), **columns}
    except (KeyError, TypeError, ValueError) as error:
        _damaged(path, f"a record lacks a number ({error})")


def _checked(path: Path, columns: Mapping[str, NDArray[Any]]) -> Table:
    numbers_ = columns["key"]
    if not np.issubdtype(numbers_.dtype, np.integer) or numbers_.ndim != 1 or not len(numbers_):
        _damaged(path, f"its keys are {numbers_.dtype} of shape {list(numbers_.shape)}")
    if len(np.unique(numbers_)) < len(numbers_):
        _damaged(path, "a key occurs twice")
    foreign = [number for number in numbers_.tolist() if not _known(number)]
    if foreign:
        _damaged(path, f"{len(foreign)} of its keys name no network in its canonical form, such as {foreign[0]}")
    for name in COLUMNS:
        column = columns[name]
        if column.shape != numbers_.shape or not np.issubdtype(column.dtype, np.floating):
            _damaged(path, f"its {name!r} are {column.dtype} of shape {list(column.shape)}")
        if not np.isfinite(column).all():
            _damaged(path, f"its {name!r} are not all finite")
    valid, test, latency, parameters = (columns[name].astype(np.float64) for name in COLUMNS)
    return Table(path.stem, numbers_.astype(np.int64), valid, test, latency, parameters)


def _known(number: int) -> bool:
    digits = f"{number:05d}"
    if len(digits) > 5 or "9" in digits or number < 0:
        return False
    return key(WIRINGS[int(digits[0])], [int(digit) for digit in digits[1:]]) == number


def _damaged(path: Path, what: str) -> NoReturn:
    raise ValueError(
        f"got {path} as a table of NAS-Bench-Graph, but {what}; expected the arrays key, {', '.join(COLUMNS)} (.npz), "
        "or a dictionary from key to such a record (.bench), try the file as it is published"
    ) from None


class _Kind:
    """Stands for numpy's dtype in a pickle: the code of a number's type."""

    def __init__(self, code: str, *rest: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


def _number(kind: _Kind, raw: bytes) -> float:
    formats = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}
    if kind.code not in formats:
        raise pickle.UnpicklingError(f"a number of type {kind.code!r}")
    return float(struct.unpack(formats[kind.code], raw)[0])


class _Plain(pickle.Unpickler):
    """Reads dictionaries, lists, text and numbers, numpy's among them, and calls nothing that a file names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return _Kind
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _number
        raise pickle.UnpicklingError(f"it names {module}.{name}")
