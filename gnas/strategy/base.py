"""What a search strategy is: settings that are frozen, a state that is passed by hand, and three methods.

``init(space, task, generator)`` makes a state, ``step(task, state)`` changes it and says what happened in an event
of plain values, ``derive(task, state)`` gives the genotype found so far. A strategy opens no file and reads no
clock: :func:`gnas.search` does.

Two families write ``step`` once. :class:`~gnas.strategy.black_box.BlackBox` is ask, evaluate, tell: a candidate is
judged by itself. :class:`~gnas.strategy.one_shot.OneShot` trains the weights and the architecture parameters of one
supernet in turns.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from gnas.space import Genotype, Space

if TYPE_CHECKING:
    from typing_extensions import Self

Event = dict[str, Any]
Batches = Mapping[str, Any]
"""A :class:`gnas.batch.Batch` for each role of one step; of a full graph the same one."""


class Task(Protocol):
    """What a strategy uses of a :class:`gnas.task.Task`."""

    @property
    def in_channels(self) -> int: ...

    @property
    def out_channels(self) -> int: ...

    @property
    def inputs(self) -> Mapping[str, Any]: ...

    @property
    def few_labels(self) -> bool: ...

    @property
    def words(self) -> bool: ...

    @property
    def higher_is_better(self) -> bool: ...

    @property
    def device(self) -> torch.device: ...

    def steps(self, generator: torch.Generator, roles: Sequence[str], /) -> Iterator[Batches]: ...

    def forward(self, model: Any, batch: Any, /) -> Tensor: ...

    def loss(self, output: Tensor, batch: Any, role: str, /) -> Tensor: ...

    def measure(self, model: Any, roles: Sequence[str] = ..., /) -> Mapping[str, tuple[float, float]]: ...


class State(Protocol):
    """What changes during a run; its ``state_dict`` holds tensors and plain values only."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


S = TypeVar("S", bound=State)


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC, Generic[S]):
    """A way to search. A subclass is a frozen dataclass of settings with a ``name``."""

    name: ClassVar[str]

    @abstractmethod
    def init(self, space: Space, task: Task, generator: torch.Generator) -> S:
        """The state before the first step; random numbers come from the handed generator."""

    @abstractmethod
    def step(self, task: Task, state: S) -> Event:
        """One update, or one candidate evaluated: changes the state and returns what happened."""

    @abstractmethod
    def derive(self, task: Task, state: S) -> Genotype:
        """The genotype found so far."""

    @abstractmethod
    def done(self, state: S) -> bool:
        """Whether the strategy has come to its own end; a budget may stop it earlier."""

    def for_task(self, task: Task) -> Self:
        """The same with a value for each setting that follows from the task where none is given.

        A strategy asks the task itself where such a setting is open; :func:`gnas.search` calls this first, so that a
        run's folder tells what was used.
        """
        return self

    def describe(self) -> dict[str, Any]:
        """Name and settings as plain values that JSON can hold."""
        return {"name": self.name, **_plain(self)}


def _plain(settings: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {"name": type(value).__name__, **_plain(value)}
        return [plain(each) for each in value] if isinstance(value, (tuple, list)) else value

    return {entry.name: plain(getattr(settings, entry.name)) for entry in dataclasses.fields(settings)}
