r"""Synflow: how much flows through the network when every weight is positive.

"Pruning neural networks without any data by iteratively conserving synaptic flow" (Tanaka and others, arXiv
2006.05467), summed over a network as in arXiv 2101.08134. With all weights replaced by their absolute values, biases by
zero and all features by ones,

.. math::
    R = \sum_{i, c} f_{|w|}(1)_{ic}, \qquad S(a) = \log \sum_w \Big| \frac{\partial R}{\partial w} w \Big|

In a chain of L linear layers the sum is L R, since every layer conserves the flow. It reads no label and no feature;
it has no settings.

Where it departs from the papers, and why:

* the logarithm orders networks as the sum does, and stays within what a number of 64 bits can hold;
* messages pass along the task's own graph, so hubs weigh more; in a Chebyshev filter, whose Laplacian has negative
  entries, some of the flow cancels;
* normalisations are passed by, as in arXiv 2101.08134, since over rows that are all alike they would let nothing
  through; codes of categories stay what they are, since they can't be ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.nn import GraphNorm, PairNorm

from gnas.batch import Batch
from gnas.task import Task
from gnas.zero_cost.base import Score, slopes, trained

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, GraphNorm, PairNorm)


@dataclass(frozen=True)
class Synflow(Score):
    """The logarithm of the synaptic flow."""

    name: ClassVar[str] = "synflow"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        net = net.double()
        for module in net.modules():
            if isinstance(module, NORMS):
                module.register_forward_hook(lambda _, inputs, __: inputs[0])
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(torch.zeros_like(parameter) if name.endswith("bias") else parameter.abs())
        weight = None if batch.edge_weight is None else batch.edge_weight.double().abs()
        edges = None if batch.edge_attr is None else _ones(batch.edge_attr)
        flow = task.forward(net, replace(batch, x=_ones(batch.x), edge_weight=weight, edge_attr=edges)).sum()
        weights = trained(net)
        total = sum(
            float((slope * w.detach()).abs().sum()) for slope, w in zip(slopes(flow, weights), weights, strict=True)
        )
        return math.log(total) if total > 0 else -math.inf


def _ones(x: Tensor) -> Tensor:
    return x if not x.is_floating_point() else torch.ones(x.shape, dtype=torch.float64, device=x.device)
