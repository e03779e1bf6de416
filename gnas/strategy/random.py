"""Random search: draw networks uniformly from the space, train each from scratch, keep the best.

The yardstick that any search has to beat with the same number of trainings (Li and Talwalkar, arXiv 1902.07638).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas.space import Genotype
from gnas.strategy.black_box import BlackBox, BlackBoxState


@dataclass(frozen=True, kw_only=True)
class Random(BlackBox):
    """Sample, train, keep the best by the architecture split; ties go to the lower loss.

    Every choice is drawn uniformly and independently. No network is trained twice: genotypes that bind to the same
    network (by its digest) count as one, and when a thousand draws bring nothing new the search is over early.

    Args:
        evaluations: How many networks are trained.
        evaluator: What trains a candidate and measures it on the architecture split.
        conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    several: ClassVar[bool] = True
    name: ClassVar[str] = "random"

    def propose(self, state: BlackBoxState) -> Genotype | None:
        return state.draw()
