"""GDAS and SNAS: sampled architectures with a gradient, at a falling temperature.

"SNAS: Stochastic Neural Architecture Search" (Xie and others, arXiv 1812.09926); "Searching for A Robust Neural
Architecture in Four GPU Hours" (Dong and Yang, GDAS, arXiv 1910.04465).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas.checks import check_flag, check_number
from gnas.relaxation import Gumbel, Relaxation
from gnas.strategy.differentiable import Differentiable

SCHEDULES = ("linear", "exponential")


@dataclass(frozen=True, kw_only=True)
class Gdas(Differentiable):
    r"""One sampled option a choice and step, its gradient that of a Gumbel softmax whose temperature falls.

    .. math::
        \tilde w_k = \frac{\exp((\alpha_k + g_k) / \tau)}{\sum_j \exp((\alpha_j + g_j) / \tau)}, \qquad
        w = \mathrm{onehot}(\arg\max_k \tilde w_k), \qquad \nabla w := \nabla \tilde w

    with :math:`g_k` standard Gumbel noise, so that option k is drawn with the probability
    :math:`\mathrm{softmax}(\alpha)_k` at any temperature :math:`\tau`. Only what is drawn is computed: the memory and
    time of one path. GDAS is ``hard=True`` with :math:`\tau` falling linearly from 10 to 0.1; SNAS is ``hard=False``,
    the soft sample itself, which computes every option, with ``schedule="exponential"``.

    Where it departs from the papers, and why:

    * SNAS trains alpha and the weights on one split; here alpha always has its own, as everywhere in gnas.
    * GDAS draws one edge a node besides one operation an edge; here which input is read is a choice like any other.
    * The authors' learning rate of alpha is 3e-4 for hundreds of steps an epoch; a full graph makes one, so it is
      3e-2, and a run has 200 epochs, since one path teaches less a step than a mixture.

    Args:
        temperature: :math:`\tau` of the first epoch.
        last: :math:`\tau` of the last epoch.
        schedule: ``"linear"`` or ``"exponential"`` in between.
        hard: Whether one option is drawn, or all are mixed by the soft sample.
        epochs, warmup, arch_lr, arch_weight_decay, cost, hidden_channels, dropout, drop_inputs, checkpoint, optimizer,
            lr, weight_decay, momentum, power, grad_clip: See :class:`~gnas.strategy.differentiable.Differentiable`.
    """

    name: ClassVar[str] = "gdas"

    epochs: int = 200
    temperature: float = 10.0
    last: float = 0.1
    schedule: str = "linear"
    hard: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "temperature", positive=True)
        check_number(self, "last", positive=True)
        check_flag(self, "hard")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"gdas got schedule={self.schedule!r}; expected one of {list(SCHEDULES)}")

    def temperature_at(self, epoch: int) -> float:
        """The temperature in the epoch that follows after ``epoch`` of them."""
        done = min(epoch / max(1, self.epochs - 1), 1.0)
        if self.schedule == "exponential":
            return float(self.temperature * (self.last / self.temperature) ** done)
        return self.temperature + done * (self.last - self.temperature)

    def relaxation_at(self, epoch: int) -> Relaxation:
        return Gumbel(self.temperature_at(epoch), self.hard)
