"""Spaces as pure data: what an architecture is, and one file for each published space. Never imports torch."""

from __future__ import annotations

from collections.abc import Callable

from gnas.space.bench import bench
from gnas.space.gap import gap
from gnas.space.genotype import Genotype
from gnas.space.heads import for_level
from gnas.space.layered import layered
from gnas.space.node import Choice, Node
from gnas.space.pooling import pooling
from gnas.space.program import Space, prune, simplify
from gnas.space.relational import relational
from gnas.space.sane import sane

__all__ = [
    "SPACES",
    "Choice",
    "Genotype",
    "Node",
    "Space",
    "bench",
    "for_level",
    "gap",
    "layered",
    "pooling",
    "prune",
    "relational",
    "sane",
    "simplify",
]

SPACES: dict[str, Callable[..., Space]] = {
    "bench": bench,
    "gap": gap,
    "layered": layered,
    "pooling": pooling,
    "relational": relational,
    "sane": sane,
}
"""Spaces by the name that the command line takes."""
