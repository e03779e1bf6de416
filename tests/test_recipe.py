"""Networks are regularised hard where labels are few, and nowhere else, whoever trains them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import gnas
from gnas.baselines import BASELINES
from gnas.evaluate import TrainFromScratch, builder
from gnas.headed import hand_made
from gnas.recipe import HARD, MILD, Recipe, recipes_of, regularisation_of
from gnas.space import layered
from gnas.strategy import Agnn, Darts, FewShot, Progressive, Random, SinglePath, Strategy
from gnas.strategy.progressive import sgas
from gnas.task import FEW, Task
from gnas.usual import usual_space


def graph(labelled: int) -> Data:
    nodes = labelled + 20
    masks = {name: torch.zeros(nodes, dtype=torch.bool) for name in ("train_mask", "val_mask", "test_mask")}
    masks["train_mask"][:labelled] = masks["val_mask"][labelled:-10] = masks["test_mask"][-10:] = True
    edges = to_undirected(torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)]))
    return Data(x=torch.ones(nodes, 3), edge_index=edges, y=torch.arange(nodes) % 2, **masks)


def few(**settings: Any) -> Task:
    return Task.from_data(graph(FEW - 1), **settings)


def many() -> Task:
    return Task.from_data(graph(FEW))


def graphs() -> Task:
    made = [Data(x=torch.ones(4, 3), edge_index=graph(1).edge_index[:, :6], y=torch.tensor([i % 2])) for i in range(30)]
    return Task.from_data(made)


def test_labels_are_few_only_where_nodes_have_them() -> None:
    assert few().few_labels and not many().few_labels
    assert not few(level="link").few_labels and not graphs().few_labels


def test_a_training_takes_the_first_recipe_of_the_grid_and_a_given_one_stands() -> None:
    given = Recipe(hidden_channels=4, dropout=0.3)
    for task, grid in ((few(), HARD), (many(), MILD), (graphs(), MILD)):
        assert recipes_of(task) == grid and TrainFromScratch().recipe_for(task) == grid[0]
        assert TrainFromScratch().settled(task) == TrainFromScratch(grid[0])
        assert TrainFromScratch(given).recipe_for(task) == given
    seen: list[Recipe] = []

    def build(task: Task, recipe: Recipe) -> torch.nn.Module:
        seen.append(recipe)
        return hand_made(task)["GCN"](task, recipe)

    TrainFromScratch(epochs=1)(build, graphs(), 0)
    assert seen == [MILD[0]]


@pytest.mark.parametrize(("entries", "words"), [(1, False), (2, True), (80, False)])
def test_features_are_dropped_where_they_are_bags_of_words(entries: int, words: bool) -> None:
    data = graph(FEW)
    data.x = torch.zeros(FEW + 20, 100)
    data.x[:, :entries] = 1.0
    task = Task.from_data(data)
    assert task.words == words
    assert all(recipe.drop_inputs == words for recipe in recipes_of(task))
    assert regularisation_of(task).drop_inputs == words
    assert all(recipe.drop_inputs for recipe in recipes_of(few()))


@pytest.mark.parametrize("strategy", [Darts(), SinglePath(), Progressive(), FewShot(), sgas(Darts())])
def test_a_supernet_is_regularised_by_the_task_where_nothing_is_given(strategy: Strategy[Any]) -> None:
    for task in (few(), many(), graphs()):
        usual = regularisation_of(task)
        settled: Any = strategy.for_task(task)
        inner = getattr(settled, "inner", settled)
        assert (inner.dropout, inner.weight_decay) == (usual.dropout, usual.weight_decay)
        assert inner.drop_inputs == usual.drop_inputs == (task.few_labels or task.words)
        assert settled.for_task(task) == settled
        torch.manual_seed(0)
        state: Any = inner.init(usual_space(task), task, torch.default_generator)
        asked: Any = getattr(strategy, "inner", strategy)
        torch.manual_seed(0)
        other: Any = asked.init(usual_space(task), task, torch.default_generator)
        for each in (state, other):
            assert each.supernet.dropout == usual.dropout and each.supernet.drop_inputs == usual.drop_inputs
            assert each.weight_optimizer.param_groups[0]["weight_decay"] == usual.weight_decay


def test_what_is_given_to_a_supernet_stands() -> None:
    given = Darts(dropout=0.0, weight_decay=0.0, drop_inputs=True)
    assert given.for_task(few()) == given == given.for_task(graphs())
    assert Darts(dropout=0.1).for_task(few()) == Darts(dropout=0.1, weight_decay=1e-3, drop_inputs=True)
    with pytest.raises(TypeError, match="drop_inputs='no'; expected True or False"):
        Darts(drop_inputs="no")  # type: ignore[arg-type]


def left(task: Task, recipe: Recipe) -> Iterator[set[float]]:
    """Of features that are all ones, what the first projection of each network by the recipe still reads."""
    identity = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(identity.weight)
    for name in BASELINES:
        if name != "SGC":  # has no dropout
            network: Any = BASELINES[name](task, recipe)
            yield set(network.encode(torch.ones(50, 3), identity).flatten().tolist())
    space = layered(1)
    found: Any = builder(space.bind(space.genotype(space.starts[0])))(task, recipe)
    found.encoder = identity
    yield set(found.encode(torch.ones(50, 3)).flatten().tolist())


def test_features_are_dropped_where_a_recipe_says_so() -> None:
    assert all(read == {0.0, 2.0} for read in left(many(), Recipe(dropout=0.5)))
    assert all(read == {1.0} for read in left(many(), Recipe(dropout=0.5, drop_inputs=False)))


def test_a_black_box_strategy_trains_by_the_recipe_of_the_task() -> None:
    for strategy in (Random(), Agnn()):
        assert strategy.for_task(graphs()).evaluator == TrainFromScratch(MILD[0])
        assert strategy.for_task(few()).evaluator == TrainFromScratch(HARD[0])


def test_normalisation_is_a_question_only_where_labels_are_many() -> None:
    assert usual_space(few()) == layered()
    assert usual_space(graphs()).choices["norm"].options == ("identity", "batch_norm")
    assert usual_space(graphs(), norms=("pair_norm",), max_depth=2) == layered(2, norms=("pair_norm",))
    assert usual_space(graphs(), "gap") == gnas.gap() == usual_space(few(), "gap")


def test_a_run_tells_what_was_used(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"derivation": gnas.Derivation(best_of=1, listed=1, evidence=()), "progress": False}
    run = gnas.search(
        graphs(),
        None,
        gnas.Darts(epochs=2, hidden_channels=8),
        evaluator=TrainFromScratch(epochs=1),
        folder=tmp_path / "run",
        **settings,
    )
    told = run.journal.run()
    assert told["recipe"] == told["evaluator"]["recipe"] and told["recipe"]["dropout"] == MILD[0].dropout
    assert (told["strategy"]["dropout"], told["strategy"]["weight_decay"]) == (0.2, 1e-4)
    assert "norm" in dict(run.genotype.choices)
