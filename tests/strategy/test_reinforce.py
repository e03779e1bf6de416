"""The controller and REINFORCE: the estimator is unbiased, the controller learns, and repeats cost nothing."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from landscapes import Scored, begin, chain, diverging, finish, ranks, slope

from gnas.evaluate import seeded
from gnas.space import Node, Space
from gnas.strategy import Reinforce
from gnas.strategy.controller import Controller, Learner
from gnas.strategy.reinforce import genotype_of, options_of


@pytest.fixture
def controller() -> Controller:
    with seeded(0):
        return Controller((2, 3, 2), hidden_channels=6, temperature=1.0, bound=2.5)


def test_probabilities_of_all_networks_add_up_to_one(controller: Controller) -> None:
    total = sum(controller(options)[1].sum().exp().item() for options in product(range(2), range(3), range(2)))
    assert total == pytest.approx(1, abs=1e-6)
    # Given the first choice, those of the other two add up as well, in whatever order they are decided.
    rest = [(0, k, m) for k in range(3) for m in range(2)]
    for decide in ([1, 2], [2, 1]):
        assert sum(controller(o, decide)[1].sum().exp().item() for o in rest) == pytest.approx(1, abs=1e-6)


def test_what_is_drawn_has_the_probability_that_is_told(controller: Controller) -> None:
    with seeded(1):
        drawn = [tuple(controller([None] * 3)[0]) for _ in range(800)]
    for options in product(range(2), range(3), range(2)):
        p = controller(options)[1].sum().exp().item()
        assert abs(drawn.count(options) / 800 - p) < 4 * math.sqrt(p * (1 - p) / 800)


def test_kept_options_are_kept_and_entropies_bounded(controller: Controller) -> None:
    with seeded(0):
        options, logs, entropies = controller([1, None, 0], [1])
    assert options[0] == 1 and options[2] == 0 and len(logs) == len(entropies) == 1
    assert 0 < entropies.item() <= math.log(3) + 1e-6
    with pytest.raises(ValueError, match="got no option at choice 0"):
        controller([None, None, 0], [1])


def test_the_expected_step_is_the_gradient_of_the_expected_reward(controller: Controller) -> None:
    # Over all networks, sum of p * R * grad log p is the gradient of sum of p * R.
    rewards = {o: float(i % 5) for i, o in enumerate(product(range(2), range(3), range(2)))}
    parameters = list(controller.parameters())
    expected = sum((controller(o)[1].sum().exp() * r for o, r in rewards.items()), torch.zeros(()))
    exact = torch.autograd.grad(expected, parameters, allow_unused=True)
    estimated = [torch.zeros_like(p) for p in parameters]
    for options, reward in rewards.items():
        log = controller(options)[1].sum()
        grads = torch.autograd.grad(log, parameters, allow_unused=True)
        for total, grad in zip(estimated, grads, strict=True):
            total += 0 if grad is None else float(log.detach().exp()) * reward * grad
    for a, b in zip(exact, estimated, strict=True):
        torch.testing.assert_close(b, torch.zeros_like(b) if a is None else a, rtol=1e-4, atol=1e-6)


def test_a_better_reward_makes_its_network_more_probable_and_a_worse_one_less(controller: Controller) -> None:
    learner = Learner(controller, lr=0.01, decay=0.95, entropy=0.0)
    learner.learn([0, 0, 0], 0.5)
    for reward, sign in ((0.9, 1), (0.1, -1)):
        before = controller([1, 2, 1])[1].sum().item()
        learner.learn([1, 2, 1], reward)
        assert sign * (controller([1, 2, 1])[1].sum().item() - before) > 0
    assert learner.baseline == pytest.approx(0.95 * (0.95 * 0.5 + 0.05 * 0.9) + 0.05 * 0.1)
    kept = [p.detach().clone() for p in controller.parameters()]
    learner.learn([1, 2, 1], math.nan)
    assert all(torch.equal(a, b) for a, b in zip(kept, controller.parameters(), strict=True))


def test_the_entropy_bonus_flattens(controller: Controller) -> None:
    controller.decoders[0].bias.data[0] = 2.0  # type: ignore[operator]
    learner = Learner(controller, lr=0.02, decay=0.9, entropy=1.0)
    entropies = []
    with seeded(0):
        for _ in range(30):
            entropies.append(controller([0, 0, 0])[2].sum().item())
            learner.learn(controller([None] * 3)[0], 0.0)
    largest = 2 * math.log(2) + math.log(3)
    assert entropies[0] < 0.9 * largest and entropies[-1] > 0.97 * largest


@pytest.mark.parametrize("higher", [True, False])
def test_it_learns_what_is_good(higher: bool) -> None:
    strategy = Reinforce(evaluations=70, lr=0.01, hidden_channels=16, evaluator=Scored())
    state = begin(strategy, chain(5, 4), higher=higher)
    genotypes = finish(strategy, state)
    early, late = (sum(map(slope, part)) / 20 for part in (genotypes[:20], genotypes[-20:]))
    assert late > early + 1.5 if higher else late < early - 1.5
    assert len(set(genotypes)) == 70
    assert math.isfinite(state.memory["learner"]["baseline"])


def test_what_diverged_counts_as_the_worst_that_did_not() -> None:
    strategy = Reinforce(evaluations=12, hidden_channels=4, evaluator=Scored(diverging(slope)))
    state = begin(strategy, chain(3, 4))
    finish(strategy, state)
    finite = [trial.metric for trial in state.trials if math.isfinite(trial.metric)]
    bad = next(trial for trial in state.trials if not math.isfinite(trial.metric))
    assert strategy.reward(state, bad) == min(finite)
    state.trials = [bad]
    assert math.isnan(strategy.reward(state, bad))


def test_options_and_genotypes_are_two_views_of_one() -> None:
    space = chain(4, 3)
    genotype = genotype_of(space, [2, 0, 1, 1])
    assert options_of(space, genotype) == ranks(genotype) == [2, 0, 1, 1]


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reinforce got decay=1; expected less than 1, try 0\.95"):
        Reinforce(decay=1)
    with pytest.raises(ValueError, match="reinforce got lr=0; expected a positive number"):
        Reinforce(lr=0)
    with pytest.raises(ValueError, match="reinforce got hidden_channels=0"):
        Reinforce(hidden_channels=0)


def test_a_space_without_choices_is_asked_for_once() -> None:
    space = Space("one", (Node("out", "identity", ("x",)),), "out")
    strategy = Reinforce(evaluations=3, evaluator=Scored())
    state = begin(strategy, space)
    assert dict(strategy.ask(state).choices) == {}
