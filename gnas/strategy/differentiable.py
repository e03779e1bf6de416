"""One-shot strategies whose architecture parameters follow the gradient of a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

import gnas.task
from gnas.checks import check_number
from gnas.costs import CostTerm
from gnas.recipe import Recipe
from gnas.strategy.base import Batches, Task
from gnas.strategy.hypergradient import first_order
from gnas.strategy.one_shot import OneShot, OneShotState, Supernet, apply


@dataclass(frozen=True, kw_only=True)
class Differentiable(OneShot):
    """Adam on alpha, along the gradient of the loss on the split ``"architecture"``.

    A subclass may add to that loss (:meth:`penalty`) or take another gradient (:meth:`arch_gradient`).

    Args:
        arch_lr: Learning rate of Adam on the architecture parameters.
        arch_weight_decay: Its weight decay.
        cost: What networks cost, as a term of the architecture's loss; ``None`` for nothing.
        epochs, warmup, hidden_channels, dropout, drop_inputs, checkpoint, optimizer, lr, weight_decay, momentum, power,
            grad_clip: See :class:`~gnas.strategy.one_shot.OneShot`.
    """

    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    """Of Adam; DARTS' momentum of .5, since the loss moves under the architecture's feet."""

    arch_lr: float = 3e-2
    arch_weight_decay: float = 1e-3
    cost: CostTerm | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "arch_lr", positive=True)
        check_number(self, "arch_weight_decay")
        if self.cost is not None and not isinstance(self.cost, CostTerm):
            raise TypeError(f"{self.name} got cost={self.cost!r}; expected None or a CostTerm('parameters')")

    def arch_optimizer(self, supernet: Supernet) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            supernet.arch_parameters(),
            lr=self.arch_lr,
            betas=self.betas,
            weight_decay=self.arch_weight_decay,
            fused=True,
        )

    def arch_loss(self, task: Task, state: OneShotState, batches: Batches) -> Tensor:
        """What the architecture descends on."""
        loss = self.loss(task, state, batches, "architecture")
        penalty, cost = self.penalty(state), self.expected_cost(task, state)
        return sum((part for part in (penalty, cost) if part is not None), loss)

    def expected_cost(self, task: Task, state: OneShotState) -> Tensor | None:
        """The term of :class:`gnas.costs.CostTerm` at the present alpha; ``None`` without one."""
        if self.cost is None:
            return None
        if not isinstance(task, gnas.task.Task):
            raise ValueError(
                f"{self.name} got cost={self.cost!r} and {task!r}, which holds no data; expected a gnas.Task"
            )
        recipe = self.cost.recipe or Recipe(hidden_channels=self.hidden_channels)
        return replace(self.cost, recipe=recipe)(state.supernet.arch_weights(True), state.supernet.space, task)

    def penalty(self, state: OneShotState) -> Tensor | None:
        """What is added to the architecture's loss, a function of alpha; ``None`` for nothing."""
        return None

    def arch_gradient(self, task: Task, state: OneShotState, batches: Batches) -> Sequence[Tensor]:
        """Gradients of the architecture parameters, in their order."""
        return first_order(state.supernet.arch_parameters(), lambda: self.arch_loss(task, state, batches))

    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        with state.supernet.frozen_statistics():
            grads = self.arch_gradient(task, state, batches)
        assert state.arch_optimizer is not None
        apply(state.arch_optimizer, state.supernet.arch_parameters(), grads)
