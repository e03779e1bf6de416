r"""Overlap: how well a network tells nodes apart before it is trained, by which of its ReLUs are on.

"Neural Architecture Search without Training" (Mellor and others, ICML 2021, arXiv 2006.04647). Node i has a binary code
:math:`c_i`, one bit for each unit of each ReLU; :math:`N_A` is their number, :math:`d_H` the Hamming distance:

.. math::
    S(a) = \log \det (K + I), \qquad K_{ij} = N_A - d_H(c_i, c_j)

Where it departs from the paper, and why: an item of the batch there is an image, here a node, whatever the task's level
is, and ReLUs of edges, pairs and whole graphs are left out. Nodes with equal features and neighbours have equal codes,
and one such pair would make any network's determinant zero; the identity that is added to K counts one bit that each
node has for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gnas.batch import Batch
from gnas.checks import check_count
from gnas.task import Task
from gnas.zero_cost.base import Rectified, Score


@dataclass(frozen=True)
class Overlap(Score):
    """The logarithm of the determinant of the codes' overlap.

    Args:
        nodes: How many nodes are drawn from the batch (128 images in the paper).
    """

    name: ClassVar[str] = "overlap"

    nodes: int = 128

    def __post_init__(self) -> None:
        check_count(self, "nodes", 2)

    @torch.no_grad()
    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        count = batch.x.size(0)
        drawn = torch.randperm(count)[: self.nodes].to(task.device)
        with Rectified() as rectified:
            task.forward(net, batch)
        codes = [value[drawn].flatten(1) > 0 for value in rectified.found if value.dim() > 1 and len(value) == count]
        overlap = torch.eye(len(drawn), dtype=torch.float64, device=task.device)
        for code in codes:
            # Bits that two nodes have in common: on in both, or off in both.
            on, off = code.double(), (~code).double()
            overlap += on @ on.T + off @ off.T
        return float(torch.linalg.slogdet(overlap).logabsdet)
