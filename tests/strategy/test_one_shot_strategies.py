"""What every one-shot strategy keeps to: on a tiny supernet, and on a real one with a whole graph and with batches."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from strategy_fakes import TinyTask, tiny, tiny_space
from torch_geometric.data import Data

from gnas.relaxation import MaxW, Sigmoid
from gnas.space import Space, gap, layered
from gnas.space.transform import Decide, Keep, Reach
from gnas.strategy import (
    Darts,
    DrNas,
    EigenvalueStop,
    FewShot,
    Gdas,
    GoldNas,
    Manas,
    Nac,
    PcDarts,
    Perturbation,
    Progressive,
    Proxyless,
    RandomSharing,
    Selection,
    SinglePath,
    Strategy,
)
from gnas.strategy.differentiable import Differentiable
from gnas.task import Task

EPOCHS = 4


def darts(**settings: Any) -> Darts:
    return Darts(epochs=EPOCHS, warmup=1, hidden_channels=8, **settings)


CASES: dict[str, Strategy[Any]] = {
    "gdas": Gdas(epochs=EPOCHS, warmup=1, hidden_channels=8),
    "snas": Gdas(epochs=EPOCHS, warmup=1, hidden_channels=8, hard=False, schedule="exponential"),
    "random_sharing": RandomSharing(epochs=EPOCHS, warmup=2, hidden_channels=8, population=4),
    "single_path": SinglePath(epochs=EPOCHS, warmup=1, hidden_channels=8, population=4, parents=2),
    "nac": Nac(epochs=EPOCHS, hidden_channels=8),
    "drnas": DrNas(epochs=EPOCHS, warmup=1, hidden_channels=8),
    "proxyless": Proxyless(epochs=EPOCHS, warmup=1, hidden_channels=8),
    "pc_darts": PcDarts(epochs=EPOCHS, warmup=1, hidden_channels=8),
}
CASES |= {
    "manas": Manas(epochs=EPOCHS, warmup=1, hidden_channels=8, samples=3),
    "manas_ls": Manas(epochs=EPOCHS, warmup=1, hidden_channels=8, samples=3, estimate="least_squares"),
    "gold_nas": GoldNas(epochs=EPOCHS, warmup=1, hidden_channels=8, strength=1.0, threshold=0.48, arch_lr=0.2),
    "eigenvalue_stop": darts(stop=EigenvalueStop(every=1, window=1, back=1, least=0, growth=1.0001)),
    "selection": darts(selection=Selection(0.5)),
    "auxiliary": darts(auxiliary=1.0),
    "penalties": darts(beta=5.0, zero_one=1.0, relaxation=Sigmoid(), eigenvalue=2),
    "perturbed": darts(perturbation=Perturbation(radius=0.1)),
    "adversarial": darts(perturbation=Perturbation(radius=0.1, steps=2), order=2, relaxation=MaxW()),
    "progressive": Progressive(inner=darts(), transforms=((Keep(0.7), Reach(1.0)), Decide(0.5))),
    "few_shot": FewShot(inner=darts()),
    "progressive_nac": Progressive(
        inner=Nac(epochs=EPOCHS, hidden_channels=8), transforms=((Keep(0.7), Reach(1.0)), Decide(0.5))
    ),
    "few_shot_nac": FewShot(inner=Nac(epochs=EPOCHS, hidden_channels=8)),
    "drnas_partial": DrNas(epochs=EPOCHS, warmup=1, hidden_channels=8, partial=4),
}
named = pytest.mark.parametrize("name", CASES)


def small_task(loader: str = "full") -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    edge_index = torch.randint(40, (2, 120), generator=generator)
    parts = {"parts": 2} if loader == "random" else {}
    return Task.from_data(Data(x=x, edge_index=edge_index, y=(x[:, 0] > 0).long()), loader=loader, **parts)


def on_tiny(name: str) -> tuple[Any, Any, Space]:
    strategy = CASES[name]
    if isinstance(strategy, (Progressive, FewShot)):
        inner = tiny(type(strategy.inner))(**vars(strategy.inner))
        return replace(strategy, inner=inner), TinyTask(), tiny_space()
    return tiny(type(strategy))(**vars(strategy)), TinyTask(), tiny_space()


def on_graph(name: str) -> tuple[Any, Any, Space]:
    return CASES[name], small_task(), layered(max_depth=2, aggregators=("gcn", "sage_max", "gat", "identity"))


def on_batches(name: str) -> tuple[Any, Any, Space]:
    return CASES[name], small_task("random"), gap(max_depth=1)


PLACES = {"tiny": on_tiny, "graph": on_graph, "batches": on_batches}
placed = pytest.mark.parametrize("place", PLACES)


def begin(strategy: Any, task: Any, space: Space, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return strategy.init(space, task, torch.default_generator)


@named
@placed
def test_a_run_is_plain_repeats_and_goes_on_from_a_snapshot(place: str, name: str) -> None:
    strategy, task, space = PLACES[place](name)
    state = begin(strategy, task, space)
    events: list[dict[str, Any]] = []
    file = io.BytesIO()
    while not strategy.done(state):
        if len(events) == 2:
            torch.save({"strategy": state.state_dict(), "random": torch.get_rng_state()}, file)
        events.append(strategy.step(task, state))
        for choice, weights in events[-1].get("weights", {}).items():
            kept = state.supernet.narrowed().choices[choice].options
            options = space.choices[choice].options
            assert all(option in kept or weight == 0 for option, weight in zip(options, weights, strict=True))
    found = strategy.derive(task, state)
    assert json.loads(json.dumps(events, allow_nan=False)) == events
    assert json.loads(json.dumps(strategy.describe(), allow_nan=False)) == strategy.describe()
    assert [event["epoch"] for event in events] == list(range(1, len(events) + 1))
    space.check(found)
    assert all(set(event["weights"]) == set(space.choices) for event in events if "weights" in event)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = begin(strategy, task, space, seed=99)
    other.load_state_dict(saved["strategy"])
    torch.set_rng_state(saved["random"])
    assert [strategy.step(task, other) for _ in events[2:]] == events[2:]
    assert strategy.done(other) and strategy.derive(task, other) == found

    again = begin(strategy, task, space)
    assert [strategy.step(task, again) for _ in events] == events
    foreign = begin(strategy, task, space, seed=1)
    assert [strategy.step(task, foreign) for _ in events] != events
    if isinstance(task, Task):
        assert task.test_reads == 0


@named
def test_what_is_loaded_measures_as_what_was_saved(name: str) -> None:
    # No epoch may follow: a search that was stopped is measured as it is.
    strategy, task, space = on_graph(name)
    state, other = begin(strategy, task, space), begin(strategy, task, space, seed=99)
    for _ in range(2):
        strategy.step(task, state)
    other.load_state_dict(state.state_dict())
    assert task.measure(other.supernet) == task.measure(state.supernet)


@named
def test_what_trains_the_weights_never_sees_the_labels_of_the_architecture_split(name: str) -> None:
    # Turned round, they must leave the weights of the warm-up, or of a strategy that has no other, as they are.
    trained = []
    for turned in (False, True):
        strategy, task, space = on_tiny(name)
        if turned:
            task.y[task.nodes["architecture"]] = 1 - task.y[task.nodes["architecture"]]
        state = begin(strategy, task, space)
        strategy.step(task, state)
        kept = {k: v.clone() for k, v in state.supernet.state_dict().items() if not k.startswith(("alphas", "open"))}
        trained.append(kept)
        assert {role for _, role in task.read} == {"weights", "architecture"}
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])


@pytest.mark.parametrize("name", [n for n, s in CASES.items() if isinstance(s, Differentiable) and n != "gold_nas"])
def test_alpha_follows_the_architecture_split_alone_and_every_alpha_gets_a_gradient(name: str) -> None:
    strategy, task, space = on_graph(name)
    state = begin(strategy, task, space)
    strategy.prepare(state)
    state.supernet.train()
    (batches,) = task.steps(torch.default_generator, ("weights", "architecture"))
    met = [torch.zeros_like(alpha, dtype=torch.bool) for alpha in state.supernet.arch_parameters()]
    before = {k: v.clone() for k, v in state.supernet.state_dict().items() if not k.startswith("alphas")}
    for _ in range(60):
        with state.supernet.frozen_statistics():
            grads = strategy.arch_gradient(task, state, batches)
        for seen, grad in zip(met, grads, strict=True):
            seen |= grad != 0
    assert all(bool(seen.all()) for seen in met)
    asked: list[str] = []
    real = task.loss
    task.loss = lambda output, batch, role: asked.append(role) or real(output, batch, role)  # type: ignore[method-assign]
    strategy.update_architecture(task, state, batches)
    assert set(asked) == {"architecture"} or strategy == CASES["adversarial"]
    after = state.supernet.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
