"""A graph as blocks of nodes with the edges that end in them: what one layer needs to be computed block by block.

Every edge ends in exactly one block. A block's graph holds the block's own nodes first, then those outside of it that
an edge comes from; the degrees that GCN's coefficients read are those in the whole graph. One order of the edges is
kept besides the graph, and nothing else that is as large as it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gnas.kernels.graph import Graph


@dataclass(frozen=True, eq=False)
class Block:
    """Some nodes and the edges that end in them.

    Args:
        own: The block's nodes, a range of numbers.
        among: Where its edges stand among all edges sorted by destination, a range.
        nodes: Numbers of its own nodes and then of the others that its edges come from.
        edges: Numbers of its edges.
        graph: Its edges between ``nodes``, counted from 0.
    """

    own: slice
    among: slice
    nodes: Tensor
    edges: Tensor
    graph: Graph

    @property
    def size(self) -> int:
        """Number of its own nodes."""
        return int(self.own.stop - self.own.start)


class Blocks:
    """The blocks of a graph, each of ``size`` consecutive nodes but the last.

    Args:
        edge_index: Sources and targets ``[2, edges]``.
        num_nodes: Number of nodes.
        edge_weight: ``[edges]``, or None.
        size: Nodes in a block.
    """

    def __init__(self, edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, size: int) -> None:
        self.edge_index, self.num_nodes, self.edge_weight, self.size = edge_index, num_nodes, edge_weight, size
        target = edge_index[1]
        self.order = torch.argsort(target, stable=True)
        counts = torch.zeros(num_nodes, dtype=torch.long, device=target.device)
        counts.index_add_(0, target, torch.ones_like(target))
        self.pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.degree = self._degree()

    def _degree(self) -> Tensor:
        """Weight that ends in each node, its one self-loop's included, float64 ``[num_nodes]``."""
        loops = self.edge_index[0] == self.edge_index[1]
        target = self.edge_index[1]
        # A node without a loop of its own gets one of weight one.
        loop = torch.ones(self.num_nodes, dtype=torch.float64, device=target.device)
        weight = None if self.edge_weight is None else self.edge_weight.double()
        if weight is None:
            weight = torch.ones(target.numel(), dtype=torch.float64, device=target.device)
        else:
            loop[target[loops]] = weight[loops]
        return loop.index_add_(0, target, weight.masked_fill(loops, 0))

    def __iter__(self) -> Iterator[Block]:
        for first in range(0, self.num_nodes, self.size):
            yield self._block(first, min(first + self.size, self.num_nodes))

    def _block(self, first: int, last: int) -> Block:
        begin, end = int(self.pointer[first]), int(self.pointer[last])
        edges = self.order[begin:end]
        source, target = self.edge_index[:, edges]
        inside = (source >= first) & (source < last)
        others = source[~inside].unique()
        place = torch.searchsorted(others, source).clamp(max=max(others.numel() - 1, 0)) + (last - first)
        nodes = torch.cat([torch.arange(first, last, device=source.device), others])
        graph = Graph(
            torch.stack([torch.where(inside, source - first, place), target - first]),
            nodes.numel(),
            None if self.edge_weight is None else self.edge_weight[edges],
            self.degree[nodes],
        )
        return Block(slice(first, last), slice(begin, end), nodes, edges, graph)
