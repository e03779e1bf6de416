"""What a zero-cost score is: a number that an untrained network gets from one batch, higher being better."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gnas.batch import Batch
from gnas.evaluate import seeded
from gnas.task import Task


@dataclass(frozen=True)
class Score(ABC):
    """How promising a network is before it is trained; a frozen dataclass of settings with a ``name``.

    The network is scored as a copy without dropout, in training mode, on the first batch of an epoch of the role
    ``weights``; a full graph is one batch. Labels of other roles are not read.
    """

    name: ClassVar[str]

    def __call__(self, model: nn.Module, task: Task, seed: int = 0) -> float:
        """The score of a network as it stands, higher is better; ``nan`` or infinite where there is none.

        The network and PyTorch's generators are left as they were.

        Args:
            model: An untrained network for the task.
            task: What it is for.
            seed: Of the batch, and of what a score draws.
        """
        if not hasattr(task, "steps"):
            raise ValueError(
                f"the score {self.name!r} got {task!r}, which holds no data; expected a gnas.Task, since scores build "
                "and run networks for real"
            )
        with seeded(seed):
            net = still(copy.deepcopy(model).to(task.device)).train()
            batch = next(iter(task.steps(torch.default_generator, ("weights",))))["weights"]
            return float(self.of(net, task, batch))

    @abstractmethod
    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        """The score of a network that is thrown away afterwards."""


def still(net: nn.Module) -> nn.Module:
    """The network with no dropout anywhere."""
    for module in net.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0  # type: ignore[assignment]
    return net


def loss_of(net: nn.Module, task: Task, batch: Batch) -> Tensor:
    """The loss on the weights' items of a batch, a scalar."""
    return task.loss(task.forward(net, batch), batch, "weights")


def trained(net: nn.Module) -> list[nn.Parameter]:
    """What a training would change."""
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def slopes(value: Tensor, tensors: list[Any], retain: bool = False) -> list[Tensor]:
    """Gradients of a scalar, zero in what it doesn't depend on."""
    if not tensors or not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    return list(torch.autograd.grad(value, tensors, retain_graph=retain, allow_unused=True, materialize_grads=True))


class Rectified(TorchFunctionMode):
    """Within, collects what every ReLU gives, wherever it is called; ``found`` has the tensors in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), settings: dict[str, Any] | None = None
    ) -> Any:
        value = function(*arguments, **(settings or {}))
        if function in RECTIFIERS:
            self.found.append(value)
        return value


RECTIFIERS = frozenset(
    {torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, nn.functional.relu, nn.functional.relu_}
)
