"""GOLD-NAS: gradual, one-level, differentiable (Bi and others, arXiv 2007.03331)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gnas.checks import check_number
from gnas.relaxation import Relaxation, Sigmoid
from gnas.space.transform import restrict
from gnas.strategy.base import Batches, Event, Task
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.one_shot import OneShotState


@dataclass(frozen=True, kw_only=True)
class GoldNas(Differentiable):
    r"""Gates instead of shares, a growing price on them, and what closes is pruned while the rest trains on.

    .. math::
        \min_{w, \alpha} \; L_{train}(w, \sigma(\alpha)) + \lambda(t) \sum_k \ln(1 + \sigma(\alpha_k) / \bar\sigma)

    with a gate :math:`\sigma(\alpha_k)` for each option, :math:`\bar\sigma` their mean (a constant in the gradient),
    and :math:`\lambda` that rises from 0. The logarithm presses small gates harder than large ones. A gate below
    ``threshold`` is pruned, after every epoch, but never the last of a choice. Where one option is left of each,
    nothing jumps when the network is taken out, since it has been trained as it stands; where more are left, which a
    short search or a small ``strength`` does, taking the widest gate of each is a cut as in any other search.

    **One level**: alpha and the weights descend on the same loss, that of the split ``"weights"``. It is the only
    strategy here in which alpha learns on that split. The paper argues that two levels are needed only because softmax
    searches are unstable, and that the price replaces the second split as a regulariser. The derivation and all
    measurements still use the architecture split.

    Where it departs from the paper, and why:

    * The paper's :math:`\lambda` grows while too few gates close and shrinks while too many do; here it rises linearly
      to ``strength`` at the last epoch, which a short run can be planned with.
    * The paper may weight an option's price by its FLOPs; here all options cost alike, and ``zero`` costs nothing.
    * The paper keeps every open gate, a network with several operations a site; here a genotype has one option a
      choice, the widest open gate.
    * Adam at 5e-2 moves alpha; the paper has SGD at 1.0.

    Args:
        strength: :math:`\lambda` at the last epoch.
        threshold: The gate below which an option is pruned (0.01).
        epochs, warmup, arch_lr, arch_weight_decay, cost, hidden_channels, dropout, drop_inputs, checkpoint, optimizer,
            lr, weight_decay, momentum, power, grad_clip: See :class:`~gnas.strategy.differentiable.Differentiable`.
    """

    name: ClassVar[str] = "gold_nas"

    epochs: int = 200
    arch_lr: float = 5e-2
    arch_weight_decay: float = 0.0
    strength: float = 0.1
    threshold: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "strength")
        check_number(self, "threshold")
        if self.threshold >= 0.5:
            raise ValueError(
                f"gold_nas got threshold={self.threshold!r}; expected less than 0.5, where gates start, such as 0.01"
            )

    def relaxation_at(self, epoch: int) -> Relaxation:
        return Sigmoid()

    def arch_loss(self, task: Task, state: OneShotState, batches: Batches) -> Tensor:
        loss = self.loss(task, state, batches, "weights") + self.penalty(state)
        cost = self.expected_cost(task, state)
        return loss if cost is None else loss + cost

    def penalty(self, state: OneShotState) -> Tensor:
        rise = max(0, state.epoch - self.warming) / max(1, self.epochs - 1 - self.warming)
        full, now = state.supernet.space.choices, state.supernet.narrowed().choices
        gates = []
        for name, choice in full.items():
            kept = [choice.index(option) for option in now[name].options if option != "zero"]
            gates.append(state.supernet.alpha(name)[kept].sigmoid())
        gate = torch.cat(gates)
        return self.strength * rise * (gate / gate.detach().mean()).log1p().sum()

    def close(self, task: Task, state: OneShotState, phase: str) -> Event:
        net = state.supernet
        left = {}
        for name, choice in net.narrowed().choices.items():
            own = net.space.choices[name]
            gates = dict(zip(own.options, net.alpha(name).detach().sigmoid().tolist(), strict=True))
            widest = max(choice.options, key=lambda option: gates[option])
            left[name] = [option for option in choice.options if gates[option] >= self.threshold or option == widest]
        net.narrow(restrict(net.space, left))
        return {"open": sum(map(len, left.values())), "genotypes": math.prod(map(len, left.values()))}
