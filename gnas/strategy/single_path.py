"""Single path one-shot: weights for every path alike, then evolution of paths by these weights.

"Single Path One-Shot Neural Architecture Search with Uniform Sampling" (Guo and others, SPOS, arXiv 1904.00420).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas.checks import check_count, check_number
from gnas.space import Genotype
from gnas.strategy.one_shot import OneShotState
from gnas.strategy.random_sharing import Draws, RandomSharing, drawn


@dataclass(frozen=True, kw_only=True)
class SinglePath(RandomSharing):
    r"""Train the weights on uniformly drawn paths, then evolve paths by their metric with these weights.

    .. math::
        W^* = \arg\min_W \; E_{a \sim U(A)} L_{train}(W(a)), \qquad a^* = \arg\max_{a \in A} M_{val}(W^*(a))

    The weights are trained, and the genotype is handed over, as :class:`~gnas.strategy.random_sharing.RandomSharing`
    does it. Each epoch after the weights' is one generation of ``population`` networks: half from crossover of two of
    the best ``parents`` (each choice from either), half from mutation of one of them, where each choice is drawn anew
    with the probability ``mutation``; the first generation is drawn uniformly.

    Where it departs from the paper, and why:

    * The paper trains for 120 epochs of 1200 steps; a full graph makes one step an epoch, so 300 of the 320
      epochs train the weights by default, about as many as one training from scratch has.
    * The paper limits candidates by their FLOPs; here ``conditions`` do, none by default.

    Args:
        population: Networks of a generation (50).
        parents: The best so far, from which the next generation comes (10).
        mutation: Probability that a mutation draws a choice anew (0.1).
        epochs, warmup, hidden_channels, dropout, drop_inputs, checkpoint, optimizer, lr, weight_decay, momentum, power,
            grad_clip: See :class:`~gnas.strategy.random_sharing.RandomSharing`.
    """

    name: ClassVar[str] = "single_path"

    parents: int = 10
    mutation: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "parents", 1)
        check_number(self, "mutation", positive=True)
        if self.mutation > 1:
            raise ValueError(f"{self.name} got mutation={self.mutation!r}; expected a probability, try 0.1")

    def child(self, state: OneShotState, best: list[Genotype], draws: Draws, place: int) -> Genotype:
        fresh = drawn(state, draws)
        if not best:
            return fresh
        parents = best[: self.parents]
        one, other = (parents[draws.randrange(len(parents))] for _ in range(2))
        picked = {}
        for name in one:
            if place % 2 == 0:
                source = one if draws.random() < 0.5 else other
            else:
                source = fresh if draws.random() < self.mutation else one
            picked[name] = source[name]
        return state.supernet.space.genotype(picked)
