"""One-shot strategies: all networks of a space share the weights of one supernet, which is trained once."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from gnas.checks import check_count, check_flag, check_number
from gnas.recipe import Regularisation, regularisation_of
from gnas.relaxation import Relaxation, Softmax
from gnas.space import Choice, Genotype, Space
from gnas.space.discretise import discretise
from gnas.strategy.base import Batches, Event, Strategy, Task
from gnas.strategy.capture import Recorded
from gnas.strategy.checks import check_keys
from gnas.strategy.hypergradient import Noise
from gnas.supernet import GraphSupernet

if TYPE_CHECKING:
    from typing_extensions import Self

ROLES = ("weights", "architecture")
OPTIMIZERS = ("adam", "sgd")


class Supernet(Protocol):
    """What a one-shot strategy uses of a :class:`gnas.GraphSupernet`: a module, with these methods of its own."""

    space: Space
    relaxation: Relaxation
    partial: int
    auxiliary: float

    def arch_parameters(self) -> list[nn.Parameter]: ...

    def weight_parameters(self) -> list[nn.Parameter]: ...

    def arch_weights(self, gradient: bool = ..., /) -> Mapping[str, Tensor]: ...

    def frozen_statistics(self) -> AbstractContextManager[Any]: ...

    def without_dropout(self) -> AbstractContextManager[Any]: ...

    def alpha(self, choice: str, /) -> nn.Parameter: ...

    def open_alphas(self) -> Mapping[str, Tensor]: ...

    def weighted(self, weights: Mapping[str, Tensor], /) -> AbstractContextManager[Any]: ...

    def set_arch(self, genotype: Genotype | None, /) -> None: ...

    def narrow(self, space: Space, /) -> None: ...

    def narrowed(self) -> Space: ...

    def __call__(self, *args: Any) -> Any: ...

    def to(self, device: torch.device, /) -> Any: ...

    def train(self) -> Any: ...

    def eval(self) -> Any: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> Any: ...


@dataclass
class OneShotState:
    """A supernet, what trains it, and how many epochs are done.

    Args:
        supernet: The network.
        weight_optimizer: Of its weights.
        arch_optimizer: Of its architecture parameters, where these follow a gradient.
        epoch: Epochs done.
        memory: What else a strategy keeps from one epoch to the next: tensors and plain values.
        recorded: Steps that are replayed, by what they update; made anew where a run resumes.
    """

    supernet: Supernet
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Optimizer | None = None
    epoch: int = 0
    memory: dict[str, Any] = field(default_factory=dict)
    recorded: dict[str, Recorded] = field(default_factory=dict, repr=False)

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "supernet": self.supernet.state_dict(),
            # The rest of what an epoch runs under is set anew by the next; a supernet is measured with this after the
            # last as well.
            "auxiliary": self.supernet.auxiliary,
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": None if self.arch_optimizer is None else self.arch_optimizer.state_dict(),
            "memory": copy.deepcopy(self.memory),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        check_keys(state, ("epoch", "supernet", "auxiliary", "weight_optimizer", "arch_optimizer", "memory"))
        self.supernet.load_state_dict(state["supernet"])
        self.supernet.auxiliary = float(state["auxiliary"])
        # An optimizer takes the tensors themselves, and a state may be that of another supernet which goes on.
        self.weight_optimizer.load_state_dict(copy.deepcopy(state["weight_optimizer"]))
        if self.arch_optimizer is not None:
            self.arch_optimizer.load_state_dict(copy.deepcopy(state["arch_optimizer"]))
        self.epoch = int(state["epoch"])
        self.memory = copy.deepcopy(dict(state["memory"]))
        # An optimizer that was loaded has other tensors than the recorded steps know.
        self.recorded.clear()


@dataclass(frozen=True, kw_only=True)
class OneShot(Strategy[OneShotState]):
    """The weights of one supernet, trained for every network of the space at once.

    A step is one epoch. For each of its batches there is an update of the architecture on the split
    ``"architecture"`` (left out while warming up), then one of the weights on the split ``"weights"``; a full graph is
    one batch. A subclass says how the architecture is updated (:meth:`update_architecture`) and, if the weights of the
    options are no softmax, how they follow from alpha (:meth:`relaxation_at`).

    Losses and metrics of an event are those of the whole supernet after the epoch, without dropout; ``epoch``
    counts from 1. Its ``weights``, one number an option, are what :func:`gnas.search` derives a genotype from.

    Args:
        epochs: After how many the search is done.
        warmup: Epochs before the architecture is touched; ``None`` means a fifth of ``epochs``.
        hidden_channels: Width of the supernet.
        dropout: In the supernet; if not given, what :func:`gnas.recipe.regularisation_of` says of the task.
        drop_inputs: Whether entries of the features are dropped, too; likewise.
        checkpoint: Whether the supernet keeps only the inputs of its sites for the backward pass, and computes the
            rest again: less memory, more time, the same search.
        optimizer: Of the weights: ``"adam"``, or ``"sgd"`` with momentum and a schedule down to zero.
        lr: Its learning rate.
        weight_decay: Its weight decay; likewise.
        momentum: Of ``"sgd"``.
        power: Of the schedule of ``"sgd"``: 1 is a cosine, more is sharpDARTS' cosine power annealing (arXiv
            1903.09900), which falls as a cosine at first and as an exponential later; 10 in that paper.
        grad_clip: Largest norm of the weights' gradient; ``None`` for no limit.
    """

    epochs: int = 60
    warmup: int | None = None
    hidden_channels: int = 64
    dropout: float | None = None
    drop_inputs: bool | None = None
    checkpoint: bool = False
    optimizer: str = "adam"
    lr: float = 0.01
    weight_decay: float | None = None
    momentum: float = 0.9
    power: float = 1.0
    grad_clip: float | None = 5.0

    def __post_init__(self) -> None:
        check_count(self, "epochs", 1)
        if self.warmup is not None:
            check_count(self, "warmup", 0)
            if self.warmup >= self.epochs:
                raise ValueError(
                    f"{self.name} got warmup={self.warmup} and epochs={self.epochs}, which leaves no epoch for the "
                    f"architecture; expected fewer warm-up epochs, try warmup=None"
                )
        check_count(self, "hidden_channels", 1)
        check_number(self, "lr", positive=True)
        for key in ("weight_decay", "momentum", "power", "dropout"):
            if getattr(self, key) is not None:
                check_number(self, key)
        if self.momentum >= 1:
            raise ValueError(f"{self.name} got momentum={self.momentum!r}; expected less than 1, try 0.9")
        if self.power < 1:
            raise ValueError(f"{self.name} got power={self.power!r}; expected 1 (a cosine) or more, such as 10")
        if self.dropout is not None and self.dropout >= 1:
            raise ValueError(
                f"{self.name} got dropout={self.dropout!r}; expected less than 1, which would drop everything"
            )
        check_flag(self, "checkpoint")
        if self.drop_inputs is not None:
            check_flag(self, "drop_inputs")
        if self.grad_clip is not None:
            check_number(self, "grad_clip", positive=True)
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"{self.name} got optimizer={self.optimizer!r}; expected one of {list(OPTIMIZERS)}")

    def regularisation(self, task: Task) -> Regularisation:
        """What keeps the weights from fitting their split by heart."""
        usual = regularisation_of(task)
        return Regularisation(
            usual.dropout if self.dropout is None else self.dropout,
            usual.weight_decay if self.weight_decay is None else self.weight_decay,
            usual.drop_inputs if self.drop_inputs is None else self.drop_inputs,
        )

    def for_task(self, task: Task) -> Self:
        return replace(self, **asdict(self.regularisation(task)))

    @abstractmethod
    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        """One update of the architecture on one batch; the weights and their running scales stay put."""

    def build(self, space: Space, task: Task) -> GraphSupernet:
        """The supernet of a space."""
        regularisation = self.regularisation(task)
        return GraphSupernet(
            space,
            task.in_channels,
            self.hidden_channels,
            task.out_channels,
            dropout=regularisation.dropout,
            drop_inputs=regularisation.drop_inputs,
            relaxation=self.relaxation_at(0),
            checkpoint=self.checkpoint,
            **task.inputs,
        )

    def relaxation_at(self, epoch: int) -> Relaxation:
        """What turns alpha into weights in the epoch that follows after ``epoch`` of them."""
        return Softmax()

    def arch_optimizer(self, supernet: Supernet) -> torch.optim.Optimizer | None:
        """What moves the architecture parameters along their gradient, if anything does."""
        return None

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
        weights = supernet.weight_parameters()
        decay = self.regularisation(task).weight_decay
        weight_optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            weight_optimizer = torch.optim.SGD(weights, lr=self.lr, momentum=self.momentum, weight_decay=decay)
        else:
            weight_optimizer = torch.optim.Adam(weights, lr=self.lr, weight_decay=decay, fused=True)
        return OneShotState(supernet, weight_optimizer, self.arch_optimizer(supernet))

    def step(self, task: Task, state: OneShotState) -> Event:
        phase = self.phase(state.epoch)
        self.prepare(state)
        state.supernet.train()
        try:
            self.run(task, state, phase)
        except RuntimeError as error:
            # Whoever draws from alpha finds it out before the epoch's losses tell; a look at each step would cost time.
            if all(bool(alpha.isfinite().all()) for alpha in state.supernet.arch_parameters()):
                raise
            raise FloatingPointError(
                f"{self.name} has an alpha that is no number in epoch {state.epoch + 1}; expected finite ones: the "
                f"search diverged, try a lower learning rate (lr={self.lr})"
            ) from error
        state.epoch += 1
        told = self.close(task, state, phase)
        return {"event": "epoch", "epoch": state.epoch, "phase": phase, **self.measure(task, state), **told}

    def prepare(self, state: OneShotState) -> None:
        """Set what an epoch runs under; it follows from ``state`` alone, so a resumed run has it, too."""
        state.supernet.relaxation = self.relaxation_at(state.epoch)

    def run(self, task: Task, state: OneShotState, phase: str) -> None:
        """The updates of one epoch."""
        searching = phase != "warmup"
        for batches in task.steps(torch.default_generator, ROLES if searching else ROLES[:1]):
            if searching:
                self.update_architecture(task, state, batches)
            self.update_weights(task, state, batches)

    def close(self, task: Task, state: OneShotState, phase: str) -> Event:
        """What follows an epoch, ``state.epoch`` by now, and what there is to say of it."""
        return {}

    def derive(self, task: Task, state: OneShotState) -> Genotype:
        space = state.supernet.space
        return discretise(space, {name: values.tolist() for name, values in self.weights(state).items()})

    def weights(self, state: OneShotState) -> Mapping[str, Tensor]:
        """What each option is worth, by choice."""
        return state.supernet.arch_weights()

    def done(self, state: OneShotState) -> bool:
        return bool(state.memory.get("stopped")) or state.epoch >= self.epochs

    def phase(self, epoch: int) -> str:
        """``"warmup"`` or ``"search"`` for the epoch that follows after ``epoch`` of them."""
        return "warmup" if epoch < self.warming else "search"

    @property
    def warming(self) -> int:
        """How many epochs warm up."""
        return self.epochs // 5 if self.warmup is None else self.warmup

    def seconds(self, warmup: float, search: float) -> float:
        """How long all epochs take, if one of the warm-up takes ``warmup`` and one after it ``search``."""
        return self.warming * warmup + (self.epochs - self.warming) * search

    def weight_lr(self, epoch: int) -> float:
        """The weights' learning rate in the epoch that follows after ``epoch`` of them."""
        if self.optimizer == "adam":
            return self.lr
        left = 0.5 * (1 + math.cos(math.pi * min(epoch, self.epochs) / self.epochs))
        # (p^(c + 1) - p) / (p^2 - p) for a share c that is left; its limit for p = 1 is c.
        return self.lr * ((self.power**left - 1) / (self.power - 1) if self.power > 1 else left)

    def loss(self, task: Task, state: OneShotState, batches: Batches, role: str) -> Tensor:
        """The supernet's loss on one split's batch at its present parameters.

        On the architecture split nothing is dropped. Dropout belongs to the fitting of weights; under it, the
        candidates that profit most from inflated inputs (the maximum above all) win over those that predict best.
        """
        judging = state.supernet.without_dropout() if role == "architecture" else nullcontext()
        with judging:
            return task.loss(task.forward(state.supernet, batches[role]), batches[role], role)

    def update_weights(self, task: Task, state: OneShotState, batches: Batches) -> None:
        """One step of the weights' optimizer; the architecture parameters stay put."""
        for group in state.weight_optimizer.param_groups:
            group["lr"] = self.weight_lr(state.epoch)
        weights = state.supernet.weight_parameters()
        loss = self.loss(task, state, batches, "weights")
        # A weight that took no part has no gradient, and its optimizer state stays as it is.
        grads = torch.autograd.grad(loss, weights, allow_unused=True)
        apply(state.weight_optimizer, weights, grads, self.grad_clip)

    @torch.no_grad()
    def measure(self, task: Task, state: OneShotState) -> Event:
        """Losses, metrics and architecture weights as they are now, without dropout and without a trace."""
        supernet = state.supernet
        with Noise(supernet.parameters()).replay():
            measured = task.measure(supernet, ROLES)
        losses = {f"loss_{role}": measured[role][0] for role in ROLES}
        self.check_finite(state, losses)
        weights = {name: values.tolist() for name, values in self.weights(state).items()}
        return {
            **losses,
            **{f"metric_{role}": measured[role][1] for role in ROLES},
            "weights": weights,
            "entropy": entropy(weights),
            "skips": skips(supernet.space, weights),
            "genotype": dict(discretise(supernet.space, weights).choices),
        }

    def check_finite(self, state: OneShotState, losses: Mapping[str, float]) -> None:
        """Refuse to go on with a search that diverged."""
        for key, loss in losses.items():
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"{self.name} has {key} = {loss} after epoch {state.epoch}; expected a finite number: the search "
                    f"diverged, try a lower learning rate (lr={self.lr})"
                )


def open_places(supernet: Supernet) -> dict[str, list[int]]:
    """Positions of the options that are open, by choice."""
    choices = supernet.narrowed().choices
    return {name: [supernet.space.choices[name].index(o) for o in choice.options] for name, choice in choices.items()}


def skips(space: Space, weights: Mapping[str, Sequence[float]]) -> float | None:
    """Share of the choices of an operation with ``identity`` among them that have it in front; None without any.

    It grows when a search collapses: what has no parameters looks best while the weights of the others are poor.
    """
    ops = {node.op for node in space.nodes if isinstance(node.op, Choice)}
    leads = [
        choice.options[max(range(len(choice.options)), key=weights[choice.name].__getitem__)] == "identity"
        for choice in ops
        if "identity" in choice.options and len(choice.options) > 1
    ]
    return sum(leads) / len(leads) if leads else None


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


def apply(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    grads: Sequence[Tensor | None],
    clip: float | None = None,
) -> None:
    """One step of an optimizer with these gradients, ``None`` for a parameter that stays as it is."""
    for parameter, grad in zip(parameters, grads, strict=True):
        # A fused optimizer reads both in the order of memory, and that of a product's gradient may be the transposed.
        parameter.grad = None if grad is None else grad.contiguous()
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
