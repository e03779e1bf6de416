"""What a network costs besides its errors: parameters, multiply-adds, latency, memory; limits and expectations.

    parameters   numbers that are trained
    macs         multiply-adds of one forward pass of all batches: those of matrix products (of sparse features, of
                 their entries alone) and, for each neighbour that is aggregated, one for each channel
    latency      milliseconds of one forward pass of a batch, the median of ten, on the task's device as it is now
    memory       bytes that a training step on a batch holds: parameters, gradients and Adam's two moments, and what the
                 forward pass keeps for the backward pass; the data are not counted

Parameters and multiply-adds are the same on every machine, and memory wherever the same kernels serve. A
:class:`Limit` on a cost is a condition for black-box strategies and for the derivation. :class:`CostTerm` makes a cost
a term of an architecture's loss, as FBNet (Wu and others, arXiv 1812.03443) and ProxylessNAS (arXiv 1812.00332) do.
"""

from __future__ import annotations

import functools
import math
import random
import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from gnas import kernels
from gnas.batch import Batch
from gnas.checks import check_count, check_number, check_type
from gnas.evaluate import builder, seeded
from gnas.evaluate import parameters as count_parameters
from gnas.pareto import UNITS
from gnas.recipe import RECIPE, Recipe
from gnas.space import Genotype, Space
from gnas.task import Task

REPEATS = 10
NUMBERS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
SUFFIXES = {"parameters": NUMBERS, "macs": NUMBERS, "latency": {"ms": 1.0, "s": 1e3}, "memory": BYTES}
"""What a limit's number may end with, in words."""


def _batches(task: Task) -> list[Batch]:
    return [batches["weights"] for batches in task.steps(torch.default_generator, ("weights",))]


def _parameters(net: nn.Module, task: Task) -> float:
    return count_parameters(net)


def _macs(net: nn.Module, task: Task) -> float:
    def reduced(size: Any, dim: Any, index: Any, source: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
        # Sums over neighbours have a row for each; what has one dimension only counts degrees.
        return 2 * math.prod(source) if len(source) > 1 else 0

    aten = torch.ops.aten
    counted = {aten.index_add: reduced, aten.scatter_reduce: reduced}
    with torch.no_grad(), kernels.use("reference"), FlopCounterMode(display=False, custom_mapping=counted) as counter:
        for batch in _batches(task):
            task.forward(net.eval(), batch)
    return counter.get_total_flops() / 2


def _latency(net: nn.Module, task: Task) -> float:
    batch, took = _batches(task)[0], []
    wait: Callable[[], None] = torch.cuda.synchronize if task.device.type == "cuda" else lambda: None
    with torch.no_grad():
        for _ in range(REPEATS + 1):
            wait()
            began = time.perf_counter()
            task.forward(net.eval(), batch)
            wait()
            took.append(1e3 * (time.perf_counter() - began))
    # The first one also orders the graph.
    return statistics.median(took[1:])


def _memory(net: nn.Module, task: Task) -> float:
    batch = _batches(task)[0]
    # What two passes keep in one place belongs to the data, the graph or the network. Both are held on to, since what
    # is let go could be given out again, and count as the same.
    alive: list[Tensor] = []

    def passed() -> dict[int, int]:
        kept: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            if value.layout == torch.strided:
                kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
                alive.append(value)
            return value

        with saved_tensors_hooks(keep, lambda value: value):
            alive.append(task.loss(task.forward(net.train(), batch), batch, "weights"))
        return kept

    before = passed()
    kept = sum(size for place, size in passed().items() if place not in before)
    trained = sum(value.numel() * value.element_size() for value in net.parameters() if value.requires_grad)
    return float(4 * trained + kept)


COSTS: dict[str, Callable[[nn.Module, Task], float]] = {
    "parameters": _parameters,
    "macs": _macs,
    "latency": _latency,
    "memory": _memory,
}
"""The costs by name."""
USUAL = Recipe()


def check_cost(name: str, where: str) -> None:
    """That there is a cost of this name.

    Raises:
        ValueError: There is none.
    """
    if name not in COSTS:
        raise ValueError(f"{where} got the cost {name!r}; expected one of {list(COSTS)}")


@runtime_checkable
class Priced(Protocol):
    """A task whose networks' costs are known beforehand, such as a :class:`gnas.tabular.TableTask`."""

    def price(self, cost: str, space: Space, genotype: Genotype) -> float: ...


def cost(name: str, space: Space, genotype: Genotype, task: Task, recipe: Recipe = USUAL) -> float:
    """A cost of a genotype's network, lower is better: measured, or looked up where the task knows it.

    Args:
        name: One of :data:`COSTS`.
        space: What the genotype is a point of.
        genotype: Whose network is built.
        task: What it is for, and what it is run on.
        recipe: The network's width.

    Raises:
        ValueError: There is no such cost, or the task neither holds data nor knows it.
    """
    check_cost(name, "cost")
    if isinstance(task, Priced):
        return task.price(name, space, genotype)
    if not hasattr(task, "steps"):
        raise ValueError(
            f"cost got {task!r}, which holds no data; expected a gnas.Task, since networks are built and run for real"
        )
    with seeded(0):
        return COSTS[name](builder(space.bind(genotype))(task, recipe).to(task.device), task)


@dataclass(frozen=True)
class Limit:
    """A condition: a cost is at most so much.

    Args:
        cost: One of :data:`COSTS`.
        most: The largest value that is let through; milliseconds of latency, bytes of memory.
        recipe: The networks' width; ``None`` for the one that they are trained with.
    """

    cost: str
    most: float
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        check_cost(self.cost, "Limit")
        check_number(self, "most", positive=True)
        if self.recipe is not None:
            check_type(self, "recipe", Recipe, RECIPE)

    @classmethod
    def parse(cls, text: str) -> Limit:
        """A limit from words such as ``"parameters<=50k"``, ``"latency<=5ms"`` or ``"memory<=100MB"``."""
        found = re.fullmatch(r"\s*(\w+)\s*<=\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([a-zA-Z]*)\s*", text)
        factor = None if found is None else SUFFIXES.get(found[1], {}).get(found[3].lower())
        if found is None or factor is None:
            raise ValueError(
                f"got the constraint {text!r}; expected a cost of {list(COSTS)}, <= and a number with its unit, such "
                "as 'parameters<=50k', 'macs<=2M', 'latency<=5ms' or 'memory<=100MB'"
            )
        return cls(found[1], float(found[2]) * factor)

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> tuple[Limit, ...]:
        """The limits that a search was under, from its ``run.json``."""
        strategy = run.get("strategy") or {}
        parts = (strategy.get("inner") or strategy, run.get("derivation") or {})
        given = [each for part in parts for each in part.get("conditions") or ()]
        limits = (each for each in given if {"cost", "most"} <= set(each))
        return tuple(
            cls(each["cost"], each["most"], each["recipe"] and Recipe(**_fields(each["recipe"]))) for each in limits
        )

    def admits(self, space: Space, genotype: Genotype, task: Task) -> bool:
        """Whether a genotype's network costs no more."""
        return cost(self.cost, space, genotype, task, self.recipe or USUAL) <= self.most

    def __str__(self) -> str:
        return f"{self.cost} <= {self.most:g}{UNITS[self.cost]}"


def _fields(described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name != "name"}


@dataclass(frozen=True)
class CostTerm:
    r"""The expected cost of a supernet's networks as a term of the architecture's loss.

    .. math::
        \lambda \max\Big(0, \frac{\bar c + \sum_s \sum_k p_{sk} \, c_{sk}}{t} - 1\Big)

    :math:`p_{sk}` is the weight of option k of choice s, :math:`c_{sk}` what that option adds to the mean cost
    :math:`\bar c`: an additive model, fitted by least squares to the costs of networks that are drawn (FBNet's table of
    operations, for any space and any cost). It is exact where costs add up.

    Args:
        cost: One of :data:`COSTS`.
        weight: :math:`\lambda`; at twice the target the term is as much.
        target: :math:`t`, the cost from which on more is punished; ``None`` for the mean of the space, without the
            maximum and the one, so that less is always better.
        sample: Networks that are drawn for each option of the choice with the most.
        recipe: The networks' width; ``None`` for that of the supernet.
    """

    cost: str = "parameters"
    weight: float = 1.0
    target: float | None = None
    sample: int = 16
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        check_cost(self.cost, "CostTerm")
        check_number(self, "weight", positive=True)
        if self.target is not None:
            check_number(self, "target", positive=True)
        check_count(self, "sample", 1)
        if self.recipe is not None:
            check_type(self, "recipe", Recipe, RECIPE)

    def __call__(self, weights: Mapping[str, Tensor], space: Space, task: Task) -> Tensor:
        """The term, a scalar, for weights of the options by name of choice, each [options]."""
        mean, parts = additive(self.cost, space, task, self.sample, self.recipe or USUAL)
        expected = mean + torch.stack([weights[name] @ part.to(weights[name]) for name, part in parts.items()]).sum()
        if self.target is None:
            return self.weight * expected / max(mean, 1e-12)
        return self.weight * (expected / self.target - 1).relu()


@functools.lru_cache(maxsize=4)
def additive(name: str, space: Space, task: Task, sample: int, recipe: Recipe) -> tuple[float, dict[str, Tensor]]:
    """Mean cost of a space's networks, and what each option of each choice adds to it, [options] each."""
    generator = random.Random(0)
    choices = {choice.name: choice for choice in space.choices.values()}
    count = sample * max((len(choice.options) for choice in choices.values()), default=1)
    drawn = [space.sample(generator) for _ in range(count)]
    costs = np.array([cost(name, space, genotype, task, recipe) for genotype in drawn])
    columns = [(choice, option) for choice in choices.values() for option in range(len(choice.options))]
    # Centred columns: what an option adds is compared with the choice's mean; of equals the least norm is taken.
    rows = np.array([[float(choice.index(g[choice.name]) == k) - 1 / len(choice.options) for choice, k in columns]
                     for g in drawn]).reshape(count, len(columns))  # fmt: skip
    found = np.linalg.lstsq(np.hstack([np.ones((count, 1)), rows]), costs, rcond=None)[0]
    parts: dict[str, Tensor] = {}
    start = 1
    for choice in choices.values():
        values = found[start : start + len(choice.options)]
        parts[choice.name] = torch.tensor(values - values.mean())
        start += len(choice.options)
    return float(found[0]), parts
