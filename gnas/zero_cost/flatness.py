r"""Flatness: how little the loss moves when all weights are shaken.

"GeNAS: Neural Architecture Search with Better Generalization" (Jeong and others, IJCAI 2023, arXiv 2305.08611). With
weights :math:`w_t = w + N(0, \sigma_t)` shaken more and more, :math:`\sigma_0 = 0`,

.. math::
    S(a) = \Big( \sum_{t=0}^{T-1} \Big| \frac{L(w_{t+1}) - L(w_t)}{\sigma_{t+1} - \sigma_t} \Big| \Big)^{-1}

Where it departs from the paper, and why: there w are the weights of a trained supernet, and the loss at w itself counts
as zero, so that the first term says how deep the minimum lies. Here w are the weights that a training would start from,
which lie in no minimum, and the first term is a difference like the others. The loss is that of the role ``weights``
and not of held-out data, which an untrained network has not seen either. The authors' code adds up the noise of the
steps, as is done here, and 1e-5 to the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import ClassVar

import torch
from torch import nn

from gnas.batch import Batch
from gnas.checks import check_count, check_tuple
from gnas.task import Task
from gnas.zero_cost.base import Score, loss_of, trained


@dataclass(frozen=True)
class Flatness(Score):
    """The inverse of the loss' mean change under noise.

    Args:
        sigmas: Standard deviations of the noise, increasing (0.001, 0.003, 0.006 in the authors' searches).
        draws: How often the noise is drawn; the sums are averaged (once there).
    """

    name: ClassVar[str] = "flatness"

    sigmas: tuple[float, ...] = (0.001, 0.003, 0.006)
    draws: int = 4

    def __post_init__(self) -> None:
        check_tuple(self, "sigmas", "(0.001, 0.003, 0.006)")
        check_count(self, "draws", 1)
        numbers = all(isinstance(sigma, Real) and not isinstance(sigma, bool) for sigma in self.sigmas)
        if not self.sigmas or not numbers or not all(low < high for low, high in pairwise((0.0, *self.sigmas))):
            raise ValueError(
                f"flatness got sigmas={self.sigmas!r}; expected increasing numbers above 0, such as "
                "(0.001, 0.003, 0.006)"
            )

    @torch.no_grad()
    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        weights = trained(net)
        start = [weight.clone() for weight in weights]
        first, total = float(loss_of(net, task, batch)), 0.0
        for _ in range(self.draws):
            before = first
            for low, high in pairwise((0.0, *self.sigmas)):
                for weight in weights:
                    weight.add_(torch.randn(weight.shape).to(weight), alpha=high - low)
                after = float(loss_of(net, task, batch))
                total += abs(after - before) / (high - low)
                before = after
            for weight, kept in zip(weights, start, strict=True):
                weight.copy_(kept)
        return 1 / (total / self.draws + 1e-5)
