"""A trained network on one big graph, node block by node block and layer after layer, with the result of the whole.

Layer-wise inference as Hamilton and others' GraphSAGE is run on big graphs (arXiv 1706.02216; PyG's
``BasicGNN.inference``), for the programs of gnas. Of h^(l)_i = f(h^(l-1)_i, {h^(l-1)_j : j -> i}) each layer is
computed for all nodes before the next one, a block of nodes at a time, from the block's own rows and those of their
in-neighbours. No neighbour is left out, so it is the full-graph result up to the order of sums. What is kept between
layers is one row for each node (of an edge state, each edge) of every state that is still to be read; what a layer
needs besides, such as its messages, has the size of a block.

Whatever lies between two readings along edges is one pass: an activation, a residual or a normalisation is done on
the block while it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from gnas.batch import Batch, rows_of
from gnas.kernels import Block, Blocks
from gnas.ops import Context, find, options
from gnas.space import Node, Space

KINDS = ("node", "edge")
"""Kinds of values that belong to a block."""


class Trained(Protocol):
    """What is run: :class:`gnas.model.GraphModel`."""

    space: Space
    training: bool
    dropout: float
    hidden_channels: int
    decoder: nn.Linear
    edge_encoder: nn.Module | None

    def encode(self, x: Tensor) -> Tensor: ...
    def features(self, edge_attr: Tensor | None, edges: int, state: Tensor) -> Tensor: ...
    def value(self, node: Node, inputs: Sequence[Tensor], context: Context) -> Tensor: ...
    def end(self, value: Tensor) -> Tensor: ...


def check_local(space: Space) -> None:
    """Raise :class:`ValueError` unless all operations of a space compute their values from a node's in-neighbours."""
    for node in space.nodes:
        for op in options(node):
            if node.kind not in KINDS or not op.local:
                raise ValueError(
                    f"node {node.name!r} of space {space.name!r} may be {op.name!r} of kind {node.kind!r}, which reads "
                    "more of the graph than the edges that end in a node; expected only operations that don't, to be "
                    "measured layer by layer, try measure='full', or measure='parts' where the graph is too big"
                )


class Passes:
    """Which values of a bound space are computed in which pass over the blocks, and which are kept for later ones.

    A pass is a whole number, 0 for the inputs. A value belongs to the latest pass of what it reads, one later where it
    reads nodes along the edges.
    """

    def __init__(self, space: Space) -> None:
        self.of = dict.fromkeys(space.inputs, 0)
        read: dict[str, int] = {}
        for node in space.nodes:
            names = inputs_of(node)
            self.of[node.name] = max((self.of[name] + along(space, node, name) for name in names), default=0)
            for name in names:
                read[name] = max(read.get(name, 0), self.of[node.name])
        self.last = {name: number for name, number in read.items() if number > self.of[name]}
        """By value that a later pass reads: the last one that does."""
        self.count = self.of[space.output] + 1


def inputs_of(node: Node) -> list[str]:
    """The values that a node of a bound space reads."""
    return [str(node.inputs[i]) for i in find(str(node.op), node.name).reads(len(node.inputs), node.settings)]


def along(space: Space, node: Node, name: str) -> bool:
    """Whether a node reads a value at both ends of edges."""
    return space.kind(name) == "node" and (node.kind == "edge" or find(str(node.op), node.name).messages)


@torch.no_grad()
def run(model: Trained, batch: Batch, size: int) -> Tensor:
    """The network's output on one graph, ``[nodes, out_channels]``.

    Args:
        model: A network in evaluation mode.
        batch: The graph.
        size: Nodes in a block.

    Raises:
        ValueError: The network is in training, or not all of its operations are local.
    """
    check_local(model.space)
    if model.training:
        raise ValueError("the network is in training mode; expected evaluation mode, try model.eval() first")
    passes = Passes(model.space)
    blocks = Blocks(batch.edge_index, batch.x.size(0), batch.edge_weight, size)
    kept: dict[str, Tensor] = {}
    output = None
    for number in range(passes.count):
        fresh: dict[str, Tensor] = {}
        for block in blocks:
            values = _block(model, batch, block, kept, number, passes)
            if number == passes.count - 1:
                rows = model.end(values[model.space.output])
                output = rows.new_empty(blocks.num_nodes, rows.size(1)) if output is None else output
                output[block.own] = rows
            for name in passes.last.keys() & values.keys():
                edges = model.space.kind(name) == "edge"
                if name not in fresh:
                    total = blocks.order.numel() if edges else blocks.num_nodes
                    fresh[name] = values[name].new_empty(total, values[name].size(1))
                fresh[name][block.among if edges else block.own] = values[name]
        kept = {name: value for name, value in {**kept, **fresh}.items() if passes.last[name] > number}
    assert output is not None
    return output


def _block(
    model: Trained, batch: Batch, block: Block, kept: Mapping[str, Tensor], number: int, passes: Passes
) -> dict[str, Tensor]:
    """The values of one pass at a block's nodes and edges."""
    space = model.space
    values: dict[str, Tensor] = {}
    if number == 0:
        values["x"] = model.encode(rows_of(batch.x, block.nodes[: block.size]))
    zeros = model.decoder.weight.new_zeros(block.nodes.numel(), model.hidden_channels)
    edges = None
    if model.edge_encoder is not None:
        attr = None if batch.edge_attr is None else batch.edge_attr[block.edges]
        edges = model.edge_encoder(model.features(attr, block.edges.numel(), zeros))
    wide = Context(block.graph, zeros, model.dropout, False, tracking=False, edges=edges)
    narrow = {"node": replace(wide, zeros=zeros[: block.size]), "edge": wide.at("edge")}

    def read(node: Node, name: str) -> Tensor:
        if along(space, node, name):
            return kept[name][block.nodes]
        if name == "edge_attr":
            return narrow["edge"].zeros if edges is None else edges
        if name in values:
            return values[name]
        return kept[name][block.among if space.kind(name) == "edge" else block.own]

    for node in space.nodes:
        if passes.of[node.name] == number:
            inputs = [read(node, name) for name in inputs_of(node)]
            messages = find(str(node.op), node.name).messages
            value = model.value(node, inputs, wide if messages else narrow[node.kind])
            values[node.name] = value[: block.size] if messages else value
    return values
