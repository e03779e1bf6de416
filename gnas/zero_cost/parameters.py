"""Parameters: the number of trained numbers, the score that every other one has to beat.

    S(a) = |w|

White and others, "A Deeper Look at Zero-Cost Proxies for Lightweight NAS" (ICLR blog track 2022), compare every other
score with it. It has no settings, and draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gnas.batch import Batch
from gnas.evaluate import parameters
from gnas.task import Task
from gnas.zero_cost.base import Score


@dataclass(frozen=True)
class Parameters(Score):
    """How many numbers are trained."""

    name: ClassVar[str] = "parameters"

    def of(self, net: nn.Module, task: Task, batch: Batch) -> float:
        return float(parameters(net))
