"""The same search at every level, on one batch and on many: it ends, repeats, resumes and never reads the test role."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnas.compare import evaluate, markdown
from gnas.derive import Derivation
from gnas.evaluate import TrainFromScratch
from gnas.graphs import GraphSet
from gnas.model import GraphModel
from gnas.recipe import Recipe
from gnas.run import Run
from gnas.search import search
from gnas.space import layered
from gnas.strategy import Darts, Random
from gnas.task import Task

EPOCHS = 4
RECIPE = Recipe(hidden_channels=8, dropout=0.1, lr=0.02)
DERIVATION = Derivation(listed=6, steps=3, best_of=3, rounds=2, seeds=1, epochs=2)


def molecules(kind: str) -> GraphSet:
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for i in range(36):
        nodes = 3 + i % 5
        edges = to_undirected(torch.randint(nodes, (2, nodes), generator=generator), num_nodes=nodes)
        x = torch.randint(4, (nodes, 2), generator=generator)
        y = {
            "number": x.float().mean().view(1),
            "tasks": torch.tensor([[float(i % 2), float(i // 3 % 2), math.nan]]),
            "classes": torch.tensor([i % 3]),
        }[kind]
        if kind == "tasks" and i % 4 < 2:
            y[0, 2] = float(i % 2)
        attr = torch.randint(3, (edges.size(1),), generator=generator)
        graphs.append(Data(x=x, edge_index=edges, edge_attr=attr, y=y))
    return GraphSet(tuple(graphs), None)


def one_graph(**changes: Any) -> Data:
    generator = torch.Generator().manual_seed(0)
    edges = to_undirected(torch.randint(60, (2, 120), generator=generator))
    data = Data(x=torch.randn(60, 4, generator=generator), edge_index=edges, y=torch.arange(60) % 3)
    for key, value in changes.items():
        data[key] = value
    return data


TASKS: dict[str, Callable[[], Task]] = {
    "graph regression": lambda: Task.from_data(molecules("number"), batch_size=10),
    "graph tasks": lambda: Task.from_data(molecules("tasks"), batch_size=10),
    "graph classes": lambda: Task.from_data(molecules("classes")),
    "links": lambda: Task.from_data(one_graph(), level="link"),
    "edges": lambda: Task.from_data(one_graph(y=one_graph().edge_index.sum(dim=0) % 2)),
    "node regression": lambda: Task.from_data(one_graph(y=one_graph().x[:, 0]), metric="rmse"),
    "node labels": lambda: Task.from_data(one_graph(y=(one_graph().x > 0))),
    "random parts": lambda: Task.from_data(one_graph(), loader="random", parts=3),
    "measured by parts": lambda: Task.from_data(one_graph(), loader="random", parts=3, measure="parts"),
    "measured by layers": lambda: Task.from_data(one_graph(), loader="random", parts=3, measure="layers"),
}


def run(task: Task, folder: Path, strategy: Any = None, **more: Any) -> Run:
    strategy = strategy or Darts(epochs=EPOCHS, warmup=1, hidden_channels=8, order=2)
    evaluator = TrainFromScratch(RECIPE, epochs=3)
    space = layered(max_depth=2, aggregators=("gcn", "sage_mean", "gin"))
    return search(task, space, strategy, DERIVATION, evaluator=evaluator, folder=folder, progress=False, **more)


def events(found: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k != "seconds"} for event in found.journal.events()]


@pytest.mark.parametrize("name", TASKS)
def test_a_search_ends_with_a_network_and_repeats(name: str, tmp_path: Path) -> None:
    task = TASKS[name]()
    found = run(task, tmp_path / "a")
    assert found.status == "done" and task.test_reads == 0
    assert task.measure(found.model)["architecture"][1] == found.metric == events(found)[-1]["derived_metric"]
    loaded = GraphModel.from_run(found.folder)
    assert task.measure(loaded)["architecture"][1] == found.metric
    again = run(TASKS[name](), tmp_path / "b")
    assert events(again) == events(found)
    told = json.loads((found.folder / "run.json").read_text())["task"]
    assert (told["level"], told["metric"], told["higher_is_better"]) == (
        task.level,
        task.metric.name,
        task.higher_is_better,
    )
    page = (found.folder / "report.html").read_text()
    assert f"{task.metric.name} on the architecture split" in page
    assert ("accuracy" in page) == (task.metric.name == "accuracy")


@pytest.mark.parametrize("name", ["graph regression", "links", "random parts"])
def test_an_interrupted_search_with_batches_ends_as_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    whole = run(TASKS[name](), tmp_path / "whole")
    strategy = Darts(epochs=EPOCHS, warmup=1, hidden_channels=8, order=2)
    steps = {"left": 2}

    class Dies(Darts):
        def step(self, task: Any, state: Any) -> dict[str, Any]:
            if not steps["left"]:
                raise MemoryError("killed")
            steps["left"] -= 1
            return super().step(task, state)

    dying = Dies(epochs=EPOCHS, warmup=1, hidden_channels=8, order=2)
    with pytest.raises(MemoryError):
        run(TASKS[name](), tmp_path / "killed", dying)
    resumed = run(TASKS[name](), tmp_path / "killed", strategy, resume=True)
    assert events(resumed) == events(whole)
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True))


def test_random_search_keeps_the_smallest_error(tmp_path: Path) -> None:
    evaluator = TrainFromScratch(RECIPE, epochs=3)
    found = run(TASKS["graph regression"](), tmp_path / "r", Random(evaluations=4, evaluator=evaluator))
    candidates = [event for event in events(found) if event["event"] == "candidate"]
    best = min(candidates, key=lambda event: event["metric_architecture"])
    assert dict(found.genotype.choices) == best["genotype"]
    assert candidates[-1]["best"] == best["metric_architecture"]


@pytest.mark.parametrize("name", ["graph regression", "links"])
def test_an_evaluation_beside_hand_made_networks(name: str, tmp_path: Path) -> None:
    task = TASKS[name]()
    found = run(task, tmp_path / "run")
    result = evaluate(
        found.folder,
        data=task,
        seeds=2,
        tuning_seeds=1,
        recipes=(RECIPE,),
        baselines=["GCN", "MLP"],
        random=False,
        evaluator=TrainFromScratch(epochs=2),
    )
    assert [row["name"] for row in result["rows"]][1:] == ["GCN", "MLP"] and task.test_reads == 6
    ours, gcn = result["rows"][0]["test_mean"], result["rows"][1]["test_mean"]
    sign = 1 if task.higher_is_better else -1
    assert result["comparisons"][0]["gain"] == pytest.approx(sign * (ours - gcn))
    assert f"test {task.metric.name}" in markdown(result)
