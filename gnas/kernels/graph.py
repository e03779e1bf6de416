"""The graph as the kernels read it: edges sorted once by destination, with the transposed order beside it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gnas.kernels.mixing import Propagation
from gnas.kernels.sorting import by_rows_and_columns

PADDING = 8
"""Zeros that end a pattern: the compiled kernels look so many entries ahead."""


@dataclass(frozen=True, eq=False)
class Structure:
    """The pattern of a sparse matrix, rows by columns, in compressed rows and in compressed columns.

    Args:
        pointer: Row pointer, ``[rows + 1]``.
        column: Column of each entry, ``[entries]``, sorted by row.
        row: Row of each entry, ``[entries]``.
        pointer_t: Column pointer, ``[columns + 1]``.
        column_t: Row of each entry in column order, ``[entries]``.
        order_t: Position, in row order, of each entry in column order, ``[entries]``.
        shape: Rows and columns.
    """

    pointer: Tensor
    column: Tensor
    row: Tensor
    pointer_t: Tensor
    column_t: Tensor
    order_t: Tensor
    shape: tuple[int, int]
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_pattern(cls, pattern: Tensor, rows: int, columns: int) -> Structure:
        """The structure whose :attr:`pattern` this is."""
        entries = (pattern.numel() - rows - columns - 2 - PADDING) // 3
        sizes = [rows + 1, entries, columns + 1, entries, entries, PADDING]
        pointer, column, pointer_t, column_t, order_t, _ = pattern.long().split(sizes)
        row = torch._convert_indices_from_csr_to_coo(pointer, column)[0]
        return cls(pointer, column, row, pointer_t, column_t, order_t, (rows, columns))

    @classmethod
    def from_entries(cls, row: Tensor, column: Tensor, shape: tuple[int, int]) -> tuple[Structure, Tensor]:
        """The structure of unsorted entries, and the order in which it keeps them."""
        # The kernels read wherever an index points to.
        for name, index, count in (("row", row, shape[0]), ("column", column, shape[1])):
            if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < count:
                raise ValueError(
                    f"the entries of a sparse matrix name the {name}s {int(index.min())} to {int(index.max())}; "
                    f"expected 0 to {count - 1}, try a larger shape than {shape}"
                )
        found = by_rows_and_columns(row, column, shape)
        by_columns = found.pointer_t, found.column_t, found.order_t
        return cls(found.pointer, found.column, found.row, *by_columns, shape), found.order

    @property
    def entries(self) -> int:
        """Number of entries."""
        return int(self.column.numel())

    @property
    def compact(self) -> bool:
        """Whether 32 bits count the rows, columns and entries, so that there is a :attr:`pattern`."""
        return max(self.entries, *self.shape) < 2**31

    @property
    def pattern(self) -> Tensor:
        """All of it as one array of int32, as the compiled kernels read it: pointer, column, pointer_t, column_t and
        order_t, one after another, and :data:`PADDING` zeros."""
        if "pattern" not in self._kept:
            self._pack()
        return self._kept["pattern"]

    @torch.compiler.disable
    def _pack(self) -> None:
        # What is first asked for in torch.inference_mode may serve a backward pass later.
        with torch.inference_mode(False):
            padding = torch.zeros(PADDING, dtype=torch.int64, device=self.column.device)
            parts = (self.pointer, self.column, self.pointer_t, self.column_t, self.order_t, padding)
            self._kept["pattern"] = torch.cat([part.to(torch.int32) for part in parts])

    def looped(self) -> Structure:
        """The square pattern with one entry a row on the diagonal, whatever was there."""
        if "looped" not in self._kept:
            others, nodes = self.row != self.column, torch.arange(self.shape[0], device=self.row.device)
            row, column = torch.cat([self.row[others], nodes]), torch.cat([self.column[others], nodes])
            self._kept["looped"] = Structure.from_entries(row, column, self.shape)[0]
        return self._kept["looped"]

    def repeated(self, times: int) -> Structure:
        """The block-diagonal pattern of ``times`` such matrices, so that attention heads share one product."""
        key = f"repeated {times}"
        if key not in self._kept:
            self._kept[key] = self._repeat(times)
        return self._kept[key]

    def _repeat(self, times: int) -> Structure:
        rows, columns = self.shape
        steps = torch.arange(times, device=self.column.device).unsqueeze(1)

        def pointers(pointer: Tensor) -> Tensor:
            return torch.cat(
                [(pointer[:-1] + steps * self.entries).flatten(), pointer.new_tensor([times * self.entries])]
            )

        return Structure(
            pointers(self.pointer),
            (self.column + steps * columns).flatten(),
            (self.row + steps * rows).flatten(),
            pointers(self.pointer_t),
            (self.column_t + steps * rows).flatten(),
            (self.order_t + steps * self.entries).flatten(),
            (times * rows, times * columns),
        )

    def transposed(self) -> Structure:
        """The pattern of the transposed matrix."""
        order = torch.empty_like(self.order_t)
        order[self.order_t] = torch.arange(self.entries, device=order.device)
        rows, columns = self.shape
        row_t = self.column[self.order_t]
        return Structure(self.pointer_t, self.column_t, row_t, self.pointer, self.column, order, (columns, rows))

    def matrix(self, values: Tensor) -> Tensor:
        """A ``torch.sparse_csr`` matrix of this pattern."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(self.pointer, self.column, values, self.shape, check_invariants=False)

    def matrix_t(self, values: Tensor) -> Tensor:
        """The transposed matrix of :meth:`matrix`, also in compressed rows."""
        columns = (self.shape[1], self.shape[0])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(
                self.pointer_t, self.column_t, values[self.order_t], columns, check_invariants=False
            )


@dataclass(eq=False)
class Graph:
    """A graph of ``num_nodes`` nodes whose messages flow from ``edge_index[0]`` to ``edge_index[1]``, as in PyG.

    Rows are destinations. Two patterns are kept: the edges as given, and the edges with exactly one self-loop a
    node (``looped``), which GCN and attention read. A part of a graph may bring ``whole_degree`` ``[num_nodes]``: what
    ends in each node of the whole graph by the weights of ``looped``, for the coefficients of :meth:`symmetric`.
    """

    edge_index: Tensor
    num_nodes: int
    edge_weight: Tensor | None = None
    whole_degree: Tensor | None = None
    _kept: dict[str, object] = field(default_factory=dict, repr=False)

    def _sorted(self) -> tuple[Structure, Tensor]:
        if "plain" not in self._kept:
            source, destination = self.edge_index[0], self.edge_index[1]
            self._kept["plain"] = Structure.from_entries(destination, source, (self.num_nodes, self.num_nodes))
        return self._kept["plain"]  # type: ignore[return-value]

    @property
    def plain(self) -> Structure:
        """The edges as given."""
        return self._sorted()[0]

    @property
    def order(self) -> Tensor:
        """Position, among the edges as they were given, of each of ``plain``."""
        return self._sorted()[1]

    @property
    def weight(self) -> Tensor:
        """Weight of each edge of ``plain``, one where none was given."""
        if "weight" not in self._kept:
            order = self._sorted()[1]
            given = self.edge_weight
            self._kept["weight"] = torch.ones(order.numel(), device=order.device) if given is None else given[order]
        return self._kept["weight"]  # type: ignore[return-value]

    @property
    def degree(self) -> Tensor:
        """Number of edges that end in each node, ``[num_nodes]``."""
        return self.plain.pointer.diff()

    def _others(self) -> Tensor:
        # The edges that are no self-loops.
        if "others" not in self._kept:
            self._kept["others"] = (self.edge_index[0] != self.edge_index[1]).nonzero().view(-1)
        return self._kept["others"]  # type: ignore[return-value]

    def _looped(self) -> tuple[Structure, Tensor, Tensor]:
        if "looped" not in self._kept:
            (source, target), count, others = self.edge_index, self.num_nodes, self._others()
            weight = self.edge_weight
            if weight is None:
                weight = torch.ones(source.numel(), device=source.device)
            loop_weight = torch.ones(count, device=source.device, dtype=weight.dtype)
            if others.numel() < source.numel():
                loops = source == target
                loop_weight[source[loops]] = weight[loops]
                source, target, weight = source[others], target[others], weight[others]
            nodes = torch.arange(count, device=source.device)
            row, column = torch.cat([target, nodes]), torch.cat([source, nodes])
            structure, order = Structure.from_entries(row, column, (count, count))
            self._kept["looped"] = (structure, torch.cat([weight, loop_weight])[order], order)
        return self._kept["looped"]  # type: ignore[return-value]

    @property
    def looped(self) -> Structure:
        """The edges with one self-loop a node."""
        return self._looped()[0]

    @property
    def looped_weight(self) -> Tensor:
        """Weight of each edge of ``looped``."""
        return self._looped()[1]

    def along_looped(self, values: Tensor) -> Tensor:
        """Values of the edges ``[edges, channels]`` as ``looped`` has them, ``[entries, channels]``.

        A self-loop gets the mean over the edges that come from other nodes, as PyG's attention fills it in.
        """
        structure, _, order = self._looped()
        others, target = self._others(), self.edge_index[1]
        if others.numel() < values.size(0):
            values, target = values.index_select(0, others), target.index_select(0, others)
        total = values.new_zeros(self.num_nodes, values.size(1)).index_add(0, target, values)
        # All but the self-loop itself.
        count = structure.pointer.diff().sub(1).clamp(min=1).unsqueeze(1)
        return torch.cat([values, total / count]).index_select(0, order)

    def heads(self, count: int) -> Structure:
        """``looped``, once for each of ``count`` attention heads."""
        return self.looped.repeated(count)

    def _scale(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # The weights of ``looped``, and one over the root of the degree that they give each node.
        structure, weight, _ = self._looped()
        weight = weight.to(dtype)
        if self.whole_degree is not None:
            degree = self.whole_degree.to(dtype)
        else:
            degree = torch.zeros(self.num_nodes, dtype=dtype, device=weight.device)
            degree.index_add_(0, structure.row, weight)
        return weight, degree.pow(-0.5).masked_fill(degree == 0, 0)

    def symmetric(self, dtype: torch.dtype) -> Tensor:
        """Coefficients of Kipf and Welling's propagation on ``looped``: ``w_ij / sqrt(d_i d_j)``."""
        key = f"symmetric {dtype}"
        if key not in self._kept:
            structure = self.looped
            weight, scale = self._scale(dtype)
            self._kept[key] = scale[structure.row] * weight * scale[structure.column]
        return self._kept[key]  # type: ignore[return-value]

    def averaging(self, dtype: torch.dtype) -> Tensor:
        """Coefficients of the mean on ``plain``: one over the number of edges that end where the edge does."""
        key = f"averaging {dtype}"
        if key not in self._kept:
            self._kept[key] = self.propagation(dtype, False).share[self.plain.row]
        return self._kept[key]  # type: ignore[return-value]

    def propagation(self, dtype: torch.dtype, symmetric: bool) -> Propagation:
        """What the sums of a mixture know of ``plain``; with or without the coefficients of :meth:`symmetric`."""
        key = f"propagation {dtype} {symmetric}"
        if key not in self._kept:
            share = 1 / self.degree.clamp(min=1).to(dtype)
            self._kept[key] = Propagation(share, *(self._apart(dtype) if symmetric else (None, None)))
        return self._kept[key]  # type: ignore[return-value]

    def _apart(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # The coefficients of ``looped`` as those of ``plain`` and those of the nodes themselves.
        plain, looped = self.plain, self.looped
        _, scale = self._scale(dtype)
        between = scale[plain.row] * self.weight.to(dtype) * scale[plain.column]
        return between.masked_fill(plain.row == plain.column, 0), self.symmetric(dtype)[looped.row == looped.column]


_RECENT: OrderedDict[tuple[int, ...], tuple[tuple[Tensor | None, ...], object]] = OrderedDict()
_LIMIT = 16


def _remember(tensors: tuple[Tensor | None, ...], key: tuple[int, ...], build: Callable[[], object]) -> object:
    # What derives from weights that are learned belongs to one backward pass, and tensors of torch.inference_mode
    # neither tell when they change nor serve a backward pass.
    if any(t is not None and (t.requires_grad or t.is_inference()) for t in tensors):
        return build()
    key = (*key, int(torch.is_inference_mode_enabled()))
    # The tensors are kept with the answer: as long as they live, no other tensor can have their identity.
    full = (*key, *(0 if t is None else id(t) for t in tensors), *(0 if t is None else t._version for t in tensors))
    found = _RECENT.get(full)
    if found is None:
        _RECENT[full] = found = (tensors, build())
        if len(_RECENT) > _LIMIT:
            _RECENT.popitem(last=False)
    _RECENT.move_to_end(full)
    return found[1]


@torch.compiler.disable
def graph_of(edge_index: Tensor | Graph, num_nodes: int, edge_weight: Tensor | None = None) -> Graph:
    """The :class:`Graph` of an ``edge_index``; the last few are remembered, so a training loop sorts once."""
    if isinstance(edge_index, Graph):
        return edge_index

    def build() -> Graph:
        _check(edge_index, num_nodes, edge_weight)
        return Graph(edge_index.as_subclass(Tensor), num_nodes, edge_weight)

    return _remember((edge_index, edge_weight), (1, num_nodes), build)  # type: ignore[return-value]


def _check(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> None:
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.dtype != torch.int64:
        raise ValueError(
            f"edge_index has shape {list(edge_index.shape)} and dtype {edge_index.dtype}; expected [2, edges] and "
            "torch.int64, try edge_index.t() or edge_index.long()"
        )
    edges = edge_index.size(1)
    if edges and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise ValueError(
            f"edge_index names the nodes {int(edge_index.min())} to {int(edge_index.max())}; expected 0 to "
            f"{num_nodes - 1}, because x has {num_nodes} rows"
        )
    if edge_weight is not None and edge_weight.shape != (edges,):
        raise ValueError(
            f"edge_weight has shape {list(edge_weight.shape)}; expected [edges] = [{edges}], a weight for each edge"
        )


@torch.compiler.disable
def structure_of(matrix: Tensor) -> Structure:
    """The :class:`Structure` of a ``torch.sparse_csr`` matrix, remembered like that of a graph."""
    pointer, column = matrix.crow_indices(), matrix.col_indices()

    def build() -> Structure:
        row = torch._convert_indices_from_csr_to_coo(pointer, column)[0]
        return Structure.from_entries(row, column, (matrix.size(0), matrix.size(1)))[0]

    return _remember((matrix,), (2,), build)  # type: ignore[return-value]
