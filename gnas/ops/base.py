"""What an operation is: the layers it is made of, how they run, and how a person would write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnas.kernels import Graph


@dataclass(frozen=True)
class Size:
    """A number of channels that is known when a network is built and has a name in its source."""

    text: str
    of: Callable[[int], int]


HIDDEN = Size("hidden_channels", lambda hidden: hidden)


def split(heads: int) -> Size:
    """Channels of one of ``heads`` attention heads."""

    def share(hidden: int) -> int:
        if hidden % heads:
            raise ValueError(
                f"got hidden_channels={hidden} for {heads} attention heads; expected a multiple, try {heads * 8}"
            )
        return hidden // heads

    return Size(f"hidden_channels // {heads}", share)


def times(count: int) -> Size:
    """Channels of ``count`` concatenated states."""
    return Size(f"{count} * hidden_channels", lambda hidden: count * hidden)


@dataclass(frozen=True)
class Call:
    """The constructor call of a layer as data: it builds the layer, and it prints itself.

    Args:
        factory: The layer's class.
        arguments: Positional arguments; a :class:`Size` or another call stands for its value.
        settings: Keyword arguments.
        replaced: Attributes that are set to other layers afterwards, as in ``conv.lin = nn.Identity()``.
    """

    factory: type[nn.Module]
    arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    replaced: Mapping[str, Call] = field(default_factory=dict)

    def build(self, hidden: int) -> nn.Module:
        """The layer for ``hidden`` channels."""
        layer = self.factory(
            *(_value(a, hidden) for a in self.arguments), **{k: _value(v, hidden) for k, v in self.settings.items()}
        )
        for name, call in self.replaced.items():
            setattr(layer, name, call.build(hidden))
        return layer

    def check(self, hidden: int) -> None:
        """Raise :class:`ValueError` if the layer can't have ``hidden`` channels."""
        for value in (*self.arguments, *self.settings.values(), *self.replaced.values()):
            if isinstance(value, Size):
                value.of(hidden)
            elif isinstance(value, Call):
                value.check(hidden)

    def __str__(self) -> str:
        inside = [_text(a) for a in self.arguments] + [f"{k}={_text(v)}" for k, v in self.settings.items()]
        return f"{_name(self.factory)}({', '.join(inside)})"

    def lines(self, variable: str) -> list[str]:
        """The statements that assign the layer to ``variable``."""
        return [f"{variable} = {self}"] + [f"{variable}.{name} = {call}" for name, call in self.replaced.items()]

    def factories(self) -> list[type[nn.Module]]:
        """Classes that the statements name."""
        inner = [a for a in (*self.arguments, *self.settings.values(), *self.replaced.values()) if isinstance(a, Call)]
        return [self.factory, *(f for call in inner for f in call.factories())]


def _value(argument: Any, hidden: int) -> Any:
    if isinstance(argument, Size):
        return argument.of(hidden)
    return argument.build(hidden) if isinstance(argument, Call) else argument


def _text(argument: Any) -> str:
    if isinstance(argument, Size):
        return argument.text
    if isinstance(argument, Tensor):
        return f"torch.tensor({argument.tolist()})"
    if isinstance(argument, str):
        return f'"{argument}"'
    if isinstance(argument, list):
        return f"[{', '.join(map(_text, argument))}]"
    return str(argument) if isinstance(argument, Call) else repr(argument)


def _name(factory: type[nn.Module]) -> str:
    return f"nn.{factory.__name__}" if factory.__module__.startswith("torch.nn") else factory.__name__


@dataclass(frozen=True)
class Context:
    """What every operation of one forward pass may read besides its inputs.

    Args:
        graph: The graph, sorted for the kernels.
        zeros: An all-zero state of the kind that is computed; of nodes it is [nodes, hidden_channels].
        dropout: Probability of dropping an entry before a projection.
        training: Whether dropout is on.
        batch: Graph of each node, [nodes], or ``None`` for a single graph.
        tracking: Whether running statistics move in training.
        edges: Encoded features of the edges in the order of ``edge_index``, [edges, hidden_channels], if there are any.
        pairs: The pairs of nodes that are scored, [2, pairs], if there are any.
        pair_edges: Encoded features of the edge that each pair is, [pairs, hidden_channels], if they are known.
    """

    graph: Graph
    zeros: Tensor
    dropout: float
    training: bool
    batch: Tensor | None = None
    tracking: bool = True
    edges: Tensor | None = None
    pairs: Tensor | None = None
    pair_edges: Tensor | None = None

    def index(self) -> Tensor:
        """Graph of each node, [nodes], also where there is one graph only."""
        return self.zeros.new_zeros(self.graph.num_nodes, dtype=torch.long) if self.batch is None else self.batch

    def at(self, kind: str) -> Context:
        """The same for a state of another kind than ``node``."""
        if kind == "edge":
            rows = self.graph.edge_index.size(1)
        elif kind == "pair":
            rows = 0 if self.pairs is None else self.pairs.size(1)
        else:
            rows = 1 if self.batch is None else int(self.batch.max()) + 1
        return replace(self, zeros=self.zeros.new_zeros(rows, self.zeros.size(1)))


Settings = Mapping[str, Any]
Layers = Mapping[str, nn.Module]


class Op:
    """An operation that a space may name.

    A subclass says which layers it is made of (:meth:`layers`), runs them on tensors (:meth:`forward`) and writes
    the same as a Python expression (:meth:`source`). The keys of ``layers`` are endings of attribute names: the
    layer ``""`` of the node ``conv1`` is ``self.conv1``, the layer ``"_root"`` is ``self.conv1_root``.
    """

    name: ClassVar[str]
    messages: ClassVar[bool] = False
    """Whether it reads along the edges."""
    weighted: ClassVar[bool] = False
    """Whether ``edge_weight`` is read."""
    edges: ClassVar[bool] = False
    """Whether edge features are read where the network has them; the setting ``edges`` then says that it has."""
    local: ClassVar[bool] = True
    """Whether a trained layer's value at a node follows from the node itself, or if it reads along the edges from the
    edges that end there and both their ends. What compares all nodes, or sums over edges by itself, is not local."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Kind of each input, the last for all that follow; with none, every input is of the node's own kind."""
    gives: ClassVar[str] = ""
    """Kind of the value; with none, any."""
    functions: ClassVar[tuple[Callable[..., Any], ...]] = ()
    """Functions that the source names besides the layers."""

    def layers(self, inputs: int, settings: Settings) -> dict[str, Call]:
        """The layers for a node with that many inputs and those settings."""
        return {}

    def reads(self, inputs: int, settings: Settings) -> range:
        """Positions of the inputs that are read."""
        return range(inputs)

    def coefficients(self, inputs: int, settings: Settings) -> tuple[float, ...] | None:
        """A number for each input of an operation that is nothing but their weighted sum, ``None`` for any other.

        Candidates of this kind fold: a mixture of them needs one pass over each input.
        """
        return None

    def forward(self, layers: Layers, inputs: Sequence[Tensor], settings: Settings, context: Context) -> Tensor:
        """The value of the node from those inputs that it reads, [nodes, hidden_channels]."""
        raise NotImplementedError

    def source(self, layers: Mapping[str, str], inputs: Sequence[str], settings: Settings) -> str:
        """The same as an expression; ``layers`` and ``inputs`` are variables, the setting ``kind`` is the node's."""
        raise NotImplementedError


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """As :func:`torch.nn.functional.dropout`, with ``p`` rounded to a multiple of 2^-16 on a CPU.

    There PyTorch draws a number of 32 bits or more for each entry, one at a time. Here four entries share one of 64
    bits, which is most of the time that a mask takes.
    """
    if not training or p == 0:
        return x
    if p >= 1:
        return torch.zeros_like(x)
    if x.device.type != "cpu":
        return torch.nn.functional.dropout(x, p)
    dropped = min(max(round(p * 2**16), 1), 2**16 - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    mask = torch.ge(bits, dropped - 2**15, out=torch.empty_like(x, requires_grad=False))
    return x * mask.mul_(2**16 / (2**16 - dropped))


def activate(x: Tensor, context: Context) -> Tensor:
    """What precedes every projection: ReLU, then dropout."""
    return dropout(x.relu(), context.dropout, context.training)
