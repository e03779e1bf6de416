"""One-shot strategies: the weights and the architecture parameters of one supernet are trained in turns."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gnas.space import Genotype, Space
from gnas.strategy.base import Batches, Event, Strategy, Task
from gnas.strategy.checks import check_count, check_keys, check_number
from gnas.strategy.hypergradient import Noise

ROLES = ("weights", "architecture")
OPTIMIZERS = ("adam", "sgd")


class Supernet(Protocol):
    """What a one-shot strategy uses of a :class:`gnas.GraphSupernet`: a module, with these methods of its own."""

    def arch_parameters(self) -> list[nn.Parameter]: ...

    def weight_parameters(self) -> list[nn.Parameter]: ...

    def arch_weights(self) -> Mapping[str, Tensor]: ...

    def frozen_statistics(self) -> AbstractContextManager[Any]: ...

    def without_dropout(self) -> AbstractContextManager[Any]: ...

    def derive(self) -> Genotype: ...

    def __call__(self, *args: Any) -> Any: ...

    def to(self, device: torch.device, /) -> Any: ...

    def train(self) -> Any: ...

    def eval(self) -> Any: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> Any: ...


@dataclass
class OneShotState:
    """A supernet, the two optimizers that train it, and how many epochs are done."""

    supernet: Supernet
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Optimizer
    epoch: int = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "supernet": self.supernet.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        check_keys(state, ("epoch", "supernet", "weight_optimizer", "arch_optimizer"))
        self.supernet.load_state_dict(state["supernet"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.arch_optimizer.load_state_dict(state["arch_optimizer"])
        self.epoch = int(state["epoch"])


@dataclass(frozen=True, kw_only=True)
class OneShot(Strategy[OneShotState]):
    """Weights and architecture parameters of one supernet, trained in turns on two splits of the data.

    A step is one epoch. For each of its batches there is an update of the architecture parameters on the split
    ``"architecture"`` (left out while warming up), then one of the weights on the split ``"weights"``; a full graph is
    one batch. A subclass says which supernet is trained (:meth:`build`) and by which gradient (:meth:`arch_gradient`).

    Losses and metrics of an event are those of the whole supernet after the epoch, without dropout; ``epoch``
    counts from 1.

    Args:
        epochs: After how many the search is done.
        warmup: Epochs before the architecture is touched; ``None`` means a fifth of ``epochs``.
        arch_lr: Learning rate of Adam on the architecture parameters.
        arch_weight_decay: Its weight decay.
        optimizer: Of the weights: ``"adam"``, or ``"sgd"`` with momentum and a cosine schedule down to zero.
        lr: Its learning rate.
        weight_decay: Its weight decay.
        momentum: Of ``"sgd"``.
        grad_clip: Largest norm of the weights' gradient; ``None`` for no limit.
    """

    epochs: int = 60
    warmup: int | None = None
    arch_lr: float = 3e-2
    arch_weight_decay: float = 1e-3
    optimizer: str = "adam"
    lr: float = 0.01
    weight_decay: float = 1e-3
    momentum: float = 0.9
    grad_clip: float | None = 5.0

    def __post_init__(self) -> None:
        check_count(self, "epochs", 1)
        if self.warmup is not None:
            check_count(self, "warmup", 0)
            if self.warmup >= self.epochs:
                raise ValueError(
                    f"{self.name} got warmup={self.warmup} and epochs={self.epochs}, which leaves no epoch for the "
                    f"architecture; expected fewer warm-up epochs, try warmup=None (a fifth of the epochs)"
                )
        for key in ("arch_lr", "lr"):
            check_number(self, key, positive=True)
        for key in ("arch_weight_decay", "weight_decay", "momentum"):
            check_number(self, key)
        if self.momentum >= 1:
            raise ValueError(f"{self.name} got momentum={self.momentum!r}; expected less than 1, try 0.9")
        if self.grad_clip is not None:
            check_number(self, "grad_clip", positive=True)
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"{self.name} got optimizer={self.optimizer!r}; expected one of {list(OPTIMIZERS)}")

    @abstractmethod
    def build(self, space: Space, task: Task) -> Supernet:
        """The supernet of a space."""

    @abstractmethod
    def arch_gradient(self, task: Task, state: OneShotState, batches: Batches) -> Sequence[Tensor]:
        """Gradients of the architecture parameters, in their order."""

    def init(self, space: Space, task: Task, generator: torch.Generator) -> OneShotState:
        if generator is not torch.default_generator:
            raise ValueError(
                f"{self.name} got a generator of its own; expected torch.default_generator, because dropout and the "
                "weights' initialisation draw from no other (try torch.manual_seed(seed), then hand that one)"
            )
        if space.size == 1:
            raise ValueError(
                f"space {space.name!r} holds a single genotype, so there is nothing to search; "
                "expected a choice with two options or more (gnas.evaluate trains a bound space)"
            )
        supernet = self.build(space, task)
        supernet.to(task.device)
        weights, alpha = supernet.weight_parameters(), supernet.arch_parameters()
        weight_optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            weight_optimizer = torch.optim.SGD(
                weights, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
            )
        else:
            weight_optimizer = torch.optim.Adam(weights, lr=self.lr, weight_decay=self.weight_decay)
        # The momentum of .5 is the paper's: the loss moves under the architecture's feet.
        arch_optimizer = torch.optim.Adam(
            alpha, lr=self.arch_lr, betas=(0.5, 0.999), weight_decay=self.arch_weight_decay
        )
        return OneShotState(supernet, weight_optimizer, arch_optimizer)

    def step(self, task: Task, state: OneShotState) -> Event:
        phase = self.phase(state.epoch)
        state.supernet.train()
        searching = phase == "search"
        for batches in task.steps(torch.default_generator, ROLES if searching else ROLES[:1]):
            if searching:
                self.update_architecture(task, state, batches)
            self.update_weights(task, state, batches)
        state.epoch += 1
        return {"event": "epoch", "epoch": state.epoch, "phase": phase, **self.measure(task, state)}

    def derive(self, task: Task, state: OneShotState) -> Genotype:
        return state.supernet.derive()

    def done(self, state: OneShotState) -> bool:
        return state.epoch >= self.epochs

    def phase(self, epoch: int) -> str:
        """``"warmup"`` or ``"search"`` for the epoch that follows after ``epoch`` of them."""
        warmup = self.epochs // 5 if self.warmup is None else self.warmup
        return "warmup" if epoch < warmup else "search"

    def weight_lr(self, epoch: int) -> float:
        """The weights' learning rate in the epoch that follows after ``epoch`` of them."""
        if self.optimizer == "adam":
            return self.lr
        return 0.5 * self.lr * (1 + math.cos(math.pi * min(epoch, self.epochs) / self.epochs))

    def loss(self, task: Task, state: OneShotState, batches: Batches, role: str) -> Tensor:
        """The supernet's loss on one split's batch at its present parameters.

        On the architecture split nothing is dropped. Dropout belongs to the fitting of weights; under it, the
        candidates that profit most from inflated inputs (the maximum above all) win over those that predict best.
        """
        judging = state.supernet.without_dropout() if role == "architecture" else nullcontext()
        with judging:
            return task.loss(task.forward(state.supernet, batches[role]), batches[role], role)

    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        """One step of Adam on the architecture parameters; the weights and their running scales stay put."""
        with state.supernet.frozen_statistics():
            grads = self.arch_gradient(task, state, batches)
        _apply(state.arch_optimizer, state.supernet.arch_parameters(), grads)

    def update_weights(self, task: Task, state: OneShotState, batches: Batches) -> None:
        """One step of the weights' optimizer; the architecture parameters stay put."""
        for group in state.weight_optimizer.param_groups:
            group["lr"] = self.weight_lr(state.epoch)
        weights = state.supernet.weight_parameters()
        loss = self.loss(task, state, batches, "weights")
        # A weight that took no part has no gradient, and its optimizer state stays as it is.
        grads = torch.autograd.grad(loss, weights, allow_unused=True)
        _apply(state.weight_optimizer, weights, grads, self.grad_clip)

    @torch.no_grad()
    def measure(self, task: Task, state: OneShotState) -> Event:
        """Losses, metrics and architecture weights as they are now, without dropout and without a trace."""
        supernet = state.supernet
        with Noise(supernet.parameters()).replay():
            measured = task.measure(supernet, ROLES)
        losses = {f"loss_{role}": measured[role][0] for role in ROLES}
        for key, loss in losses.items():
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"{self.name} has {key} = {loss} after epoch {state.epoch}; expected a finite number: the search "
                    f"diverged, try a lower learning rate (lr={self.lr}, arch_lr={self.arch_lr})"
                )
        weights = {name: values.tolist() for name, values in supernet.arch_weights().items()}
        return {
            **losses,
            **{f"metric_{role}": measured[role][1] for role in ROLES},
            "weights": weights,
            "entropy": entropy(weights),
            "genotype": dict(supernet.derive().choices),
        }


def entropy(weights: Mapping[str, Sequence[float]]) -> float:
    """Mean over choices of their entropy as a share of the largest possible: 1 is undecided, 0 is decided.

    Choices with one option are left out; weights that don't add up to one (a sigmoid's) are scaled to.
    """
    shares = []
    for values in weights.values():
        total = sum(values)
        if len(values) > 1 and total > 0:
            parts = [value / total for value in values if value > 0]
            shares.append(-sum(part * math.log(part) for part in parts) / math.log(len(values)))
    return sum(shares) / len(shares) if shares else 0.0


def _apply(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    grads: Sequence[Tensor | None],
    clip: float | None = None,
) -> None:
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
