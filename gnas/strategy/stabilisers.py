r"""What keeps a differentiable search from collapsing: settings of :class:`~gnas.strategy.darts.Darts`.

Each is off by default, and a frozen dataclass or a function of alphas; whose it is and its rule stand with it.
Relaxations that stabilise are in :mod:`gnas.relaxation` (``MaxW``, ``Sigmoid``), the schedule ``power`` in
:class:`~gnas.strategy.one_shot.OneShot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gnas.checks import check_count, check_number
from gnas.diagnosis import BACK, GROWTH, WINDOW, grown


@dataclass(frozen=True)
class EigenvalueStop:
    r"""Early stopping of RobustDARTS (Zela and others, arXiv 1909.09656).

    The largest eigenvalue of the Hessian in alpha of the architecture's loss is taken every ``every`` epochs and
    averaged over the last ``window`` times. When that average has grown by more than ``growth`` over what it was
    ``back`` times ago, the search ends, and alpha goes back to what it was in the middle of the earlier window. Nothing
    is said before both windows are full.

    Args:
        every: Epochs from one time to the next (2).
        window: Times that are averaged (5).
        growth: The factor that is too much (1.3).
        back: Times between the two averages (4).
        least: The earliest epoch of search, warm-up not counted, that alpha goes back to (10).
    """

    every: int = 2
    window: int = WINDOW
    growth: float = GROWTH
    back: int = BACK
    least: int = 10

    def __post_init__(self) -> None:
        for key in ("every", "window", "back"):
            check_count(self, key, 1)
        check_count(self, "least", 0)
        check_number(self, "growth")
        if self.growth <= 1:
            raise ValueError(f"EigenvalueStop got growth={self.growth!r}; expected more than 1, such as {GROWTH}")

    def broken(self, eigenvalues: Sequence[float], epochs: int) -> bool:
        """Whether the search is to stop after these eigenvalues and so many epochs of search."""
        return epochs - self.every * self.ago >= self.least and grown(eigenvalues, self.growth, self.window, self.back)

    @property
    def ago(self) -> int:
        """How many times ago the middle of the earlier window is."""
        return self.back + self.window // 2


@dataclass(frozen=True)
class Selection:
    """Perturbation-based selection, DARTS-PT (Wang and others, arXiv 2108.04392).

    In the last ``share`` of the epochs the choices are settled one after another, in an order that is drawn. Each open
    option is left out by turns, and the one without which the supernet's metric on the architecture split (ties: its
    loss) is worst is kept. The weights train on in between, and alpha is not asked.

    Where it departs from the paper, and why: the paper tunes for five epochs after each decision, beyond the search;
    here the decisions are spread over the end of the search, so that a search has the length that it was given. There
    an option that is left out takes its weight with it; here those that stay share all of it, as they would if the
    option had never been one.

    Args:
        share: Of the epochs.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, "share", positive=True, below=1)

    def begins(self, epochs: int) -> int:
        """The epoch after which decisions are made."""
        return epochs - max(1, round(self.share * epochs))

    def settled(self, choices: int, epoch: int, epochs: int) -> int:
        """How many choices are settled when ``epoch`` epochs are done; all of them after the last."""
        done, span = epoch - self.begins(epochs), epochs - self.begins(epochs)
        return 0 if done <= 0 else -(-choices * done // span)


@dataclass(frozen=True)
class Perturbation:
    r"""Perturbed alphas in the weights' steps, SmoothDARTS (Chen and Hsieh, arXiv 2002.05283).

    .. math::
        \min_w L_{train}(w, \alpha + \delta), \qquad \delta \sim U[-\epsilon, \epsilon] \quad\text{or}\quad
        \delta = \arg\max_{\|\delta\|_\infty \le \epsilon} L_{train}(w, \alpha + \delta)

    with :math:`\epsilon` that rises linearly to its value at the last epoch. The supernet's loss then changes little
    when alpha is discretised.

    Where it departs from the authors' code: there the weights that softmax gives are perturbed, clamped to [0, 1] and
    divided by their sum; here alpha is, which with several options moves the weights several times less for the same
    :math:`\epsilon`. There :math:`\epsilon` begins above zero. Order 2 unrolls its step at unperturbed alphas.

    Args:
        radius: :math:`\epsilon` at the last epoch.
        steps: 0 draws the perturbation (SDARTS-RS); more are steps of projected gradient ascent (SDARTS-ADV, 7).
    """

    radius: float = 0.3
    steps: int = 0

    def __post_init__(self) -> None:
        check_number(self, "radius", positive=True)
        check_count(self, "steps", 0)

    def shifts(self, alphas: Sequence[Tensor], radius: float, loss: Callable[[], Tensor]) -> list[Tensor]:
        """What is added to the alphas, none of it larger than ``radius``; the alphas are as before afterwards."""
        shifts = [(2 * torch.rand(alpha.shape) - 1).to(alpha) * radius for alpha in alphas]
        for _ in range(self.steps):
            with shifted(alphas, shifts):
                grads = torch.autograd.grad(loss(), list(alphas), allow_unused=True, materialize_grads=True)
            # The step that a few of reach any corner with.
            size = 2.5 * radius / self.steps
            shifts = [(s + size * g.sign()).clamp(-radius, radius) for s, g in zip(shifts, grads, strict=True)]
        return shifts


class shifted:
    """Within, something is added to tensors; afterwards they are bit for bit what they were."""

    def __init__(self, tensors: Sequence[Tensor], shifts: Sequence[Tensor]) -> None:
        self.tensors, self.shifts = tensors, shifts

    @torch.no_grad()
    def __enter__(self) -> None:
        self.kept = [tensor.detach().clone() for tensor in self.tensors]
        for tensor, shift in zip(self.tensors, self.shifts, strict=True):
            tensor.add_(shift)

    @torch.no_grad()
    def __exit__(self, *error: object) -> None:
        for tensor, kept in zip(self.tensors, self.kept, strict=True):
            tensor.copy_(kept)


def beta_penalty(alphas: Sequence[Tensor]) -> Tensor:
    """beta-DARTS (Ye and others, arXiv 2203.01665): the mean over choices of logsumexp(alpha).

    Its gradient is softmax(alpha) over the number of choices: what is ahead is pushed back most.
    """
    return torch.stack([alpha.logsumexp(dim=0) for alpha in alphas]).mean()


def zero_one_penalty(alphas: Sequence[Tensor]) -> Tensor:
    """Fair-DARTS (Chu and others, arXiv 1911.12126): minus the mean of (sigmoid(alpha) - 1/2)^2 over all options.

    It drives each gate to 0 or 1, so that little is lost when gates are rounded. For the relaxation ``Sigmoid``.
    """
    return -(torch.cat(list(alphas)).sigmoid() - 0.5).square().mean()


def largest_eigenvalue(loss: Callable[[], Tensor], alphas: Sequence[Tensor], steps: int = 12, seed: int = 0) -> float:
    """The largest eigenvalue of the Hessian of a loss in some tensors, by Lanczos' method.

    A step costs one product of the Hessian with a vector; with as many steps as there are numbers it is exact, and the
    largest eigenvalue is found in a few. The start is drawn from a generator of its own, so nothing else is disturbed.

    Args:
        loss: A scalar that can be differentiated twice.
        alphas: Tensors that require a gradient.
        steps: Products at most.
        seed: Of the start.
    """
    grads = torch.autograd.grad(loss(), list(alphas), create_graph=True, allow_unused=True, materialize_grads=True)
    slope = torch.cat([grad.flatten() for grad in grads])
    if not slope.requires_grad:
        return 0.0
    size = slope.numel()

    def product(vector: Tensor) -> Tensor:
        parts = torch.autograd.grad(
            slope, list(alphas), vector.to(slope), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in parts]).double().cpu()

    start = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis, diagonal, beside = [start / start.norm()], list[float](), list[float]()
    for _ in range(min(steps, size)):
        found = product(basis[-1])
        diagonal.append(float(found @ basis[-1]))
        # Made orthogonal to all before, since rounding would bring them back.
        for _again in range(2):
            for vector in basis:
                found = found - (found @ vector) * vector
        norm = float(found.norm())
        if norm < 1e-10 * max(1e-30, max(map(abs, diagonal))):
            break
        beside.append(norm)
        basis.append(found / norm)
    inner = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if len(diagonal) > 1:
        off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
        inner = inner + torch.diag(off, 1) + torch.diag(off, -1)
    return float(torch.linalg.eigvalsh(inner)[-1])


def worst_without(measured: Mapping[int, tuple[float, float]]) -> int:
    """Of what was measured without each option, merit and loss, the option that is missed most."""

    def rank(option: int) -> tuple[float, float, int]:
        merit, loss = measured[option]
        return (-math.inf if math.isnan(merit) else merit, -math.inf if math.isnan(loss) else -loss, option)

    return min(measured, key=rank)
