"""Both strategies on a real supernet and a real graph, small."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import torch
from strategy_fakes import batches_of
from torch_geometric.data import Data

from gnas.evaluate import TrainFromScratch
from gnas.recipe import Recipe
from gnas.relaxation import Gumbel, OnePath, Sigmoid, Softmax, TwoPaths
from gnas.space import Space, gap, layered
from gnas.strategy import Darts, Random
from gnas.strategy.hypergradient import gradients, product_exact, product_finite
from gnas.task import Task

AGGREGATORS = ("gcn", "sage_max", "gat", "identity")


def small_task() -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    edge_index = torch.randint(40, (2, 120), generator=generator)
    return Task.from_data(Data(x=x, edge_index=edge_index, y=(x[:, 0] > 0).long()))


def small_space(name: str) -> Space:
    return layered(max_depth=2, aggregators=AGGREGATORS) if name == "layered" else gap(max_depth=1)


@pytest.mark.parametrize("name", ["layered", "gap"])
@pytest.mark.parametrize("settings", [{"order": 1}, {"order": 2}, {"order": 2, "hvp": "exact"}])
def test_darts_searches_and_goes_on_after_a_snapshot(name: str, settings: dict[str, Any]) -> None:
    task, space = small_task(), small_space(name)
    strategy = Darts(epochs=5, warmup=1, hidden_channels=8, **settings)
    torch.manual_seed(0)
    state = strategy.init(space, task, torch.default_generator)
    alphas = [alpha.detach().clone() for alpha in state.supernet.arch_parameters()]
    for _ in range(2):
        strategy.step(task, state)
    file = io.BytesIO()
    torch.save({"strategy": state.state_dict(), "random": torch.get_rng_state()}, file)
    expected = [strategy.step(task, state) for _ in range(3)]
    assert json.loads(json.dumps(expected, allow_nan=False)) == expected
    assert not any(torch.equal(a, b) for a, b in zip(alphas, state.supernet.arch_parameters(), strict=True))
    space.check(strategy.derive(task, state))

    other = strategy.init(space, task, torch.default_generator)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other.load_state_dict(saved["strategy"])
    torch.set_rng_state(saved["random"])
    assert [strategy.step(task, other) for _ in range(3)] == expected
    assert task.test_reads == 0


@pytest.mark.parametrize("relaxation", [Softmax(0.5), Gumbel(0.5), OnePath(), TwoPaths(), Sigmoid()], ids=str)
@pytest.mark.parametrize("order", [1, 2])
def test_every_relaxation(relaxation: Any, order: int) -> None:
    task = small_task()
    strategy = Darts(epochs=3, warmup=1, order=order, hidden_channels=8, relaxation=relaxation)
    torch.manual_seed(0)
    state = strategy.init(small_space("layered"), task, torch.default_generator)
    while not strategy.done(state):
        event = strategy.step(task, state)
        assert 0 <= event["entropy"] <= 1 + 1e-9
    strategy.derive(task, state)


@pytest.mark.parametrize("name", ["layered", "gap"])
def test_the_products_agree_on_a_supernet_with_dropout(name: str) -> None:
    task = small_task()
    task.x = task.x.double()
    torch.manual_seed(0)
    strategy = Darts(hidden_channels=8, dropout=0.5, warmup=0)
    state = strategy.init(small_space(name), task, torch.default_generator)
    net = state.supernet.double()
    strategy.update_weights(task, state, batches_of(task))
    weights = net.weight_parameters()

    def train() -> torch.Tensor:
        return strategy.loss(task, state, batches_of(task), "weights")

    with net.frozen_statistics():
        vector = gradients(strategy.loss(task, state, batches_of(task), "architecture"), weights)
        torch.manual_seed(1)
        exact = torch.cat(product_exact(net.arch_parameters(), weights, train, vector))
        torch.manual_seed(1)
        # Small, so that hardly a maximum or a rectifier changes sides between the two ends.
        finite = torch.cat(product_finite(net.arch_parameters(), weights, train, vector, scale=1e-5))
    assert exact.norm() > 0
    torch.testing.assert_close(finite, exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))


@pytest.mark.parametrize("settings", [{"order": 1}, {"order": 2, "relaxation": TwoPaths()}], ids=str)
def test_a_checkpointed_search_is_the_same_search(settings: dict[str, Any]) -> None:
    task, runs = small_task(), []
    for checkpoint in (False, True):
        strategy = Darts(epochs=3, warmup=1, hidden_channels=8, checkpoint=checkpoint, **settings)
        torch.manual_seed(0)
        state = strategy.init(small_space("layered"), task, torch.default_generator)
        runs.append([strategy.step(task, state) for _ in range(3)])
    for plain, again in zip(*runs, strict=True):
        assert again["genotype"] == plain["genotype"]
        for key in ("loss_weights", "loss_architecture"):
            assert again[key] == pytest.approx(plain[key], rel=1e-4)


def test_an_architecture_is_judged_without_dropout() -> None:
    task = small_task()
    strategy = Darts(hidden_channels=8, dropout=0.5)
    torch.manual_seed(0)
    state = strategy.init(small_space("layered"), task, torch.default_generator)
    state.supernet.train()
    with state.supernet.frozen_statistics(), torch.no_grad():
        judged = [float(strategy.loss(task, state, batches_of(task), "architecture")) for _ in range(2)]
        fitted = [float(strategy.loss(task, state, batches_of(task), "weights")) for _ in range(2)]
    assert judged[0] == judged[1]
    assert fitted[0] != fitted[1]
    assert state.supernet.dropout == 0.5


def test_random_search_trains_and_keeps_the_best() -> None:
    task, space = small_task(), small_space("layered")
    evaluator = TrainFromScratch(recipe=Recipe(hidden_channels=8, dropout=0.0), epochs=5)
    strategy = Random(evaluations=3, evaluator=evaluator)
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        state = strategy.init(space, task, torch.default_generator)
        runs.append([strategy.step(task, state) for _ in range(3)])
        assert strategy.done(state)
    assert runs[0] == runs[1]
    best = max(runs[0], key=lambda event: (event["metric_architecture"], -event["loss_architecture"]))
    assert dict(strategy.derive(task, state).choices) == best["genotype"]
    assert best["parameters"] > 0 and task.test_reads == 0
