"""How a metric's values are read: its name, which direction is better, and whether they are shares.

Pure words and numbers, so that reports and journals read them without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """What a metric is called and how its values compare.

    Args:
        name: The metric's name.
        higher_is_better: Whether the larger of two values is the better one.
        percent: Whether values are shares between 0 and 1, which people read in percent.
    """

    name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True

    @classmethod
    def of(cls, task: Mapping[str, Any] | None) -> Scale:
        """The scale of a described task; a journal from before there were other metrics holds accuracies."""
        told = task or {}
        percent = bool(told.get("percent", True))
        return cls(str(told.get("metric") or "accuracy"), bool(told.get("higher_is_better", True)), percent)

    def judging(self, strategy: Mapping[str, Any] | None) -> Scale:
        """How candidates of a described strategy are read: an untrained network's score is no value of the metric."""
        evaluator = (strategy or {}).get("evaluator")
        if not isinstance(evaluator, Mapping) or evaluator.get("name") != "ZeroCost":
            return self
        score = evaluator["score"]
        name = score["name"].lower() if isinstance(score, Mapping) else score
        return Scale(f"{name} score", self.higher_is_better, percent=False)

    def merit(self, value: float | None) -> float:
        """The value as a number of which more is always better; below all others where there is none."""
        if value is None or math.isnan(value):
            return -math.inf
        return value if self.higher_is_better else -value

    def judged(self, metric: float | None, loss: float | None) -> tuple[float, float]:
        """What is compared of two networks: the metric, among equals the loss; more is better, NaN below all others.

        Any comparison with NaN is false, so without this a training that diverged could win.
        """
        return self.merit(metric), -math.inf if loss is None or math.isnan(loss) else -loss

    def number(self, value: float, sign: bool = False) -> str:
        """The value for people without its unit, never minus zero: ``91.2`` for a share, ``0.512`` otherwise."""
        shown, digits = (100 * value, 1) if self.percent else (value, 3)
        rounded = round(shown, digits) + 0.0
        return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"

    def text(self, value: float) -> str:
        """The value for people with its unit: ``91.2%`` or ``0.512``."""
        return f"{self.number(value)}{'%' if self.percent else ''}"

    def spread(self, mean: float, std: float) -> str:
        """A mean with its standard deviation, without the unit."""
        return f"{self.number(mean)} ± {self.number(std)}"

    @property
    def titled(self) -> str:
        """The name with its unit, for the head of a column: ``accuracy in %``."""
        return f"{self.name} in %" if self.percent else self.name


ACCURACY = Scale()
