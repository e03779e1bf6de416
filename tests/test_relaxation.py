"""From alphas to weights: simplex, one-hot, gradients, and where the randomness comes from."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnas.relaxation import Gumbel, OnePath, Relaxation, Sigmoid, Softmax, TwoPaths

SAMPLING: list[Relaxation] = [Gumbel(), Gumbel(temperature=0.3), OnePath()]
DRAWING: list[Relaxation] = [*SAMPLING, TwoPaths()]
SIMPLEX: list[Relaxation] = [Softmax(), Softmax(temperature=0.5), *DRAWING]
ALL: list[Relaxation] = [*SIMPLEX, Sigmoid()]

alphas = st.lists(st.floats(-5, 5), min_size=1, max_size=6).map(lambda a: torch.tensor(a, dtype=torch.float64))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40)
@given(st.sampled_from(ALL), alphas, st.booleans())
def test_weights_are_shares(relaxation: Relaxation, alpha: Tensor, noise: bool) -> None:
    weights = relaxation(alpha, generator() if noise else None)
    assert weights.shape == alpha.shape and weights.dtype == alpha.dtype
    assert bool((weights >= 0).all()) and bool((weights <= 1).all())
    if relaxation in SIMPLEX:
        torch.testing.assert_close(weights.sum(), torch.tensor(1.0, dtype=torch.float64))


@settings(max_examples=40)
@given(st.sampled_from(SAMPLING), alphas, st.integers(0, 100))
def test_samples_are_exactly_one_hot(relaxation: Relaxation, alpha: Tensor, seed: int) -> None:
    for weights in (relaxation(alpha, generator(seed)), relaxation(alpha, None)):
        assert sorted(weights.tolist()) == [0.0] * (len(alpha) - 1) + [1.0]
    assert int(relaxation(alpha, None).argmax()) == int(alpha.argmax())


@pytest.mark.parametrize("relaxation", ALL, ids=str)
@pytest.mark.parametrize("noise", [False, True])
def test_every_alpha_gets_a_gradient(relaxation: Relaxation, noise: bool) -> None:
    # The loss reads one weight alone, as when the other options are not computed.
    for read in range(4):
        alpha = torch.tensor([0.3, -0.2, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
        relaxation(alpha, generator() if noise else None)[read].backward()
        assert alpha.grad is not None
        if isinstance(relaxation, TwoPaths):
            pair = relaxation(alpha, generator() if noise else None).nonzero().flatten().tolist()
            assert alpha.grad.nonzero().flatten().tolist() == (pair if read in pair else [])
        elif isinstance(relaxation, Sigmoid):
            assert alpha.grad.nonzero().flatten().tolist() == [read]
        else:
            assert bool((alpha.grad != 0).all())


def test_the_straight_through_gradient_is_that_of_the_soft_weights() -> None:
    alpha = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    direction = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    soft = torch.autograd.grad((alpha.softmax(0) * direction).sum(), alpha)[0]
    path = torch.autograd.grad((OnePath()(alpha, generator()) * direction).sum(), alpha)[0]
    torch.testing.assert_close(path, soft)
    noise = -torch.empty(3, dtype=torch.float64).exponential_(generator=generator(5)).log()
    soft = torch.autograd.grad((((alpha + noise) / 0.7).softmax(0) * direction).sum(), alpha)[0]
    drawn = torch.autograd.grad((Gumbel(0.7)(alpha, generator(5)) * direction).sum(), alpha)[0]
    torch.testing.assert_close(drawn, soft)


@pytest.mark.parametrize("relaxation", ALL, ids=str)
def test_randomness_is_the_handed_generators_alone(relaxation: Relaxation) -> None:
    alpha = torch.zeros(5)
    before = torch.get_rng_state()
    runs = [[relaxation(alpha, source).tolist() for _ in range(20)] for source in (generator(1), generator(1))]
    assert runs[0] == runs[1]
    assert (len({tuple(weights) for weights in runs[0]}) > 1) == (relaxation in DRAWING)
    assert len({tuple(relaxation(alpha, None).tolist()) for _ in range(5)}) == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("relaxation", [OnePath(), Gumbel(), Gumbel(temperature=0.2)], ids=str)
def test_options_are_drawn_as_often_as_their_probability(relaxation: OnePath | Gumbel) -> None:
    alpha = torch.tensor([1.0, 0.0, -1.0, 0.5])
    source = generator(0)
    count = 3000
    drawn = torch.stack([relaxation(alpha, source) for _ in range(count)]).mean(dim=0)
    torch.testing.assert_close(relaxation.probabilities(alpha), alpha.softmax(0))
    # Three standard deviations of a share.
    assert bool(((drawn - alpha.softmax(0)).abs() < 3 * 0.5 / count**0.5).all())


def pairs(alpha: Tensor) -> dict[tuple[int, int], Tensor]:
    """Probability of each pair under a draw of two without replacement: p_i p_j / (1 - p_i) + p_i p_j / (1 - p_j)."""
    p = alpha.softmax(0)
    every = [(i, j) for i in range(len(p)) for j in range(i + 1, len(p))]
    return {(i, j): p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j])) for i, j in every}


def test_two_paths_are_a_softmax_over_two_options_that_are_drawn_without_replacement() -> None:
    alpha = torch.tensor([1.0, 0.0, -1.0, 0.5], dtype=torch.float64)
    expected, source, count = pairs(alpha), generator(0), 3000
    found = dict.fromkeys(expected, 0)
    for _ in range(count):
        weights = TwoPaths()(alpha, source)
        i, j = weights.nonzero().flatten().tolist()
        found[i, j] += 1
        torch.testing.assert_close(weights[[i, j]], alpha[[i, j]].softmax(0))
    torch.testing.assert_close(sum(expected.values()), torch.tensor(1.0, dtype=torch.float64))
    for pair, probability in expected.items():
        # Three standard deviations of a share.
        assert abs(found[pair] / count - float(probability)) < 3 * 0.5 / count**0.5
    torch.testing.assert_close(TwoPaths()(alpha).nonzero().flatten(), torch.tensor([0, 3]))
    # With two options it is DARTS; an option that can hardly be drawn is no error.
    torch.testing.assert_close(TwoPaths()(alpha[:2], source), alpha[:2].softmax(0))
    assert TwoPaths()(alpha[:1], source).tolist() == [1.0]
    assert TwoPaths()(torch.tensor([0.0, -500.0, -500.0]), source).sum() == 1


def test_every_alpha_learns_from_two_paths_in_the_mean() -> None:
    # For the loss sum_k c_k w_k a pair gives alpha_i the gradient w_i w_j (c_i - c_j).
    alpha = torch.tensor([0.3, -0.2, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
    cost = torch.tensor([1.0, 3.0, -2.0, -1.0], dtype=torch.float64)
    expected = torch.zeros(4, dtype=torch.float64)
    for (i, j), probability in pairs(alpha.detach()).items():
        w = alpha.detach()[[i, j]].softmax(0)
        slope = probability * w[0] * w[1] * (cost[i] - cost[j])
        expected[i] += slope
        expected[j] -= slope
    assert bool((expected.abs() > 0.05).all())
    source, count = generator(0), 3000
    (found,) = torch.autograd.grad(sum((TwoPaths()(alpha, source) * cost).sum() for _ in range(count)) / count, alpha)
    # A gradient is at most a quarter of the largest difference of costs, 5.
    assert bool(((found - expected).abs() < 3 * 1.25 / count**0.5).all())


def test_formulas() -> None:
    alpha = torch.tensor([0.5, -1.0, 2.0])
    torch.testing.assert_close(Softmax(0.5)(alpha), (2 * alpha).softmax(0))
    torch.testing.assert_close(Sigmoid()(alpha), alpha.sigmoid())
    assert Softmax() == Softmax(1.0) and Gumbel(0.5) != Gumbel()
