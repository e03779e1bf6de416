"""A bound space as plain PyG modules."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gnas import kernels
from gnas.ops import Context, find, sparse_dropout_linear
from gnas.space import Node, Space

OWN = ("activate", "decoder", "dropout", "encoder", "hidden_channels", "in_channels", "layers", "out_channels", "space")
TAKEN = frozenset({*OWN, *dir(nn.ModuleDict())})
"""Names that a node can't have, because networks have attributes of these names."""


def check_program(space: Space) -> None:
    """Raise :class:`ValueError` unless a network can be made of a space: its input is ``x``, its names are free."""
    if space.inputs != ("x",):
        raise ValueError(f"space {space.name!r} has the inputs {space.inputs}; expected ('x',), the encoded features")
    for node in space.nodes:
        if node.name in TAKEN:
            raise ValueError(
                f"space {space.name!r} has a node {node.name!r}, which is the name of an attribute that networks "
                f"have; expected another, try {node.name + '1'!r}"
            )


class GraphModel(nn.Module):
    """The network of a bound space: an encoder, one PyG layer (or a few) for each node, a decoder.

    Every layer is an attribute that is called like its node (``conv1``), so the parameters have the names that the
    exported source gives them. A node may carry the attribute ``scale``, a constant that multiplies its value; a
    model that inherits a supernet's weights has them, one that is trained from scratch does not.

    Args:
        space: A program without choices (:meth:`gnas.space.Space.bind`).
        in_channels: Channels of ``x``.
        hidden_channels: Channels of every state.
        out_channels: Channels of the result, such as the number of classes.
        dropout: Probability of dropping an entry before each projection.

    Raises:
        ValueError: If a choice is left, or an operation is unknown.
    """

    def __init__(
        self, space: Space, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if not space.bound:
            raise ValueError(
                f"GraphModel got the space {space.name!r} with {len(space.choices)} open choices; expected a bound "
                "one, try space.bind(genotype), or GraphSupernet for the space as it is"
            )
        check_program(space)
        self.space, self.dropout = space, dropout
        self.in_channels, self.hidden_channels, self.out_channels = in_channels, hidden_channels, out_channels
        self.encoder = nn.Linear(in_channels, hidden_channels)
        self._layers: dict[str, tuple[str, ...]] = {}
        for node in space.nodes:
            calls = find(str(node.op), node.name).layers(len(node.inputs), node.settings)
            for ending, call in calls.items():
                if hasattr(self, node.name + ending):
                    raise ValueError(
                        f"the layer {node.name + ending!r} of node {node.name!r} has the name of another node's; "
                        f"expected names that don't begin alike, try {node.name + '1'!r}"
                    )
                setattr(self, node.name + ending, call.build(hidden_channels))
            self._layers[node.name] = tuple(calls)
        self.decoder = nn.Linear(hidden_channels, out_channels)

    def layers(self, node: Node) -> dict[str, nn.Module]:
        """The layers of one node by ending."""
        return {ending: self.get_submodule(node.name + ending) for ending in self._layers[node.name]}

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """[nodes, out_channels] from ``x`` [nodes, in_channels] and ``edge_index`` [2, edges]."""
        graph = kernels.graph_of(edge_index, x.size(0), edge_weight)
        state = sparse_dropout_linear(x, self.encoder, self.dropout, self.training)
        context = Context(graph, torch.zeros_like(state), self.dropout, self.training, batch)
        values = {"x": state}
        for node in self.space.nodes:
            op = find(str(node.op), node.name)
            inputs = [values[str(read)] for read in node.inputs]
            value = op.forward(self.layers(node), inputs, node.settings, context)
            values[node.name] = scaled(value, node.settings)
        out = values[self.space.output]
        return sparse_dropout_linear(out, self.decoder, self.dropout, self.training)

    def __repr__(self) -> str:
        sizes = f"{self.in_channels}, {self.hidden_channels}, {self.out_channels}"
        return f"GraphModel({sizes})\n{self.space!r}"


def scaled(value: Tensor, settings: Mapping[str, object]) -> Tensor:
    """``value`` times the attribute ``scale``, where there is one."""
    scale = settings.get("scale")
    return value if scale is None else value * float(scale)  # type: ignore[arg-type]
