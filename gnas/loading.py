"""How data become batches, as settings."""

from __future__ import annotations

from dataclasses import dataclass

from gnas.checks import check_count
from gnas.loaders import LOADERS
from gnas.targets import NODE, PAIR

MEASURES = ("full", "parts", "layers")
"""How networks are measured on one big graph."""


@dataclass(frozen=True)
class Loading:
    """How data become batches; ``None`` is the default of the loader.

    Args:
        loader: ``"full"``, or for the nodes of one big graph ``"random"``, ``"cluster"`` or ``"neighbor"``.
        batch_size: Graphs in a batch; of one graph the nodes, clusters or seeds.
        parts: Parts of the graph; for links those of the weights' true pairs, each asked for while the others pass
            messages.
        measure: ``"full"`` measures one graph as a whole, ``"parts"`` by the loader's parts; ``"layers"`` a plain
            network node block by node block, layer after layer, which gives what ``"full"`` does, and a supernet by
            parts.
    """

    loader: str = "full"
    batch_size: int | None = None
    parts: int | None = None
    measure: str = "full"

    def __post_init__(self) -> None:
        if self.loader not in LOADERS:
            raise ValueError(f"got loader={self.loader!r}; expected one of {list(LOADERS)}")
        if self.measure not in MEASURES:
            raise ValueError(f"got measure={self.measure!r}; expected one of {list(MEASURES)}")
        for key in ("batch_size", "parts"):
            if getattr(self, key) is not None:
                check_count(self, key, 1)

    def check(self, level: str, single: bool, nodes: int) -> None:
        """Raise :class:`ValueError` for settings that data of a level, one graph or several, have no use for."""
        if self.loader == "random" and self.parts and self.batch_size:
            raise ValueError(
                f"got parts={self.parts} and batch_size={self.batch_size} for loader='random'; expected one of them: "
                "how many parts, or how many nodes in each"
            )
        if self.loader == "random" and (self.parts or 0) > nodes:
            raise ValueError(f"got parts={self.parts} of a graph of {nodes} nodes; expected at most {nodes}")
        if self.loader != "full" and (not single or level != NODE):
            what = "a set of graphs" if not single else f"one graph at {level} level"
            raise ValueError(
                f"got loader={self.loader!r} for {what}; expected 'full': loaders part the nodes of one graph"
            )
        if self.measure != "full" and self.loader not in ("random", "cluster"):
            raise ValueError(f"got measure={self.measure!r} and loader={self.loader!r}; expected 'random' or 'cluster'")
        used = {
            "batch_size": not single or self.loader != "full",
            "parts": self.loader in ("random", "cluster") or level == PAIR,
        }
        for key, useful in used.items():
            if getattr(self, key) is not None and not useful:
                raise ValueError(
                    f"got {key}={getattr(self, key)} and loader={self.loader!r}, which has no use for it; expected "
                    "None, or another loader"
                )
