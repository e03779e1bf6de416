"""Conformance suites: what every strategy and every space has to hold, as classes for pytest to inherit from.

Whoever writes a strategy supplies one fixture:

.. code-block:: python

    class TestMine(gnas.testing.StrategySuite):
        @pytest.fixture
        def strategy(self):
            return Mine(evaluations=8, evaluator=gnas.testing.Scores())

and whoever writes a space one called ``space``, for :class:`SpaceSuite`. The suites are small and quick: a strategy
should be given few steps, and one that trains its candidates the evaluator :class:`Scores`, which trains nothing.

This file needs pytest, and nothing else of gnas imports it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from gnas.evaluate import Result
from gnas.model import GraphModel
from gnas.space import Choice, Genotype, Node, Space, layered, prune
from gnas.strategy import BlackBox, BlackBoxState, OneShot, Strategy
from gnas.supernet import GraphSupernet
from gnas.task import Task

LIMIT = 500
"""Steps after which a strategy that was given few counts as one that never ends."""


@dataclass(frozen=True)
class Scores:
    """An evaluator that trains nothing: a network's metric follows from its digest, as good as random in [0, 1).

    Args:
        diverging: Share of the networks whose metric is not a number.
    """

    diverging: float = 0.0

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result:
        digest = hashlib.sha256(space.bind(genotype).digest().encode()).hexdigest()
        first, second = (int(digest[i : i + 8], 16) / 2**32 for i in (0, 8))
        metric = math.nan if second < self.diverging else first
        return Result(metric, 1 - first, epochs=1, seconds=0.0, parameters=1)


def example_graph(turned: bool = False) -> Data:
    """Thirty nodes in three classes, a third in each split; ``turned`` gives the test nodes other labels."""
    nodes, generator = 30, torch.Generator().manual_seed(0)
    y = torch.arange(nodes) % 3
    x = torch.randn(nodes, 5, generator=generator) + y[:, None]
    edge_index = torch.randint(nodes, (2, 4 * nodes), generator=generator)
    order, masks = torch.randperm(nodes, generator=generator), {}
    for i, key in enumerate(("train_mask", "val_mask", "test_mask")):
        masks[key] = torch.zeros(nodes, dtype=torch.bool)
        masks[key][order[i * nodes // 3 : (i + 1) * nodes // 3]] = True
    if turned:
        y = torch.where(masks["test_mask"], (y + 1) % 3, y)
    return Data(x=x, edge_index=edge_index, y=y, **masks)


def example_task(turned: bool = False) -> Task:
    """The task of :func:`example_graph`."""
    return Task.from_data(example_graph(turned=turned), name="example")


def three_networks() -> Space:
    """A space of four genotypes that are three networks."""
    layer = Node("h1", Choice("aggregate.1", ("gcn", "sage_mean")), ("x",), attrs={"transform": True})
    return Space("three", (layer, Node("out", "identity", (Choice("depth", ("x", "h1")),))), "out")


@dataclass
class Observed:
    """A run of a strategy: its state, and its events so far."""

    strategy: Strategy[Any]
    task: Task
    state: Any
    events: list[dict[str, Any]]

    def go(self, steps: int | None = None) -> Observed:
        """Take some steps, or all that are left."""
        taken = 0
        while not self.strategy.done(self.state) and (steps is None or taken < steps):
            self.events.append(self.strategy.step(self.task, self.state))
            taken += 1
            assert taken <= LIMIT, (
                f"{self.strategy.name} was not done after {LIMIT} steps; give it fewer for this suite"
            )
        return self

    def outcome(self) -> tuple[str, Genotype]:
        """All events as text, in which what is not a number equals itself, and the genotype that is derived."""
        return repr(self.events), self.strategy.derive(self.task, self.state)


def begin(strategy: Strategy[Any], space: Space, task: Task, seed: int = 0) -> Observed:
    """A run that has not taken a step.

    A black-box strategy draws from a generator of its own; others have PyTorch's, as :func:`gnas.search` hands it over.
    """
    if isinstance(strategy, BlackBox):
        generator = torch.Generator().manual_seed(seed)
    else:
        torch.manual_seed(seed)
        generator = torch.default_generator
    return Observed(strategy, task, strategy.init(space, task, generator), [])


def disturb(seed: int) -> None:
    """Move every global generator that a strategy might draw from without having been handed it."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class StrategySuite:
    """What every strategy has to hold. Subclass it with a fixture ``strategy``.

    Fixtures that may be overridden: ``space`` (what is searched) and ``task``. Set ``repeats`` for a strategy that
    means to evaluate a network twice.
    """

    repeats: bool = False

    @pytest.fixture
    def strategy(self) -> Strategy[Any]:
        """The strategy to be tested, with few steps."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture strategy(self) that returns your strategy")

    @pytest.fixture
    def space(self) -> Space:
        """What is searched."""
        return layered(max_depth=2)

    @pytest.fixture
    def task(self) -> Task:
        """What it is searched for."""
        return example_task()

    @pytest.fixture(autouse=True)
    def generators_as_they_were(self) -> Iterator[None]:
        """Other tests draw what they would have drawn."""
        python, numpy = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            yield
        random.setstate(python)
        np.random.set_state(numpy)

    def test_settings_describe_as_json(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        described = strategy.describe()
        try:
            again = json.loads(json.dumps(described, allow_nan=False))
        except (TypeError, ValueError) as error:
            pytest.fail(f"describe() of {strategy.name} gave {described!r}, which JSON can't hold ({error})")
        assert again == described, f"describe() of {strategy.name} comes back from JSON as {again}, not as {described}"
        assert described.get("name") == strategy.name, f"describe() of {strategy.name} doesn't tell its name"
        begin(strategy, space, task).go()
        assert strategy.describe() == described, f"the settings of {strategy.name} changed during a run"

    def test_proposals_lie_in_the_space(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        run = begin(strategy, space, task)
        while not strategy.done(run.state):
            if isinstance(strategy, BlackBox):
                _check(space, strategy.ask(run.state), f"{strategy.name} asked for")
            run.go(1)
            if "genotype" in run.events[-1]:
                choices = run.events[-1]["genotype"]
                _check(space, Genotype(space.name, space.digest(), choices), f"an event of {strategy.name} names")
        assert run.events, f"{strategy.name} was done before its first step"
        _check(space, strategy.derive(task, run.state), f"{strategy.name} derived")

    def test_events_are_plain(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        runs = [begin(copy.deepcopy(strategy), space, task).go()]
        if isinstance(strategy, BlackBox):
            runs.append(begin(replace(strategy, evaluator=Scores(diverging=0.5)), space, task).go())
        for event in (event for run in runs for event in run.events):
            try:
                again = json.loads(json.dumps(event, allow_nan=False))
            except (TypeError, ValueError) as error:
                pytest.fail(f"{strategy.name} gave the event {event!r}, which JSON can't hold ({error})")
            assert again == event, f"an event of {strategy.name} comes back from JSON as {again}, not as {event}"

    def test_same_seed_same_run(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        outcomes = []
        for i, each in enumerate((copy.deepcopy(strategy), copy.deepcopy(strategy))):
            disturb(1000 + i)
            outcomes.append(begin(each, space, task).go().outcome())
        assert outcomes[0] == outcomes[1], (
            f"{strategy.name} gave two runs for one seed; expected every random number to come from the handed "
            "generator (and no order to come from a set)"
        )

    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_resume_is_exact(self, strategy: Strategy[Any], space: Space, task: Task, after: int) -> None:
        fresh = copy.deepcopy(strategy)
        whole = begin(strategy, space, task).go(after)
        saved = _saved({"state": whole.state.state_dict(), "torch": torch.get_rng_state()})
        steps = len(whole.events)
        expected = whole.go().outcome()
        # What is not in the snapshot must not help: another instance, another seed, other global generators.
        disturb(7)
        other = begin(fresh, space, task, seed=99)
        kept = torch.load(saved, weights_only=True)
        other.state.load_state_dict(kept["state"])
        torch.set_rng_state(kept["torch"])
        other.events.extend(whole.events[:steps])
        assert other.go().outcome() == expected, (
            f"{strategy.name} went another way after it was saved and loaded at step {steps}; expected everything that "
            "changes during a run to be in the state's state_dict()"
        )

    def test_snapshots_load_with_weights_only(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        run = begin(strategy, space, task)
        while True:
            saved = _saved(run.state.state_dict())
            try:
                torch.load(saved, weights_only=True)
            except Exception as error:
                pytest.fail(
                    f"a snapshot of {strategy.name} after {len(run.events)} steps holds more than tensors and plain "
                    f"values: {error}"
                )
            if strategy.done(run.state):
                break
            run.go(1)

    def test_a_snapshot_is_not_changed_by_what_follows(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        if not isinstance(strategy, BlackBox):
            pytest.skip("the state of a supernet is saved at once: its tensors are large, and are not copied")
        run = begin(strategy, space, task).go(2)
        snapshot = run.state.state_dict()
        before = _saved(snapshot).getvalue()
        run.go()
        assert _saved(snapshot).getvalue() == before, f"{strategy.name} changed a snapshot after it had been taken"

    def test_the_test_role_is_never_read(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        fresh = copy.deepcopy(strategy)
        outcome = begin(strategy, space, task).go().outcome()
        assert task.test_reads == 0, f"{strategy.name} read the test role {task.test_reads} times; expected never"
        turned = copy.copy(task)
        turned.y = task.y.clone()
        index = task.roles["test"]
        turned.y[index] = task.y[index].roll(1, 0)
        assert not torch.equal(turned.y, task.y), "the task of this suite needs test labels that differ"
        assert begin(fresh, space, turned).go().outcome() == outcome, (
            f"{strategy.name} went another way when labels of the test role were exchanged; expected it not to see them"
        )

    def test_every_alpha_gets_a_gradient(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        if not isinstance(strategy, OneShot):
            pytest.skip("no supernet")
        own: Any = getattr(strategy, "arch_gradient", None)
        if own is None:
            pytest.skip("follows no gradient of its architecture parameters")
        totals: dict[int, float] = {}

        def watched(task: Any, state: Any, batches: Any) -> Any:
            grads = own(task, state, batches)
            for i, grad in enumerate(grads):
                totals[i] = totals.get(i, 0.0) + float(grad.abs().sum())
            return grads

        object.__setattr__(strategy, "arch_gradient", watched)
        begin(strategy, space, task).go()
        dead = [name for i, name in enumerate(space.choices) if not totals.get(i)]
        assert not dead, f"{strategy.name} gave the choices {dead} no gradient in a whole run; expected some for each"

    def test_no_network_comes_twice_and_a_small_space_ends_the_search(
        self, strategy: Strategy[Any], task: Task
    ) -> None:
        strategy = _black_box(strategy, evaluations=20)
        space = three_networks()
        run = begin(strategy, space, task).go()
        networks = [trial.network for trial in run.state.trials]
        assert run.state.pending is None, f"{strategy.name} is done and yet asks for {run.state.pending}"
        if not self.repeats:
            assert len(networks) == len(set(networks)), f"{strategy.name} asked for a network that it had been told of"
        assert len(set(networks)) == 3, (
            f"{strategy.name} found {len(set(networks))} of the 3 networks of a small space; expected all of them in "
            f"{len(networks)} evaluations, and then the end"
        )

    def test_the_direction_of_the_metric_is_honoured(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        outcomes = []
        for each, sign in ((copy.deepcopy(strategy), 1), (copy.deepcopy(strategy), -1)):
            kind = _black_box(each)
            state = _Directed(kind, space, task, sign)
            asked = [state.step() for _ in range(kind.evaluations) if state.more()]
            outcomes.append((asked, dict(kind.derive(state.task, state.state).choices)))
        assert outcomes[0] == outcomes[1], (
            f"{strategy.name} asked for, or derived, other networks when the metric was turned round together with its "
            "direction; expected it to compare trials by state.rank"
        )

    def test_a_network_that_diverged_is_never_chosen(self, strategy: Strategy[Any], space: Space, task: Task) -> None:
        strategy = _black_box(strategy)
        run = begin(strategy, space, task)
        scores = Scores(diverging=0.5)
        finite: list[Genotype] = []
        while not strategy.done(run.state):
            genotype = strategy.ask(run.state)
            # The first one diverges, and about half of the others.
            result = scores.evaluate(space, genotype, task, 0)
            result = replace(result, metric_architecture=math.nan) if not run.state.trials else result
            strategy.tell(task, run.state, genotype, result)
            if math.isfinite(result.metric_architecture):
                finite.append(genotype)
        assert not finite or strategy.derive(task, run.state) in finite, (
            f"{strategy.name} derived a network whose metric is not a number; expected one that was measured"
        )


class SpaceSuite:
    """What every space has to hold. Subclass it with a fixture ``space``."""

    samples: int = 5

    @pytest.fixture
    def space(self) -> Space:
        """The space to be tested."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture space(self) that returns your space")

    def drawn(self, space: Space) -> list[Genotype]:
        """Some genotypes."""
        generator = random.Random(0)
        return [space.sample(generator) for _ in range(self.samples)]

    def test_it_comes_back_from_json(self, space: Space) -> None:
        again = Space.from_json(space.to_json())
        assert again == space and again.digest() == space.digest(), (
            f"{space.name} comes back from JSON as another space"
        )
        for genotype in self.drawn(space):
            assert Genotype.from_json(genotype.to_json()) == genotype

    def test_a_bound_program_has_no_choice_and_nothing_unread(self, space: Space) -> None:
        for genotype in self.drawn(space):
            bound = space.bind(genotype)
            assert bound.bound, f"{genotype} leaves the choices {list(bound.choices)} open"
            assert prune(bound) == bound, f"{genotype} leaves nodes that nothing reads"

    def test_the_supernet_is_the_single_network_where_every_choice_is_made(self, space: Space) -> None:
        torch.manual_seed(0)
        net = GraphSupernet(space, 5, 8, 3, dropout=0.0).eval()
        for genotype in self.drawn(space):
            net.set_arch(genotype)
            with torch.no_grad():
                mixed, single = _called(net, space), _called(net.model(genotype), space)
            torch.testing.assert_close(mixed, single, rtol=1e-4, atol=1e-5, msg=lambda text: f"{genotype}: {text}")  # noqa: B023

    def test_networks_of_their_own_run_and_learn(self, space: Space) -> None:
        items = {"graph": 1, "pair": 120, "edge": 120}.get(space.kind(space.output), 30)
        for genotype in self.drawn(space):
            torch.manual_seed(0)
            model = GraphModel(space.bind(genotype), 5, 8, 3, 0.0)
            out = _called(model, space)
            assert out.shape == (items, 3), f"{genotype} gives {tuple(out.shape)}; expected {(items, 3)}"
            assert out.isfinite().all(), f"{genotype} gives numbers that are not finite"
            out.square().sum().backward()
            learning = any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
            assert learning, f"{genotype} gives no parameter a gradient"


def _called(net: Any, space: Space) -> torch.Tensor:
    data = example_graph()
    pairs = {"edge_label_index": data.edge_index} if space.kind(space.output) == "pair" else {}
    out: torch.Tensor = net(data.x, data.edge_index, **pairs)
    return out


@dataclass
class _Directed:
    """A black-box run on metrics that are turned round together with their direction."""

    strategy: BlackBox
    space: Space
    task: Task
    sign: int

    def __post_init__(self) -> None:
        self.task = copy.copy(self.task)
        self.task.metric = replace(self.task.metric, higher_is_better=self.sign > 0)
        self.state: BlackBoxState = begin(self.strategy, self.space, self.task).state

    def more(self) -> bool:
        return not self.strategy.done(self.state)

    def step(self) -> Mapping[str, Any]:
        genotype = self.strategy.ask(self.state)
        result = Scores().evaluate(self.space, genotype, self.task, 0)
        result = replace(result, metric_architecture=self.sign * result.metric_architecture)
        self.strategy.tell(self.task, self.state, genotype, result)
        return dict(genotype.choices)


def _black_box(strategy: Strategy[Any], **settings: Any) -> BlackBox:
    if not isinstance(strategy, BlackBox):
        pytest.skip("evaluates no candidates one by one")
    return replace(strategy, **settings)


def _check(space: Space, genotype: Any, what: str) -> None:
    assert isinstance(genotype, Genotype), f"{what} {genotype!r}; expected a Genotype"
    try:
        space.check(genotype)
    except ValueError as error:
        pytest.fail(f"{what} a genotype that is not one of the space: {error}")


def _saved(state: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file
