"""Random search: what it draws, what it keeps, and the ask and tell that every black-box strategy has."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from strategy_fakes import TinyTask, tiny_space

from gnas.evaluate import Result, TrainFromScratch
from gnas.space import Choice, Genotype, Node, Space
from gnas.strategy import STRATEGIES, BlackBoxState, Random


def result(metric: float, loss: float = 1.0) -> Result:
    return Result(
        metric_architecture=metric, loss_architecture=loss, epochs=7, seconds=0.0, parameters=11, test=None, state={}
    )


@dataclass(frozen=True)
class Seeds:
    """Scores a candidate by its seed, and notes the seeds in a list that is handed over."""

    seen: tuple[list[int], ...] = ()

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result:
        for seeds in self.seen:
            seeds.append(seed)
        return result((seed * 7919 % 101) / 101)


def start(strategy: Random, space: Space | None = None, seed: int = 0) -> BlackBoxState:
    generator = torch.Generator().manual_seed(seed)
    return strategy.init(space or tiny_space(), TinyTask(), generator)


def run(strategy: Random, state: BlackBoxState) -> list[dict[str, Any]]:
    events = []
    while not strategy.done(state):
        events.append(strategy.step(TinyTask(), state))
    return events


def test_events_are_plain_and_the_best_is_kept() -> None:
    strategy = Random(evaluations=6, evaluator=Seeds())
    state = start(strategy)
    events = run(strategy, state)
    assert [event["index"] for event in events] == list(range(1, 7))
    assert json.loads(json.dumps(events, allow_nan=False)) == events
    scores = [event["metric_architecture"] for event in events]
    assert [event["best"] for event in events] == [max(scores[: i + 1]) for i in range(6)]
    best = events[scores.index(max(scores))]["genotype"]
    assert dict(strategy.derive(TinyTask(), state).choices) == best
    assert set(events[0]) == {
        *("event", "index", "genotype", "metric_architecture", "loss_architecture", "epochs", "parameters", "best")
    }
    assert events[0]["event"] == "candidate" and events[0]["epochs"] == 7 and events[0]["parameters"] == 11


def test_no_network_is_trained_twice_and_a_small_space_ends_early() -> None:
    # 18 genotypes; with depth h1 the second function is not read, and identity leaves no trace.
    space = tiny_space()
    networks = set()
    for first in ("tanh", "sin", "identity"):
        for second in ("tanh", "sin", "identity"):
            for depth in ("h1", "h2"):
                genotype = space.genotype({"function.1": first, "function.2": second, "depth": depth})
                networks.add(space.bind(genotype).digest())
    assert len(networks) == 7
    strategy = Random(evaluations=100, evaluator=Seeds())
    state = start(strategy)
    events = run(strategy, state)
    found = [space.bind(space.genotype(event["genotype"])).digest() for event in events]
    assert len(found) == len(set(found)) == len(networks)
    assert [event.get("stopped") for event in events] == [None] * 6 + ["no other network was found"]
    with pytest.raises(ValueError, match=f"nothing left to ask after {len(networks)} candidates"):
        strategy.ask(state)


def test_every_candidate_is_trained_with_a_seed_of_its_own() -> None:
    seeds: list[int] = []
    strategy = Random(evaluations=5, evaluator=Seeds((seeds,)))
    run(strategy, start(strategy))
    run(strategy, start(strategy))
    run(strategy, start(strategy, seed=1))
    assert len(set(seeds[:5])) == 5 and seeds[:5] == seeds[5:10] and seeds[5:10] != seeds[10:]


def test_the_same_seed_gives_the_same_candidates() -> None:
    strategy = Random(evaluations=6, evaluator=Seeds())
    runs = [run(strategy, start(strategy, seed=seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] and runs[0] != runs[2]


def test_ask_and_tell_are_public() -> None:
    task, space, strategy = TinyTask(), tiny_space(), Random(evaluations=3)
    state = start(strategy)
    first = strategy.ask(state)
    assert strategy.ask(state) == first  # the same question until it is answered
    strategy.tell(task, state, first, result(0.5))
    assert strategy.ask(state) != first
    asked = strategy.ask(state)
    own = space.genotype({"function.1": "sin", "function.2": "sin", "depth": "h2"})
    event = strategy.tell(task, state, own, result(0.9))
    # A network of one's own is no answer to what was asked.
    assert strategy.ask(state) == asked != own
    assert event["index"] == 2 and event["best"] == 0.9
    assert strategy.derive(task, state) == own
    assert not strategy.done(state)
    strategy.tell(task, state, strategy.ask(state), result(0.1))
    assert strategy.done(state)
    assert task.read == []


@pytest.mark.parametrize(("higher", "winner"), [(True, 2), (False, 3)])
def test_ties_go_to_the_lower_loss_and_nan_never_wins(higher: bool, winner: int) -> None:
    class Directed(TinyTask):
        higher_is_better = higher

    task, strategy = Directed(), Random(evaluations=6)
    state = strategy.init(tiny_space(), task, torch.Generator().manual_seed(0))
    told: list[Genotype] = []
    for metric, loss in [(math.nan, 0.1), (0.8, 2.0), (0.8, 1.0), (0.2, 1.0), (0.8, math.nan)]:
        told.append(strategy.ask(state))
        event = strategy.tell(task, state, told[-1], result(metric, loss))
    assert strategy.derive(task, state) == told[winner]
    assert event["loss_architecture"] is None  # JSON has no NaN


@pytest.mark.parametrize("at", [0, 3])
def test_a_restored_state_goes_on_exactly(at: int) -> None:
    strategy = Random(evaluations=7, evaluator=Seeds())
    state = start(strategy)
    for _ in range(at):
        strategy.step(TinyTask(), state)
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    expected = run(strategy, state)
    file.seek(0)
    other = start(strategy, seed=99)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert run(strategy, other) == expected
    assert strategy.derive(TinyTask(), other) == strategy.derive(TinyTask(), state)


def test_bad_settings_and_states_are_refused() -> None:
    with pytest.raises(ValueError, match="evaluations=0; expected a whole number of at least 1"):
        Random(evaluations=0)
    strategy = Random(evaluations=2)
    state = start(strategy)
    with pytest.raises(ValueError, match="evaluated no candidate yet"):
        strategy.derive(TinyTask(), state)
    foreign = Space("foreign", (Node("out", Choice("op", ("tanh", "sin")), ("x",)),), "out")
    with pytest.raises(ValueError, match=r"the state of a search in space .* expected one in 'tiny'"):
        state.load_state_dict(start(strategy, foreign).state_dict())
    with pytest.raises(ValueError, match="written by another strategy or is damaged"):
        state.load_state_dict({"epoch": 3})


def test_settings_as_plain_values() -> None:
    described = replace(Random(evaluations=3), evaluator=TrainFromScratch(epochs=5)).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["name"] == "random" and described["evaluations"] == 3
    assert described["evaluator"]["name"] == "TrainFromScratch" and described["evaluator"]["epochs"] == 5
    assert STRATEGIES["random"] is Random
