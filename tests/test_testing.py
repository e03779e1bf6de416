"""The conformance suites find what is wrong: for each check a strategy that breaks what it asks for, and only that."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from gnas.evaluate import Result
from gnas.model import GraphModel
from gnas.space import Choice, Genotype, Node, Space, layered
from gnas.strategy import BlackBoxState, Darts, Random, Strategy
from gnas.supernet import GraphSupernet
from gnas.testing import Scores, SpaceSuite, StrategySuite, example_task

Failed = (AssertionError, pytest.fail.Exception, pytest.skip.Exception)
FEW: dict[str, Any] = {"evaluations": 6, "evaluator": Scores()}
SMALL = layered(max_depth=1, aggregators=("gcn", "sage_mean"))


@dataclass(frozen=True, kw_only=True)
class Broken(Random):
    """Sound as it stands; each subclass breaks one thing."""

    name: ClassVar[str] = "broken"


class Foreign(Broken):
    def ask(self, state: BlackBoxState) -> Genotype:
        genotype = super().ask(state)
        return replace(genotype, digest="0" * 64)


class Unseeded(Broken):
    def propose(self, state: BlackBoxState) -> Genotype | None:
        state.random.seed(random.random())
        return super().propose(state)


class Torn(Broken):
    """Draws from PyTorch's global generator, which no black-box strategy is handed."""

    def propose(self, state: BlackBoxState) -> Genotype | None:
        state.random.seed(int(torch.randint(2**31, ())))
        return super().propose(state)


class Forgetful(Broken):
    """Keeps what matters where no snapshot sees it."""

    def propose(self, state: BlackBoxState) -> Genotype | None:
        state.cache["asked"] = state.cache.get("asked", 0) + 1
        for _ in range(state.cache["asked"]):
            state.random.random()
        return super().propose(state)


class Hoarding(Broken):
    """Keeps what matters on itself."""

    def propose(self, state: BlackBoxState) -> Genotype | None:
        asked = getattr(self, "asked", 0) + 1
        object.__setattr__(self, "asked", asked)
        for _ in range(asked):
            state.random.random()
        return super().propose(state)


class Unplain(Broken):
    def propose(self, state: BlackBoxState) -> Genotype | None:
        state.memory["folder"] = Path("here")
        return super().propose(state)


class Shared(BlackBoxState):
    """A state whose snapshots are the thing itself."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "memory": self.memory}


class Aliasing(Broken):
    def init(self, space: Space, task: Any, generator: torch.Generator) -> BlackBoxState:
        state = super().init(space, task, generator)
        return Shared(**vars(state))

    def propose(self, state: BlackBoxState) -> Genotype | None:
        state.memory["asked"] = len(state.trials)
        return super().propose(state)


class Counting(Broken):
    """Counts the times that it reads the test role."""

    def step(self, task: Any, state: BlackBoxState) -> dict[str, Any]:
        task.test_reads += 1
        return super().step(task, state)


class Peeping(Broken):
    """Reads labels of the test role past all that counts."""

    def step(self, task: Any, state: BlackBoxState) -> dict[str, Any]:
        labels = task.y[task.roles["test"]].tolist()
        state.random.seed(f"{labels} {len(state.trials)}")
        return super().step(task, state)


class Unnamed(Broken):
    def describe(self) -> dict[str, Any]:
        return {"evaluations": self.evaluations}


@dataclass(frozen=True, kw_only=True)
class Tensorial(Broken):
    scale: Any = torch.ones(2)  # noqa: RUF009


class Shifting(Broken):
    def propose(self, state: BlackBoxState) -> Genotype | None:
        object.__setattr__(self, "evaluations", self.evaluations + (len(state.trials) == 2))
        return super().propose(state)


class Chatty(Broken):
    def step(self, task: Any, state: BlackBoxState) -> dict[str, Any]:
        return {**super().step(task, state), "state": math.nan}


class Stuck(Broken):
    def propose(self, state: BlackBoxState) -> Genotype | None:
        return state.trials[0].genotype if state.trials else super().propose(state)


class GivingUp(Broken):
    def propose(self, state: BlackBoxState) -> Genotype | None:
        return super().propose(state) if len(state.trials) < 2 else None


class OneWay(Broken):
    """Climbs, whatever is better."""

    def propose(self, state: BlackBoxState) -> Genotype | None:
        if not state.trials:
            return super().propose(state)
        best, tried = max(state.trials, key=lambda trial: trial.metric), state.tried()
        return next(g for g in state.space.neighbours(best.genotype) if g not in tried)


class Late(Broken):
    """Asks as it should, and hands over the trial with the largest metric whatever is better."""

    def derive(self, task: Any, state: BlackBoxState) -> Genotype:
        return max(state.trials, key=lambda trial: trial.metric).genotype


class Blurting(Broken):
    """Tells a metric as it is, number or not."""

    def tell(self, task: Any, state: BlackBoxState, genotype: Genotype, result: Result) -> dict[str, Any]:
        return {**super().tell(task, state, genotype, result), "metric_architecture": result.metric_architecture}


class Dazzled(Broken):
    """Compares by ``>``, which is false of whatever is not a number."""

    def derive(self, task: Any, state: BlackBoxState) -> Genotype:
        best = state.trials[0]
        for trial in state.trials[1:]:
            best = trial if trial.metric > best.metric else best
        return best.genotype


class DeadAlpha(Darts):
    """As the supernet that read only the first row of its alphas."""

    def arch_gradient(self, task: Any, state: Any, batches: Any) -> Sequence[torch.Tensor]:
        first, *rest = super().arch_gradient(task, state, batches)
        return [first, *map(torch.zeros_like, rest)]


class Deaf(Darts):
    def update_architecture(self, task: Any, state: Any, batches: Any) -> None:
        pass


class Noisy(Darts):
    """Trains under dropout that comes from a generator which no snapshot has."""

    def update_weights(self, task: Any, state: Any, batches: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(next(COUNT))
            super().update_weights(task, state, batches)


COUNT = itertools.count()


def few(kind: type[Any]) -> Strategy[Any]:
    return kind(epochs=3, warmup=0, hidden_channels=8) if issubclass(kind, Darts) else kind(**FEW)


def called(check: str, strategy: Strategy[Any]) -> None:
    """One check of the suite, as pytest would call it."""
    method: Callable[..., None] = getattr(StrategySuite(), check)
    given = {"strategy": strategy, "space": layered(max_depth=2), "task": example_task(), "after": 2}
    names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    with torch.random.fork_rng(devices=[]):
        method(**{name: given[name] for name in names})


BREAKING = [
    ("test_settings_describe_as_json", Unnamed, "doesn't tell its name"),
    ("test_settings_describe_as_json", Tensorial, "JSON can't hold"),
    ("test_settings_describe_as_json", Shifting, "changed during a run"),
    ("test_proposals_lie_in_the_space", Foreign, "asked for a genotype that is not one of the space"),
    ("test_events_are_plain", Chatty, "JSON can't hold"),
    ("test_same_seed_same_run", Unseeded, "two runs for one seed"),
    ("test_same_seed_same_run", Torn, "two runs for one seed"),
    ("test_same_seed_same_run", Noisy, "two runs for one seed"),
    ("test_resume_is_exact", Forgetful, "went another way after it was saved and loaded at step 2"),
    ("test_resume_is_exact", Hoarding, "went another way after it was saved and loaded at step 2"),
    ("test_snapshots_load_with_weights_only", Unplain, "more than tensors and plain values"),
    ("test_a_snapshot_is_not_changed_by_what_follows", Aliasing, "changed a snapshot"),
    ("test_the_test_role_is_never_read", Counting, "read the test role 6 times"),
    ("test_the_test_role_is_never_read", Peeping, "labels of the test role were exchanged"),
    ("test_every_alpha_gets_a_gradient", DeadAlpha, "no gradient in a whole run"),
    ("test_every_alpha_gets_a_gradient", Deaf, "no gradient in a whole run"),
    ("test_no_network_comes_twice_and_a_small_space_ends_the_search", Stuck, "that it had been told of"),
    ("test_no_network_comes_twice_and_a_small_space_ends_the_search", GivingUp, "2 of the 3 networks"),
    ("test_the_direction_of_the_metric_is_honoured", OneWay, "turned round together with its direction"),
    ("test_the_direction_of_the_metric_is_honoured", Late, "turned round together with its direction"),
    ("test_events_are_plain", Blurting, "JSON can't hold"),
    ("test_a_network_that_diverged_is_never_chosen", Dazzled, "derived a network whose metric is not a number"),
]


@pytest.mark.parametrize(("check", "kind", "message"), BREAKING, ids=[kind.__name__ for _, kind, _ in BREAKING])
def test_each_check_catches_what_it_is_for(check: str, kind: type[Any], message: str) -> None:
    with pytest.raises(Failed, match=message):
        called(check, few(kind))


def test_every_check_has_a_strategy_that_breaks_it() -> None:
    checks = {name for name in vars(StrategySuite) if name.startswith("test_")}
    assert checks == {check for check, _, _ in BREAKING}


@pytest.mark.parametrize("check", sorted({check for check, _, _ in BREAKING} - {"test_every_alpha_gets_a_gradient"}))
def test_what_is_broken_was_sound_before(check: str) -> None:
    called(check, Broken(**FEW))


def test_a_strategy_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Broken):
        def done(self, state: BlackBoxState) -> bool:
            return False

        def ask(self, state: BlackBoxState) -> Genotype:
            return state.trials[0].genotype if state.trials else super().ask(state)

    monkeypatch.setattr("gnas.testing.LIMIT", 20)
    with pytest.raises(AssertionError, match="was not done after 20 steps"):
        called("test_events_are_plain", Endless(**FEW))


def test_a_strategy_may_mean_to_repeat_itself() -> None:
    class Repeating(Broken):
        def propose(self, state: BlackBoxState) -> Genotype | None:
            new = state.draw()
            return state.trials[0].genotype if new and len(state.trials) == 1 else new

    class Suite(StrategySuite):
        repeats = True

    strategy = Repeating(**FEW)
    with pytest.raises(AssertionError, match="that it had been told of"):
        called("test_no_network_comes_twice_and_a_small_space_ends_the_search", strategy)
    Suite().test_no_network_comes_twice_and_a_small_space_ends_the_search(strategy, example_task())


def test_a_suite_without_its_fixture_says_so() -> None:
    with pytest.raises(NotImplementedError, match="StrategySuite needs a fixture strategy"):
        StrategySuite.strategy.__wrapped__(StrategySuite())  # type: ignore[attr-defined]
    with pytest.raises(NotImplementedError, match="SpaceSuite needs a fixture space"):
        SpaceSuite.space.__wrapped__(SpaceSuite())  # type: ignore[attr-defined]


# spaces


def test_a_space_that_comes_back_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    other = layered(max_depth=3).to_json()
    monkeypatch.setattr(Space, "to_json", lambda self: other)
    with pytest.raises(AssertionError, match="comes back from JSON as another space"):
        SpaceSuite().test_it_comes_back_from_json(SMALL)


@pytest.mark.parametrize("fault", ["open", "unread"])
def test_a_bound_program_with_something_left_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = SMALL if fault == "open" else Space("unread", (Node("a", "gcn", ("x",)),), "x")
    monkeypatch.setattr(Space, "bind", lambda self, genotype: bound)
    with pytest.raises(AssertionError, match="leaves the choices|leaves nodes that nothing reads"):
        SpaceSuite().test_a_bound_program_has_no_choice_and_nothing_unread(SMALL)


def test_a_supernet_that_is_not_the_single_network_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = GraphSupernet.forward
    monkeypatch.setattr(GraphSupernet, "forward", lambda self, *args, **kwargs: own(self, *args, **kwargs) + 0.1)
    with pytest.raises(AssertionError, match="not close"):
        SpaceSuite().test_the_supernet_is_the_single_network_where_every_choice_is_made(SMALL)


def test_networks_that_give_nonsense_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = GraphModel.forward
    faults = ((lambda out: out[:3], "expected"), (lambda out: out / 0, "not finite"), (lambda out: 0 * out, "gradient"))
    for fault, message in faults:
        monkeypatch.setattr(GraphModel, "forward", lambda self, *a, fault=fault, **k: fault(own(self, *a, **k)))
        with pytest.raises(AssertionError, match=message):
            SpaceSuite().test_networks_of_their_own_run_and_learn(SMALL)


def test_a_choice_of_one_option_is_no_hindrance() -> None:
    single = Node("h1", Choice("aggregate.1", ("gcn",)), ("x",), attrs={"transform": True})
    space = Space("one", (single, Node("out", "identity", (Choice("depth", ("x", "h1")),))), "out")
    SpaceSuite().test_it_comes_back_from_json(space)
    state = BlackBoxState(space, True, 0, random.Random(0))
    assert {state.mutate(state.space.sample(state.random))["aggregate.1"] for _ in range(5)} == {"gcn"}
    fixed = Space("fixed", (single,), "h1")
    genotype = fixed.genotype({"aggregate.1": "gcn"})
    assert BlackBoxState(fixed, True, 0, random.Random(0)).mutate(genotype) == genotype
