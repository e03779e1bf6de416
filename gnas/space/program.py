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

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from gnas.space.digest import digest
from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Node, Value, check_name, same
from gnas.space.stored import VERSION, built, listed, read_json

SHARING = ("site", "none")
INPUTS = {"x": "node", "edge_attr": "edge"}
"""Inputs that networks give, and their kinds: the encoded features of the nodes and of the edges."""


class RandomGenerator(Protocol):
    """What :meth:`Space.sample` draws from: :class:`random.Random` or anything with its ``randrange``."""

    def randrange(self, stop: int, /) -> int: ...


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
            check_name(name, f"space {self.name!r}, an input,")
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
                if not same(option, genotype[choice.name]):
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
            cached = digest(self)
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
        content = read_json(text, "space", shape)

        def place(value: Any) -> Any:
            if isinstance(value, dict):
                return Choice(value["choice"], listed(value["options"]))
            return value

        def build() -> Space:
            nodes = tuple(
                Node(
                    node["name"],
                    place(node["op"]),
                    tuple(place(read) for read in listed(node["inputs"])),
                    node["kind"],
                    {key: place(value) for key, value in node["attrs"].items()},
                )
                for node in content["nodes"]
            )
            starts = listed(content.get("starts", []))
            kinds = {kind.rule: kind for kind in (cls, *cls.__subclasses__())}
            kind = kinds[content.get("rule", cls.rule)]
            return kind(content["name"], nodes, content["output"], tuple(content["inputs"]), content["share"], starts)

        return built("space", build)


def prune(space: Space) -> Space:
    """Leave out the nodes and inputs that nothing reads, over all options that are left.

    Args:
        space: The program; it stays as it is.
    """
    read = {space.output}
    kept = []
    for node in reversed(space.nodes):
        if node.name in read:
            read.update(node.reads())
            kept.append(replace(node, inputs=node.needed()))
    return _narrowed(space, kept[::-1], space.output)


def _narrowed(space: Space, nodes: Sequence[Node], output: str) -> Space:
    """The space with fewer nodes; its starts say nothing of choices that are gone."""
    left = {choice.name for node in nodes for choice in node.choices}
    starts = tuple({name: option for name, option in start.items() if name in left} for start in space.starts)
    return replace(space, nodes=tuple(nodes), output=output, starts=starts)


def simplify(space: Space) -> Space:
    """Pass on ``identity``, drop ``zero`` from sums, collapse a ``lerp`` that keeps one input, and prune.

    Nodes with choices in their op are left as they are, so a space stays the same search.

    Args:
        space: The program; it stays as it is.
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
