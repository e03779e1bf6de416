"""Few-shot search: a supernet is split where its options disagree about the weights they share.

"Generalizing Few-Shot NAS with Gradient Matching" (Hu and others, GM-NAS, arXiv 2203.15207).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from gnas.checks import check_count, check_tuple
from gnas.space import Genotype, Space
from gnas.space.transform import restrict
from gnas.strategy.base import Event, Strategy, Task
from gnas.strategy.capture import refuse_capture
from gnas.strategy.checks import check_keys
from gnas.strategy.darts import Darts
from gnas.strategy.hypergradient import Noise
from gnas.strategy.one_shot import OneShot, OneShotState, Supernet

EXHAUSTIVE = 16
"""Up to so many options all halves are compared: there are 6,435 of sixteen."""

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class FewShotState:
    """Supernets of parts of a space, each with what trains it, and how their parts were split off.

    Args:
        members: One state of the inner strategy for each part.
        spare: Makes a state that a further member starts from; what is in it doesn't matter.
        best: Which member has the best metric on the architecture split.
        splits: What was split, as events.
    """

    members: list[OneShotState]
    spare: Callable[[], OneShotState]
    best: int = 0
    splits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def supernet(self) -> Supernet:
        """The best member's."""
        return self.members[self.best].supernet

    def state_dict(self) -> dict[str, Any]:
        members = [member.state_dict() for member in self.members]
        return {"members": members, "best": self.best, "splits": self.splits}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        check_keys(state, ("members", "best", "splits"))
        while len(self.members) < len(state["members"]):
            self.members.append(self.spare())
        del self.members[len(state["members"]) :]
        for member, saved in zip(self.members, state["members"], strict=True):
            member.load_state_dict(saved)
        self.best, self.splits = int(state["best"]), list(state["splits"])


@dataclass(frozen=True, kw_only=True)
class FewShot(Strategy[FewShotState]):
    r"""Train one supernet, split it into some by gradient matching, and go on with another strategy in each.

    .. math::
        s_{ij} = \cos(\nabla_w L_{train}(w; i), \nabla_w L_{train}(w; j)), \qquad
        (A, B) = \arg\min \sum_{i \in A, j \in B} s_{ij}, \quad | |A| - |B| | \le 1

    Two options i, j of a choice that pull the weights they share to the same side do each other no harm; two that pull
    apart do. So the options of a choice are cut in two halves that agree least with each other, and of all choices the
    one is split whose mean agreement across the cut is least. Every split doubles the number of supernets: each is a
    copy with half of the options of that choice closed, weights and alpha going on from where they were.

    Splits happen at the ends of equal parts of the inner strategy's warm-up, or of its first half if it has none.
    What is handed over is the member with the best metric on the architecture split, whose weights in the events are
    zero for the options of the other parts.

    Where it departs from the paper, and why: all members train for the rest of the epochs, where the paper divides a
    fixed time among them, so the cost grows up to ``2 ** splits`` times; the loss of an option is that of the supernet
    with the choice fixed to it and the others mixed, on all of the weights' batches, where the paper draws paths.

    Args:
        inner: The strategy that searches each part.
        splits: How often every supernet is split in two.
        spared: Choices that are not split.
        epochs: Of the inner strategy, in place of its own, so that a budget can set them; ``None`` leaves them.
    """

    name: ClassVar[str] = "few_shot"

    inner: OneShot = field(default_factory=Darts)
    splits: int = 1
    spared: tuple[str, ...] = ("depth",)
    epochs: int | None = None

    def __post_init__(self) -> None:
        check_count(self, "splits", 1)
        check_tuple(self, "spared", "('depth',)")
        if not isinstance(self.inner, OneShot):
            raise TypeError(f"few_shot got inner={self.inner!r}; expected a one-shot strategy such as Darts()")
        refuse_capture(self.name, self.inner)
        if self.epochs is not None:
            object.__setattr__(self, "inner", replace(self.inner, epochs=self.epochs))
        if self.room < self.splits:
            raise ValueError(
                f"few_shot got splits={self.splits} and {self.room} epochs to make them in; expected no more splits "
                "than epochs, try an inner strategy with a longer warm-up"
            )

    @property
    def room(self) -> int:
        """The epochs that splits are made in."""
        return self.inner.warming or self.inner.epochs // 2

    def for_task(self, task: Task) -> Self:
        return replace(self, inner=self.inner.for_task(task))

    def init(self, space: Space, task: Task, generator: torch.Generator) -> FewShotState:
        first = self.inner.init(space, task, generator)

        def spare() -> OneShotState:
            # What is drawn for its first weights is thrown away, and must not move what others draw.
            with Noise(first.supernet.parameters()).replay():
                return self.inner.init(space, task, generator)

        return FewShotState([first], spare)

    def seconds(self, warmup: float, search: float) -> float:
        """The inner strategy's epochs, each as often as there are members in it."""
        members, total = 1, 0.0
        for epoch in range(self.inner.epochs):
            total += members * (warmup if epoch < self.inner.warming else search)
            members *= 2 if self.due(epoch + 1) else 1
        return total

    def due(self, epoch: int) -> bool:
        """Whether supernets are split after ``epoch`` epochs."""
        return epoch in {round(i * self.room / self.splits) for i in range(1, self.splits + 1)}

    def step(self, task: Task, state: FewShotState) -> Event:
        events = [self._step(task, member) for member in state.members]
        told: dict[str, Any] = {}
        if self.due(max(member.epoch for member in state.members)):
            told["split"] = [self.split(task, state, member) for member in list(state.members)]
            state.splits += told["split"]
        merits = [event["metric_architecture"] for event in events]
        merits = merits if task.higher_is_better else [-merit for merit in merits]
        state.best = max(range(len(merits)), key=merits.__getitem__)
        event = {**events[state.best], **told, "members": len(events), "member": state.best}
        if told and "weights" in event:
            # What follows is derived from the part as it is now.
            weights = self.inner.weights(state.members[state.best])
            event["weights"] = {name: values.tolist() for name, values in weights.items()}
        return event

    def _step(self, task: Task, member: OneShotState) -> Event:
        """A member's next epoch; one that has stopped stays as it is, and tells what it told last."""
        if self.inner.done(member):
            last: Event = member.memory["told"]
            return last
        event = self.inner.step(task, member)
        if self.inner.done(member):
            member.memory["told"] = dict(event)
        return event

    def split(self, task: Task, state: FewShotState, member: OneShotState) -> dict[str, Any]:
        """Cut a member in two where its options agree least; the second half becomes a new member."""
        space = member.supernet.narrowed()
        best: tuple[float, str, tuple[int, ...]] | None = None
        for name, choice in space.choices.items():
            if len(choice.options) > 1 and name not in self.spared:
                score, half = cut(self.agreement(task, member, space, name))
                if best is None or score < best[0]:
                    best = (score, name, half)
        if best is None:
            return {"choice": None, "agreement": None, "parts": []}
        score, name, half = best
        options = space.choices[name].options
        parts = [[o for i, o in enumerate(options) if (i in half) == first] for first in (True, False)]
        other = state.spare()
        other.load_state_dict(member.state_dict())
        for one, part in zip((member, other), parts, strict=True):
            one.supernet.narrow(restrict(space, {name: part}))
        state.members.append(other)
        return {"choice": name, "agreement": score, "parts": parts}

    def agreement(self, task: Task, member: OneShotState, space: Space, name: str) -> Tensor:
        """Cosines [options, options] of the gradients in the weights that the options of a choice share."""
        net, grads = member.supernet, list[list[Tensor | None]]()
        weights = net.weight_parameters()
        net.train()
        for option in space.choices[name].options:
            net.narrow(restrict(space, {name: [option]}))
            total: list[Tensor | None] = [None] * len(weights)
            # The options draw the same dropout masks and batches, or the cosines would be those of the noise.
            with Noise(weights).replay(), net.frozen_statistics():
                for batches in task.steps(torch.default_generator, ("weights",)):
                    loss = self.inner.loss(task, member, batches, "weights")
                    parts = torch.autograd.grad(loss, weights, allow_unused=True)
                    total = [t if p is None else p if t is None else t + p for t, p in zip(total, parts, strict=True)]
            grads.append(total)
        net.narrow(space)
        return cosines(grads)

    def derive(self, task: Task, state: FewShotState) -> Genotype:
        return self.inner.derive(task, state.members[state.best])

    def done(self, state: FewShotState) -> bool:
        return all(map(self.inner.done, state.members))


def cosines(grads: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """Cosine of each two gradients over the parameters that both use; zero where there are none, or only zeros.

    A gradient has an entry for each parameter, ``None`` for one that it doesn't use.
    """
    count = len(grads)
    products, squares = torch.zeros(2, count, count, dtype=torch.float64)
    for parts in zip(*grads, strict=True):
        used = [i for i, part in enumerate(parts) if part is not None]
        if len(used) > 1:
            rows = torch.stack([part.flatten() for part in parts if part is not None])
            inner = (rows @ rows.T).double().cpu()
            index = torch.tensor(used)
            products[index[:, None], index] += inner
            # In row i what i has there, where the column's option has something, too.
            squares[index[:, None], index] += inner.diagonal()[:, None]
    return products / (squares * squares.T).sqrt().clamp(min=1e-24)


def cut(agreement: Tensor) -> tuple[float, tuple[int, ...]]:
    """The halves, as equal as can be, that agree least: their mean agreement, and the half with the first option.

    Of more than :data:`EXHAUSTIVE` options these are halves of which no exchange of two options agrees less.
    """
    count = len(agreement)
    if count > EXHAUSTIVE:
        return _exchanged(agreement)
    best: tuple[float, tuple[int, ...]] | None = None
    for size in sorted({count // 2, count - count // 2}):
        for rest in combinations(range(1, count), size - 1):
            half = (0, *rest)
            others = [i for i in range(count) if i not in half]
            score = float(agreement[list(half)][:, others].mean())
            if best is None or score < best[0]:
                best = (score, half)
    assert best is not None
    return best


def _exchanged(agreement: Tensor) -> tuple[float, tuple[int, ...]]:
    """Halves by exchanges (Kernighan and Lin 1970), each time the best of all, from the options in their order."""
    count = len(agreement)
    half = list(range(count // 2))

    def score(half: list[int]) -> float:
        return float(agreement[half][:, [i for i in range(count) if i not in half]].mean())

    best = score(half)
    while True:
        others = [i for i in range(count) if i not in half]
        tried = [sorted({*half, new} - {old}) for old in half[1:] for new in others]
        found = min(tried, key=score)
        if score(found) >= best:
            return best, tuple(half)
        best, half = score(found), found
