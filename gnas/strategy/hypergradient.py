r"""The architecture gradient of bilevel search: first order and second order, as in DARTS (arXiv 1806.09055).

The weights ``w`` are trained on one loss, the architecture parameters ``alpha`` on another, at the weights that
one training step would give:

.. math::
    w' &= w - \xi \, (\mu b + \nabla_w L_{train}(w, \alpha) + \lambda w)

    \nabla_\alpha L_{val}(w', \alpha) &= \partial_\alpha L_{val}(w', \alpha)
        - \xi \, \nabla^2_{\alpha, w} L_{train}(w, \alpha) \; \nabla_{w'} L_{val}(w', \alpha)

with the momentum :math:`\mu`, its buffer :math:`b` and the weight decay :math:`\lambda` of the authors' released
code. The first order sets :math:`\xi = 0`. The product with the mixed second derivative is either a central
difference (``"finite"``, the paper's), two more evaluations of the training loss, or differentiated twice
(``"exact"``, Pearlmutter's product), which costs the memory of a backward pass that can itself be differentiated.

Everything here is a function of lists of tensors and of callables without arguments that evaluate a loss at the
tensors' present values. Nothing is known of graphs or supernets. Weights are moved in place and put back from
copies, so afterwards they are bit for bit what they were, also after an error.

A loss may draw random numbers (dropout). The three evaluations of the training loss in one second-order step then
draw the *same* numbers: a difference of two losses with two dropout masks would be noise divided by a small
number, and the gradient belongs to the very step that was unrolled. See :class:`Noise`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor

Loss: TypeAlias = Callable[[], Tensor]
"""Evaluates a scalar loss at the present values of the parameters."""

PRODUCTS = ("finite", "exact")


class Noise:
    """The random state that a loss draws from, as it is now, to be drawn from again.

    Args:
        tensors: Parameters of the loss; the generators of the CUDA devices they live on are kept too.
        generator: One more generator that is drawn from. PyTorch's default one, which dropout uses, always counts.
    """

    def __init__(self, tensors: Iterable[Tensor] = (), generator: torch.Generator | None = None) -> None:
        self.generators = [torch.default_generator]
        if generator is not None and generator is not torch.default_generator:
            self.generators.append(generator)
        for index in sorted({tensor.device.index for tensor in tensors if tensor.device.type == "cuda"}):
            self.generators.append(torch.cuda.default_generators[index])
        self.states = self._now()

    def _now(self) -> list[Tensor]:
        return [generator.get_state() for generator in self.generators]

    def _set(self, states: Sequence[Tensor]) -> None:
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)

    @contextmanager
    def replay(self) -> Iterator[None]:
        """Inside, the numbers are those that followed when this object was made; outside, nothing was drawn."""
        outside = self._now()
        self._set(self.states)
        try:
            yield
        finally:
            self._set(outside)


def gradients(loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a scalar, one a tensor and of its shape; zeros for a tensor that the loss doesn't depend on."""
    return list(torch.autograd.grad(loss, list(tensors), allow_unused=True, materialize_grads=True))


def first_order(alpha: Sequence[Tensor], val_loss: Loss) -> list[Tensor]:
    """The gradient of the architecture loss at the present weights: DARTS with :math:`\\xi = 0`."""
    return gradients(val_loss(), alpha)


def second_order(
    alpha: Sequence[Tensor],
    weights: Sequence[Tensor],
    train_loss: Loss,
    val_loss: Loss,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Sequence[Tensor | None] | None = None,
    hvp: str = "finite",
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    r"""The gradient of the architecture loss through one unrolled step of SGD with momentum and weight decay.

    Args:
        alpha: Architecture parameters (leaves that require a gradient).
        weights: Network weights (leaves that require a gradient); moved in place, and put back.
        train_loss: The weights' loss at the present values of both.
        val_loss: The architecture's loss at the present values of both.
        lr: Step size :math:`\xi`.
        momentum: :math:`\mu`; what the buffers are multiplied by.
        weight_decay: :math:`\lambda`.
        buffers: Momentum buffers, one a weight; ``None`` where there is none yet.
        hvp: ``"finite"`` (central differences) or ``"exact"`` (differentiated twice).
        generator: A generator that the losses draw from besides PyTorch's default one.

    Returns:
        One gradient an architecture parameter, of its shape.
    """
    if hvp not in PRODUCTS:
        raise ValueError(f"got hvp={hvp!r}; expected one of {list(PRODUCTS)}")
    noise = Noise(weights, generator)
    with _put_back(weights):
        step(weights, gradients(train_loss(), weights), lr, momentum, weight_decay, buffers)
        both = gradients(val_loss(), [*alpha, *weights])
    direct, vector = both[: len(alpha)], both[len(alpha) :]
    with noise.replay():
        if hvp == "exact":
            product = product_exact(alpha, weights, train_loss, vector)
        else:
            product = product_finite(alpha, weights, train_loss, vector, generator=generator)
    return [grad - lr * part for grad, part in zip(direct, product, strict=True)]


@torch.no_grad()
def step(
    weights: Sequence[Tensor],
    grads: Sequence[Tensor],
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Sequence[Tensor | None] | None = None,
) -> None:
    r"""Move the weights in place by :math:`-\xi (\mu b + g + \lambda w)`: what :class:`torch.optim.SGD` would do."""
    for i, (weight, grad) in enumerate(zip(weights, grads, strict=True)):
        change = torch.add(grad, weight, alpha=weight_decay)
        buffer = buffers[i] if buffers is not None else None
        if buffer is not None:
            change.add_(buffer, alpha=momentum)
        weight.sub_(change, alpha=lr)


def product_finite(
    alpha: Sequence[Tensor],
    weights: Sequence[Tensor],
    train_loss: Loss,
    vector: Sequence[Tensor],
    *,
    scale: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    r""":math:`\nabla^2_{\alpha, w} L_{train} \, v` by the central difference of two gradients in alpha.

    .. math::
        \frac{\nabla_\alpha L_{train}(w + \epsilon v) - \nabla_\alpha L_{train}(w - \epsilon v)}{2 \epsilon},
        \quad \epsilon = 0.01 / \|v\|_2

    Both evaluations draw the same random numbers. A vector of norm zero gives zeros.
    """
    norm = float(torch.nn.utils.get_total_norm(list(vector))) if vector else 0.0
    if norm < torch.finfo(torch.float32).tiny:  # 0.01 / norm would overflow in float32
        return [torch.zeros_like(a) for a in alpha]
    eps = scale / norm
    noise = Noise(weights, generator)
    with _put_back(weights) as kept:
        _move(weights, kept, vector, eps)
        with noise.replay():
            above = gradients(train_loss(), alpha)
        _move(weights, kept, vector, -eps)
        below = gradients(train_loss(), alpha)
    return [(a - b) / (2 * eps) for a, b in zip(above, below, strict=True)]


def product_exact(
    alpha: Sequence[Tensor], weights: Sequence[Tensor], train_loss: Loss, vector: Sequence[Tensor]
) -> list[Tensor]:
    r""":math:`\nabla^2_{\alpha, w} L_{train} \, v` by differentiating :math:`\nabla_w L_{train} \cdot v` in alpha.

    It is the vector-Jacobian product that ``torch.func.vjp`` of ``torch.func.grad`` computes. It is written with
    ``torch.autograd``, since ``torch.func`` wraps tensors in a way that sparse CSR tensors refuse, and sparse
    features and adjacencies are what a graph has.
    """
    inner = torch.autograd.grad(train_loss(), list(weights), create_graph=True, allow_unused=True)
    # A gradient that is constant in both alpha and w has no second derivative.
    pairs = [(g, v) for g, v in zip(inner, vector, strict=True) if g is not None and g.requires_grad]
    if not pairs:
        return [torch.zeros_like(a) for a in alpha]
    outputs, vectors = zip(*pairs, strict=True)
    product = torch.autograd.grad(outputs, list(alpha), vectors, allow_unused=True, materialize_grads=True)
    return list(product)


@torch.no_grad()
def _move(weights: Sequence[Tensor], kept: Sequence[Tensor], vector: Sequence[Tensor], eps: float) -> None:
    for weight, origin, direction in zip(weights, kept, vector, strict=True):
        weight.copy_(origin).add_(direction, alpha=eps)


@contextmanager
def _put_back(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    # Adding a step and subtracting it again would leave rounding errors in the weights, so copies are kept.
    kept = [weight.detach().clone() for weight in weights]
    try:
        yield kept
    finally:
        with torch.no_grad():
            for weight, origin in zip(weights, kept, strict=True):
                weight.copy_(origin)
