"""Costs of networks against counts by hand, limits, the expected cost of a supernet, and the front."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import gnas
from gnas.costs import COSTS, CostTerm, Limit, additive, cost
from gnas.evaluate import TrainFromScratch
from gnas.recipe import Recipe
from gnas.space import Genotype, Space
from gnas.space.transform import Keep
from gnas.strategy import (
    STRATEGIES,
    BlackBox,
    Darts,
    Differentiable,
    FewShot,
    Nsga2,
    Random,
    RandomSharing,
    SinglePath,
)
from gnas.task import Task
from gnas.testing import Scores, example_task
from gnas.zero_cost.synflow import Synflow

WIDTH = 8
NARROW = Recipe(hidden_channels=WIDTH)
BASE: dict[str, object] = {
    "aggregate": "gcn",
    "depth": "layer2",
    "initial": 0.0,
    "previous": 0.0,
    "transform": True,
    "transforms": "x",
}


@pytest.fixture(scope="module")
def task() -> Task:
    return example_task()


@pytest.fixture(scope="module")
def space() -> Space:
    return gnas.layered(max_depth=2)


def genotype(space: Space, **changes: object) -> Genotype:
    return space.genotype({**BASE, **changes})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "changes, layer",
    [({}, WIDTH * WIDTH), ({"aggregate": "gin"}, 2 * WIDTH * WIDTH), ({"transform": False}, 0)],
)
def test_multiply_adds_are_those_counted_by_hand(
    task: Task, space: Space, changes: Mapping[str, object], layer: int
) -> None:
    batch = next(iter(task.steps(torch.default_generator, ("weights",))))["weights"]
    nodes, edges = batch.x.size(0), batch.edge_index.size(1)
    # GCN adds a loop to each node that has none; GIN reads its neighbours as they are.
    loops = int((batch.edge_index[0] == batch.edge_index[1]).sum())
    read = edges if changes.get("aggregate") == "gin" else edges + nodes - loops
    ends = nodes * (task.in_channels * WIDTH + WIDTH * task.out_channels)
    expected = ends + 2 * (nodes * layer + read * WIDTH)
    assert cost("macs", space, genotype(space, **changes), task, NARROW) == expected


def test_costs_are_of_the_network_that_is_handed_over(task: Task, space: Space) -> None:
    small, large = genotype(space, depth="layer1"), genotype(space)
    for name in COSTS:
        values = [cost(name, space, each, task, NARROW) for each in (small, large)]
        assert values[0] > 0 and (name == "latency" or values[0] < values[1]), name
    ends = WIDTH * (task.in_channels + 1) + task.out_channels * (WIDTH + 1)
    assert cost("parameters", space, large, task, NARROW) == ends + 2 * WIDTH * (WIDTH + 1)
    # Four numbers of four bytes for each parameter, at least, and what is kept for the backward pass.
    assert cost("memory", space, large, task, NARROW) > 16 * cost("parameters", space, large, task, NARROW)
    before = torch.get_rng_state()
    cost("memory", space, large, task, NARROW)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ValueError, match=r"got the cost 'size'; expected one of \['parameters', "):
        cost("size", space, large, task)
    with pytest.raises(ValueError, match="holds no data; expected a gnas.Task"):
        cost("macs", space, large, "cora")  # type: ignore[arg-type]


def test_sparse_features_are_counted_by_their_entries_and_are_no_memory_of_a_network(space: Space) -> None:
    generator = torch.Generator().manual_seed(0)
    nodes, words, entries = 50, 400, 150
    x = torch.zeros(nodes, words)
    x.view(-1)[torch.randperm(nodes * words, generator=generator)[:entries]] = 1
    edges = torch.randint(nodes, (2, 120), generator=generator)
    y = torch.randint(2, (nodes,), generator=generator)
    sparse = Task.from_data(Data(x=x, edge_index=edges, y=y), features="none")
    assert sparse.x.layout == torch.sparse_csr
    found = genotype(space, aggregate="identity", transform=False)
    assert cost("macs", space, found, sparse, NARROW) == (entries + nodes * sparse.out_channels) * WIDTH
    # Three times the edges are three times the data, and no more to keep.
    more = Task.from_data(Data(x=x, edge_index=edges.repeat(1, 3), y=y), features="none")
    small, large = (cost("memory", space, genotype(space), task, NARROW) for task in (sparse, more))
    assert small == large


@pytest.mark.parametrize(
    "text, name, most",
    [
        ("parameters<=50k", "parameters", 50_000),
        ("macs <= 2M", "macs", 2e6),
        ("latency<=5ms", "latency", 5),
        ("latency<=0.5s", "latency", 500),
        ("latency<=5e-1ms", "latency", 0.5),
        ("memory<=100MB", "memory", 1e8),
        ("memory<=1.5 KiB", "memory", 1536),
    ],
)
def test_limits_are_read_from_words(text: str, name: str, most: float) -> None:
    assert Limit.parse(text) == Limit(name, most)


@pytest.mark.parametrize(
    "text",
    [
        "parameters<50k",
        "parameters<=",
        "size<=3",
        "parameters<=5s",
        "latency<=5MB",
        "latency<=5",
        "memory<=9ms",
        "macs<=1.2.3",
        "macs<=0",
    ],
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Limit.parse(text)


def black_boxes() -> list[type[BlackBox]]:
    return [kind for kind in STRATEGIES.values() if issubclass(kind, BlackBox)]


@pytest.mark.parametrize("kind", black_boxes(), ids=lambda kind: kind.name)
def test_no_black_box_asks_what_a_limit_refuses(kind: type[BlackBox], task: Task, space: Space) -> None:
    pytest.importorskip("optuna")
    generator = random.Random(0)
    typical = sorted(cost("parameters", space, space.sample(generator), task, NARROW) for _ in range(40))[15]
    limit = Limit("parameters", typical, NARROW)
    settings = {"initial": 4} if kind.name in ("surrogate", "nas_bowl") else {}
    strategy = kind(evaluations=12, evaluator=Scores(), conditions=(limit,), **settings)  # type: ignore[arg-type]
    state = strategy.init(space, task, torch.Generator().manual_seed(0))
    while not strategy.done(state):
        strategy.step(task, state)
    assert len(state.trials) == 12 and state.refused
    assert all(cost("parameters", space, trial.genotype, task, NARROW) <= typical for trial in state.trials)
    again = strategy.init(space, task, torch.Generator().manual_seed(0))
    again.load_state_dict(state.state_dict())
    assert again.refused == state.refused


def test_a_limit_that_nothing_fulfils_is_said(task: Task, space: Space, tmp_path: Path) -> None:
    strategy = Random(evaluator=Scores(), conditions=(Limit("parameters", 1),))
    state = strategy.init(space, task, torch.Generator().manual_seed(0))
    assert strategy.done(state)
    message = r"after 0 candidates \(\d+ were refused by parameters <= 1.*\): expected .*, try a wider limit"
    with pytest.raises(ValueError, match=message):
        strategy.ask(state)
    with pytest.raises(ValueError, match=message):
        gnas.search(task, space, strategy, folder=tmp_path / "run", progress=False)
    with pytest.raises(TypeError, match="expected a tuple of conditions"):
        Random(conditions=("parameters<=50k",))  # type: ignore[arg-type]


SHORT = gnas.Derivation(listed=8, steps=3, best_of=4, rounds=2, seeds=1, epochs=3)


@pytest.mark.parametrize("strategy", [Darts(epochs=2, warmup=0), RandomSharing(epochs=3, population=6)], ids=str)
def test_a_search_hands_over_what_fulfils_its_conditions(
    strategy: gnas.strategy.base.Strategy, task: Task, space: Space, tmp_path: Path
) -> None:
    evaluator = TrainFromScratch(NARROW, epochs=3)
    limit = Limit("parameters", 250, NARROW)
    run = gnas.search(
        task, space, strategy, SHORT, evaluator=evaluator, folder=tmp_path / "run", progress=False, conditions=[limit]
    )
    assert sum(p.numel() for p in run.model.parameters()) <= 250
    trained = [event for event in run.journal.events() if event["event"] in ("best_of", "depth")]
    assert all(limit.admits(space, space.genotype(event["genotype"]), task) for event in trained)
    settings = run.journal.run()
    where = settings["derivation"] if isinstance(strategy, Darts) else settings["strategy"]
    assert where["conditions"][0]["most"] == 250 and Limit.of(settings) == (limit,)
    with pytest.raises(ValueError, match="do not fulfil parameters <= 1; expected one that does"):
        dataclasses.replace(SHORT, conditions=(Limit("parameters", 1),)).choose(
            space,
            {n: [1 / len(c.options)] * len(c.options) for n, c in space.choices.items()},
            [],
            admits=lambda g: False,
        )


@pytest.mark.parametrize("most, told", [(1, True), (250, False)])
def test_conditions_that_hardly_a_network_fulfils_are_said_before_the_search(
    most: int, told: bool, task: Task, space: Space, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"evaluator": TrainFromScratch(NARROW, epochs=1), "conditions": [Limit("parameters", most, NARROW)]}
    with nullcontext() if most > 1 else pytest.raises(ValueError, match="expected one that does, try a wider limit"):
        gnas.search(task, space, Darts(epochs=2, warmup=0), SHORT, folder=tmp_path / "run", progress=None, **settings)
    lines = capsys.readouterr().err.splitlines()
    notes = [i for i, line in enumerate(lines) if "none of 30 networks drawn from the space fulfils" in line]
    searched = [i for i, line in enumerate(lines) if line.startswith("search: ")]
    assert (len(notes) == 1 and notes[0] < searched[0]) if told else (not notes and searched)


def test_a_derivation_finds_what_is_admitted_where_alpha_speaks_against_it() -> None:
    space = gnas.bench()
    name, choice = next((name, choice) for name, choice in space.choices.items() if "gcn" in choice.options)
    weights = {n: [1.0 / len(c.options)] * len(c.options) for n, c in space.choices.items()}
    weights[name] = [1e-12 if option == choice.options[0] else 1.0 for option in choice.options]
    found = gnas.Derivation().choose(space, weights, [], admits=lambda each: each[name] == choice.options[0])
    assert found[name] == choice.options[0]


@pytest.mark.parametrize("strategy", [Random(evaluations=4), Darts(epochs=2, warmup=0)], ids=["random", "darts"])
def test_a_limit_is_on_the_network_as_it_is_trained_in_the_end(
    strategy: gnas.strategy.base.Strategy, task: Task, space: Space, tmp_path: Path
) -> None:
    """Whatever the strategy's own width is: what has 5000 numbers at 64 channels has many times that at 256."""
    if isinstance(strategy, Random):
        strategy = dataclasses.replace(strategy, evaluator=TrainFromScratch(NARROW, epochs=1))
    run = gnas.search(
        task,
        space,
        strategy,
        SHORT,
        evaluator=TrainFromScratch(Recipe(hidden_channels=256), epochs=1),
        folder=tmp_path / "run",
        progress=False,
        conditions=[Limit.parse("parameters<=5k")],
    )
    assert sum(p.numel() for p in run.model.parameters()) <= 5000
    (limit,) = Limit.of(run.journal.run())
    assert limit == Limit("parameters", 5000, Recipe(hidden_channels=256))


SHARING = {"epochs": 4, "warmup": 2, "population": 3, "hidden_channels": WIDTH}


@pytest.mark.parametrize(
    "strategy",
    [RandomSharing(**SHARING), SinglePath(**SHARING), FewShot(inner=SinglePath(**SHARING))],  # type: ignore[arg-type]
    ids=["random_sharing", "single_path", "few_shot"],
)
def test_strategies_that_judge_by_inherited_weights_obey_a_limit(
    strategy: gnas.strategy.base.Strategy, task: Task, space: Space, tmp_path: Path
) -> None:
    def search(most: int) -> gnas.Run:
        evaluator, limit = TrainFromScratch(NARROW, epochs=1), Limit("parameters", most)
        folder = tmp_path / str(most)
        return gnas.search(
            task, space, strategy, evaluator=evaluator, folder=folder, progress=False, conditions=[limit]
        )

    run = search(150)
    assert sum(p.numel() for p in run.model.parameters()) <= 150
    assert Limit.of(run.journal.run()) == (Limit("parameters", 150, NARROW),)
    with pytest.raises(ValueError, match="fulfils parameters <= 1; expected one, try a wider limit"):
        search(1)


def test_the_expected_cost_is_exact_where_costs_add_up(task: Task) -> None:
    # One layer: the aggregator's parameters and those of the network's ends add up.
    space = gnas.layered(max_depth=1, transforms=0, transform=(True,), previous=(0.0,), initial=(0.0,), tie=())
    mean, parts = additive("parameters", space, task, 16, NARROW)
    for seed in range(6):
        drawn = space.sample(random.Random(seed))
        found = mean + sum(float(part[space.choices[n].index(drawn[n])]) for n, part in parts.items())
        assert found == pytest.approx(cost("parameters", space, drawn, task, NARROW), rel=1e-6)
    weights = {n: torch.full((len(c.options),), 1 / len(c.options)) for n, c in space.choices.items()}
    assert float(CostTerm(sample=16, recipe=NARROW)(weights, space, task)) == pytest.approx(1)
    target = CostTerm(target=mean / 2, weight=3.0, sample=16, recipe=NARROW)
    assert float(target(weights, space, task)) == pytest.approx(3.0, rel=1e-5)
    assert float(dataclasses.replace(target, target=2 * mean)(weights, space, task)) == 0


def gradient_strategies() -> list[type[Differentiable]]:
    return [kind for kind in STRATEGIES.values() if issubclass(kind, Differentiable)]


@pytest.mark.parametrize("kind", gradient_strategies(), ids=lambda kind: kind.name)
def test_a_cost_term_makes_the_search_prefer_what_costs_less(
    kind: type[Differentiable], task: Task, space: Space
) -> None:
    _, parts = additive("parameters", space, task, 4, NARROW)
    expected = []
    for term in (None, CostTerm(weight=50.0, sample=4, recipe=NARROW)):
        strategy = kind(epochs=12, warmup=0, hidden_channels=WIDTH, cost=term)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = strategy.init(space, task, torch.default_generator)
            while not strategy.done(state):
                strategy.step(task, state)
        weights = strategy.weights(state)
        expected.append(sum(float(weights[n].double() @ part) for n, part in parts.items()))
    assert expected[1] < expected[0] - 1, "numbers fewer on average"


def test_several_objectives_are_searched_at_once_or_refused(task: Task, space: Space) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(ValueError, match="evolution got objectives=.* searches for the metric alone"):
        gnas.Evolution(objectives=("parameters",))
    evaluator = TrainFromScratch(NARROW, epochs=1)
    strategy = Nsga2(evaluations=60, population=10, evaluator=evaluator, objectives=("macs",))
    fewest = []
    for searcher in (strategy, dataclasses.replace(strategy, objectives=())):
        state = searcher.init(space, task, torch.Generator().manual_seed(0))
        event = {}
        while not searcher.done(state):
            event = searcher.step(task, state)
        late = [trial.genotype for trial in state.trials[20:]]
        fewest.append(sum(cost("macs", space, each, task, NARROW) for each in late) / len(late))
        assert ("costs" in event) == bool(searcher.objectives)
    assert fewest[0] < fewest[1]


def test_costs_are_those_of_the_networks_that_an_evaluator_builds(task: Task, space: Space) -> None:
    for evaluator in (gnas.ZeroCost("parameters", recipe=NARROW), TrainFromScratch(NARROW, epochs=1)):
        strategy = Random(evaluations=2, evaluator=evaluator, objectives=("parameters",))
        state = strategy.init(space, task, torch.Generator().manual_seed(0))
        while not strategy.done(state):
            event = strategy.step(task, state)
            assert event["costs"]["parameters"] == event["parameters"]


def test_a_condition_of_ones_own_is_no_limit_whatever_its_fields() -> None:
    own = {"name": "Few", "most": 5}
    limit = {"cost": "macs", "most": 7.0, "recipe": None}
    run = {"strategy": {"conditions": [own, limit]}, "derivation": {"conditions": [own]}}
    assert Limit.of(run) == (Limit("macs", 7.0),)


def test_scores_of_a_filter_are_a_tuple() -> None:
    assert gnas.Promising(["synflow"]).scores == ("synflow",)  # type: ignore[arg-type]
    for wrong in ("synflow", Synflow()):
        with pytest.raises(TypeError, match="Promising got scores=.*expected a tuple, such as"):
            gnas.Promising(wrong)  # type: ignore[arg-type]


def test_a_filter_by_scores_is_a_condition_like_any_other(task: Task, space: Space) -> None:
    promising = gnas.Promising(("parameters",), share=0.5, sample=16, recipe=NARROW)
    strategy = Random(evaluations=8, evaluator=Scores(), conditions=(promising,))
    state = strategy.init(space, task, torch.Generator().manual_seed(0))
    while not strategy.done(state):
        strategy.step(task, state)
    smallest = min(cost("parameters", space, trial.genotype, task, NARROW) for trial in state.trials)
    drawn = [space.sample(random.Random(seed)) for seed in range(30)]
    refused = [g for g in drawn if not promising.admits(space, g, task)]
    assert refused and all(cost("parameters", space, g, task, NARROW) <= smallest for g in refused)


def test_a_cost_term_goes_on_while_a_wrapper_closes_options(task: Task, space: Space) -> None:
    term = CostTerm(weight=50.0, sample=4, recipe=NARROW)
    inner = Darts(epochs=6, warmup=0, hidden_channels=WIDTH, cost=term)
    strategy = gnas.Progressive(inner=inner, transforms=(Keep(0.5),), start=())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = strategy.init(space, task, torch.default_generator)
        while not strategy.done(state):
            strategy.step(task, state)
    assert state.supernet.narrowed().size < space.size
