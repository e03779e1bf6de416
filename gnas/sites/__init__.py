"""Sites of a supernet: nodes with open choices, as modules that mix their candidates.

A site answers three calls: ``reads`` says which inputs the candidates with a weight read, ``forward`` mixes these
candidates, and ``inherit`` hands the parameters of one candidate to the plain layers of that operation. A site whose
``inner`` is true makes states on its way that its backward pass needs.
"""

from __future__ import annotations

from typing import TypeAlias

from gnas.ops import options
from gnas.ops.convolution import Convolution
from gnas.sites.own import FOLDED, STATISTICS, FixedSite, Inputs, Mix, Mixes, OwnSite, StackedSite, State
from gnas.sites.shared import SharedSite
from gnas.space import Choice, Node

__all__ = [
    "FOLDED",
    "STATISTICS",
    "FixedSite",
    "Inputs",
    "Mix",
    "Mixes",
    "OwnSite",
    "SharedSite",
    "Site",
    "StackedSite",
    "State",
    "site_of",
]

Site: TypeAlias = FixedSite | OwnSite | SharedSite


def site_of(node: Node, hidden: int, share: str, edges: bool = False) -> Site:
    """The site of a node under the space's sharing, in a network with edge features (``edges``) or without."""
    convolutions = "transform" in node.settings and all(isinstance(op, Convolution) for op in options(node))
    if convolutions and node.kind == "node" and share == "site":
        return SharedSite(node, hidden, edges)
    if convolutions and isinstance(node.op, Choice):
        return StackedSite(node, hidden, edges)
    if isinstance(node.op, Choice) or any(isinstance(value, Choice) for value in node.settings.values()):
        return OwnSite(node, hidden, edges)
    return FixedSite(node, hidden, edges)
