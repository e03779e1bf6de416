"""Small batches of graphs with features on their edges and pairs that are asked about, and spaces for every level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from graph_examples import Example, example, joined
from hypothesis import strategies as st
from torch import Tensor

from gnas.space import Space, for_level, gap, layered, pooling, relational
from gnas.space.layered import MESSAGES, NORMS

CODES, EDGE_CODES = (4, 3), (5,)

READING = layered(2, ("gat", "gcn", "identity", *MESSAGES))

SPACES: dict[str, Space] = {
    "graphs": for_level(layered(2), "graph"),
    "graphs, gap": for_level(gap(1, extended=True), "graph"),
    "links": for_level(layered(2, norms=NORMS), "link"),
    "edges read": READING,
    "edges read by own weights": layered(2, ("gat", "gin", "gen_softmax", "gcn"), share="none"),
    "pooling": pooling(2),
    "pooling, tied": pooling(3, virtual=False, tie=True),
    "relational": relational(2, extended=True),
    "relational edges": for_level(relational(1, steps=3), "edge"),
}


@dataclass(frozen=True)
class Items:
    """Graphs in float64: an :class:`Example` with ``edge_attr`` [edges, 3], ``batch`` [nodes], ``pairs`` [2, 6]."""

    graph: Example
    edge_attr: Tensor
    batch: Tensor
    pairs: Tensor

    def arguments(self, edges: bool) -> dict[str, Any]:
        """What a network is called with."""
        features = {"edge_attr": self.edge_attr} if edges else {}
        given = {"x": self.graph.x, "edge_index": self.graph.edge_index, "edge_weight": self.graph.edge_weight}
        return {**given, **features, "batch": self.batch, "edge_label_index": self.pairs}

    def relabelled(self, order: Tensor) -> Items:
        """The same with the nodes in another order: node ``order[i]`` becomes node ``i``."""
        place, graph = torch.argsort(order), self.graph
        moved = Example(graph.x[order], place[graph.edge_index], graph.edge_weight)
        return Items(moved, self.edge_attr, self.batch[order], place[self.pairs])


def of(graph: Example, batch: Tensor, seed: int = 0) -> Items:
    """Features and pairs for a graph."""
    generator = torch.Generator().manual_seed(seed)
    edges = graph.edge_index.size(1)
    features = torch.randn(edges, 3, generator=generator, dtype=torch.float64)
    return Items(graph, features, batch, torch.randint(graph.nodes, (2, 6), generator=generator))


def items(seed: int = 0, edges: int = 20) -> Items:
    """Two graphs, the second one smaller."""
    return of(*joined(example(9, edges, seed), example(5, edges // 4, seed + 1)), seed)


many = st.builds(items, st.integers(0, 1000), st.sampled_from([0, 4, 20]))
