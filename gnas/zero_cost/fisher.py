r"""Fisher: by how much the loss would change without one channel or another.

Fisher pruning (Theis and others, arXiv 1801.05787), with which BlockSwap (Turner and others, arXiv 1906.04113) ranks
architectures at the start, and arXiv 2101.08134 as "fisher". For channel c of the activations A of a layer, with the
gradients g of the loss in them,

.. math::
    S(a) = \sum_{A} \sum_c \frac{1}{2 N} \sum_{n=1}^N \Big( A_{nc}\, g_{nc} \Big)^2

where n counts rows: nodes, or whatever the layer's rows are. It has no settings.

Where it departs from the papers, and why: an image's channel is summed over its pixels before it is squared; a node is
one row, with nothing to sum over. Gradients are those of the mean loss times the number N of rows, so that the size of
the graph doesn't count. Activations are those behind each ReLU, as in BlockSwap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gnas.batch import Batch
from gnas.task import Task
from gnas.zero_cost.base import Rectified, Score, loss_of, slopes


@dataclass(frozen=True)
class Fisher(Score):
    """The sum of the channels' Fisher information."""

    name: ClassVar[str] = "fisher"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        with Rectified() as rectified:
            loss = loss_of(net, task, batch)
        activations = [value for value in rectified.found if value.requires_grad]
        found = zip(activations, slopes(loss, activations), strict=True)
        return sum(0.5 * len(a) * float((a.detach() * slope).square().sum()) for a, slope in found)
