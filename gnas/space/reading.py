"""What the network of a genotype reads of its space: which nodes, and so which choices."""

from __future__ import annotations

from dataclasses import replace

from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space


def picked(node: Node, genotype: Genotype) -> Node:
    """A node with its choices bound."""
    options = dict(genotype.choices)

    def pick(place: str | Choice | Value) -> Value:
        return options[place.name] if isinstance(place, Choice) else place

    return replace(
        node,
        op=str(pick(node.op)),
        inputs=tuple(str(pick(read)) for read in node.inputs),
        attrs={key: pick(value) for key, value in node.settings.items()},
    )


def read_choices(space: Space, genotype: Genotype) -> set[str]:
    """Names of the choices that the network depends on; those of unread nodes are left out."""
    nodes, seen, stack = {node.name: node for node in space.nodes}, set[str](), [space.output]
    names: set[str] = set()
    while stack:
        name = stack.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            names.update(choice.name for choice in nodes[name].choices)
            stack.extend(picked(nodes[name], genotype).reads())
    return names
