"""How long a search may take: by the clock, or by a number of steps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_COUNTS = {"epoch": "epochs", "evaluation": "evaluations", "step": "steps"}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
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

    def __str__(self) -> str:
        amount = int(self.amount) if self.amount == int(self.amount) else self.amount
        return f"{amount} {self.unit}"

    @classmethod
    def parse(cls, budget: Any) -> Budget | None:
        """Read ``"2min"``, ``"1h 30min"``, ``"50 epochs"``, ``"20 evaluations"`` or a number of steps."""
        if budget is None or isinstance(budget, Budget):
            return budget
        if isinstance(budget, bool) or not isinstance(budget, (int, float, str)):
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
            unit = unit if unit in _SECONDS else unit.removesuffix("s")
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
