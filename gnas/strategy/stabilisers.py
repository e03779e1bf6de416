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
        share: Of the epochs. What is left of them after the warm-up is alpha's own search, and may be none.
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
    r"""Perturbed weights of the options in the steps of the network's, SmoothDARTS (Chen and Hsieh, arXiv 2002.05283).

    .. math::
        \min_w L_{train}(w, p + \delta), \qquad \delta \sim U[-\epsilon, \epsilon] \quad\text{or}\quad
        \delta = \arg\max_{\|\delta\|_\infty \le \epsilon} L_{train}(w, p + \delta)

    where p are the weights of a choice's options, softmax(alpha) as a rule. What comes out is clamped to [0, 1] and
    scaled to the sum that p has. :math:`\epsilon` rises linearly from a tenth of its value to that at the last epoch,
    the warm-up included. The supernet's loss then changes little when alpha is discretised. As in the authors' code,
    the architecture's steps know of no perturbation, and the adversary is left out where it didn't raise the loss.

    Args:
        radius: :math:`\epsilon` at the last epoch.
        steps: 0 draws the perturbation (SDARTS-RS); more are steps of projected gradient ascent (SDARTS-ADV, 7).
    """

    radius: float = 0.3
    steps: int = 0

    def __post_init__(self) -> None:
        check_number(self, "radius", positive=True)
        check_count(self, "steps", 0)

    def perturbed(
        self, weights: Mapping[str, Tensor], progress: float, loss: Callable[[Mapping[str, Tensor]], Tensor]
    ) -> dict[str, Tensor]:
        """The weights of each choice's options, perturbed; ``progress`` runs from 0 to 1, the last epoch."""
        radius = self.radius * (0.1 + 0.9 * progress)
        moved = {name: p + radius * (2 * torch.rand(p.shape) - 1).to(p) for name, p in weights.items()}
        found = {name: _as_weights(moved[name], p) for name, p in weights.items()}
        for _ in range(self.steps):
            leaves = {name: p.requires_grad_() for name, p in found.items()}
            grads = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True, materialize_grads=True)
            for (name, p), grad in zip(weights.items(), grads, strict=True):
                step = found[name].detach() + 2 * radius / self.steps * grad.sign()
                found[name] = _as_weights(p + (step - p).clamp(-radius, radius), p)
        with torch.no_grad():
            return dict(weights) if self.steps and loss(found) < loss(weights) else found


def _as_weights(moved: Tensor, like: Tensor) -> Tensor:
    """Numbers clamped to [0, 1] and scaled to another's sum; the largest gets all of it where none is above zero."""
    clamped = moved.clamp(0, 1)
    if not clamped.any():
        clamped = torch.zeros_like(moved).scatter(0, moved.argmax(dim=0, keepdim=True), 1.0)
    return clamped / clamped.sum() * like.sum()


def beta_penalty(alphas: Sequence[Tensor]) -> Tensor:
    """beta-DARTS (Ye and others, arXiv 2203.01665): the mean over choices of logsumexp(alpha).

    Its gradient is softmax(alpha) over the number of choices: what is ahead is pushed back most.
    """
    return torch.stack([alpha.logsumexp(dim=0) for alpha in alphas]).mean()


def zero_one_penalty(alphas: Sequence[Tensor]) -> Tensor:
    """Fair-DARTS (Chu and others, arXiv 1911.12126): minus the mean of (sigmoid(alpha) - 1/2)^2 over all options.

    It drives each gate to 0 or 1, so that little is lost when gates are rounded. For the relaxation ``Sigmoid``. The
    paper keeps every option whose gate is wide enough; here each choice ends with that of the widest gate.
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

    Returns:
        The eigenvalue; NaN where the loss or its slope is not finite.
    """
    grads = torch.autograd.grad(loss(), list(alphas), create_graph=True, allow_unused=True, materialize_grads=True)
    slope = torch.cat([grad.flatten() for grad in grads])
    if not slope.requires_grad:
        return 0.0
    size = slope.numel()
    if not bool(slope.isfinite().all()):
        return math.nan

    def product(vector: Tensor) -> Tensor:
        parts = torch.autograd.grad(
            slope, list(alphas), vector.to(slope), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in parts]).double().cpu()

    start = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis, diagonal, beside = [start / start.norm()], list[float](), list[float]()
    for _ in range(min(steps, size)):
        found = product(basis[-1])
        if not bool(found.isfinite().all()):
            return math.nan
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
