"""Several graphs as one data set: a :class:`GraphSet`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class GraphSet:
    """Graphs with, if it is known, their published split and metric.

    Args:
        graphs: The graphs, each a PyG :class:`~torch_geometric.data.Data`.
        split: Positions in ``graphs`` of each role (``"weights"``, ``"architecture"``, ``"test"``), int64, or None.
        metric: Name of the metric, such as ``"mae"`` or ``"ogb:ogbg-molhiv"``, or None for the task's own.
        name: What the data is called in reports.
        categories: Where the columns of ``x`` are codes, the number of values of each, or None.
        edge_categories: The same of ``edge_attr``.
    """

    graphs: tuple[Data, ...]
    split: Mapping[str, Tensor] | None
    metric: str | None = None
    name: str = "data"
    categories: tuple[int, ...] | None = None
    edge_categories: tuple[int, ...] | None = None
