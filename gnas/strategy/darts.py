"""DARTS: differentiable architecture search (Liu, Simonyan, Yang, arXiv 1806.09055), for graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import ClassVar

import torch
from torch import Tensor

from gnas.checks import check_count, check_flag, check_number
from gnas.relaxation import Dirichlet, Relaxation, Sigmoid, Softmax
from gnas.space import Space
from gnas.space.transform import restrict
from gnas.strategy.base import Batches, Event, Task
from gnas.strategy.capture import Recorded, check_capture
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.hypergradient import PRODUCTS, Noise, second_order
from gnas.strategy.one_shot import ROLES, OneShotState
from gnas.strategy.stabilisers import (
    EigenvalueStop,
    Perturbation,
    Selection,
    beta_penalty,
    largest_eigenvalue,
    worst_without,
    zero_one_penalty,
)


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
      the clipping of the gradient, and to the decay of weights that a sampled relaxation leaves out); for ``"adam"`` it
      unrolls a plain gradient step of the same learning rate with weight decay, since Adam's own step divides by
      running averages that themselves depend on the gradient.
    * A full graph gives one step an epoch where the paper had hundreds, so ``arch_lr`` is 3e-2 instead of 3e-4:
      with a hundred steps of 3e-4 the alphas would stay where they started.
    * The architecture is left alone for the first fifth of the epochs, so that it is not judged by untrained
      weights, which favour operations without any.
    * The architecture's loss is taken without dropout, which belongs to the fitting of weights; the evaluations of
      the other loss in one second-order step share their dropout masks.

    What keeps a search from collapsing are settings, all off by default: see :mod:`gnas.strategy.stabilisers`. They go
    together, except that ``zero_one`` needs gates, ``relaxation=Sigmoid()``, and that a search is either stopped or
    ends with a selection.

    Args:
        order: 1 or 2.
        hvp: How the second order's product with the mixed second derivative is made: ``"finite"`` or ``"exact"``.
        relaxation: What turns an alpha vector into weights.
        eigenvalue: Every how many epochs of search the largest eigenvalue of the architecture's Hessian is told in the
            event; ``None`` for never. Each time costs up to twelve products of the Hessian with a vector.
        stop: RobustDARTS' early stop by that eigenvalue.
        selection: DARTS-PT's choice of options by what the supernet loses without them.
        auxiliary: Factor of DARTS-'s skip beside every chosen operation (arXiv 2009.01027; 1 there); it falls linearly
            to 0 at the last epoch, and no genotype has it.
        beta: Largest factor of beta-DARTS' penalty, which rises linearly from 0 (50 on CNNs).
        zero_one: Factor of Fair-DARTS' penalty on gates (10).
        perturbation: SmoothDARTS' perturbed weights of the options, in the steps of the network's weights.
        capture: Record each of the two updates as a CUDA graph and replay it: for one whole graph on a GPU, so small
            that launches take longer than what they launch. First order with Adam, and without what changes from
            epoch to epoch.
        arch_lr, arch_weight_decay, cost: See :class:`~gnas.strategy.differentiable.Differentiable`.
        epochs, warmup, hidden_channels, dropout, drop_inputs, checkpoint, optimizer, lr, weight_decay, momentum, power,
            grad_clip: See :class:`~gnas.strategy.one_shot.OneShot`.
    """

    name: ClassVar[str] = "darts"

    order: int = 1
    hvp: str = "finite"
    relaxation: Relaxation = field(default_factory=Softmax)
    eigenvalue: int | None = None
    stop: EigenvalueStop | None = None
    selection: Selection | None = None
    auxiliary: float = 0.0
    beta: float = 0.0
    zero_one: float = 0.0
    perturbation: Perturbation | None = None
    capture: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "order", 1)
        if self.order > 2:
            raise ValueError(f"darts got order={self.order!r}; expected 1 (first order) or 2 (one unrolled step)")
        if self.hvp not in PRODUCTS:
            raise ValueError(f"darts got hvp={self.hvp!r}; expected one of {list(PRODUCTS)}")
        if not callable(self.relaxation):
            raise TypeError(f"darts got relaxation={self.relaxation!r}; expected a relaxation such as Softmax()")

        for key in ("auxiliary", "beta", "zero_one"):
            check_number(self, key)
        if self.zero_one and not isinstance(self.relaxation, Sigmoid):
            raise ValueError(
                f"darts got zero_one={self.zero_one} and relaxation={self.relaxation!r}; expected gates, try "
                "relaxation=Sigmoid()"
            )
        if self.eigenvalue is not None:
            check_count(self, "eigenvalue", 1)
        kinds = {"stop": EigenvalueStop, "selection": Selection, "perturbation": Perturbation}
        for key, kind in kinds.items():
            if getattr(self, key) is not None and not isinstance(getattr(self, key), kind):
                raise TypeError(f"darts got {key}={getattr(self, key)!r}; expected None or {kind.__name__}()")
        if self.stop is not None and self.selection is not None:
            raise ValueError(
                "darts got stop and selection; expected one of them, since a search that is stopped ends before the "
                "choices are settled"
            )
        if self.stop is not None and self.eigenvalue not in (None, self.stop.every):
            raise ValueError(
                f"darts got eigenvalue={self.eigenvalue} beside stop, which measures it every {self.stop.every} "
                "epochs; expected one of them"
            )
        if isinstance(self.relaxation, Dirichlet) and (self.stop is not None or self.eigenvalue is not None):
            raise ValueError(
                "darts got relaxation=Dirichlet() and the eigenvalue to be measured; expected a relaxation that can be "
                "differentiated twice, such as Softmax(), or neither eigenvalue nor stop"
            )
        check_flag(self, "capture")
        if self.capture:
            unset = ("auxiliary", "beta", "selection", "perturbation", "cost", "checkpoint")
            changing = {"order": self.order != 1, "optimizer": self.optimizer != "adam"}
            changing["relaxation"] = not getattr(self.relaxation, "dense", False)
            check_capture(self, changing | {key: bool(getattr(self, key)) for key in unset})

    def relaxation_at(self, epoch: int) -> Relaxation:
        return self.relaxation

    def init(self, space: Space, task: Task, generator: torch.Generator) -> OneShotState:
        if self.capture and task.device.type != "cuda":
            raise ValueError(f"darts got capture=True and a task on {task.device}; expected a GPU, try capture=False")
        state = super().init(space, task, generator)
        for optimizer in (state.weight_optimizer, state.arch_optimizer):
            for group in optimizer.param_groups if self.capture and optimizer is not None else ():
                group["capturable"] = True
        return state

    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        self._update(
            state, "architecture", batches, lambda: super(Darts, self).update_architecture(task, state, batches)
        )

    def _update(self, state: OneShotState, role: str, batches: Batches, update: Callable[[], None]) -> None:
        if self.capture:
            state.recorded.setdefault(role, Recorded(update, batches[role])).run(batches[role])
        else:
            update()

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
            weight_decay=self.regularisation(task).weight_decay,
            buffers=[optimizer.state.get(w, {}).get("momentum_buffer") for w in weights] if sgd else None,
            hvp=self.hvp,
        )

    # stabilisers

    def prepare(self, state: OneShotState) -> None:
        super().prepare(state)
        if self.auxiliary:
            state.supernet.auxiliary = self.auxiliary * (1 - self.progress(state.epoch))

    def progress(self, epoch: int) -> float:
        """How much of the search is done, 0 in its first epoch and 1 in its last."""
        return min(epoch / max(1, self.epochs - 1), 1.0)

    def penalty(self, state: OneShotState) -> Tensor | None:
        alphas = list(state.supernet.open_alphas().values())
        parts = []
        if self.beta:
            parts.append(self.beta * self.progress(state.epoch) * beta_penalty(alphas))
        if self.zero_one:
            parts.append(self.zero_one * zero_one_penalty(alphas))
        return sum(parts[1:], parts[0]) if parts else None

    def update_weights(self, task: Task, state: OneShotState, batches: Batches) -> None:
        if self.perturbation is None:
            self._update(state, "weights", batches, lambda: super(Darts, self).update_weights(task, state, batches))
            return
        net = state.supernet

        def loss(weights: Mapping[str, Tensor]) -> Tensor:
            with net.weighted(weights):
                return self.loss(task, state, batches, "weights")

        with torch.no_grad():
            drawn = {name: net.relaxation(alpha, torch.default_generator) for name, alpha in net.open_alphas().items()}
        with net.frozen_statistics(), net.without_dropout():
            perturbed = self.perturbation.perturbed(drawn, self.progress(state.epoch), loss)
        with net.weighted(perturbed):
            super().update_weights(task, state, batches)

    def phase(self, epoch: int) -> str:
        selecting = self.selection is not None and epoch >= max(self.warming, self.selection.begins(self.epochs))
        return "selection" if selecting else super().phase(epoch)

    def run(self, task: Task, state: OneShotState, phase: str) -> None:
        if phase != "selection":
            super().run(task, state, phase)
            return
        # The options are no longer alpha's to choose; what is left of them learns to do without the others.
        for batches in task.steps(torch.default_generator, ("weights",)):
            self.update_weights(task, state, batches)

    def close(self, task: Task, state: OneShotState, phase: str) -> Event:
        told: Event = {}
        searched, stop = state.epoch - self.warming, self.stop
        every = stop.every if stop is not None else self.eigenvalue
        if phase == "search" and every is not None and searched % every == 0:
            told["eigenvalue"] = self.curvature(task, state)
            if stop is not None:
                told |= self.check_stop(state, stop, told["eigenvalue"], searched)
        if phase == "selection" and self.selection is not None:
            told["settled"] = self.select(task, state, self.selection)
        return told

    def curvature(self, task: Task, state: OneShotState) -> float:
        """The largest eigenvalue of the Hessian in alpha of the architecture's loss, a mean over the batches."""
        net, found = state.supernet, []
        with Noise(net.parameters()).replay(), net.frozen_statistics():
            for batches in task.steps(torch.default_generator, ROLES):
                loss = partial(self.loss, task, state, batches, "architecture")
                found.append(largest_eigenvalue(loss, net.arch_parameters()))
        return fmean(found)

    def check_stop(self, state: OneShotState, stop: EigenvalueStop, eigenvalue: float, searched: int) -> Event:
        """Remember an eigenvalue and the alphas it belongs to; go back to earlier ones if it has grown too much."""
        alphas = state.supernet.arch_parameters()
        past = [*state.memory.get("eigenvalues", ()), eigenvalue]
        kept = [*state.memory.get("alphas", ()), [alpha.detach().clone() for alpha in alphas]][-stop.ago - 1 :]
        state.memory |= {"eigenvalues": past, "alphas": kept}
        if not stop.broken(past, searched):
            return {}
        with torch.no_grad():
            for alpha, before in zip(alphas, kept[0], strict=True):
                alpha.copy_(before)
        state.memory["stopped"] = True
        return {"stopped": f"the eigenvalue grew by more than {stop.growth}"}

    def select(self, task: Task, state: OneShotState, selection: Selection) -> list[str]:
        """Settle as many choices as are due, and name them."""
        net = state.supernet
        names = [name for name, choice in net.space.choices.items() if len(choice.options) > 1]
        order = state.memory.setdefault("order", [names[i] for i in torch.randperm(len(names)).tolist()])
        due = order[len(state.memory.get("settled", ())) : selection.settled(len(order), state.epoch, self.epochs)]
        for name in due:
            self.settle(task, state, name)
        state.memory["settled"] = [*state.memory.get("settled", ()), *due]
        return list(due)

    @torch.no_grad()
    def settle(self, task: Task, state: OneShotState, name: str) -> None:
        """Keep the option of a choice without which the supernet does worst."""
        net, before = state.supernet, state.supernet.narrowed()
        options = before.choices[name].options
        measured = {}
        with Noise(net.parameters()).replay():
            for place in range(len(options) if len(options) > 1 else 0):
                net.narrow(restrict(before, {name: [*options[:place], *options[place + 1 :]]}))
                loss, metric = task.measure(net, ("architecture",))["architecture"]
                measured[place] = (metric if task.higher_is_better else -metric, loss)
        kept = options[worst_without(measured)] if measured else options[0]
        net.narrow(restrict(before, {name: [kept]}))
