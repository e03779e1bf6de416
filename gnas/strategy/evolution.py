"""Ageing evolution: the best of a few parents has a child, and the oldest of the population dies.

Regularized evolution of Real, Aggarwal, Huang and Le (AAAI 2019, arXiv 1802.01548).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas.checks import check_count
from gnas.space import Genotype
from gnas.strategy.black_box import ATTEMPTS, BlackBox, BlackBoxState


@dataclass(frozen=True, kw_only=True)
class Evolution(BlackBox):
    r"""Mutate the fittest of a sample of the youngest.

    With the trials :math:`g_1, \dots, g_t` so far, the population is the last P of them, whether fit or not:

    .. math::
        g_{t+1} = \mathrm{mutate}\Big(\arg\max_{g \in S} f(g)\Big),
        \qquad S \sim \{g_{t-P+1}, \dots, g_t\}^{s}

    The first P networks are drawn uniformly. The s candidates for parenthood are drawn with replacement, as in the
    paper; a mutation redraws one choice. Dying of age instead of unfitness is what makes the method robust to noise:
    a network that was lucky once has to do well again through its children.

    Where it departs from the paper, and why:

    * The paper trains a child that is a copy of an earlier network again (its mutations include the identity). Here
      such a child is dropped and another is made, parents included, because a training costs more than a draw;
      after a thousand vain attempts a network is drawn uniformly, and when there is none the search is over.
    * The paper's population of 100 and sample of 25 belong to 20,000 trainings. A few hundred, which is what one has
      here, would be half over before the first child of such a population; hence 50 and 10.

    Args:
        population: How many of the last networks may become parents.
        sample: How many of these compete for it.
        evaluations: How many networks are trained.
        evaluator: What trains a candidate and measures it on the architecture split.
        conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "evolution"

    evaluations: int = 200
    population: int = 50
    sample: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "population", 1)
        check_count(self, "sample", 1)

    def propose(self, state: BlackBoxState) -> Genotype | None:
        tried = state.tried()
        if len(state.trials) < self.population:
            return state.draw(tried)
        alive = state.trials[-self.population :]
        for _ in range(ATTEMPTS):
            rivals = [alive[state.random.randrange(len(alive))] for _ in range(self.sample)]
            child = state.mutate(min(rivals, key=state.rank).genotype)
            if child not in tried:
                return child
        return state.draw(tried)
