"""AGNN's controller: one class at a time, from the best so far, and which weights may be inherited."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from landscapes import Scored, begin, finish, slope

from gnas.evaluate import TrainFromScratch, builder
from gnas.recipe import Recipe
from gnas.space import Choice, Genotype, Node, Space, layered
from gnas.strategy import Agnn
from gnas.strategy.agnn import classes_of, inherit
from gnas.task import Task
from gnas.testing import example_graph, example_task

QUICK = TrainFromScratch(Recipe(hidden_channels=8, dropout=0.0), epochs=3)


def two_classes() -> Space:
    """Three choices of one class and two of another; every genotype is a network of its own."""
    names = tuple(f"op{k}" for k in range(4))
    below, nodes = "x", []
    for name in ("aggregate.1", "act.1", "aggregate.2", "act.2", "aggregate.3"):
        nodes.append(Node(name.replace(".", ""), Choice(name, names), (below,)))
        below = nodes[-1].name
    return Space("classes", tuple(nodes), below)


def changed(a: Genotype, b: Genotype) -> set[str]:
    """Classes in which two genotypes differ."""
    return {name.split(".")[0] for name in a if a[name] != b[name]}


def test_classes_are_what_names_begin_with() -> None:
    assert classes_of(two_classes()) == {"aggregate": [0, 2, 4], "act": [1, 3]}
    single = Space("single", (Node("a", Choice("op", ("gcn",)), ("x",)),), "a")
    assert classes_of(single) == {}


@pytest.mark.parametrize("higher", [True, False])
def test_a_step_changes_one_class_of_the_best_network(higher: bool) -> None:
    strategy = Agnn(evaluations=40, hidden_channels=8, lr=0.01, evaluator=Scored())
    state, seen = begin(strategy, two_classes(), higher=higher), set()
    while not strategy.done(state):
        finish(strategy, state, 1)
        if not strategy.done(state) and state.memory["step"] is not None:
            best = strategy.best(state).genotype
            assert changed(best, strategy.ask(state)) == {state.memory["step"]["class"]}
            seen |= changed(best, strategy.ask(state))
    assert seen == {"aggregate", "act"}
    first = slope(state.trials[0].genotype)
    assert strategy.best(state).metric > first if higher else strategy.best(state).metric < first


def test_only_the_controller_of_the_changed_class_learns() -> None:
    strategy = Agnn(evaluations=10, hidden_channels=8, evaluator=Scored())
    state = begin(strategy, two_classes())
    finish(strategy, state, 2)
    step, before = state.memory["step"], state.memory["learners"]
    finish(strategy, state, 1)
    moved = {
        name
        for name, learner in state.memory["learners"].items()
        if any(not torch.equal(v, before[name]["controller"][k]) for k, v in learner["controller"].items())
    }
    # No controller drew a network that had been tried, from which it would have learnt, too.
    assert moved == {step["class"]}


def networks(first: dict[str, Any], second: dict[str, Any]) -> tuple[torch.nn.Module, torch.nn.Module, list[str]]:
    """Two networks of a space, the second after it inherited from the first; and what was inherited."""
    space, task = layered(max_depth=2), example_task()
    start = dict(space.sample(random.Random(0)).choices)
    start.update(aggregate="gcn", transform=True, depth=space.choices["depth"].options[-1])
    bounds = [space.bind(space.genotype({**start, **options})) for options in (first, second)]
    models = []
    for i, bound in enumerate(bounds):
        torch.manual_seed(i)
        models.append(builder(bound)(task, Recipe(hidden_channels=8)))
    return models[0], models[1], inherit(models[1], bounds[1], models[0].state_dict(), bounds[0])


def test_a_network_of_the_same_program_inherits_everything() -> None:
    first, second, copied = networks({}, {})
    assert set(copied) == set(second.state_dict()) == set(first.state_dict())
    assert all(torch.equal(v, first.state_dict()[k]) for k, v in second.state_dict().items())


def test_another_operation_inherits_nothing_in_its_place() -> None:
    first, second, copied = networks({"aggregate": "gcn"}, {"aggregate": "gat"})
    assert copied and all(torch.equal(second.state_dict()[k], first.state_dict()[k]) for k in copied)
    left = set(second.state_dict()) - set(copied)
    assert left and not any(k.startswith(("encoder", "decoder")) for k in left)


def test_a_longer_name_is_not_taken_for_a_shorter_one() -> None:
    space = Space(
        "names",
        (
            Node("conv1", "gcn", ("x",), attrs={"transform": True}),
            Node("conv10", "sage_mean", ("conv1",), attrs={"transform": True}),
        ),
        "conv10",
    )
    parent = Space("names", (space.nodes[0],), "conv1")
    task = example_task()
    child, older = (builder(each)(task, Recipe(hidden_channels=8)) for each in (space, parent))
    weights = {**child.state_dict(), **older.state_dict()}
    copied = inherit(child, space, weights, parent)
    assert any(key.startswith("conv1.") for key in copied) and not any(key.startswith("conv10") for key in copied)


def test_normalisations_are_never_shared() -> None:
    nodes = (Node("a", "gcn", ("x",), attrs={"transform": True}), Node("n", "batch_norm", ("a",)))
    space, task = Space("norm", nodes, "n"), example_task()
    first, second = (builder(space)(task, Recipe(hidden_channels=8)) for _ in range(2))
    copied = inherit(second, space, first.state_dict(), space)
    assert any(key.startswith("a") for key in copied) and not any(key.startswith("n.") for key in copied)


def test_a_search_with_sharing_keeps_the_weights_of_the_best_and_goes_on_exactly() -> None:
    task, space = example_task(), layered(max_depth=2)
    strategy = Agnn(evaluations=4, hidden_channels=8, inherit=True, evaluator=QUICK)
    state = strategy.init(space, task, torch.Generator().manual_seed(0))
    events = [strategy.step(task, state) for _ in range(2)]
    saved = state.state_dict()
    events += [strategy.step(task, state) for _ in range(2)]
    other = strategy.init(space, task, torch.Generator().manual_seed(1))
    other.load_state_dict(saved)
    assert [strategy.step(task, other) for _ in range(2)] == events[2:]
    assert state.memory["weights"]["genotype"] == dict(strategy.best(state).genotype.choices)
    plain = Agnn(evaluations=4, hidden_channels=8, evaluator=QUICK)
    without = plain.init(space, task, torch.Generator().manual_seed(0))
    alone = [plain.step(task, without) for _ in range(2)]
    # The first network has nobody to inherit from, the second does.
    assert alone[0]["loss_architecture"] == events[0]["loss_architecture"]
    assert alone[1]["genotype"] == events[1]["genotype"]
    assert alone[1]["loss_architecture"] != events[1]["loss_architecture"]


def test_a_regression_is_searched_with_sharing() -> None:
    data = example_graph()
    data.y = torch.randn(data.y.numel(), generator=torch.Generator().manual_seed(0))
    task = Task.from_data(data)
    strategy = Agnn(evaluations=3, hidden_channels=8, inherit=True, evaluator=QUICK)
    state = strategy.init(layered(max_depth=2), task, torch.Generator().manual_seed(0))
    while not strategy.done(state):
        strategy.step(task, state)
    assert len(state.trials) == 3


def test_bad_settings_are_refused() -> None:
    with pytest.raises(TypeError, match=r"agnn got inherit=True and evaluator=.* which has no weights to hand on"):
        Agnn(inherit=True, evaluator=Scored())
    with pytest.raises(TypeError, match="agnn got inherit='yes'; expected True or False"):
        Agnn(inherit="yes")  # type: ignore[arg-type]
