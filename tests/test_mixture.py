"""The mixture: a weighted sum of states, and its gradients of any order."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck, gradgradcheck

from gnas.mixture import mixture


def test_values_and_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, *values = (
        torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((3,), (5, 2), (5, 2), (5, 2))
    )
    expected = sum(weight * value for weight, value in zip(weights, values, strict=True))
    assert torch.allclose(mixture(weights, values), torch.as_tensor(expected))
    assert gradcheck(lambda w, *v: mixture(w, v), (weights, *values))
    assert gradgradcheck(lambda w, *v: mixture(w, v), (weights, *values))


def test_one_hot_is_the_one() -> None:
    values = [torch.tensor([[0.1, 0.7]]), torch.tensor([[3.3, -1.1]])]
    assert torch.equal(mixture(torch.ones(1), values[:1]), values[0])
    assert torch.equal(mixture(torch.tensor([0.0, 1.0]), values), values[1])


def test_only_what_is_asked_gets_a_gradient() -> None:
    weights, value = torch.ones(2), torch.ones(3, requires_grad=True)
    mixture(weights, [value, torch.ones(3)]).sum().backward()
    assert weights.grad is None and torch.equal(value.grad, torch.ones(3))  # type: ignore[arg-type]
