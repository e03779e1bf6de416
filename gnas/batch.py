"""What a network sees at once: a whole graph, several graphs as one, or a part of a graph.

Several graphs are one graph that is not connected, so every mini-batch is made by the same gathering of rows,
:func:`of_graphs` for whole graphs and :func:`of_nodes` for a part of one. The gathered graphs equal what PyG's
:class:`~torch_geometric.loader.DataLoader` collates, at a fraction of its time, since nothing is collated one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from gnas.data import quiet_sparse


@runtime_checkable
class ByLayers(Protocol):
    """A network that can be run block by block, layer after layer."""

    def by_layers(self, batch: Batch, block: int) -> Tensor:
        """What a call on the batch gives, from so many nodes at once."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The input of a network, with the labels of its output's rows.

    Args:
        x: Features ``[nodes, in_channels]``.
        edge_index: Sources and targets ``[2, edges]``: along these, and no others, messages pass.
        edge_weight: ``[edges]``, or None.
        edge_attr: ``[edges, edge_channels]``, or None.
        y: Labels ``[items]`` or ``[items, labels]``, one row for each row of the output.
        index: By role, positions among the items of those that belong to it.
        batch: Graph of each node ``[nodes]`` where there are several graphs, or None.
        edge_label_index: Pairs of nodes ``[2, items]`` where the items are pairs, or None.
        edge_label_attr: Features of the edge that each pair is ``[items, edge_channels]``, or None.
        block: So many nodes at once are run through a layer where the network can (:class:`ByLayers`); None for all.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    edge_attr: Tensor | None
    y: Tensor
    index: Mapping[str, Tensor]
    batch: Tensor | None = None
    edge_label_index: Tensor | None = None
    edge_label_attr: Tensor | None = None
    block: int | None = None

    def run(self, model: Callable[..., Tensor]) -> Tensor:
        """``model(x, edge_index, edge_weight, edge_attr)``, and by name what else there is."""
        if self.block is not None and isinstance(model, ByLayers):
            return model.by_layers(self, self.block)
        more = {key: getattr(self, key) for key in ("batch", "edge_label_index", "edge_label_attr")}
        given = {key: value for key, value in more.items() if value is not None}
        return model(self.x, self.edge_index, self.edge_weight, self.edge_attr, **given)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        if self.x.device == device:
            return self

        def moved(value: Any) -> Any:
            return value.to(device) if isinstance(value, Tensor) else value

        with quiet_sparse():
            parts = {entry.name: moved(getattr(self, entry.name)) for entry in fields(self) if entry.name != "index"}
        return replace(self, **parts, index={role: index.to(device) for role, index in self.index.items()})


def rows_of(x: Tensor, rows: Tensor) -> Tensor:
    """Rows of a dense or ``sparse_csr`` matrix, in the layout that it has."""
    if x.layout != torch.sparse_csr:
        return x[rows]
    pointer = x.crow_indices()
    sizes = pointer.diff()[rows]
    entries = ranges(pointer[rows], sizes)
    start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    with quiet_sparse():
        return torch.sparse_csr_tensor(
            start,
            x.col_indices()[entries],
            x.values()[entries],
            (rows.numel(), x.size(1)),
            check_invariants=False,
        )


def ranges(start: Tensor, sizes: Tensor) -> Tensor:
    """The whole numbers from each start on, so many of each: starts 5 and 9, sizes 2 and 1 give 5, 6, 9."""
    ends = sizes.cumsum(0)
    total = int(ends[-1]) if ends.numel() else 0
    return torch.repeat_interleave(start - ends + sizes, sizes) + torch.arange(total, device=start.device)


@dataclass(frozen=True, eq=False)
class Store:
    """All graphs of a task as one, from which batches are gathered.

    Args:
        x, edge_index, edge_weight, edge_attr: As in :class:`Batch`.
        pointers: First node and first edge of each graph, and their numbers at the end: ``[2, graphs + 1]``. The nodes
            of a graph stand together, and so do its edges. None for a single graph.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    edge_attr: Tensor | None
    pointers: Tensor | None = None

    def graph_of_nodes(self) -> Tensor:
        """Graph of each node, ``[nodes]``."""
        assert self.pointers is not None
        sizes = self.pointers[0].diff()
        return torch.repeat_interleave(torch.arange(sizes.numel(), device=sizes.device), sizes)

    def edges(self, chosen: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Weights and features of some edges."""
        weight = None if self.edge_weight is None else self.edge_weight[chosen]
        return weight, None if self.edge_attr is None else self.edge_attr[chosen]


@dataclass(frozen=True, eq=False)
class Gathered:
    """A part of a :class:`Store`: what a batch has of its own, and where it was taken from.

    Args:
        nodes: Numbers of its nodes in the store.
        edges: Numbers of its edges in the store.
        edge_index: Its edges between its own nodes, counted from 0.
        batch: Graph of each of its nodes, or None.
    """

    nodes: Tensor
    edges: Tensor
    edge_index: Tensor
    batch: Tensor | None = None


def of_graphs(store: Store, graphs: Tensor) -> Gathered:
    """Some graphs, in this order, as PyG's :class:`~torch_geometric.data.Batch` would hold them."""
    assert store.pointers is not None
    first, sizes = store.pointers[:, graphs], store.pointers.diff()[:, graphs]
    nodes, edges = ranges(first[0], sizes[0]), ranges(first[1], sizes[1])
    batch = torch.repeat_interleave(torch.arange(graphs.numel(), device=graphs.device), sizes[0])
    # Each graph's nodes move from where they began to where they begin now.
    shift = sizes[0].cumsum(0) - sizes[0] - first[0]
    edge_index = store.edge_index[:, edges] + torch.repeat_interleave(shift, sizes[1])
    return Gathered(nodes, edges, edge_index, batch)


def of_edges(store: Store, edges: Tensor) -> Store:
    """The same nodes with some of the edges."""
    weight, attr = store.edges(edges)
    return Store(store.x, store.edge_index[:, edges].contiguous(), weight, attr)
