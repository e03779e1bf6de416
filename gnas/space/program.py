"""The data model: an architecture is a short program, a space is that program with choices left open.

A :class:`Space` is a list of :class:`Node` in static single assignment: each node is assigned once and reads
only inputs and earlier nodes. A node's operation, any of its inputs and any of its attributes may be a
:class:`Choice`. Binding every choice with a :class:`Genotype` gives a program without choices.

Four operations have a meaning here, because pruning depends on it; all others are names that
:mod:`gnas.ops` explains:

* ``identity`` passes its first input on and reads no other (with the attribute ``transform=True`` it projects
  that input, and is then an operation like any other),
* ``zero`` reads nothing,
* ``sum`` adds its inputs; ``zero`` adds nothing to it, and the sum of one input is that input,
* ``lerp`` is ``a + weight * (b - a)``; with the weight zero, or between a node and itself, it is ``a``.

Only the standard library is used.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeAlias

Value: TypeAlias = str | int | float | bool | None
"""What an option or an attribute may be: a plain value that JSON can hold."""

VERSION = 1
KINDS = ("node", "edge", "graph", "pair")
SHARING = ("site", "none")
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
INPUTS = {"x": "node", "edge_attr": "edge"}
"""Inputs that networks give, and their kinds: the encoded features of the nodes and of the edges."""


class RandomGenerator(Protocol):
    """What :meth:`Space.sample` draws from: :class:`random.Random` or anything with its ``randrange``."""

    def randrange(self, stop: int, /) -> int: ...


def _same(a: Value, b: Value) -> bool:
    # 1 == True == 1.0 in Python, but they are three different options.
    return type(a) is type(b) and a == b


def _exact(values: tuple[object, ...]) -> tuple[object, ...]:
    return tuple((type(value), _exact(value) if isinstance(value, tuple) else value) for value in values)


def _check_value(value: object, where: str) -> None:
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise TypeError(
            f"{where} got {value!r} of type {type(value).__name__}; expected a str, int, float, bool or None, "
            "because a space is stored as JSON"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} got {value!r}; expected a finite number, because JSON has no other")


def _check_name(name: object, what: str) -> None:
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
            _check_value(option, f"choice {self.name!r}, option {i},")
            if any(_same(option, other) for other in self.options[:i]):
                raise ValueError(f"choice {self.name!r} lists the option {option!r} twice; expected distinct options")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Choice):
            return NotImplemented
        return self.name == other.name and _exact(self.options) == _exact(other.options)

    def index(self, option: Value) -> int:
        """Position of an option; raises :class:`ValueError` with the options that there are."""
        for i, other in enumerate(self.options):
            if _same(option, other):
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
        _check_name(self.name, "a node")
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
                _check_value(value, f"node {self.name!r}, attribute {key!r},")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return _exact(self._fields) == _exact(other._fields)

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
        for read in self._read():
            for name in read.options if isinstance(read, Choice) else (read,):
                names[str(name)] = None
        return tuple(names)

    def _read(self) -> tuple[str | Choice, ...]:
        ops = self.op.options if isinstance(self.op, Choice) else (self.op,)
        if all(op == "zero" for op in ops):
            return ()
        return self.inputs[:1] if all(op in ("identity", "zero") for op in ops) else self.inputs

    def __repr__(self) -> str:
        inside = [_show(read) for read in self.inputs]
        inside += [f"{key}={_show(value, quote=True)}" for key, value in self.settings.items()]
        return f"{self.name} = {_show(self.op)}({', '.join(inside)})"


def _show(place: Value | Choice, quote: bool = False) -> str:
    if isinstance(place, Choice):
        return f"<{place.name}: {' | '.join(_show(option) for option in place.options)}>"
    return repr(place) if quote and isinstance(place, str) else str(place)


@dataclass(frozen=True)
class Genotype:
    """One bound point of a space: an option for every choice.

    Args:
        space: Name of the space.
        digest: Digest of the space (:meth:`Space.digest`), by which a genotype of another space is refused.
        choices: Option by name of choice. Given as a mapping, kept as sorted pairs.
    """

    space: str
    digest: str
    choices: tuple[tuple[str, Value], ...] | Mapping[str, Value]

    def __post_init__(self) -> None:
        pairs = self.choices.items() if isinstance(self.choices, Mapping) else self.choices
        object.__setattr__(self, "choices", tuple(sorted(((str(k), v) for k, v in pairs), key=lambda pair: pair[0])))
        for name, option in dict(self.choices).items():
            _check_value(option, f"genotype of space {self.space!r}, choice {name!r},")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genotype):
            return NotImplemented
        return _exact((self.space, self.digest, self.choices)) == _exact((other.space, other.digest, other.choices))

    def __getitem__(self, name: str) -> Value:
        choices = dict(self.choices)
        if name not in choices:
            raise KeyError(f"genotype of space {self.space!r} has no choice {name!r}; it has {list(choices)}")
        return choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.choices))

    def replace(self, **options: Value) -> Genotype:
        """A copy with other options; names with dots go through ``replace(**{"aggregate.1": "gcn"})``."""
        for name in options:
            self[name]
        return replace(self, choices={**dict(self.choices), **options})

    def __repr__(self) -> str:
        return f"Genotype({self.space}: {', '.join(f'{k}={_show(v)}' for k, v in dict(self.choices).items())})"

    def to_json(self) -> str:
        """The genotype as JSON text with a version field."""
        content = {"space": self.space, "digest": self.digest, "choices": dict(self.choices)}
        return json.dumps({"format": "gnas.genotype", "version": VERSION, **content}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """Read what :meth:`to_json` wrote; anything else is refused with a :class:`ValueError`."""
        content = _load(text, "genotype", {"space": str, "digest": str, "choices": dict})
        return _built("genotype", lambda: cls(content["space"], content["digest"], content["choices"]))


@dataclass(frozen=True)
class Space:
    """A program with choices left open; without choices it is one architecture.

    Args:
        name: What it is called, such as ``"gap"``.
        nodes: Assignments in order.
        output: Name of the node (or input) that is the result.
        inputs: Names that are given from outside.
        share: How the candidates of a site share weights: ``"site"`` (one projection for all) or ``"none"``
            (each its own).
        starts: Points that are known to be good, each an option for every choice: a warm start, for whoever chooses
            among genotypes. They are no part of what the space is, so neither equality nor the digest sees them.
    """

    name: str
    nodes: tuple[Node, ...]
    output: str
    inputs: tuple[str, ...] = ("x",)
    share: str = "site"
    starts: tuple[Mapping[str, Value], ...] = field(default=(), repr=False, compare=False, hash=False)
    rule: ClassVar[str] = ""
    """Name of a subclass that has a notion of its own of the same network (:meth:`canonical`)."""
    choices: dict[str, Choice] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if isinstance(self.inputs, str):
            raise TypeError(f"space {self.name!r} got inputs {self.inputs!r}; expected a tuple, try ({self.inputs!r},)")
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a space got the name {self.name!r}; expected a non-empty string such as 'gap'")
        if self.share not in SHARING:
            raise ValueError(f"space {self.name!r} got share={self.share!r}; expected one of {list(SHARING)}")
        for name in set(self.inputs) - set(INPUTS):
            _check_name(name, f"space {self.name!r}, an input,")
        defined = dict.fromkeys(self.inputs)
        choices: dict[str, Choice] = {}
        for node in self.nodes:
            if not isinstance(node, Node):
                raise TypeError(f"space {self.name!r} got {node!r} among its nodes; expected Node objects")
            if node.name in defined:
                raise ValueError(f"space {self.name!r} defines {node.name!r} twice; expected each name once")
            for read in node.inputs:
                for name in map(str, read.options) if isinstance(read, Choice) else (read,):
                    if name not in defined:
                        raise ValueError(
                            f"node {node.name!r} of space {self.name!r} reads {name!r}, which no earlier node defines "
                            f"(defined so far: {list(defined)})"
                        )
            for choice in node.choices:
                known = choices.setdefault(choice.name, choice)
                if known != choice:
                    raise ValueError(
                        f"space {self.name!r} has two choices named {choice.name!r} with other options: "
                        f"{list(known.options)} and {list(choice.options)}; give them two names, or the same options"
                    )
            defined[node.name] = None
        if self.output not in defined:
            raise ValueError(
                f"space {self.name!r} has the output {self.output!r}, which no node defines (defined: {list(defined)})"
            )
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "starts", tuple(dict(start) for start in self.starts))
        for start in self.starts:
            if set(start) != set(choices):
                raise ValueError(
                    f"space {self.name!r} got a start for the choices {sorted(start)}; expected an option for each of "
                    f"{sorted(choices)}"
                )
            for name, option in start.items():
                choices[name].index(option)

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"space {self.name!r} has no node {name!r}; it has {[node.name for node in self.nodes]}")

    def kind(self, name: str) -> str:
        """What the value of a node or an input lives on."""
        return INPUTS.get(name, "node") if name in self.inputs else self[name].kind

    @property
    def size(self) -> int:
        """Number of genotypes: the product of the numbers of options."""
        return math.prod(len(choice.options) for choice in self.choices.values())

    @property
    def bound(self) -> bool:
        """Whether no choice is left."""
        return not self.choices

    def __repr__(self) -> str:
        head = f"Space {self.name}({', '.join(self.inputs)}) -> {self.output}, "
        what = "bound" if self.bound else f"{len(self.choices)} choices, {self.size:.4g} genotypes"
        return "\n  ".join([head + what, *map(repr, self.nodes)])

    def genotype(self, choices: Mapping[str, Value]) -> Genotype:
        """A genotype of this space from options by name; every choice must be named."""
        genotype = Genotype(self.name, self.digest(), dict(choices))
        self.check(genotype)
        return genotype

    def sample(self, generator: RandomGenerator) -> Genotype:
        """Draw every choice uniformly from a handed generator (:class:`random.Random`)."""
        drawn = {c.name: c.options[generator.randrange(len(c.options))] for c in self.choices.values()}
        return Genotype(self.name, self.digest(), drawn)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """All genotypes that differ in one choice, in the order of choices and options."""
        self.check(genotype)
        for choice in self.choices.values():
            for option in choice.options:
                if not _same(option, genotype[choice.name]):
                    yield genotype.replace(**{choice.name: option})

    def check(self, genotype: Genotype) -> None:
        """Raise :class:`ValueError` unless the genotype is one of this space."""
        if genotype.digest != self.digest() or genotype.space != self.name:
            raise ValueError(
                f"got a genotype of space {genotype.space!r} ({genotype.digest[:12]}), expected one of "
                f"{self.name!r} ({self.digest()[:12]}); build the space with the settings it was searched with"
            )
        given = dict(genotype.choices)
        missing = [name for name in self.choices if name not in given]
        extra = [name for name in given if name not in self.choices]
        if missing or extra:
            raise ValueError(
                f"genotype of space {self.name!r} lacks the choices {missing} and has the unknown choices {extra}; "
                f"expected exactly {list(self.choices)}"
            )
        for name, option in given.items():
            self.choices[name].index(option)

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype that is bound in the place of this one: itself, unless a space knows which ones are the same."""
        return genotype

    def bind(self, genotype: Genotype) -> Space:
        """The program of one genotype: no choice is left, and no node that nothing reads.

        ``identity`` passes on what it reads, ``zero`` vanishes from sums, and a ``lerp`` that keeps its first input
        alone is that input, so a branch that was switched off leaves no trace.
        """
        self.check(genotype)
        genotype = self.canonical(genotype)

        def pick(place: Any) -> Any:
            return genotype[place.name] if isinstance(place, Choice) else place

        nodes = [
            replace(
                node,
                op=pick(node.op),
                inputs=tuple(pick(read) for read in node.inputs),
                attrs={key: pick(value) for key, value in node.settings.items()},
            )
            for node in self.nodes
        ]
        return simplify(replace(self, nodes=tuple(nodes), starts=()))

    def digest(self) -> str:
        """A canonical name of the structure: 64 hexadecimal digits.

        Names of nodes and their order don't count; operations, attributes, wiring, choices and inputs do. Each
        node is coloured by its operation and what it reads, then by what reads it, until the colours settle
        (Weisfeiler-Lehman refinement along the edges of the DAG); the digest is that of the sorted colours. What
        this refinement can't tell apart has one digest: with up to four nodes nothing, and from five on a few
        programs with two pairs of twins, one pair of which reads the other.
        """
        cached: str | None = self.__dict__.get("_digest")
        if cached is None:
            cached = _digest(self)
            object.__setattr__(self, "_digest", cached)
        return cached

    def to_json(self) -> str:
        """The space as JSON text with a version field."""

        def place(value: Value | Choice) -> Any:
            return {"choice": value.name, "options": list(value.options)} if isinstance(value, Choice) else value

        nodes = [
            {
                "name": node.name,
                "op": place(node.op),
                "inputs": [place(read) for read in node.inputs],
                "kind": node.kind,
                "attrs": {key: place(value) for key, value in node.settings.items()},
            }
            for node in self.nodes
        ]
        head = {"format": "gnas.space", "version": VERSION, "name": self.name, "inputs": list(self.inputs)}
        more: dict[str, Any] = {"starts": self.starts} if self.starts else {}
        if self.rule:
            more["rule"] = self.rule
        return json.dumps({**head, "output": self.output, "share": self.share, "nodes": nodes, **more}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Space:
        """Read what :meth:`to_json` wrote; anything else is refused with a :class:`ValueError`."""
        shape = {"name": str, "inputs": list, "output": str, "share": str, "nodes": list}
        content = _load(text, "space", shape)

        def place(value: Any) -> Any:
            if isinstance(value, dict):
                return Choice(value["choice"], _list(value["options"]))
            return value

        def build() -> Space:
            nodes = tuple(
                Node(
                    node["name"],
                    place(node["op"]),
                    tuple(place(read) for read in _list(node["inputs"])),
                    node["kind"],
                    {key: place(value) for key, value in node["attrs"].items()},
                )
                for node in content["nodes"]
            )
            starts = _list(content.get("starts", []))
            kinds = {kind.rule: kind for kind in (cls, *cls.__subclasses__())}
            kind = kinds[content.get("rule", cls.rule)]
            return kind(content["name"], nodes, content["output"], tuple(content["inputs"]), content["share"], starts)

        return _built("space", build)


def prune(space: Space) -> Space:
    """Leave out the nodes and inputs that nothing reads, over all options that are left."""
    read = {space.output}
    kept = []
    for node in reversed(space.nodes):
        if node.name in read:
            read.update(node.reads())
            kept.append(replace(node, inputs=node._read()))
    return _narrowed(space, kept[::-1], space.output)


def _narrowed(space: Space, nodes: Sequence[Node], output: str) -> Space:
    """The space with fewer nodes; its starts say nothing of choices that are gone."""
    left = {choice.name for node in nodes for choice in node.choices}
    starts = tuple({name: option for name, option in start.items() if name in left} for start in space.starts)
    return replace(space, nodes=tuple(nodes), output=output, starts=starts)


def simplify(space: Space) -> Space:
    """Pass on ``identity``, drop ``zero`` from sums, collapse a ``lerp`` that keeps one input, and prune.

    Nodes with choices in their op are left as they are, so a space stays the same search.
    """
    places = [read for node in space.nodes for read in node.inputs]
    # What a choice of inputs names must stay there to be read.
    optional = {option for read in places if isinstance(read, Choice) for option in read.options}
    alias: dict[str, str] = {}
    zeros: set[str] = set()
    nodes: list[Node] = []
    for node in space.nodes:
        inputs = tuple(alias.get(read, read) if isinstance(read, str) else read for read in node.inputs)
        op = node.op
        if op == "sum":
            inputs = tuple(read for read in inputs if read not in zeros)
            if not inputs:
                op = "zero"
        single = op == "identity" and node.settings.get("transform", False) is False
        single = single or (op == "sum" and len(inputs) == 1)
        if op == "lerp":
            single = inputs[0] == inputs[1] or node.settings.get("weight") == 0
        if single and isinstance(inputs[0], str) and node.name not in optional:
            alias[node.name] = inputs[0]
            continue
        if op == "zero":
            zeros.add(node.name)
            inputs = ()
        nodes.append(replace(node, op=op, inputs=inputs))
    return prune(_narrowed(space, nodes, alias.get(space.output, space.output)))


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(space: Space) -> str:
    commutative = ("sum", "max", "mean")

    def label(place: Value | Choice, colours: Mapping[str, str] | None = None) -> object:
        if isinstance(place, Choice):
            options = [label(option, colours) for option in place.options]
            return ["choice", place.name, options]
        return colours[str(place)] if colours is not None else [type(place).__name__, place]

    def reads(node: Node, colours: Mapping[str, str]) -> list[object]:
        read = [label(read, colours) for read in node.inputs]
        return sorted(read, key=str) if node.op in commutative else read

    down: dict[str, str] = {name: _hash("input", i) for i, name in enumerate(space.inputs)}
    for node in space.nodes:
        attrs = [[key, label(value)] for key, value in node.settings.items()]
        down[node.name] = _hash(label(node.op), node.kind, attrs, reads(node, down))

    # Where no two nodes are alike, the first colours say it all.
    colours, settled = down, len(set(down.values())) == len(down)
    while not settled:
        readers: dict[str, list[str]] = {name: [] for name in colours}
        for node in space.nodes:
            for position, read in enumerate(node.inputs):
                for name in read.options if isinstance(read, Choice) else (read,):
                    place = -1 if node.op in commutative else position
                    readers[str(name)].append(_hash(colours[node.name], place))
        refined = {name: _hash(colour, sorted(readers[name]), name == space.output) for name, colour in colours.items()}
        for node in space.nodes:
            refined[node.name] = _hash(refined[node.name], *reads(node, colours))
        settled = len(set(refined.values())) == len(set(colours.values()))
        colours = refined
    # How candidates share weights is part of a search, not of the network that is found.
    return _hash(space.share if space.choices else "", sorted(colours.values()), colours[space.output])


def _load(text: str, what: str, shape: Mapping[str, type]) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"the {what} is not JSON ({error}); expected what to_json() writes") from None
    if not isinstance(content, dict) or content.get("format") != f"gnas.{what}":
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"the JSON is no {what}: got format {got!r}, expected 'gnas.{what}', as to_json() writes it")
    if content.get("version") != VERSION:
        raise ValueError(
            f"the {what} has version {content.get('version')!r}; this gnas reads version {VERSION}: "
            "install the gnas that wrote it, or search again"
        )
    for key, kind in shape.items():
        if not isinstance(content.get(key), kind):
            raise ValueError(
                f"the {what}'s field {key!r} is {content.get(key)!r}; expected a {kind.__name__}: the file is damaged"
            )
    return content


def _list(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"got {value!r} where a list was expected")
    return tuple(value)


def _built(what: str, build: Any) -> Any:
    try:
        return build()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the {what} is malformed: {error}") from None
