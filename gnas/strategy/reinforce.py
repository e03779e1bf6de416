"""REINFORCE: a recurrent controller learns which networks to propose.

GraphNAS (Gao, Yang, Zhang, Zhou and Hu, IJCAI 2020, arXiv 1904.09981); the rule is that of Williams (1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gnas.checks import check_count, check_number
from gnas.evaluate import seeded
from gnas.space import Genotype, Space
from gnas.strategy.black_box import BlackBox, BlackBoxState, Trial
from gnas.strategy.controller import Controller, Learner

REPEATS = 20
"""Draws of a controller that may be networks it has drawn before, between two new ones."""


@dataclass(frozen=True, kw_only=True)
class Controlled(BlackBox):
    """What strategies with a controller have in common: its settings, and rewards.

    Args:
        hidden_channels: Channels of the controller's LSTM.
        lr: Learning rate of its Adam.
        decay: Of the moving average of rewards, the baseline.
        entropy: Weight of the entropies of the decisions, which keep it from settling.
        temperature: Divides the logits.
        bound: Bounds them.
        evaluations: How many networks are trained.
        evaluator: What trains a candidate and measures it on the architecture split.
    """

    evaluations: int = 200
    hidden_channels: int = 100
    lr: float = 3.5e-4
    decay: float = 0.95
    entropy: float = 1e-4
    temperature: float = 5.0
    bound: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "hidden_channels", 1)
        for key in ("lr", "temperature", "bound"):
            check_number(self, key, positive=True)
        for key in ("decay", "entropy"):
            check_number(self, key)
        if self.decay >= 1:
            raise ValueError(f"{self.name} got decay={self.decay!r}; expected less than 1, try 0.95")

    def learner(self, space: Space) -> Learner:
        """An untrained controller of a space; draws from PyTorch's generator."""
        sizes = [len(choice.options) for choice in space.choices.values()]
        controller = Controller(sizes, self.hidden_channels, self.temperature, self.bound)
        return Learner(controller, self.lr, self.decay, self.entropy)

    def reward(self, state: BlackBoxState, trial: Trial) -> float:
        """The metric, higher is better; of a network that diverged that of the worst one that did not."""
        metrics = [each.metric for each in state.trials if math.isfinite(each.metric)]
        if not metrics:
            return math.nan
        worst = min(metrics) if state.higher_is_better else max(metrics)
        metric = trial.metric if math.isfinite(trial.metric) else worst
        return metric if state.higher_is_better else -metric


@dataclass(frozen=True, kw_only=True)
class Reinforce(Controlled):
    r"""Draw a network from the controller, and make what was better than usual more probable.

    .. math::
        \theta \leftarrow \theta + \eta \sum_t \nabla_\theta \big( (R - b) \log p(a_t \mid a_{<t}; \theta)
        + \beta H_t \big), \qquad b \leftarrow \gamma \, b + (1 - \gamma) R

    with Adam, where R is the metric on the architecture split, :math:`H_t` the entropy over the options of choice t,
    and b the moving average of rewards. The settings' defaults are those of its code.

    Where it departs from the paper, and why:

    * A network that the controller draws again is not trained again: it learns from what is known of it. After
      twenty repetitions in a row a new network is drawn uniformly, from which the controller does not learn, since
      the rule holds for its own draws only.
    * The paper's code trains a thousand networks with this learning rate. With two hundred the controller has hardly
      moved; a larger ``lr`` learns in time and settles early.
    * The paper's code adds the entropies to the rewards. That of a choice depends on the choices before it only, so
      there it is one more baseline and changes nothing in expectation; here its own gradient is followed.

    Args:
        hidden_channels, lr, decay, entropy, temperature, bound, evaluations, evaluator, conditions, objectives: See
            :class:`Controlled`.
    """

    name: ClassVar[str] = "reinforce"

    def propose(self, state: BlackBoxState) -> Genotype | None:
        space, tried = state.space, state.tried()
        if not space.choices:
            return state.draw(tried)
        known = {trial.network: trial for trial in reversed(state.trials)}
        with seeded(state.random.randrange(2**31)):
            learner = self.learner(space)
            if "learner" in state.memory:
                learner.load_state_dict(state.memory["learner"])
                last = state.trials[-1]
                if options_of(space, last.genotype) == state.memory["drawn"]:
                    learner.learn(state.memory["drawn"], self.reward(state, last))
            found, drawn = None, None
            for _ in range(REPEATS):
                options, _, _ = learner.controller([None] * len(space.choices))
                genotype = genotype_of(space, options)
                if genotype not in tried:
                    found, drawn = genotype, options
                    break
                if (before := known.get(space.bind(genotype).digest())) is not None:
                    learner.learn(options, self.reward(state, before))
        state.memory.update(learner=learner.state_dict(), drawn=drawn)
        return state.draw(tried) if found is None else found


def options_of(space: Space, genotype: Genotype) -> list[int]:
    """Numbers of a genotype's options, in the order of the space's choices."""
    return [choice.index(genotype[name]) for name, choice in space.choices.items()]


def genotype_of(space: Space, options: Sequence[int]) -> Genotype:
    """The genotype with these numbers of options."""
    pairs = zip(space.choices.items(), options, strict=True)
    return space.genotype({name: choice.options[option] for (name, choice), option in pairs})
