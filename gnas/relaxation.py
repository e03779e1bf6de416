"""Relaxations: from an architecture parameter alpha, one number an option, to the weights of the options.

Pure functions as frozen values. Each is called with alpha [options] and the generator to draw from; without a
generator it is deterministic, which is how a supernet is evaluated. Options whose weight is exactly zero are not
computed at all, unless the relaxation has a method ``paths(alpha, generator)`` that gives the weights and the positions
to compute: an option of weight zero that is computed has a gradient in its weight. One that says ``dense = True`` gives
every option a weight, so that nobody needs to look which are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Generator, Tensor

from gnas.checks import check_flag, check_number

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
    """DARTS (arXiv 1806.09055): w = softmax(alpha / temperature).

    Args:
        temperature: Above 1 weights are more alike, below 1 less.
    """

    dense: ClassVar[bool] = True

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "temperature", positive=True)

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        return (alpha / self.temperature).softmax(dim=0)


@dataclass(frozen=True)
class Gumbel:
    """Straight-through Gumbel softmax (SNAS, arXiv 1812.09926; GDAS, arXiv 1910.04465).

    w = one_hot(argmax(alpha + g)) with the gradient of softmax((alpha + g) / temperature), g standard Gumbel noise;
    with ``hard=False`` it is that softmax itself, a sample of the concrete distribution, and every option is computed.
    Without a generator: one-hot at the largest alpha.

    Args:
        temperature: Of the softmax whose gradient is taken.
        hard: Whether one option is drawn, or all are mixed by the soft sample.
    """

    temperature: float = 1.0
    hard: bool = True

    def __post_init__(self) -> None:
        check_number(self, "temperature", positive=True)
        check_flag(self, "hard")

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        if generator is None:
            return _straight_through(_one_hot(alpha.argmax(), alpha), (alpha / self.temperature).softmax(dim=0))
        soft = ((alpha + _gumbel(alpha, generator)) / self.temperature).softmax(dim=0)
        if not self.hard:
            return soft
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

    dense: ClassVar[bool] = True

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        return alpha.sigmoid()


@dataclass(frozen=True)
class BinaryGates:
    """ProxylessNAS's gates with two paths (arXiv 1812.00332): one option runs, two are compared.

    Two options i, j are drawn from softmax(alpha), each at most once, and one of them by their shares of the two; the
    weights are one-hot at that one. The other is computed, too, with the weight zero, so that both have a gradient in
    their gate, dL/dg, and the two alphas get the paper's: dL/dalpha_i = sum over j of dL/dg_j p_j (delta_ij - p_i), p
    their shares. Without a generator: one-hot at the largest alpha.
    """

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        return self.paths(alpha, generator)[0]

    def paths(self, alpha: Tensor, generator: Generator | None = None) -> tuple[Tensor, tuple[int, ...]]:
        """The weights [options], and the positions of the options to compute."""
        if generator is None:
            pair = alpha.argmax().reshape(1)
        else:
            pair = (alpha.detach() + _gumbel(alpha.detach(), generator)).topk(min(2, alpha.numel())).indices
        shares = alpha[pair].softmax(dim=0)
        runs = shares.detach().argmax().reshape(1)
        if generator is not None:
            runs = torch.multinomial(shares.detach().to(generator.device), 1, generator=generator).to(alpha.device)
        gates = _straight_through(_one_hot(runs, shares), shares)
        return torch.zeros_like(alpha).scatter(0, pair, gates), tuple(pair.tolist())

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The distribution that is sampled from."""
        return alpha.softmax(dim=0)


@dataclass(frozen=True)
class Dirichlet:
    """DrNAS (arXiv 2006.10355): w drawn from a Dirichlet distribution with the concentrations elu(alpha) + 1.

    The gradient is pathwise: that of the drawn gamma numbers in their shape, by implicit differentiation. Without a
    generator: the mean of the distribution.
    """

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        if generator is None:
            return self.probabilities(alpha)
        # Smaller shapes give gamma numbers that are zero in float32, and no gradient.
        shape = self.concentration(alpha).clamp(min=1e-3).to(generator.device)
        drawn = torch._standard_gamma(shape, generator=generator).clamp(min=torch.finfo(alpha.dtype).tiny)
        return (drawn / drawn.sum()).to(alpha.device)

    def concentration(self, alpha: Tensor) -> Tensor:
        """The parameters of the distribution, all positive."""
        return torch.nn.functional.elu(alpha) + 1

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The mean of the distribution."""
        concentration = self.concentration(alpha)
        return concentration / concentration.sum()


@dataclass(frozen=True)
class MaxW:
    """sharpDARTS' Max-W (arXiv 1903.09900): w_k = 1 - max_j p_j + p_k with p = softmax(alpha).

    The leader's weight is one however far it is ahead, so that it gains nothing from growing. The sum is not one.
    """

    dense: ClassVar[bool] = True

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        share = alpha.softmax(dim=0)
        return 1 - share.max() + share

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The softmax that the weights are made of."""
        return alpha.softmax(dim=0)


@dataclass(frozen=True)
class Plain:
    """w = alpha: weights that are found as they are, such as those of a sparse code."""

    def __call__(self, alpha: Tensor, generator: Generator | None = None) -> Tensor:
        # A copy, so that nobody who changes the weights changes alpha.
        return alpha.clone()
