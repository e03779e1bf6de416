"""DARTS as a strategy: what each parameter sees, when it moves, and that runs repeat and resume exactly."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
import torch
from strategy_fakes import TinyDarts, TinyTask, batches_of, tiny_space

from gnas.relaxation import Softmax
from gnas.space import Choice, Node, Space
from gnas.strategy import STRATEGIES, Darts, OneShotState
from gnas.strategy.hypergradient import gradients
from gnas.strategy.one_shot import entropy

SETTINGS: list[dict[str, Any]] = [
    {"order": 1},
    {"order": 2},
    {"order": 2, "hvp": "exact"},
    {"order": 2, "optimizer": "sgd", "lr": 0.1},
]


def start(strategy: Darts, task: TinyTask, seed: int = 0) -> OneShotState:
    torch.manual_seed(seed)
    return strategy.init(tiny_space(), task, torch.default_generator)


def alphas(state: OneShotState) -> list[torch.Tensor]:
    return [alpha.detach().clone() for alpha in state.supernet.arch_parameters()]


def weights(state: OneShotState) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in state.supernet.weight_parameters()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_search_learns_and_its_events_are_plain(settings: dict[str, Any]) -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=30, dropout=0.2, **settings)
    state = start(strategy, task)
    before = alphas(state)
    events = []
    while not strategy.done(state):
        events.append(strategy.step(task, state))
    assert len(events) == 30
    assert [event["epoch"] for event in events] == list(range(1, 31))
    assert [event["phase"] for event in events] == ["warmup"] * 6 + ["search"] * 24
    assert events[-1]["loss_weights"] < events[0]["loss_weights"]
    assert not any(torch.equal(a, b) for a, b in zip(before, alphas(state), strict=True))
    last = events[-1]
    assert json.loads(json.dumps(last, allow_nan=False)) == last
    assert set(last) == {
        *("event", "epoch", "phase", "loss_weights", "loss_architecture", "metric_weights", "metric_architecture"),
        *("weights", "entropy", "skips", "genotype"),
    }
    assert last["event"] == "epoch"
    assert {name: len(values) for name, values in last["weights"].items()} == {
        "function.1": 3,
        "function.2": 3,
        "depth": 2,
    }
    genotype = strategy.derive(task, state)
    assert last["genotype"] == dict(genotype.choices)
    tiny_space().check(genotype)
    for name, choice in tiny_space().choices.items():
        values = last["weights"][name]
        assert genotype[name] == choice.options[values.index(max(values))]


def test_warm_up_leaves_alpha_alone_and_then_it_moves() -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=10, warmup=3)
    state = start(strategy, task)
    before, at = alphas(state), weights(state)
    for _ in range(3):
        assert strategy.step(task, state)["phase"] == "warmup"
    assert same(before, alphas(state)) and not same(at, weights(state))
    assert strategy.step(task, state)["phase"] == "search"
    assert not same(before, alphas(state))


@pytest.mark.parametrize("settings", SETTINGS)
def test_alpha_and_w_see_different_nodes(settings: dict[str, Any]) -> None:
    # The labels that one of them must not see are turned round, and nothing may change for it.
    strategy = TinyDarts(epochs=10, warmup=0, dropout=0.5, **settings)
    plain, turned = TinyTask(), TinyTask()
    turned.y = turned.y.clone()
    turned.y[turned.nodes["architecture"]] = 1 - turned.y[turned.nodes["architecture"]]
    states = [start(strategy, task) for task in (plain, turned)]
    for task, state in zip((plain, turned), states, strict=True):
        torch.manual_seed(1)
        strategy.update_weights(task, state, batches_of(task))
    assert same(weights(states[0]), weights(states[1]))
    for task, state in zip((plain, turned), states, strict=True):
        torch.manual_seed(1)
        strategy.update_architecture(task, state, batches_of(task))
    assert same(weights(states[0]), weights(states[1])) and not same(alphas(states[0]), alphas(states[1]))

    turned = TinyTask()
    turned.y = turned.y.clone()
    turned.y[turned.nodes["weights"]] = 1 - turned.y[turned.nodes["weights"]]
    states = [start(strategy, task) for task in (plain, turned)]
    for task, state in zip((plain, turned), states, strict=True):
        torch.manual_seed(1)
        strategy.update_architecture(task, state, batches_of(task))
    # The second order looks at the weights' split through the unrolled step, the first order never does.
    assert same(alphas(states[0]), alphas(states[1])) == (strategy.order == 1)


@pytest.mark.parametrize(
    ("order", "roles"),
    [(1, ["architecture"]), (2, ["weights", "architecture", "weights", "weights"])],
)
def test_each_update_reads_its_own_role(order: int, roles: list[str]) -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=10, warmup=0, order=order)
    state = start(strategy, task)
    strategy.update_architecture(task, state, batches_of(task))
    assert task.read == [("loss", role) for role in roles]
    task.read.clear()
    strategy.update_weights(task, state, batches_of(task))
    assert task.read == [("loss", "weights")]
    while not strategy.done(state):
        strategy.step(task, state)
    strategy.derive(task, state)
    assert {role for _, role in task.read} == {"weights", "architecture"}


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_architecture_update_leaves_weights_and_statistics_bit_for_bit(settings: dict[str, Any]) -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=10, warmup=0, **settings)
    state = start(strategy, task)
    strategy.step(task, state)
    state.supernet.train()
    before = {k: v.clone() for k, v in state.supernet.state_dict().items() if not k.startswith("alphas")}
    strategy.update_architecture(task, state, batches_of(task))
    after = state.supernet.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(parameter.grad is None for parameter in state.supernet.parameters())


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_second_order_is_the_gradient_at_the_weights_that_the_optimizer_would_reach(optimizer: str) -> None:
    # Central differences in alpha of the architecture loss after one training step, nothing of which knows of
    # hypergradients. For "adam" the step is a plain one.
    decay, momentum = 0.01, 0.9 if optimizer == "sgd" else 0.0
    task = TinyTask()
    task.x = task.x.double()
    strategy = TinyDarts(
        epochs=10,
        warmup=0,
        dropout=0.0,
        order=2,
        hvp="exact",
        optimizer=optimizer,
        lr=0.3,
        weight_decay=decay,
        grad_clip=None,
    )
    torch.set_default_dtype(torch.float64)
    try:
        state = start(strategy, task)
    finally:
        torch.set_default_dtype(torch.float32)
    for _ in range(3):
        strategy.step(task, state)
    net, lr = state.supernet, strategy.weight_lr(state.epoch)
    net.train()
    with net.frozen_statistics():
        found = torch.cat([g.flatten() for g in strategy.arch_gradient(task, state, batches_of(task))])
        kept, slopes = weights(state), []
        for alpha in net.arch_parameters():
            for i in range(len(alpha)):
                ends = []
                for sign in (1, -1):
                    with torch.no_grad():
                        alpha[i] += sign * 1e-5
                    grads = gradients(strategy.loss(task, state, batches_of(task), "weights"), net.weight_parameters())
                    plain = torch.optim.SGD(net.weight_parameters(), lr, momentum=momentum, weight_decay=decay)
                    for w, g in zip(net.weight_parameters(), grads, strict=True):
                        w.grad = g
                        if optimizer == "sgd":
                            buffer = state.weight_optimizer.state[w]["momentum_buffer"]
                            plain.state[w]["momentum_buffer"] = buffer.clone()
                    plain.step()
                    ends.append(strategy.loss(task, state, batches_of(task), "architecture").item())
                    with torch.no_grad():
                        alpha[i] -= sign * 1e-5
                        for w, k in zip(net.weight_parameters(), kept, strict=True):
                            w.copy_(k)
                slopes.append((ends[0] - ends[1]) / 2e-5)
    torch.testing.assert_close(found, torch.tensor(slopes, dtype=torch.float64), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_same_seed_gives_the_same_run(settings: dict[str, Any]) -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=6, warmup=1, **settings)
    runs = []
    for seed in (0, 0, 1):
        state = start(strategy, task, seed)
        runs.append([strategy.step(task, state) for _ in range(6)])
    assert runs[0] == runs[1] and runs[0] != runs[2]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_restored_state_goes_on_exactly(settings: dict[str, Any], at: int) -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=8, warmup=2, **settings)
    state = start(strategy, task)
    for _ in range(at):
        strategy.step(task, state)
    file = io.BytesIO()
    torch.save({"strategy": state.state_dict(), "random": torch.get_rng_state()}, file)
    expected = [strategy.step(task, state) for _ in range(8 - at)]

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = start(strategy, task, seed=99)
    other.load_state_dict(saved["strategy"])
    torch.set_rng_state(saved["random"])
    assert [strategy.step(task, other) for _ in range(8 - at)] == expected
    assert strategy.done(other)
    assert same(alphas(state), alphas(other)) and same(weights(state), weights(other))


def test_measuring_leaves_no_trace_in_the_random_numbers() -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=4)
    state = start(strategy, task)
    strategy.step(task, state)
    before = torch.get_rng_state()
    assert strategy.measure(task, state) == strategy.measure(task, state)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_cosine_schedule_and_the_papers_settings() -> None:
    paper = Darts(order=2, epochs=50, warmup=0, arch_lr=3e-4, optimizer="sgd", lr=0.025, weight_decay=3e-4)
    assert paper.momentum == 0.9 and paper.arch_weight_decay == 1e-3 and paper.grad_clip == 5.0
    assert paper.weight_lr(0) == 0.025
    assert paper.weight_lr(25) == pytest.approx(0.0125)
    assert paper.weight_lr(50) == paper.weight_lr(60) == pytest.approx(0)
    assert Darts().weight_lr(0) == Darts().weight_lr(99) == 0.01
    state = start(TinyDarts(), TinyTask())
    assert state.arch_optimizer.param_groups[0]["betas"] == (0.5, 0.999)


def test_a_diverged_search_says_so() -> None:
    task, strategy = TinyTask(), TinyDarts(epochs=5, warmup=0)
    state = start(strategy, task)
    with torch.no_grad():
        state.supernet.decoder.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="diverged, try a lower learning rate"):
        strategy.step(task, state)


def test_entropy() -> None:
    assert entropy({"a": [0.5, 0.5], "b": [0.25] * 4}) == pytest.approx(1)
    assert entropy({"a": [1.0, 0.0], "b": [0.5, 0.5], "single": [1.0]}) == pytest.approx(0.5)
    assert entropy({"sigmoid": [0.9, 0.9]}) == pytest.approx(1)
    assert entropy({}) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 3}, r"order=3; expected 1 \(first order\) or 2"),
        ({"hvp": "neumann"}, "hvp='neumann'; expected one of"),
        ({"epochs": 0}, "epochs=0; expected a whole number of at least 1"),
        ({"epochs": 2.5}, "epochs=2.5; expected a whole number"),
        ({"epochs": 5, "warmup": 5}, "leaves no epoch for the architecture; expected fewer"),
        ({"warmup": -1}, "warmup=-1; expected a whole number of at least 0"),
        ({"arch_lr": 0.0}, "arch_lr=0.0; expected a positive number"),
        ({"lr": math.nan}, "lr=nan; expected a positive number"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0; expected a non-negative number"),
        ({"momentum": 1.0}, "momentum=1.0; expected less than 1"),
        ({"grad_clip": 0}, "grad_clip=0; expected a positive number"),
        ({"optimizer": "lion"}, r"optimizer='lion'; expected one of \['adam', 'sgd'\]"),
        ({"dropout": 1.0}, "dropout=1.0; expected less than 1"),
        ({"hidden_channels": 0}, "hidden_channels=0; expected a whole number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Darts(**settings)


def test_bad_starts_are_refused() -> None:
    task, strategy = TinyTask(), TinyDarts()
    with pytest.raises(ValueError, match=r"expected torch.default_generator"):
        strategy.init(tiny_space(), task, torch.Generator())
    single = Space("single", (Node("out", Choice("op", ("tanh",)), ("x",)),), "out")
    with pytest.raises(ValueError, match="'single' holds a single genotype"):
        strategy.init(single, task, torch.default_generator)
    state = start(strategy, task)
    with pytest.raises(ValueError, match="written by another strategy or is damaged"):
        state.load_state_dict({"trials": []})
    with pytest.raises(TypeError, match="relaxation='softmax'; expected a relaxation"):
        Darts(relaxation="softmax")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="checkpoint='yes'; expected True or False"):
        Darts(checkpoint="yes")  # type: ignore[arg-type]


def test_settings_as_plain_values() -> None:
    described = Darts(order=2, relaxation=Softmax(temperature=0.5)).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["name"] == "darts" and described["order"] == 2
    assert described["relaxation"]["name"] == "Softmax" and described["relaxation"]["temperature"] == 0.5
    assert STRATEGIES["darts"] is Darts
