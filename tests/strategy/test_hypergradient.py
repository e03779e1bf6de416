"""The architecture gradient against theory: a toy problem, exact products and straight differentiation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp

from gnas.strategy.hypergradient import (
    Noise,
    first_order,
    gradients,
    product_exact,
    product_finite,
    second_order,
    step,
)


class Mixed(nn.Module):
    """Two layers; the second mixes three smooth functions by a softmax over alpha."""

    def __init__(self, dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6, dtype=dtype)
        self.last = nn.Linear(6, 1, dtype=dtype)
        self.alpha = nn.Parameter(torch.tensor([0.3, -0.2, 0.1], dtype=dtype))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.dropout(self.first(x), self.dropout)
        weight = self.alpha.softmax(0)
        return self.last(weight[0] * h.tanh() + weight[1] * h.sin() + weight[2] * h)

    def weights(self) -> list[nn.Parameter]:
        return [p for name, p in self.named_parameters() if name != "alpha"]


Losses = tuple[Mixed, Callable[[], Tensor], Callable[[], Tensor]]


def problem(dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> Losses:
    torch.manual_seed(0)
    net = Mixed(dropout, dtype)
    x, y = torch.randn(2, 20, 5, dtype=dtype), torch.randn(2, 20, 1, dtype=dtype)
    return net, lambda: (net(x[0]) - y[0]).square().mean(), lambda: (net(x[1]) - y[1]).square().mean()


def through(net: Mixed, losses: tuple[Callable[[], Tensor], Callable[[], Tensor]], **how: object) -> Tensor:
    """The reference: the unrolled step is part of the graph, and autograd goes straight through it."""

    class Call(nn.Module):
        def __init__(self, loss: Callable[[], Tensor]) -> None:
            super().__init__()
            self.net = net
            self.loss = loss

        def forward(self) -> Tensor:
            return self.loss()

    lr, mu, decay, buffers = how["lr"], how["momentum"], how["weight_decay"], how["buffers"]
    names = ["net." + name for name, _ in net.named_parameters() if name != "alpha"]
    inner = torch.autograd.grad(losses[0](), net.weights(), create_graph=True)
    moved = {
        name: w - lr * (mu * b + g + decay * w)
        for name, w, g, b in zip(names, net.weights(), inner, buffers, strict=True)
    }
    (found,) = torch.autograd.grad(functional_call(Call(losses[1]), moved, ()), [net.alpha])
    return found


@pytest.mark.parametrize("hvp", ["finite", "exact"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_papers_toy_problem(order: int, hvp: str) -> None:
    # From (2, -2), first order goes to (2, 2), second order to the bilevel optimum (1, 1). One step of size 1/2
    # solves the inner problem, whose curvature is 2.
    alpha, w = torch.tensor(2.0, requires_grad=True), torch.tensor(-2.0, requires_grad=True)

    def val() -> Tensor:
        return alpha * w - 2 * alpha + 1

    def train() -> Tensor:
        return w**2 - 2 * alpha * w + alpha**2

    for _ in range(300):
        if order == 1:
            (change,) = first_order([alpha], val)
        else:
            (change,) = second_order([alpha], [w], train, val, lr=0.5, hvp=hvp)
        with torch.no_grad():
            alpha -= 0.1 * change
        step([w], gradients(train(), [w]), 0.5)
    expected = 2.0 if order == 1 else 1.0
    assert alpha.item() == pytest.approx(expected, abs=1e-3)
    assert w.item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("lr", [0.1, 0.25, 0.5, 0.7])
def test_the_toy_problems_fixed_point_moves_with_the_step_size(lr: float) -> None:
    # At w = alpha the unrolled step stands still, and w - 2 + 2 lr alpha = 0 gives alpha = 2 / (1 + 2 lr).
    rest = 2 / (1 + 2 * lr)
    alpha = torch.tensor(rest, dtype=torch.float64, requires_grad=True)
    w = torch.tensor(rest, dtype=torch.float64, requires_grad=True)
    (found,) = second_order(
        [alpha], [w], lambda: w**2 - 2 * alpha * w + alpha**2, lambda: alpha * w - 2 * alpha + 1, lr=lr
    )
    assert found.item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_second_order_is_the_gradient_through_the_unrolled_step(momentum: float, weight_decay: float) -> None:
    net, train, val = problem()
    buffers = [torch.randn_like(w) for w in net.weights()]
    how = {"lr": 0.1, "momentum": momentum, "weight_decay": weight_decay, "buffers": buffers}
    expected = through(net, (train, val), **how)
    (exact,) = second_order([net.alpha], net.weights(), train, val, hvp="exact", **how)
    (finite,) = second_order([net.alpha], net.weights(), train, val, hvp="finite", **how)
    (first,) = first_order([net.alpha], val)
    torch.testing.assert_close(exact, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(finite, expected, rtol=1e-4, atol=1e-7)
    assert (first - expected).norm() > 1e-2 * expected.norm()


def test_the_unrolled_step_is_the_one_sgd_makes() -> None:
    net, train, _ = problem()
    optimizer = torch.optim.SGD(net.weights(), lr=0.05, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        before = [w.detach().clone() for w in net.weights()]
        buffers = [optimizer.state.get(w, {}).get("momentum_buffer") for w in net.weights()]
        buffers = [None if b is None else b.clone() for b in buffers]
        grads = gradients(train(), net.weights())
        for w, g in zip(net.weights(), grads, strict=True):
            w.grad = g.clone()
        optimizer.step()
        step(before, grads, 0.05, 0.9, 0.1, buffers)
        torch.testing.assert_close(before, [w.detach() for w in net.weights()], rtol=1e-12, atol=1e-14)


def test_the_exact_product_is_that_of_torch_func() -> None:
    net, train, _ = problem()
    vector = [torch.randn_like(w) for w in net.weights()]

    class Call(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self) -> Tensor:
            return train()

    names = [name for name, _ in net.named_parameters() if name != "alpha"]
    call = Call()

    def loss(weights: dict[str, Tensor], alpha: Tensor) -> Tensor:
        return functional_call(call, {"net.alpha": alpha, **{"net." + k: w for k, w in weights.items()}}, ())

    at = {name: w.detach() for name, w in zip(names, net.weights(), strict=True)}
    _, back = vjp(lambda alpha: grad(loss)(at, alpha), net.alpha.detach())
    (expected,) = back(dict(zip(names, vector, strict=True)))
    (found,) = product_exact([net.alpha], net.weights(), train, vector)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_finite_product_converges_with_second_order() -> None:
    net, train, _ = problem()
    vector = [torch.randn_like(w) for w in net.weights()]
    (exact,) = product_exact([net.alpha], net.weights(), train, vector)
    errors = []
    for scale in (0.4, 0.04):
        (found,) = product_finite([net.alpha], net.weights(), train, vector, scale=scale)
        errors.append((found - exact).norm().item())
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_evaluations_of_one_step_share_the_dropout_mask(dtype: torch.dtype) -> None:
    net, train, _ = problem(dropout=0.5, dtype=dtype)
    vector = [torch.randn_like(w) for w in net.weights()]
    torch.manual_seed(1)
    (exact,) = product_exact([net.alpha], net.weights(), train, vector)
    torch.manual_seed(1)
    (finite,) = product_finite([net.alpha], net.weights(), train, vector)
    torch.testing.assert_close(finite, exact, rtol=1e-2, atol=1e-3)

    # With two masks the difference is noise over a small number.
    norm = torch.nn.utils.get_total_norm(vector)
    ends = []
    for sign in (1, -1):
        for w, v in zip(net.weights(), vector, strict=True):
            w.data.add_(v, alpha=float(sign * 0.01 / norm))
        ends.append(gradients(train(), [net.alpha])[0])
        for w, v in zip(net.weights(), vector, strict=True):
            w.data.sub_(v, alpha=float(sign * 0.01 / norm))
    noisy = (ends[0] - ends[1]) / (0.02 / norm)
    assert (noisy - exact).norm() > 10 * (finite - exact).norm()


@pytest.mark.parametrize("hvp", ["finite", "exact"])
def test_with_dropout_it_is_the_gradient_of_the_very_step_that_was_unrolled(hvp: str) -> None:
    net, train, val = problem(dropout=0.5)
    how = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "buffers": [torch.randn_like(w) for w in net.weights()]}
    torch.manual_seed(3)
    expected = through(net, (train, val), **how)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    (found,) = second_order([net.alpha], net.weights(), train, val, hvp=hvp, **how)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    assert torch.equal(torch.rand(1), drawn)  # one training and one validation mask were drawn, no more


def test_weights_are_put_back_bit_for_bit_also_after_an_error() -> None:
    net, train, val = problem(dtype=torch.float32)
    before = [w.detach().clone() for w in net.weights()]
    for hvp in ("finite", "exact"):
        second_order([net.alpha], net.weights(), train, val, lr=0.3, momentum=0.9, weight_decay=0.1, hvp=hvp)
        assert all(torch.equal(a, b) for a, b in zip(before, net.weights(), strict=True))

    calls = 0

    def fails() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("out of luck")
        return train()

    for at, losses in {1: (train, fails), 2: (fails, val)}.items():
        calls = 2 if at == 1 else 0
        with pytest.raises(RuntimeError, match="out of luck"):
            second_order([net.alpha], net.weights(), *losses, lr=0.3)
        assert all(torch.equal(a, b) for a, b in zip(before, net.weights(), strict=True))
    assert all(p.grad is None for p in net.parameters())


def test_a_vector_of_norm_zero_gives_zeros() -> None:
    net, train, _ = problem()
    zeros = [torch.zeros_like(w) for w in net.weights()]
    for product in (product_finite, product_exact):
        (found,) = product([net.alpha], net.weights(), train, zeros)
        assert torch.equal(found, torch.zeros(3, dtype=torch.float64))
    # The architecture's loss may not depend on the weights at all.
    (found,) = second_order([net.alpha], net.weights(), train, lambda: net.alpha.square().sum(), lr=0.1)
    torch.testing.assert_close(found, 2 * net.alpha.detach())


@pytest.mark.parametrize("hvp", ["finite", "exact"])
def test_parameters_that_a_loss_does_not_depend_on(hvp: str) -> None:
    alpha = [torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)]
    w = [torch.tensor(3.0, requires_grad=True), torch.tensor(4.0, requires_grad=True)]
    found = second_order(alpha, w, lambda: alpha[0] * w[0] ** 2, lambda: alpha[0] * w[0], lr=0.1, hvp=hvp)
    # w' = 3 - 0.1 * 2 * 3 = 2.4, and the product is 2 w * alpha = 6.
    assert found[0].item() == pytest.approx(2.4 - 0.6, rel=1e-3)
    assert found[1].item() == 0


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_features_and_adjacency() -> None:
    torch.manual_seed(0)
    dense = (torch.rand(12, 20) < 0.2).double()
    x, adjacency = dense.to_sparse_csr(), (torch.rand(12, 12) < 0.3).double().to_sparse_csr()
    w = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    alpha = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def train() -> Tensor:
        h, mix = x @ w, alpha.softmax(0)
        return (mix[0] * (adjacency @ h) + mix[1] * h).tanh().square().mean()

    vector = [torch.randn_like(w)]
    torch.testing.assert_close(
        product_exact([alpha], [w], train, vector), product_finite([alpha], [w], train, vector), rtol=1e-3, atol=1e-6
    )


def test_noise_replays_and_leaves_no_trace() -> None:
    handed = torch.Generator().manual_seed(5)
    noise = Noise(generator=handed)
    drawn = torch.rand(3), torch.rand(3, generator=handed)
    with noise.replay():
        assert torch.equal(torch.rand(3), drawn[0]) and torch.equal(torch.rand(3, generator=handed), drawn[1])
    after = torch.rand(3), torch.rand(3, generator=handed)
    with noise.replay():
        torch.rand(100)
    again = Noise(generator=handed)
    assert not torch.equal(after[0], drawn[0]) and not torch.equal(after[1], drawn[1])
    with again.replay():
        ahead = torch.rand(3)
    assert torch.equal(torch.rand(3), ahead)


def test_an_unknown_product_is_refused() -> None:
    net, train, val = problem()
    with pytest.raises(ValueError, match=r"hvp='hessian'; expected one of \['finite', 'exact'\]"):
        second_order([net.alpha], net.weights(), train, val, lr=0.1, hvp="hessian")
