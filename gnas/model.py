"""A bound space as plain PyG modules, and what every network shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gnas import kernels, layerwise
from gnas.batch import Batch
from gnas.checks import check_flag, real, whole
from gnas.journal import Folder, Journal
from gnas.ops import Context, Op, encoder_of, find, options, settled, sparse_dropout_linear, variants
from gnas.space import Choice, Genotype, Node, Space
from gnas.space.program import INPUTS
from gnas.units import Scales, Units

OWN = (
    "activate",
    "categories",
    "decoder",
    "drop_inputs",
    "dropout",
    "edge_categories",
    "edge_channels",
    "edge_encoder",
    "encoder",
    "hidden_channels",
    "in_channels",
    "layers",
    "out_channels",
    "space",
    "units",
)
METHODS = ("begin", "by_layers", "encode", "end", "features", "graphs", "kinds", "settings", "value")
TAKEN = frozenset({*OWN, *METHODS, *dir(nn.ModuleDict())})
"""Names that a node can't have, because networks have attributes of these names, or their source a variable."""


def check_program(space: Space) -> None:
    """Raise :class:`ValueError` unless a network can be made of a space: inputs, names and kinds fit."""
    if "x" not in space.inputs or not set(space.inputs) <= set(INPUTS):
        raise ValueError(
            f"space {space.name!r} has the inputs {space.inputs}; expected ('x',), the encoded features, or "
            "('x', 'edge_attr') with those of the edges"
        )
    for node in space.nodes:
        if node.name in TAKEN:
            raise ValueError(
                f"space {space.name!r} has a node {node.name!r}, which is the name of an attribute that networks "
                f"have; expected another, try {node.name + '1'!r}"
            )
        for op in options(node):
            _check_kinds(space, node, op)


def check_width(space: Space, hidden_channels: int) -> None:
    """Raise :class:`ValueError` if an operation that a network of the space may have can't be so wide."""
    for node in space.nodes:
        for _, op, settings in variants(node):
            for call in op.layers(len(node.inputs), settings).values():
                call.check(hidden_channels)


def _check_kinds(space: Space, node: Node, op: Op) -> None:
    if op.gives and op.gives != node.kind:
        raise ValueError(
            f"node {node.name!r} of space {space.name!r} is of kind {node.kind!r}, but its operation {op.name!r} gives "
            f"a value of kind {op.gives!r}; expected the same, try Node(..., kind={op.gives!r})"
        )
    takes = op.takes or (node.kind,)
    for place in op.reads(len(node.inputs), node.settings):
        read, expected = node.inputs[place], takes[min(place, len(takes) - 1)]
        for name in map(str, read.options) if isinstance(read, Choice) else (read,):
            if space.kind(name) != expected:
                raise ValueError(
                    f"node {node.name!r} of space {space.name!r} reads {name!r} of kind {space.kind(name)!r}, "
                    f"but its operation {op.name!r} takes one of kind {expected!r} there; expected a node of that "
                    "kind, try gnas.space.heads.for_level(space, level) for what comes last"
                )


class Network(nn.Module):
    """What a network has besides its layers: encoders, a decoder's sizes, and the check of what it is called with.

    The encoder of ``x`` is linear, or for integer codes a sum of learned vectors (``categories``); that of
    ``edge_attr`` is there where the space has an operation that reads edge features. With ``scales`` the answer is in
    the units of labels that are numbers (:mod:`gnas.units`).
    """

    decoder: nn.Linear

    def __init__(
        self,
        space: Space,
        sizes: tuple[int, int, int],
        dropout: float,
        drop_inputs: bool,
        edge_channels: int,
        categories: Sequence[int] | None,
        edge_categories: Sequence[int] | None,
        scales: Scales | None,
    ) -> None:
        super().__init__()
        where = type(self).__name__
        if not isinstance(space, Space):
            raise TypeError(f"{where} got a space of type {type(space).__name__}; expected a Space, try gnas.layered()")
        check_program(space)
        self.space, self.dropout = space, real(where, "dropout", dropout, below=1)
        self.drop_inputs = drop_inputs
        check_flag(self, "drop_inputs")
        names = ("in_channels", "hidden_channels", "out_channels")
        self.in_channels, self.hidden_channels, self.out_channels = (
            whole(where, name, size, 1) for name, size in zip(names, sizes, strict=True)
        )
        edge_channels = whole(where, "edge_channels", edge_channels, 0)
        self.categories = _codes("in_channels", self.in_channels, "categories", categories)
        edge_channels = edge_channels or len(edge_categories or ())
        self.edge_categories = _codes("edge_channels", edge_channels, "edge_categories", edge_categories)
        self.edge_channels = edge_channels
        self.encoder = encoder_of(self.in_channels, self.categories, self.hidden_channels)
        reads = any(op.edges for node in space.nodes for op in options(node))
        reads = reads or any("edge_attr" in node.reads() for node in space.nodes)
        self.edge_encoder = None
        if edge_channels and reads:
            self.edge_encoder = encoder_of(edge_channels, self.edge_categories, self.hidden_channels)
        self.units = None if scales is None else Units(*scales)
        self.kinds = {node.kind for node in space.nodes}

    def begin(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None,
        edge_attr: Tensor | None,
        batch: Tensor | None,
        edge_label_index: Tensor | None,
        tracking: bool = True,
        edge_label_attr: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Context]]:
        """The values of the space's inputs by name, and the context of each kind of node."""
        if "pair" in self.kinds and edge_label_index is None:
            raise ValueError(
                "the network scores pairs of nodes and got no edge_label_index; expected [2, pairs], try "
                "net(x, edge_index, edge_label_index=edge_index)"
            )
        graph = kernels.graph_of(edge_index, x.size(0), edge_weight)
        state = self.encode(x)
        edges = pair_edges = None
        if self.edge_encoder is not None:
            edges = self.edge_encoder(self.features(edge_attr, edge_index.size(1), state))
            if edge_label_attr is not None and edge_label_index is not None:
                pair_edges = self.edge_encoder(self.features(edge_label_attr, edge_label_index.size(1), state))
        zeros = torch.zeros_like(state)
        node = Context(graph, zeros, self.dropout, self.training, batch, tracking, edges, edge_label_index, pair_edges)
        contexts = {kind: node if kind == "node" else node.at(kind) for kind in {"node", *self.kinds}}
        values = {"x": state}
        if "edge_attr" in self.space.inputs:
            values["edge_attr"] = node.at("edge").zeros if edges is None else edges
        return values, contexts

    def encode(self, x: Tensor) -> Tensor:
        """[nodes, hidden_channels] from the features of nodes."""
        if isinstance(self.encoder, nn.Linear):
            return sparse_dropout_linear(x, self.encoder, self.dropout if self.drop_inputs else 0.0, self.training)
        return cast(Tensor, self.encoder(x))

    def features(self, edge_attr: Tensor | None, edges: int, state: Tensor) -> Tensor:
        """What the encoder of so many edges reads: checked, and numbers in the type of ``state``."""
        expected = [edges, self.edge_channels]
        if edge_attr is None or list(edge_attr.shape) != expected:
            got = "no edge_attr" if edge_attr is None else f"an edge_attr of shape {list(edge_attr.shape)}"
            raise ValueError(
                f"the network was built with edge_channels={self.edge_channels} and got {got}; expected [edges, "
                f"edge_channels] = {expected}, try edge_attr.view(-1, {self.edge_channels}), or a network with "
                "edge_channels=0"
            )
        return edge_attr if self.edge_categories else edge_attr.to(state.dtype)

    def end(self, value: Tensor) -> Tensor:
        """[items, out_channels] from the value of the space's output."""
        scores = sparse_dropout_linear(value, self.decoder, self.dropout, self.training)
        return scores if self.units is None else cast(Tensor, self.units(scores))


def _codes(sizes: str, columns: int, name: str, categories: Sequence[int] | None) -> tuple[int, ...] | None:
    if categories is not None and len(categories) != columns:
        raise ValueError(
            f"got {len(categories)} {name} and {sizes}={columns}; expected the number of codes of each column, try "
            f"{sizes}={len(categories)}"
        )
    return None if categories is None else tuple(int(count) for count in categories)


class GraphModel(Network):
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
        drop_inputs: Whether before the first one, too: entries of ``x``, unless these are codes.
        edge_channels: Channels of ``edge_attr``; with 0 it is not read.
        categories: For integer codes in ``x`` the number of codes of each column.
        edge_categories: The same for ``edge_attr``.
        scales: Of labels that are numbers, mean and standard deviation of each column: see :mod:`gnas.units`.

    Raises:
        TypeError: If the space is no space.
        ValueError: If a choice is left, an operation is unknown or reads a value of the wrong kind, or sizes don't fit.
    """

    def __init__(
        self,
        space: Space,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.5,
        *,
        drop_inputs: bool = True,
        edge_channels: int = 0,
        categories: Sequence[int] | None = None,
        edge_categories: Sequence[int] | None = None,
        scales: Scales | None = None,
    ) -> None:
        sizes = in_channels, hidden_channels, out_channels
        super().__init__(space, sizes, dropout, drop_inputs, edge_channels, categories, edge_categories, scales)
        if not space.bound:
            raise ValueError(
                f"GraphModel got the space {space.name!r} with {len(space.choices)} open choices; expected a bound "
                "one, try space.bind(genotype), or GraphSupernet for the space as it is"
            )
        self._layers: dict[str, tuple[str, ...]] = {}
        for node in space.nodes:
            calls = find(str(node.op), node.name).layers(len(node.inputs), self.settings(node))
            for ending, call in calls.items():
                if hasattr(self, node.name + ending):
                    raise ValueError(
                        f"the layer {node.name + ending!r} of node {node.name!r} has the name of another node's; "
                        f"expected names that don't begin alike, try {node.name + '1'!r}"
                    )
                setattr(self, node.name + ending, call.build(self.hidden_channels))
            self._layers[node.name] = tuple(calls)
        self._last = last_readers(space)
        self.decoder = nn.Linear(self.hidden_channels, self.out_channels)

    @classmethod
    def from_run(cls, folder: Folder) -> GraphModel:
        """The network that a search found and trained, from the run's folder, in evaluation mode.

        Raises:
            FileNotFoundError, ValueError: The folder holds no run that has come to its end.
        """
        journal = Journal(folder)
        journal.result("weights.pt")
        recipe = journal.run()["recipe"]
        space = journal.read("space.json", Space.from_json)
        genotype = journal.read("genotype.json", Genotype.from_json)
        state = journal.load("weights.pt")
        out_channels, hidden_channels = state["decoder.weight"].shape
        channels, categories = _read(state, "encoder")
        edge_channels, edge_categories = _read(state, "edge_encoder")
        units = [state[f"units.{part}"].tolist() for part in ("mean", "deviation") if f"units.{part}" in state]
        scales = (units[0], units[1]) if units else None
        model = cls(
            space.bind(genotype),
            channels,
            hidden_channels,
            out_channels,
            recipe["dropout"],
            # A run from before there was a choice dropped them.
            drop_inputs=recipe.get("drop_inputs", True),
            edge_channels=edge_channels,
            categories=categories,
            edge_categories=edge_categories,
            scales=scales,
        )
        model.load_state_dict(state)
        return model.eval()

    def settings(self, node: Node) -> Mapping[str, object]:
        """A node's settings as they are in this network."""
        return settled(find(str(node.op), node.name), node.settings, self.edge_encoder is not None)

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
        edge_label_index: Tensor | None = None,
        edge_label_attr: Tensor | None = None,
    ) -> Tensor:
        """A row of scores for each item, [items, out_channels].

        Items are the nodes, the pairs of ``edge_label_index`` or the graphs of ``batch``, as the space's output says.

        Args:
            x: [nodes, in_channels].
            edge_index: [2, edges].
            edge_weight: [edges].
            edge_attr: [edges, edge_channels].
            batch: Graph of each node, [nodes]; without it there is one graph.
            edge_label_index: The pairs of nodes that are scored, [2, pairs].
            edge_label_attr: Features of the edge that each pair is, [pairs, edge_channels], where one is read.
        """
        given = x, edge_index, edge_weight, edge_attr, batch, edge_label_index
        values, contexts = self.begin(*given, edge_label_attr=edge_label_attr)
        for node in self.space.nodes:
            inputs = [values[name] for name in layerwise.inputs_of(node)]
            values[node.name] = self.value(node, inputs, contexts[node.kind])
            # Measuring a big graph, no more states are kept than are still to be read.
            for name in self._last.get(node.name, ()):
                del values[name]
        return self.end(values[self.space.output])

    def value(self, node: Node, inputs: Sequence[Tensor], context: Context) -> Tensor:
        """The value of a node from those that it reads."""
        op = find(str(node.op), node.name)
        return scaled(op.forward(self.layers(node), inputs, self.settings(node), context), node.settings)

    def by_layers(self, batch: Batch, block: int) -> Tensor:
        """The same as :meth:`forward` on one graph with labels of nodes, so many nodes at a time: see
        :mod:`gnas.layerwise`. In evaluation mode only, and without gradients."""
        return layerwise.run(self, batch, block)

    def __repr__(self) -> str:
        sizes = f"{self.in_channels}, {self.hidden_channels}, {self.out_channels}"
        return f"GraphModel({sizes})\n{self.space!r}"


def _read(state: Mapping[str, Tensor], encoder: str) -> tuple[int, tuple[int, ...] | None]:
    """Columns that an encoder of a state dict reads, and the number of codes of each if it reads codes."""
    if f"{encoder}.weight" in state:
        return state[f"{encoder}.weight"].size(1), None
    keys = [key for key in state if key.startswith(f"{encoder}.columns.")]
    return len(keys), tuple(state[key].size(0) for key in keys) or None


def last_readers(space: Space) -> dict[str, list[str]]:
    """For a bound space, by node: the values that it is the last to read."""
    readers = {str(name): node.name for node in space.nodes for name in node.inputs}
    last: dict[str, list[str]] = {}
    for name, reader in readers.items():
        if name != space.output:
            last.setdefault(reader, []).append(name)
    return last


def scaled(value: Tensor, settings: Mapping[str, object]) -> Tensor:
    """``value`` times the attribute ``scale``, where there is one."""
    scale = settings.get("scale")
    return value if scale is None else value * float(scale)  # type: ignore[arg-type]
