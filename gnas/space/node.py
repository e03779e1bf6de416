"""What a program is made of: plain values, choices that are left open, and nodes, one assignment each.

Only the standard library is used.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None
"""What an option or an attribute may be: a plain value that JSON can hold."""

KINDS = ("node", "edge", "graph", "pair")
ARITY = {"identity": 1, "lerp": 2}
RESERVED = frozenset(
    {
        "self",
        "edge_index",
        "edge_weight",
        "edge_attr",
        "edge_label_index",
        "edge_label_attr",
        "batch",
        "torch",
        "nn",
        "F",
        "Tensor",
    }
)


def same(a: Value, b: Value) -> bool:
    """Whether two options are one: 1 == True == 1.0 in Python, but these are three."""
    return type(a) is type(b) and a == b


def exact(values: tuple[object, ...]) -> tuple[object, ...]:
    """The values with their types, which are equal where the values are the same."""
    return tuple((type(value), exact(value) if isinstance(value, tuple) else value) for value in values)


def check_value(value: object, where: str) -> None:
    """Refuse what JSON can't hold as a plain value."""
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise TypeError(
            f"{where} got {value!r} of type {type(value).__name__}; expected a str, int, float, bool or None, "
            "because a space is stored as JSON"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} got {value!r}; expected a finite number, because JSON has no other")


def check_name(name: object, what: str) -> None:
    """Refuse what can't be a variable of the exported source."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
        raise ValueError(
            f"{what} got the name {name!r}; expected a Python identifier that is neither a keyword nor one of "
            f"{sorted(RESERVED)}, because it becomes a variable of the exported source (try 'conv1')"
        )


@dataclass(frozen=True)
class Choice:
    """An open place of a program: one of ``options`` is to be picked.

    Two places with the same choice (the same name and options) are picked together.

    Args:
        name: The field's name for the place, such as ``"aggregate.1"`` or ``"depth"``.
        options: At least one value, no two alike. For an input they are names of earlier nodes.
    """

    name: str
    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a choice got the name {self.name!r}; expected a non-empty string such as 'depth'")
        if isinstance(self.options, str) or not isinstance(self.options, (tuple, list)):
            raise TypeError(f"choice {self.name!r} got options {self.options!r}; expected a tuple of values")
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise ValueError(f"choice {self.name!r} got no options; expected at least one")
        for i, option in enumerate(self.options):
            check_value(option, f"choice {self.name!r}, option {i},")
            if any(same(option, other) for other in self.options[:i]):
                raise ValueError(f"choice {self.name!r} lists the option {option!r} twice; expected distinct options")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Choice):
            return NotImplemented
        return self.name == other.name and exact(self.options) == exact(other.options)

    def index(self, option: Value) -> int:
        """Position of an option; raises :class:`ValueError` with the options that there are."""
        for i, other in enumerate(self.options):
            if same(option, other):
                return i
        raise ValueError(f"choice {self.name!r} has no option {option!r}; expected one of {list(self.options)}")


@dataclass(frozen=True)
class Node:
    """One assignment: ``name = op(*inputs, **attrs)``.

    Args:
        name: A Python identifier, since it becomes a variable of the exported source.
        op: Name of the operation, or a choice of names.
        inputs: Names of inputs or earlier nodes; each may be a choice of names.
        kind: What the value lives on: ``"node"``, ``"edge"`` (of the graph), ``"graph"``, or ``"pair"`` (of nodes that
            are asked about).
        attrs: Settings of the operation; each may be a choice. Given as a mapping, kept as sorted pairs.
    """

    name: str
    op: str | Choice
    inputs: tuple[str | Choice, ...] = ()
    kind: str = "node"
    attrs: tuple[tuple[str, Value | Choice], ...] | Mapping[str, Value | Choice] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "a node")
        if isinstance(self.op, Choice):
            if not all(isinstance(option, str) for option in self.op.options):
                raise TypeError(
                    f"node {self.name!r} chooses its op among {list(self.op.options)}; expected names (strings)"
                )
        elif not isinstance(self.op, str) or not self.op:
            raise TypeError(
                f"node {self.name!r} got the op {self.op!r}; expected the name of one, or a Choice of names"
            )
        if isinstance(self.inputs, str):
            raise TypeError(f"node {self.name!r} got inputs {self.inputs!r}; expected a tuple, try ({self.inputs!r},)")
        object.__setattr__(self, "inputs", tuple(self.inputs))
        for read in self.inputs:
            if not isinstance(read, (str, Choice)):
                raise TypeError(f"node {self.name!r} reads {read!r}; expected the name of a node, or a Choice of names")
        for op in self.op.options if isinstance(self.op, Choice) else (self.op,):
            least = ARITY.get(str(op), 0)
            if len(self.inputs) < least:
                raise ValueError(
                    f"node {self.name!r} got {len(self.inputs)} inputs for {op!r}; expected at least {least}, "
                    f"try Node({self.name!r}, {op!r}, {('x', 'h1')[:least]!r})"
                )
        if self.kind not in KINDS:
            raise ValueError(f"node {self.name!r} got the kind {self.kind!r}; expected one of {list(KINDS)}")
        pairs = self.attrs.items() if isinstance(self.attrs, Mapping) else self.attrs
        object.__setattr__(self, "attrs", tuple(sorted(((str(k), v) for k, v in pairs), key=lambda pair: pair[0])))
        for key, value in self.settings.items():
            if not isinstance(value, Choice):
                check_value(value, f"node {self.name!r}, attribute {key!r},")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return exact(self._fields) == exact(other._fields)

    @property
    def _fields(self) -> tuple[object, ...]:
        return self.name, self.op, self.inputs, self.kind, self.attrs

    @property
    def settings(self) -> dict[str, Value | Choice]:
        """The attributes as a dictionary."""
        return dict(self.attrs)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Open choices of this node: its op's, then its inputs', then its attributes'."""
        places = (self.op, *self.inputs, *self.settings.values())
        return tuple(place for place in places if isinstance(place, Choice))

    def reads(self) -> tuple[str, ...]:
        """Names that this node may read, over all options, without repetition."""
        names: dict[str, None] = {}
        for read in self.needed():
            for name in read.options if isinstance(read, Choice) else (read,):
                names[str(name)] = None
        return tuple(names)

    def needed(self) -> tuple[str | Choice, ...]:
        """The inputs that some option of the op reads."""
        ops = self.op.options if isinstance(self.op, Choice) else (self.op,)
        if all(op == "zero" for op in ops):
            return ()
        return self.inputs[:1] if all(op in ("identity", "zero") for op in ops) else self.inputs

    def __repr__(self) -> str:
        inside = [show(read) for read in self.inputs]
        inside += [f"{key}={show(value, quote=True)}" for key, value in self.settings.items()]
        return f"{self.name} = {show(self.op)}({', '.join(inside)})"


def show(place: Value | Choice, quote: bool = False) -> str:
    """A place of a program in words."""
    if isinstance(place, Choice):
        return f"<{place.name}: {' | '.join(show(option) for option in place.options)}>"
    return repr(place) if quote and isinstance(place, str) else str(place)
