"""How long a search may take: by the clock, or by a number of steps; and settings that fit into a time."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

from gnas.checks import check_number

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_COUNTS = {"epoch": "epochs", "evaluation": "evaluations", "step": "steps"}
_UNITS = ("seconds", *_COUNTS.values())
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
EARLY = 0.75
"""Share of its epochs that a training takes, since most of them stop early; none stops before its patience ends."""
TYPICAL = 0.5
"""The same of a short training on average; a derivation whose trainings take longer is ended in time."""
SIXTH = 6
"""The first rung has one of so many epochs of a short training, ..."""
STEPS = 100
"""... but as many as have so many steps of the optimizer: before, hardly a network has learned anything; ..."""
THIRD = 3
"""... and there is none where that would be more than one of so many epochs."""
QUARTER = 4
"""One of so many goes on from it."""
ROUNDS = 3
"""Rounds of halving after it, so that the last two or so are judged by four seeds."""
_EXAMPLES = "'2min', '1h 30min', '50 epochs', '20 evaluations' or a number of steps"


@dataclass(frozen=True)
class Budget:
    """A limit on the search phase.

    Args:
        amount: How much, more than zero.
        unit: ``"seconds"`` for the whole run including derivation and last training; ``"epochs"`` of a one-shot
            strategy; ``"evaluations"`` of a black-box strategy; ``"steps"`` for either.
    """

    amount: float
    unit: str

    def __post_init__(self) -> None:
        if self.unit not in _UNITS:
            raise ValueError(f"Budget got unit={self.unit!r}; expected one of {list(_UNITS)}")
        check_number(self, "amount", positive=True)
        if self.unit != "seconds" and self.amount != int(self.amount):
            raise ValueError(f"Budget got amount={self.amount} of {self.unit}; expected a whole number")

    def __str__(self) -> str:
        amount = int(self.amount) if self.amount == int(self.amount) else self.amount
        return f"{amount} {self.unit}"

    def fit(self, strategy: Any, unit: str) -> Any:
        """The strategy with its own end where the budget is, so that its schedules fit; for a time see below.

        Args:
            strategy: Settings with a name.
            unit: What its steps are called; a setting of that name limits them.
        """
        if self.unit == "seconds":
            return strategy
        if self.unit not in ("steps", unit):
            raise ValueError(
                f"the budget is given in {self.unit}, but {strategy.name} counts {unit}; "
                f"try '{self.amount:g} {unit}' or a time such as '2min'"
            )
        if any(entry.name == unit for entry in fields(strategy)):
            return replace(strategy, **{unit: int(self.amount)})
        return strategy

    @classmethod
    def parse(cls, budget: Any) -> Budget | None:
        """Read ``"2min"``, ``"1h 30min"``, ``"50 epochs"``, ``"20 evaluations"`` or a number of steps."""
        if budget is None or isinstance(budget, Budget):
            return budget
        if isinstance(budget, bool) or not isinstance(budget, (Real, str)):
            raise TypeError(f"a budget got {budget!r} of type {type(budget).__name__}; expected {_EXAMPLES}")
        wrong = ValueError(f"a budget got {budget!r}; expected more than nothing, as {_EXAMPLES}")
        text = str(budget).strip().lower()
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            text += " steps"
        seconds = 0.0
        position = 0
        while position < len(text):
            match = _PART.match(text, position)
            if match is None:
                raise wrong
            number, unit = float(match[1]), match[2]
            # A plural; "ms" would be minutes.
            unit = unit.removesuffix("s") if unit not in _SECONDS and len(unit) > 2 else unit
            if unit in _COUNTS:
                # A count stands alone, and there are no half steps.
                if position or match.end() < len(text) or number < 1 or number != int(number):
                    raise wrong
                return cls(number, _COUNTS[unit])
            if unit not in _SECONDS:
                raise wrong
            seconds += number * _SECONDS[unit]
            position = match.end()
        if not 0 < seconds < math.inf:
            raise wrong
        return cls(seconds, "seconds")


def fit_epochs(strategy: Any, own: int, room: float, warmup: float, search: float) -> Any:
    """The strategy with as many epochs as fit, so that its warm-up and schedules end with them.

    Args:
        strategy: Settings with ``epochs``, and ``seconds(warmup, search)`` for all of them.
        own: How many it has.
        room: Seconds.
        warmup: Seconds of an epoch of the warm-up.
        search: Seconds of an epoch after it.
    """

    def allowed(epochs: int) -> bool:
        # Settings refuse to have fewer epochs than their warm-up or their stages need.
        try:
            replace(strategy, epochs=epochs)
        except ValueError:
            return False
        return True

    def cost(epochs: int) -> float:
        return float(replace(strategy, epochs=epochs).seconds(warmup, search))

    least = 1 + bisect_left(range(1, own), True, key=allowed)
    most = least - 1 + bisect_right(range(least, own + 1), room, key=cost)
    return strategy if most >= own else replace(strategy, epochs=max(least, most))


def fit_derivation(
    derivation: Any, space: Any, room: float, each: float, ready: bool = True, steps: int = 1
) -> list[Any]:
    """The derivation that fits, then those that ask for more, up to the whole: for the time that it may leave.

    Candidates go first, by halves with a round each, then seeds, then the further evidence, then the shortlist, and at
    last the epochs of most candidates. Fewer candidates on more seeds choose better than more of them on one, and
    evidence on the depth adds nothing to a comparison of candidates (``python -m benchmarks.derivations``).

    Args:
        derivation: A :class:`gnas.derive.Derivation`.
        space: The space that was searched.
        room: Seconds.
        each: Seconds of one epoch of one training.
        ready: Whether the supernet was trained for long enough to judge a shortlist; without one the epochs go.
        steps: Of the optimizer in an epoch.
    """
    half = _halved(derivation)
    quarter = _halved(half)
    lean = replace(quarter, seeds=1, inherited=False)
    bare = replace(lean, rounds=1, evidence=())
    plans = [derivation, half, quarter, lean, bare] if ready else []
    for place, plan in enumerate(plans):
        if extent(plan, space) * each <= room:
            return plans[place::-1]
    # What was trained without a shortlist is nothing that more could be added to. So as many are tried as there is time
    # for, which ends the derivation.
    rung = max(derivation.epochs // SIXTH, math.ceil(STEPS / steps))
    rung = rung if rung <= derivation.epochs // THIRD else 0
    unlisted = replace(derivation, listed=1, evidence=(), rung=rung, rounds=min(derivation.rounds, ROUNDS))
    return [replace(unlisted, best_of=1) if room < 2 * (rung or derivation.epochs) * each else unlisted]


def expected(epochs: int, patience: int, share: float) -> float:
    """Epochs that a training takes: a share of them, but never less than its patience."""
    return max(share * epochs, min(patience, epochs))


def survivors(candidates: int) -> int:
    """How many go on from a first rung."""
    return -(-candidates // QUARTER)


def _halved(derivation: Any) -> Any:
    few = min(derivation.best_of, max(4, derivation.best_of // 2))
    return replace(derivation, best_of=few, rounds=max(1, derivation.rounds - 1))


def extent(derivation: Any, space: Any) -> float:
    """How long a derivation is, in epochs of a training."""
    epochs = trainings(derivation, space) * expected(derivation.epochs, derivation.patience, TYPICAL)
    if derivation.best_of > 1:
        epochs += derivation.best_of * derivation.rung
    if derivation.lists([]):
        # Measuring is about a third of an epoch; the second round measures few.
        epochs += 2 * derivation.steps + derivation.listed / 3
    return epochs


def trainings(derivation: Any, space: Any) -> int:
    """How many short trainings a derivation makes at most, those of a first rung not counted."""
    settled = [space.choices[name] for name in derivation.evidence if name in space.choices]
    count, left = 0, survivors(derivation.best_of) if derivation.rung else derivation.best_of
    for i in range(derivation.rounds):
        if left == 1:
            break
        count += left * max(1, 2**i // 2)
        left = -(-left // 2)
    for choice in settled:
        count += len(choice.options) * (derivation.seeds + (derivation.inherited and choice.name == "depth"))
    return count
