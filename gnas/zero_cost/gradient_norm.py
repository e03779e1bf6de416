r"""Gradient norm: how steep the loss is where training begins.

grad_norm of "Zero-Cost Proxies for Lightweight NAS" (Abdelfattah and others, ICLR 2021, arXiv 2101.08134):

.. math::
    S(a) = \sum_l \Big\| \frac{\partial L}{\partial w_l} \Big\|_2

over the tensors w_l of weights. It has no settings.

Where it departs from the paper, and why: the paper adds up the weights of convolutions and linear layers; here all
tensors that are trained count, since graph layers keep weights of attention and of self-loops elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gnas.batch import Batch
from gnas.task import Task
from gnas.zero_cost.base import Score, loss_of, slopes, trained


@dataclass(frozen=True)
class GradientNorm(Score):
    """The sum of the gradients' Euclidean norms."""

    name: ClassVar[str] = "gradient_norm"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        return sum(float(slope.norm()) for slope in slopes(loss_of(net, task, batch), trained(net)))
