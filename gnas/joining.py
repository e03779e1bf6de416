"""Several graphs as one that is not connected: each part checked to be alike in all of them, then put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnas.data.splits import MASKS
from gnas.graphs import GraphSet
from gnas.intake import check_kind, dtype_name, stated, tensor_of
from gnas.targets import GRAPH, NODE

NODE_KEYS = ("x", *MASKS.values())
EDGE_KEYS = ("edge_index", "edge_weight", "edge_attr")


def joined(given: GraphSet) -> tuple[Data, Tensor]:
    """All graphs as one without labels, and its pointers ``[2, graphs + 1]``: first node and edge of each graph."""
    graphs = given.graphs
    if not graphs:
        raise ValueError("got a set of 0 graphs; expected at least 3, one for each role of the split")
    for i, graph in enumerate(graphs):
        check_kind(graph)
        # Also pos_ and neg_edge_label_index, which RandomLinkSplit(split_labels=True) writes.
        if asked := [key for key in graph.to_dict() if key.endswith("edge_label_index")]:
            raise ValueError(
                f"graph {i} has {asked[0]}, as the parts have that RandomLinkSplit makes of one graph; expected the "
                "whole graph, which gnas splits by itself, try Task.from_data(data, level='link') with the data as "
                "they were before, or, to learn y of several graphs, graphs without that entry"
            )
    parts = {key: _parts(graphs, key) for key in (*NODE_KEYS, *EDGE_KEYS)}
    x, edge_index = parts["x"], parts["edge_index"]
    if x is None:
        raise ValueError(
            "the graphs have no x; expected node features [nodes, features], try torch_geometric.transforms.Constant() "
            "or OneHotDegree(max_degree)"
        )
    if edge_index is None:
        raise ValueError("the graphs have no edge_index; expected int64 of shape [2, edges] in each")
    for i, (features, edges) in enumerate(zip(x, edge_index, strict=True)):
        if features.dim() < 2:
            raise ValueError(
                f"graph {i} has x of shape {list(features.shape)}; expected [nodes, features], try "
                "graph.x = graph.x.view(-1, 1) in each graph for a single feature"
            )
        if features.dim() != 2 or features.size(0) == 0 or features.size(1) != x[0].size(1):
            raise ValueError(
                f"graph {i} has x of shape {list(features.shape)}; expected [nodes, {x[0].size(-1)}] as in graph 0, "
                "with at least one node"
            )
        if edges.dim() != 2 or edges.size(0) != 2 or edges.dtype != torch.long:
            raise ValueError(
                f"graph {i} has edge_index of shape {list(edges.shape)} and dtype {dtype_name(edges)}; expected "
                "[2, edges] and int64"
            )
    sizes = torch.tensor([[part.size(0) for part in x], [part.size(1) for part in edge_index]])
    pointers = torch.cat([sizes.new_zeros(2, 1), sizes.cumsum(1)], dim=1)
    data = Data(edge_index=_edges(torch.cat(edge_index, dim=1), sizes, pointers))
    for key, tensors in parts.items():
        if tensors is not None and key != "edge_index":
            data[key] = _cat(tensors, key, sizes[0 if key in NODE_KEYS else 1])
    return data, pointers


def _parts(graphs: Sequence[Data], key: str) -> list[Tensor] | None:
    """An entry of all graphs, or None where none of them has it."""
    parts = [tensor_of(graph, key) for graph in graphs]
    lacking = [i for i, part in enumerate(parts) if part is None]
    if len(lacking) == len(parts):
        return None
    if lacking:
        raise ValueError(
            f"graph {lacking[0]} has no {key}, and graph {next(i for i in range(len(parts)) if i not in lacking)} has; "
            "expected it in all graphs or in none"
        )
    return [part for part in parts if part is not None]


def _cat(parts: list[Tensor], key: str, sizes: Tensor) -> Tensor:
    """An entry of all graphs below one another, a row for each node or edge."""
    _check_type(parts, key)
    if parts[0].layout != torch.strided:
        parts = [part.to_dense() for part in parts]
    for i, (part, size) in enumerate(zip(parts, sizes.tolist(), strict=True)):
        if part.dim() == 0 or part.size(0) != size or part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"graph {i} has {key} of shape {list(part.shape)}; expected {[size, *parts[0].shape[1:]]}, a row for "
                f"each {'node' if key in NODE_KEYS else 'edge'}, alike in all graphs"
                + (", or gnas.GraphSet(graphs, split=...) for roles of whole graphs" if key in MASKS.values() else "")
            )
    return torch.cat(parts)


def _check_type(parts: list[Tensor], key: str) -> None:
    """Refuse an entry that has another type in some graph: put together, the numbers of the others would become it."""
    if strange := [i for i, part in enumerate(parts) if part.dtype != parts[0].dtype]:
        raise ValueError(
            f"graph {strange[0]} has {key} of dtype {dtype_name(parts[strange[0]])}, and graph 0 has it of dtype "
            f"{dtype_name(parts[0])}; expected the same in all graphs"
        )


def _edges(edge_index: Tensor, sizes: Tensor, pointers: Tensor) -> Tensor:
    """The edges between the nodes of all graphs, each graph's checked to lie within it."""
    graph = torch.repeat_interleave(torch.arange(sizes.size(1)), sizes[1])
    wrong = ((edge_index < 0) | (edge_index >= sizes[0][graph])).any(dim=0)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        ends, where = edge_index[:, at].tolist(), int(graph[at])
        raise ValueError(
            f"edge_index of graph {where} holds the edge {ends[0]} to {ends[1]}; expected nodes from 0 to "
            f"{int(sizes[0, where]) - 1}"
        )
    return edge_index + pointers[0][graph]


def labels_of_set(given: GraphSet, level: str | None, pointers: Tensor) -> tuple[Tensor, str]:
    """The labels of all graphs ``[items, ...]``, and the level: of nodes if each graph has a row for each node.

    Raises:
        ValueError: The labels don't fit, or fit graphs as well as nodes.
    """
    parts = _parts(given.graphs, "y")
    if parts is None:
        raise ValueError("the graphs have no y; expected labels of each graph, or of each of its nodes")
    nodes = pointers[0].diff().tolist()
    by_node = all(part.dim() > 0 and part.size(0) == size for part, size in zip(parts, nodes, strict=True))
    by_graph = all(part.dim() == 0 or part.size(0) == 1 for part in parts)
    if by_node and by_graph and level is None:
        raise ValueError("every graph has one node, so y fits graphs and nodes; expected a word, try level='graph'")
    chosen = level or (NODE if by_node else GRAPH)
    if chosen not in (NODE, GRAPH):
        raise ValueError(f"got a set of graphs and level={level!r}; expected 'graph' or 'node', or a single Data")
    if not (by_node if chosen == NODE else by_graph):
        fits = NODE if by_node else GRAPH if by_graph else None
        if fits is not None:
            raise ValueError(f"got level={level!r}, but y has one row for each {fits}; expected level={fits!r}")
        shapes = [f"{list(part.shape)} for {size} nodes" for part, size in zip(parts[:3], nodes, strict=False)]
        raise ValueError(
            f"the labels of the graphs have the shapes {', '.join(shapes)}, ...; expected [1] or [1, labels] in each "
            "graph, or a row for each node in each, try data.y = data.y.view(1, -1)"
        )
    rows = [part.view(1) if part.dim() == 0 else part for part in parts]
    widths = {tuple(part.shape[1:]) for part in rows}
    if len(widths) > 1:
        raise ValueError(f"y has rows of the shapes {sorted(widths)}; expected them alike in all graphs")
    _check_type(rows, "y")
    return torch.cat(rows), chosen


def classes_of_set(given: GraphSet) -> int | None:
    """The number of classes that each graph states as its ``num_classes``, or None.

    Raises:
        ValueError: The graphs don't agree.
    """
    found = list(dict.fromkeys(stated(graph, "num_classes") for graph in given.graphs))
    if len(found) > 1:
        raise ValueError(f"the graphs have num_classes {found}; expected the same number in all graphs, or in none")
    return found[0]
