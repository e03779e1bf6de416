r"""NTK condition number: how evenly gradient descent would learn the items, when it begins.

"Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective", TE-NAS (Chen and
others, ICLR 2021, arXiv 2102.11535). With the gradient of an item's summed outputs in all weights as row
:math:`J_i`, the neural tangent kernel (Jacot and others, arXiv 1806.07572) and the score are

.. math::
    \Theta = J J^\top, \qquad S(a) = -\log \frac{\lambda_{max}(\Theta)}{\lambda_{min}(\Theta)}

A small condition number is better, so it is **negated**: the best score there can be is 0.

Where it departs from the paper, and why: the items are labelled nodes, edges, pairs or graphs of the role ``weights``,
drawn without their labels being read. Two nodes that the network can't tell apart make the smallest eigenvalue zero;
it counts as no less than 1e-12 of the largest, which is what rounding leaves of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gnas.batch import Batch
from gnas.checks import check_count
from gnas.task import Task
from gnas.zero_cost.base import Score, slopes, trained

FLOOR = 1e-12


@dataclass(frozen=True)
class NtkCondition(Score):
    """Minus the logarithm of the condition number of the neural tangent kernel.

    Args:
        items: How many items are drawn from the batch, each a backward pass.
    """

    name: ClassVar[str] = "ntk_condition"

    items: int = 32

    def __post_init__(self) -> None:
        check_count(self, "items", 2)

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        index = batch.index["weights"]
        drawn = index[torch.randperm(index.numel())[: self.items].to(index.device)]
        outputs, weights = task.forward(net, batch)[drawn].sum(dim=1), trained(net)
        rows = [torch.cat([slope.flatten() for slope in slopes(output, weights, retain=True)]) for output in outputs]
        jacobian = torch.stack(rows).double()
        if not bool(jacobian.isfinite().all()):
            return math.nan
        eigenvalues = torch.linalg.eigvalsh(jacobian @ jacobian.T)
        largest = float(eigenvalues[-1])
        return -math.log(largest / max(float(eigenvalues[0]), FLOOR * largest)) if largest > 0 else -math.inf
