"""DARTS: differentiable architecture search (Liu, Simonyan, Yang, arXiv 1806.09055), for graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from gnas.relaxation import Relaxation, Softmax
from gnas.strategy.base import Batches, Task
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.hypergradient import PRODUCTS, second_order
from gnas.strategy.one_shot import OneShotState


@dataclass(frozen=True, kw_only=True)
class Darts(Differentiable):
    r"""Descend in the architecture on one split, at weights that one more step on the other split would give.

    .. math::
        \alpha \leftarrow \alpha - \eta \, \nabla_\alpha L_{val}(w - \xi \nabla_w L_{train}(w, \alpha), \alpha),
        \qquad w \leftarrow w - \xi \nabla_w L_{train}(w, \alpha)

    with Adam (betas .5 and .999) on alpha. Order 1 takes :math:`\xi = 0` in the first line; order 2 is explained in
    :mod:`gnas.strategy.hypergradient`.

    Where it departs from the paper, and why:

    * The weights' optimizer is Adam at .01, the field's default on citation graphs; the paper has SGD (momentum .9,
      weight decay 3e-4, a cosine schedule from .025), which is ``optimizer="sgd", lr=0.025, weight_decay=3e-4``
      here. For ``"sgd"`` the second order unrolls the very step that the optimizer makes, momentum included (up to
      the clipping of the gradient); for ``"adam"`` it unrolls a plain gradient step of the same learning rate with
      weight decay, since Adam's own step divides by running averages that themselves depend on the gradient.
    * A full graph gives one step an epoch where the paper had hundreds, so ``arch_lr`` is 3e-2 instead of 3e-4:
      with a hundred steps of 3e-4 the alphas would stay where they started.
    * The architecture is left alone for the first fifth of the epochs, so that it is not judged by untrained
      weights, which favour operations without any.
    * The architecture's loss is taken without dropout, which belongs to the fitting of weights; the evaluations of
      the other loss in one second-order step share their dropout masks.

    Args:
        order: 1 or 2.
        hvp: How the second order's product with the mixed second derivative is made: ``"finite"`` or ``"exact"``.
        relaxation: What turns an alpha vector into weights.
        arch_lr, arch_weight_decay: See :class:`~gnas.strategy.differentiable.Differentiable`.
        epochs, warmup, hidden_channels, dropout, checkpoint, optimizer, lr, weight_decay, momentum, power, grad_clip:
            See :class:`~gnas.strategy.one_shot.OneShot`.
    """

    name: ClassVar[str] = "darts"

    order: int = 1
    hvp: str = "finite"
    relaxation: Relaxation = field(default_factory=Softmax)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in (1, 2) or isinstance(self.order, bool):
            raise ValueError(f"darts got order={self.order!r}; expected 1 (first order) or 2 (one unrolled step)")
        if self.hvp not in PRODUCTS:
            raise ValueError(f"darts got hvp={self.hvp!r}; expected one of {list(PRODUCTS)}")
        if not callable(self.relaxation):
            raise TypeError(f"darts got relaxation={self.relaxation!r}; expected a relaxation such as Softmax()")

    def relaxation_at(self, epoch: int) -> Relaxation:
        return self.relaxation

    def arch_gradient(self, task: Task, state: OneShotState, batches: Batches) -> Sequence[Tensor]:
        if self.order == 1:
            return super().arch_gradient(task, state, batches)
        alpha = state.supernet.arch_parameters()
        weights = state.supernet.weight_parameters()
        sgd = self.optimizer == "sgd"
        optimizer = state.weight_optimizer
        return second_order(
            alpha,
            weights,
            lambda: self.loss(task, state, batches, "weights"),
            lambda: self.arch_loss(task, state, batches),
            lr=self.weight_lr(state.epoch),
            momentum=self.momentum if sgd else 0.0,
            weight_decay=self.weight_decay,
            buffers=[optimizer.state.get(w, {}).get("momentum_buffer") for w in weights] if sgd else None,
            hvp=self.hvp,
        )
