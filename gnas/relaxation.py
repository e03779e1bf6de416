"""Relaxations: from an architecture parameter alpha, one number an option, to the weights of the options.

Pure functions as frozen values. Each is called with alpha [options] and the generator to draw from; without a
generator it is deterministic, which is how a supernet is evaluated. Options whose weight is exactly zero are not
computed at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Generator, Tensor

Relaxation: TypeAlias = Callable[[Tensor, Generator | None], Tensor]
"""``relaxation(alpha, generator) -> weights``, both [options]."""


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    # The difference is exactly zero, so the value is exactly that of ``hard`` and the gradient that of ``soft``.
    return hard + (soft - soft.detach())


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter(0, index.reshape(1), 1.0)


def _gumbel(alpha: Tensor, generator: Generator) -> Tensor:
    """Standard Gumbel noise, [options]."""
    drawn = torch.empty(alpha.shape, dtype=alpha.dtype, device=generator.device)
    return -drawn.exponential_(generator=generator).log().to(alpha.device)


@dataclass(frozen=True)
class Softmax:
    """DARTS (arXiv 1806.09055): w = softmax(alpha / temperature)."""

    temperature: float = 1.0

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        return (alpha / self.temperature).softmax(dim=0)


@dataclass(frozen=True)
class Gumbel:
    """Straight-through Gumbel softmax (SNAS, arXiv 1812.09926; GDAS, arXiv 1910.04465).

    w = one_hot(argmax(alpha + g)) with the gradient of softmax((alpha + g) / temperature), g standard Gumbel noise.
    Without a generator: one-hot at the largest alpha.
    """

    temperature: float = 1.0

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        if generator is None:
            return _straight_through(_one_hot(alpha.argmax(), alpha), (alpha / self.temperature).softmax(dim=0))
        soft = ((alpha + _gumbel(alpha, generator)) / self.temperature).softmax(dim=0)
        return _straight_through(_one_hot(soft.argmax(), alpha), soft)

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The distribution that is sampled from."""
        return alpha.softmax(dim=0)


@dataclass(frozen=True)
class OnePath:
    """One path a step (ProxylessNAS, arXiv 1812.00332): an option drawn from softmax(alpha), straight through.

    With equal alphas this is uniform single-path sampling (arXiv 1904.00420). Without a generator: one-hot at the
    largest alpha.
    """

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        soft = alpha.softmax(dim=0)
        if generator is None:
            return _straight_through(_one_hot(alpha.argmax(), alpha), soft)
        drawn = torch.multinomial(soft.detach().to(generator.device), 1, generator=generator)
        return _straight_through(_one_hot(drawn.to(alpha.device), alpha), soft)

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The distribution that is sampled from."""
        return alpha.softmax(dim=0)


@dataclass(frozen=True)
class TwoPaths:
    """Two paths a step (ProxylessNAS, arXiv 1812.00332): two options drawn from softmax(alpha), each at most once.

    w = softmax(alpha) over the two, zero elsewhere: their probabilities, scaled to sum to one. The two alphas get the
    gradient of that and the others none, so each option's share against every other is learned in some of the steps.
    The paper also rescales the two, so that options that weren't drawn keep their probability; here they don't.
    Without a generator: the two largest alphas.
    """

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        # The largest of alpha plus Gumbel noise are a draw without replacement, also where a probability underflows.
        score = alpha.detach() if generator is None else alpha.detach() + _gumbel(alpha, generator)
        pair = score.topk(min(2, alpha.numel())).indices
        return torch.zeros_like(alpha).scatter(0, pair, alpha[pair].softmax(dim=0))

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The distribution that is sampled from."""
        return alpha.softmax(dim=0)


@dataclass(frozen=True)
class Sigmoid:
    """Independent gates (Fair-DARTS, arXiv 1911.12126): w_k = sigmoid(alpha_k)."""

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        return alpha.sigmoid()
