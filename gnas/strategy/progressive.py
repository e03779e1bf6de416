"""Progressive search: the space shrinks or grows while another strategy searches it.

P-DARTS (Chen and others, arXiv 1904.12760) deepens the network and drops options stage by stage; SGAS (Li and others,
arXiv 1912.00195) settles one choice after another, greedily; ARGNP (Cai and others, arXiv 2205.15678) lets the states
of a cell divide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from gnas.checks import check_tuple
from gnas.space import Genotype, Space
from gnas.space.proliferation import Proliferate
from gnas.space.transform import Decide, Keep, Reach, Transform
from gnas.strategy.base import Event, Strategy, Task
from gnas.strategy.capture import refuse_capture
from gnas.strategy.darts import Darts
from gnas.strategy.one_shot import OneShot, OneShotState, open_places
from gnas.strategy.random_sharing import RandomSharing

if TYPE_CHECKING:
    from typing_extensions import Self

WEIGHING = (Keep, Decide, Proliferate)
"""Transforms that go by architecture weights."""


@dataclass(frozen=True, kw_only=True)
class Progressive(Strategy[OneShotState]):
    """Another one-shot strategy, and transforms of the space that are applied while it runs.

    ``start`` makes the space that is searched at first. The epochs in which the inner strategy searches are divided
    into as many stages as there are ``transforms`` and one more; after each stage but the last the next transform is
    applied to the space as it is, by the weights as they are. One supernet runs through all of it and keeps its weights
    and alphas: an option that is left out is closed, not removed, and one that comes in is opened, with the mean of the
    alphas that were open. So a genotype of any stage is one of the space that was given.

    * P-DARTS, the default: ``start=(Reach(0.5),)``, ``transforms=((Keep(0.7), Reach(0.75)), (Keep(0.4, most=2),
      Reach(1.0)))``, where those of one tuple happen at once (in the paper 5, 11, 17 cells; 8, 5, 3 options; at most
      two skips a cell).
    * SGAS: ``transforms=(Decide(0.2),) * 5``; the paper settles one choice every few epochs by the same criterion,
      without the history of its second one.
    * ARGNP: ``start=(Proliferate(4),)``, ``transforms=(Proliferate(2), Proliferate(1))`` for cells of four states; see
      :class:`gnas.space.proliferation.Proliferate`.

    Where it departs from the papers, and why: P-DARTS starts each stage with new weights and longer training; here the
    weights go on, so that the cost is that of the inner strategy. It also drops skips out by chance while they are
    strong; ``most`` limits them by count alone.

    Args:
        inner: The strategy.
        transforms: What is applied after each stage but the last: a transform, or several at once.
        start: What is applied before the first epoch.
        epochs: Of the inner strategy, in place of its own, so that a budget can set them; ``None`` leaves them.
    """

    name: ClassVar[str] = "progressive"

    inner: OneShot = field(default_factory=Darts)
    transforms: tuple[Transform | tuple[Transform, ...], ...] = (
        (Keep(0.7), Reach(0.75)),
        (Keep(0.4, most=2), Reach(1.0)),
    )
    start: tuple[Transform, ...] = (Reach(0.5),)
    epochs: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.inner, OneShot):
            raise TypeError(f"progressive got inner={self.inner!r}; expected a one-shot strategy such as Darts()")
        refuse_capture(self.name, self.inner)
        for key in ("stop", "selection"):
            if getattr(self.inner, key, None) is not None:
                raise ValueError(
                    f"progressive got an inner strategy with {key}={getattr(self.inner, key)!r}, which would end or "
                    f"settle what the transforms have yet to open; expected one without, such as Darts({key}=None)"
                )
        if self.epochs is not None:
            object.__setattr__(self, "inner", replace(self.inner, epochs=self.epochs))
        for key in ("start", "transforms"):
            check_tuple(self, key, "(Keep(0.5),)")
        for one in (*self.start, *self.transforms):
            if not all(map(callable, one if isinstance(one, tuple) else (one,))):
                raise TypeError(f"progressive got the transform {one!r}; expected one such as Keep(0.5)")
            for each in one if isinstance(one, tuple) else (one,):
                if isinstance(self.inner, RandomSharing) and isinstance(each, WEIGHING):
                    raise ValueError(
                        f"progressive got {each!r} around {self.inner.name}, which learns no architecture weights to "
                        "go by; expected start=(Reach(0.5),) alone, which reads none, or an inner strategy such as "
                        "Darts()"
                    )
        if self.transforms and isinstance(self.inner, RandomSharing):
            raise ValueError(
                f"progressive got transforms={self.transforms!r} around {self.inner.name}, whose weights are trained "
                "before the first of them, so what they open would be measured untrained; expected "
                "start=(Reach(0.5),) alone, or an inner strategy such as Darts()"
            )
        if not self.transforms and not self.start:
            raise ValueError("progressive got no transforms; expected some, or the inner strategy alone")
        searching = self.inner.epochs - self.inner.warming
        if len(self.transforms) >= searching:
            raise ValueError(
                f"progressive got {len(self.transforms)} transforms for {searching} epochs after the warm-up; expected "
                "fewer, or more epochs of the inner strategy"
            )

    def for_task(self, task: Task) -> Self:
        return replace(self, inner=self.inner.for_task(task))

    def describe(self) -> dict[str, Any]:
        stages = [one if isinstance(one, tuple) else (one,) for one in self.transforms]
        return {
            "name": self.name,
            "inner": self.inner.describe(),
            "transforms": [[repr(transform) for transform in stage] for stage in stages],
            "start": [repr(transform) for transform in self.start],
        }

    def init(self, space: Space, task: Task, generator: torch.Generator) -> OneShotState:
        state = self.inner.init(space, task, generator)
        self._apply(state, self.start)
        return state

    def seconds(self, warmup: float, search: float) -> float:
        """At most the inner strategy's: with closed options an epoch is shorter."""
        return self.inner.seconds(warmup, search)

    def due(self, epoch: int) -> Sequence[Transform]:
        """What is applied after ``epoch`` epochs."""
        warming, count = self.inner.warming, len(self.transforms)
        searching = self.inner.epochs - warming
        for i, one in enumerate(self.transforms, start=1):
            if epoch == warming + round(i * searching / (count + 1)):
                return one if isinstance(one, tuple) else (one,)
        return ()

    def step(self, task: Task, state: OneShotState) -> Event:
        event = self.inner.step(task, state)
        due = self.due(state.epoch)
        if due:
            self._apply(state, due)
            weights = {name: values.tolist() for name, values in self.inner.weights(state).items()}
            # What comes next is derived from the space as it is now.
            event |= {"weights": weights} if "weights" in event else {}
        return {**event, "open": sum(len(choice.options) for choice in state.supernet.narrowed().choices.values())}

    def derive(self, task: Task, state: OneShotState) -> Genotype:
        return self.inner.derive(task, state)

    def done(self, state: OneShotState) -> bool:
        return self.inner.done(state)

    def _apply(self, state: OneShotState, transforms: Sequence[Transform]) -> None:
        net = state.supernet
        for transform in transforms:
            weights = {name: values.tolist() for name, values in self.inner.weights(state).items()}
            before = open_places(net)
            net.narrow(transform(net.narrowed(), weights, net.space))
            after = open_places(net)
            with torch.no_grad():
                # The alphas of what is open have moved together, and what comes in would be far ahead, or behind.
                for name, places in before.items():
                    if fresh := sorted(set(after[name]) - set(places)):
                        net.alpha(name)[fresh] = net.alpha(name)[places].mean()


def sgas(inner: OneShot, rounds: int = 5) -> Progressive:
    """SGAS around a strategy: greedy decisions in so many rounds, depth left to the derivation."""
    return Progressive(inner=inner, transforms=(Decide(1 / rounds),) * rounds, start=())


def argnp(inner: OneShot, divisions: int = 2) -> Progressive:
    """ARGNP around a strategy: cells that begin with few states, all of which divide so many times."""
    first, *strides = (2**i for i in range(divisions, -1, -1))
    return Progressive(inner=inner, start=(Proliferate(first),), transforms=tuple(map(Proliferate, strides)))
