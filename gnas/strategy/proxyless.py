"""ProxylessNAS: binarised gates, one path in memory (Cai, Zhu, Han, arXiv 1812.00332)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from gnas.relaxation import BinaryGates, OnePath, Relaxation
from gnas.strategy.base import Batches, Task
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.one_shot import OneShotState


@dataclass(frozen=True, kw_only=True)
class Proxyless(Differentiable):
    r"""Run one drawn path, compare it with one other, and move the two alphas.

    .. math::
        g = \mathrm{onehot}(k), \; k \sim p = \mathrm{softmax}(\alpha), \qquad
        \frac{\partial L}{\partial \alpha_i} \approx
            \sum_j \frac{\partial L}{\partial g_j} \, p_j (\delta_{ij} - p_i)

    over two options drawn from p, with p their shares of the two (:class:`gnas.relaxation.BinaryGates`). The step of
    the two alphas is followed by adding one number to both, so that together they keep their probability, and no
    option that wasn't drawn changes its own. Where an alpha is raised for beating a weak option, it is not raised
    against all. (A cost term, which every option has, moves them all.)

    Where it departs from the paper, and why: the weights' steps use one path, as there; a measured latency in the loss
    is left to a cost term that all strategies share; the paper's learning rate of 1e-3 for Adam (betas 0 and .999, the
    first so that only the two alphas move) is 3e-2 for the one step an epoch of a full graph, with 200 epochs, since
    one path teaches less a step than a mixture.

    Args:
        arch_weight_decay: 0.0 and nothing else: a weight decay of alpha would move all.
        epochs, warmup, arch_lr, cost, hidden_channels, dropout, drop_inputs, checkpoint, optimizer, lr, weight_decay,
            momentum, power, grad_clip: See :class:`~gnas.strategy.differentiable.Differentiable`.
    """

    name: ClassVar[str] = "proxyless"
    betas: ClassVar[tuple[float, float]] = (0.0, 0.999)

    epochs: int = 200
    arch_weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.arch_weight_decay:
            raise ValueError(
                f"proxyless got arch_weight_decay={self.arch_weight_decay!r}; expected 0: it would move alphas of "
                "options that were not drawn"
            )

    def relaxation_at(self, epoch: int) -> Relaxation:
        return BinaryGates()

    def update_weights(self, task: Task, state: OneShotState, batches: Batches) -> None:
        # The weights need no other path to compare with.
        state.supernet.relaxation = OnePath()
        super().update_weights(task, state, batches)
        self.prepare(state)

    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        alphas = state.supernet.arch_parameters()
        before = [alpha.detach().clone() for alpha in alphas]
        super().update_architecture(task, state, batches)
        with torch.no_grad():
            for alpha, old in zip(alphas, before, strict=True):
                moved = alpha != old
                if moved.any():
                    alpha[moved] += old[moved].logsumexp(dim=0) - alpha[moved].logsumexp(dim=0)
