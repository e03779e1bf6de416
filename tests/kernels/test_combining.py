"""The weighted sum of states: the same in every backend, with gradients of any order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from gnas import kernels

BACKENDS = [name for name in ("compiled", "portable", "reference") if name != "compiled" or not kernels.reason()]


def drawn(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, dtype=dtype, generator=generator, requires_grad=True) for shape in shapes]


def plain(weights: Tensor, values: list[Tensor]) -> Tensor:
    return torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum(dim=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_any_order(backend: str) -> None:
    weights, *values = drawn((3,), (5, 2), (5, 2), (5, 2))
    with kernels.use(backend):
        assert gradcheck(lambda w, *v: kernels.combine(w, v), (weights, *values))
        assert gradgradcheck(lambda w, *v: kernels.combine(w, v), (weights, *values))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0, 4), (1,), (7, 9), (64, 16), (3, 683), (1025, 70), (9000, 64)])
def test_values_and_gradients_of_every_size(backend: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    weights, *values = drawn((2,), shape, shape, dtype=dtype)
    grad = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    doubles = [x.detach().double().requires_grad_() for x in (weights, *values)]
    expected = plain(doubles[0], doubles[1:])
    wanted = torch.autograd.grad(expected, doubles, grad.double())
    with kernels.use(backend):
        found = kernels.combine(weights, values)
        got = torch.autograd.grad(found, [weights, *values], grad)
    for a, b in zip((found, *got), (expected, *wanted), strict=True):
        assert torch.allclose(a.double(), b, rtol=1e-5, atol=1e-5 * max(1.0, a.numel() ** 0.5, grad.numel() ** 0.5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_may_lie_anywhere_in_memory(backend: str) -> None:
    weights, *values = drawn((2,), (6, 5), (5, 6))
    mixed = [values[0], values[1].t()]
    with kernels.use(backend):
        torch.testing.assert_close(kernels.combine(weights, mixed), plain(weights, mixed))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_hot_is_the_one(backend: str) -> None:
    values = [torch.tensor([[0.1, 0.7]]), torch.tensor([[3.3, -1.1]])]
    with kernels.use(backend):
        assert torch.equal(kernels.combine(torch.ones(1), values[:1]), values[0])
        assert torch.equal(kernels.combine(torch.tensor([0.0, 1.0]), values), values[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_what_is_asked_gets_a_gradient(backend: str) -> None:
    weights, value = torch.ones(2), torch.ones(3, requires_grad=True)
    with kernels.use(backend):
        kernels.combine(weights, [value, torch.ones(3)]).sum().backward()
    assert weights.grad is None and torch.equal(value.grad, torch.ones(3))  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one weight for each value"):
        kernels.combine(torch.ones(2), [torch.ones(3), torch.ones(4)])
    with pytest.raises(ValueError, match="expected one weight for each value"):
        kernels.combine(torch.ones(3), [torch.ones(3), torch.ones(3)])
