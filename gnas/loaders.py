"""Where batches come from: a whole graph, a set of graphs, parts of one big graph, pairs of a graph.

Each source says two things: the batches of one epoch's steps, drawn with a handed generator, and the batches to
measure with, always the same. Where one graph serves both roles, it is the same batch for both, so that a network runs
once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData, ClusterLoader, NeighborLoader, RandomNodeLoader

from gnas.batch import Batch, Gathered, Store, of_edges, of_graphs, rows_of
from gnas.links import Links, codes, false_pairs, repeated

LOADERS = ("full", "random", "cluster", "neighbor")
"""How one big graph becomes batches of nodes."""
GRAPHS = 128
"""Graphs in a batch."""
SMALL = 256
"""A set of so many graphs, or fewer, is one batch a role."""
NEIGHBOURS = (15, 10, 5)
"""Neighbours that are drawn of each node, of each of these, and so on."""
SEEDS, CLUSTERS, PART = 1024, 20, 20_000
"""Nodes whose neighbourhoods are one batch; clusters in a batch; nodes in a random part."""
FOLDS = 4
"""Parts of the weights' true pairs, each asked for while the others pass messages."""

Step = dict[str, Batch]


class Source(Protocol):
    """Batches of a task."""

    def steps(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Step]:
        """One epoch: a batch for each of these roles, step by step."""

    def measuring(self, roles: Sequence[str]) -> Iterator[Batch]:
        """Batches that hold each item of these roles once, and no item of another role."""


class Whole:
    """One graph at once.

    Args:
        store: The graph.
        y: Labels of its items.
        roles: Positions of items by role.
        pairs: The items, where they are pairs of nodes.
        edges: Numbers of the edges that these pairs are, or None.
        block: Nodes that are run through a layer at once, see :class:`~gnas.batch.Batch`.
    """

    def __init__(
        self,
        store: Store,
        y: Tensor,
        roles: Mapping[str, Tensor],
        pairs: Tensor | None = None,
        edges: Tensor | None = None,
        block: int | None = None,
    ) -> None:
        graph = store.edge_index, store.edge_weight, store.edge_attr
        own = None if edges is None else store.edges(edges)[1]
        self.batch = Batch(store.x, *graph, y, {}, edge_label_index=pairs, edge_label_attr=own, block=block)
        self.roles = roles

    @cached_property
    def open(self) -> Batch:
        """The batch of the weights and of the architecture."""
        return replace(self.batch, index={role: self.roles[role] for role in ("weights", "architecture")})

    def steps(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Step]:
        yield dict.fromkeys(roles, self.open)

    def measuring(self, roles: Sequence[str]) -> Iterator[Batch]:
        yield self.open if "test" not in roles else replace(self.batch, index={r: self.roles[r] for r in roles})


class Sets:
    """Several graphs, so many in a batch. A batch of one role holds no graph that has no item of it.

    Args:
        store: The graphs.
        y: Labels of the items: graphs, or nodes.
        roles: Positions of items by role.
        by_graph: Whether the items are graphs.
        size: Graphs in a batch.
    """

    def __init__(self, store: Store, y: Tensor, roles: Mapping[str, Tensor], by_graph: bool, size: int) -> None:
        self.store, self.y, self.by_graph, self.size = store, y, by_graph, size
        self.graphs = {role: index if by_graph else self._graphs(index) for role, index in roles.items()}
        self.member = {role: torch.zeros(len(y), dtype=torch.bool, device=y.device) for role in roles}
        for role, index in roles.items():
            self.member[role][index] = True
        self._kept: dict[str, Batch] = {}

    def _graphs(self, nodes: Tensor) -> Tensor:
        return self.store.graph_of_nodes()[nodes].unique()

    def steps(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Step]:
        others = {role: self._endless(role, generator) for role in roles if role != "weights"}
        for batch in self._shuffled("weights", generator):
            yield {"weights": batch, **{role: next(stream) for role, stream in others.items()}}

    def measuring(self, roles: Sequence[str]) -> Iterator[Batch]:
        for role in roles:
            yield from self._batches(role, self.graphs[role])

    def _shuffled(self, role: str, generator: torch.Generator) -> Iterator[Batch]:
        graphs = self.graphs[role]
        if graphs.numel() > self.size:
            graphs = graphs[torch.randperm(graphs.numel(), generator=generator).to(graphs.device)]
        return self._batches(role, graphs)

    def _endless(self, role: str, generator: torch.Generator) -> Iterator[Batch]:
        while True:
            yield from self._shuffled(role, generator)

    def _batches(self, role: str, graphs: Tensor) -> Iterator[Batch]:
        if graphs.numel() <= self.size:
            # The one batch is kept: whatever a network derives from its edges is derived once.
            if role not in self._kept:
                self._kept[role] = self._batch(role, graphs)
            yield self._kept[role]
            return
        for chunk in _even(graphs, self.size):
            yield self._batch(role, chunk)

    def _batch(self, role: str, graphs: Tensor) -> Batch:
        part = of_graphs(self.store, graphs)
        items = graphs if self.by_graph else part.nodes
        own = self.member[role][items].nonzero().view(-1)
        return batch_of(self.store, part, self.y[items], {role: own})


def _even(index: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of nearly equal size, none larger: a last part of one graph would have no batch statistics."""
    yield from index.tensor_split(-(-index.numel() // size))


def batch_of(store: Store, part: Gathered, y: Tensor, index: Mapping[str, Tensor]) -> Batch:
    """A part of a store as a batch."""
    weight, attr = store.edges(part.edges)
    return Batch(rows_of(store.x, part.nodes), part.edge_index, weight, attr, y, index, part.batch)


class Parts:
    """One big graph in parts, by a loader of PyG that gives subgraphs of disjoint sets of nodes.

    A step's two roles share one part where it has nodes of both. A part without a node of the weights role is no step.

    Args:
        store: The graph.
        y: Labels of its nodes.
        roles: Node numbers by role.
        loader: Makes PyG's loader of a ``Data`` with ``n_id`` and ``edge_id``, drawing from a generator.
        whole: Measures with the whole graph; None measures with the parts.
    """

    def __init__(
        self,
        store: Store,
        y: Tensor,
        roles: Mapping[str, Tensor],
        loader: Callable[[torch.Generator], Any],
        whole: Whole | None,
    ) -> None:
        self.store, self.y, self.loader, self.whole = store, y, loader, whole
        self.role = torch.full((store.x.size(0),), -1, dtype=torch.int8)
        for number, role in enumerate(_ORDER):
            self.role[roles[role].cpu()] = number

    def steps(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Step]:
        waiting: list[Batch] = []
        seen: Step = {}
        for batch in self._parts(roles, generator):
            seen.update({role: batch for role in roles if batch.index[role].numel()})
            if batch.index["weights"].numel():
                waiting.append(batch)
            if all(role in seen for role in roles if role != "weights"):
                for ready in waiting:
                    others = {r: ready if ready.index[r].numel() else seen[r] for r in roles if r != "weights"}
                    yield {"weights": ready, **others}
                waiting = []

    def measuring(self, roles: Sequence[str]) -> Iterator[Batch]:
        if self.whole is not None:
            yield from self.whole.measuring(roles)
            return
        for batch in self._parts(roles, torch.Generator().manual_seed(0)):
            if any(index.numel() for index in batch.index.values()):
                yield batch

    def _parts(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Batch]:
        device = self.store.x.device
        for data in self.loader(generator):
            nodes, edges = data.n_id, data.edge_id
            index = {role: (self.role[nodes] == _ORDER.index(role)).nonzero().view(-1).to(device) for role in roles}
            part = Gathered(nodes.to(device), edges.to(device), data.edge_index.contiguous().to(device))
            yield batch_of(self.store, part, self.y[part.nodes], index)


_ORDER = ("weights", "architecture", "test")


def skeleton(store: Store) -> Data:
    """A graph without features, whose nodes and edges know their numbers: what PyG's loaders are given."""
    nodes, edges = torch.arange(store.x.size(0)), torch.arange(store.edge_index.size(1))
    # Where there are as many edges as nodes, PyG tells them apart by the name.
    return Data(edge_index=store.edge_index.cpu(), num_nodes=nodes.numel(), n_id=nodes, edge_id=edges)


def random_parts(store: Store, parts: int) -> Callable[[torch.Generator], Any]:
    """Nodes drawn into parts anew at each epoch, by PyG's ``RandomNodeLoader``."""
    data = skeleton(store)
    return lambda generator: RandomNodeLoader(data, num_parts=parts, shuffle=True, generator=generator)


def cluster_parts(store: Store, clusters: int, size: int) -> Callable[[torch.Generator], Any]:
    """Clusters of METIS, some of them at once, by PyG's ``ClusterLoader`` (Chiang and others, arXiv 1905.07953)."""
    _need("cluster")
    clustered = ClusterData(skeleton(store), num_parts=clusters, log=False)
    return lambda generator: ClusterLoader(clustered, batch_size=size, shuffle=True, generator=generator)


def _need(loader: str) -> None:
    given = torch_geometric.typing.WITH_METIS if loader == "cluster" else torch_geometric.typing.WITH_PYG_LIB
    if not (given or torch_geometric.typing.WITH_TORCH_SPARSE):
        name = "ClusterLoader (METIS)" if loader == "cluster" else "NeighborLoader"
        raise ValueError(
            f"loader={loader!r} is PyG's {name}, which needs pyg-lib or torch-sparse, and neither is installed; "
            "expected one of them, or try loader='random' (PyG's RandomNodeLoader), which needs neither"
        )


class Neighbourhoods:
    """Neighbourhoods of nodes of one big graph, by PyG's ``NeighborLoader`` (Hamilton and others, arXiv 1706.02216).

    Args:
        store: The graph.
        y: Labels of its nodes.
        roles: Node numbers by role.
        size: Nodes whose neighbourhoods are one batch.
        whole: What is measured with.
    """

    def __init__(self, store: Store, y: Tensor, roles: Mapping[str, Tensor], size: int, whole: Whole) -> None:
        _need("neighbor")
        self.store, self.y, self.roles, self.size, self.whole = store, y, roles, size, whole
        self.data = skeleton(store)

    def steps(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Step]:
        others = {role: self._endless(role, generator) for role in roles if role != "weights"}
        for batch in self._around("weights", generator):
            yield {"weights": batch, **{role: next(stream) for role, stream in others.items()}}

    def measuring(self, roles: Sequence[str]) -> Iterator[Batch]:
        return self.whole.measuring(roles)

    def _endless(self, role: str, generator: torch.Generator) -> Iterator[Batch]:
        while True:
            yield from self._around(role, generator)

    def _around(self, role: str, generator: torch.Generator) -> Iterator[Batch]:
        device = self.store.x.device
        loader = NeighborLoader(
            self.data,
            num_neighbors=list(NEIGHBOURS),
            input_nodes=self.roles[role].cpu(),
            batch_size=self.size,
            shuffle=True,
            generator=generator,
        )
        for data in loader:
            part = Gathered(data.n_id.to(device), data.edge_id.to(device), data.edge_index.contiguous().to(device))
            # The nodes that were asked for come first.
            own = torch.arange(data.batch_size, device=device)
            yield batch_of(self.store, part, self.y[part.nodes], {role: own})


class Pairs:
    """Link prediction on one graph: see :mod:`gnas.links`.

    Args:
        store: The graph with all its edges.
        links: The pairs.
        parts: Number of parts of the weights' true pairs.
    """

    def __init__(self, store: Store, links: Links, parts: int) -> None:
        self.store, self.links, self.parts = store, links, parts
        device = store.x.device
        weights = links.roles["weights"]
        self.part = torch.full((links.y.numel(),), -1, device=device)
        for label in (0, 1):
            index = weights[links.y[weights] == label]
            # A pair that is given twice would pass messages in one part while it is asked for in the other.
            self.part[index] = repeated(links.pairs[:, index], store.x.size(0), links.undirected) % parts
        role = torch.full((links.y.numel() + 1,), -1, device=device)
        for number, name in enumerate(_ORDER):
            role[links.roles[name]] = number
        self.role = role[links.owner]  # the last entry serves edges without an owner
        self.part_of_edge = torch.where(links.owner < 0, -1, self.part[links.owner])

    @cached_property
    def weights(self) -> list[Batch]:
        """A batch for each part of the weights' pairs; its messages come from the others."""
        free = self.role == -1
        own = self.role == 0
        return [
            self._batch("weights", (self.part == part).nonzero().view(-1), free | (own & (self.part_of_edge != part)))
            for part in range(self.parts)
        ]

    @cached_property
    def architecture(self) -> Batch:
        return self._batch("architecture", self.links.roles["architecture"], self.role <= 0)

    @cached_property
    def test(self) -> Batch:
        return self._batch("test", self.links.roles["test"], self.role <= 1)

    def _batch(self, role: str, index: Tensor, passing: Tensor) -> Batch:
        part = of_edges(self.store, passing.nonzero().view(-1))
        own = torch.arange(index.numel(), device=index.device)
        return Batch(
            part.x,
            part.edge_index,
            part.edge_weight,
            part.edge_attr,
            self.links.y[index],
            {role: own},
            edge_label_index=self.links.pairs[:, index],
        )

    @cached_property
    def _taken(self) -> Tensor:
        """Codes of the true pairs and edges that the weights may know of: all but those that other roles ask for."""
        weights = self.links.roles["weights"]
        true = self.links.pairs[:, weights[self.links.y[weights] == 1]]
        taken = torch.cat([self.store.edge_index[:, self.role <= 0], true], dim=1)
        return codes(taken, self.store.x.size(0), self.links.undirected).unique().cpu()

    def steps(self, roles: Sequence[str], generator: torch.Generator) -> Iterator[Step]:
        others = {role: self.architecture for role in roles if role == "architecture"}
        for number in torch.randperm(self.parts, generator=generator).tolist():
            batch = self.weights[number]
            yield {"weights": self._anew(batch, generator) if self.links.drawn else batch, **others}

    def _anew(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with other false pairs, as many as there are true ones."""
        assert batch.edge_label_index is not None
        true = batch.edge_label_index[:, batch.y == 1]
        count, nodes = true.size(1), self.store.x.size(0)
        false = false_pairs(count, nodes, self._taken, self.links.undirected, generator).to(true.device)
        return replace(
            batch,
            y=torch.cat([batch.y.new_ones(count), batch.y.new_zeros(count)]),
            index={"weights": torch.arange(2 * count, device=true.device)},
            edge_label_index=torch.cat([true, false], dim=1),
        )

    def measuring(self, roles: Sequence[str]) -> Iterator[Batch]:
        for role in roles:
            if role == "weights":
                yield from self.weights
            else:
                yield self.architecture if role == "architecture" else self.test
