"""MANAS: an agent for each choice, playing a bandit (Lopes, Carlucci and others, arXiv 1909.01051)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gnas.checks import check_count, check_number
from gnas.relaxation import OnePath, Relaxation
from gnas.strategy.base import Batches, Task
from gnas.strategy.one_shot import OneShot, OneShotState, open_places

ESTIMATES = ("exp3", "least_squares")


@dataclass(frozen=True, kw_only=True)
class Manas(OneShot):
    r"""One agent a choice; all draw, the network that they make has a loss, and each updates its own policy by it.

    .. math::
        \pi_i(k) \propto \exp(-\eta \, \tilde L_{i,k}), \qquad
        \tilde L_{i,k} = \sum_t \frac{1\{k_i^t = k\}}{\pi_i^t(k)} \, \ell^t

    with the loss :math:`\ell^t` of the drawn network on the architecture split. That is EXP3 for each agent
    (``estimate="exp3"``), whose regret against the best fixed option grows with the square root of the number of
    rounds. ``"least_squares"`` (MANAS-LS) takes the losses of the ``samples`` networks of a round to be sums of a
    number for each option, and adds these numbers, the shortest that fit, in place of the weighted losses.

    An alpha is :math:`-\eta \tilde L`, so its softmax is the policy. The weights' steps run one drawn network, and
    nothing is differentiated for the architecture: memory and time are those of one path.

    Where it departs from the paper, and why: losses are brought to the range from 0 to 1 by the least and the largest
    met so far, since cross-entropy has no bound; and there are ``samples`` networks a round, each of which EXP3 counts
    as one, since a full graph has one round an epoch and a forward pass costs little. Least squares takes the losses
    of a round less their mean, or an option that wasn't drawn would look as if it cost nothing.

    Args:
        estimate: ``"exp3"`` or ``"least_squares"``.
        eta: :math:`\eta`.
        samples: Networks that are drawn in each update of the architecture.
        epochs, warmup, hidden_channels, dropout, drop_inputs, checkpoint, optimizer, lr, weight_decay, momentum, power,
            grad_clip: See :class:`~gnas.strategy.one_shot.OneShot`.
    """

    name: ClassVar[str] = "manas"

    epochs: int = 200
    estimate: str = "exp3"
    eta: float = 0.02
    samples: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "eta", positive=True)
        check_count(self, "samples", 1)
        if self.estimate not in ESTIMATES:
            raise ValueError(f"manas got estimate={self.estimate!r}; expected one of {list(ESTIMATES)}")

    def relaxation_at(self, epoch: int) -> Relaxation:
        return OnePath()

    @torch.no_grad()
    def update_architecture(self, task: Task, state: OneShotState, batches: Batches) -> None:
        net = state.supernet
        # Options that were closed on the way are no actions any more.
        choices, places = net.narrowed().choices, open_places(net)
        alphas, kept = [net.alpha(name) for name in places], list(places.values())
        policies = [alpha[k].softmax(dim=0) for alpha, k in zip(alphas, kept, strict=True)]
        actions, losses = [], []
        with net.frozen_statistics():
            for _ in range(self.samples):
                drawn = draw(policies)
                options = zip(choices.items(), drawn, strict=True)
                net.set_arch(net.space.genotype({name: choice.options[k] for (name, choice), k in options}))
                losses.append(float(self.loss(task, state, batches, "architecture")))
                actions.append(drawn)
        net.set_arch(None)
        scaled = self.scale(state, losses)
        estimates = importance if self.estimate == "exp3" else least_squares
        for alpha, k, estimate in zip(alphas, kept, estimates(policies, actions, scaled), strict=True):
            alpha[k] -= self.eta * estimate.to(alpha)
            # A policy is not changed by what is added to all of an agent's numbers.
            alpha.sub_(alpha.max())

    def scale(self, state: OneShotState, losses: Sequence[float]) -> list[float]:
        """Losses between 0 and 1, by the least and the largest so far."""
        finite = [loss for loss in losses if loss < float("inf")]
        low = min([*finite, state.memory.get("low", float("inf"))])
        high = max([*finite, state.memory.get("high", -float("inf"))])
        state.memory.update(low=low, high=high)
        return [(loss - low) / (high - low) if low <= loss < high else float(not loss < high) for loss in losses]


def draw(policies: Sequence[Tensor]) -> list[int]:
    """The action of each agent, drawn from its policy."""
    return [int(torch.multinomial(policy.cpu(), 1)) for policy in policies]


def importance(policies: Sequence[Tensor], actions: Sequence[Sequence[int]], losses: Sequence[float]) -> list[Tensor]:
    """EXP3: for each agent the losses of its actions over their probabilities, summed; without bias for each option."""
    sums = [torch.zeros_like(policy) for policy in policies]
    for drawn, loss in zip(actions, losses, strict=True):
        for total, policy, k in zip(sums, policies, drawn, strict=True):
            total[k] += loss / policy[k]
    return sums


def least_squares(
    policies: Sequence[Tensor], actions: Sequence[Sequence[int]], losses: Sequence[float]
) -> list[Tensor]:
    """The shortest numbers, one an option of each agent, whose sums over the actions fit the losses best.

    The losses are taken less their mean, so that an option that wasn't drawn counts as average and not as free.
    """
    sizes = [len(policy) for policy in policies]
    taken = torch.zeros(len(actions), sum(sizes), dtype=torch.float64)
    for row, drawn in enumerate(actions):
        offset = 0
        for size, k in zip(sizes, drawn, strict=True):
            taken[row, offset + k] = 1
            offset += size
    above = torch.tensor(losses, dtype=torch.float64)
    found = torch.linalg.pinv(taken) @ (above - above.mean())
    return list(found.split(sizes))
