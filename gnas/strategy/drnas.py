"""DrNAS: architectures drawn from a Dirichlet distribution (Chen and others, arXiv 2006.10355)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gnas.checks import check_number
from gnas.relaxation import Dirichlet, Relaxation
from gnas.strategy.checks import check_partial
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.one_shot import OneShotState


@dataclass(frozen=True, kw_only=True)
class DrNas(Differentiable):
    r"""Descend in the concentrations of a Dirichlet distribution over the weights of the options.

    .. math::
        \min_\beta \; E_{\theta \sim \mathrm{Dir}(\beta)} L_{val}(w, \theta) + \lambda \, d(\beta, 1), \qquad
        \beta = \mathrm{elu}(\alpha) + 1, \qquad d(\beta, 1) = \sum_{sites} \| \beta - 1 \|_2

    The gradient is pathwise, through the draw. A draw from concentrations of one is uniform over all mixtures, so the
    search explores; concentrations that grow or fall away from it make up its mind. The penalty keeps them from doing
    so early. The result is the option with the largest mean.

    Where it departs from the paper, and why: its progressive learning (fewer options and more channels in a second
    stage) is a wrapper here, ``Progressive(DrNas(), ...)``, and ``partial`` is constant. Its 3e-4 for hundreds of steps
    an epoch is 3e-2 for the one step of a full graph. The distance is the l2 norm, the authors' other one is
    Kullback-Leibler.

    Args:
        anchor: :math:`\lambda` (1e-3).
        partial: Of how many channels one goes through a chosen operation in training (6, then 3, in the paper); 1 is
            all, see :class:`~gnas.strategy.pc_darts.PcDarts`.
        epochs, warmup, arch_lr, arch_weight_decay, cost, hidden_channels, dropout, drop_inputs, checkpoint, optimizer,
            lr, weight_decay, momentum, power, grad_clip: See :class:`~gnas.strategy.differentiable.Differentiable`.
    """

    name: ClassVar[str] = "drnas"

    arch_weight_decay: float = 0.0
    anchor: float = 1e-3
    partial: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "anchor")
        check_partial(self)

    def relaxation_at(self, epoch: int) -> Relaxation:
        return Dirichlet()

    def prepare(self, state: OneShotState) -> None:
        super().prepare(state)
        state.supernet.partial = self.partial

    def penalty(self, state: OneShotState) -> Tensor:
        alphas = state.supernet.open_alphas().values()
        return self.anchor * torch.stack([(Dirichlet().concentration(a) - 1).norm() for a in alphas]).sum()
