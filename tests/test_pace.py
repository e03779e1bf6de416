"""The trials by which a search is fitted into a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Data

from gnas.graphs import GraphSet
from gnas.loading import Loading
from gnas.pace import GRAPHS, excerpt, pace_of, steps_of_epoch
from gnas.space import for_level
from gnas.split import ROLES
from gnas.strategy import Darts
from gnas.task import Task
from gnas.usual import usual_space


def graphs(count: int) -> Task:
    """Graphs of two nodes, of which one in fifty is of the second class."""
    edge_index = torch.tensor([[0, 1], [1, 0]])
    data = [
        Data(x=torch.full((2, 1), float(i)), edge_index=edge_index, y=torch.tensor([[float(i % 50 == 1)]]))
        for i in range(count)
    ]
    order = torch.arange(count)
    split = dict(zip(ROLES, order.tensor_split([count * 8 // 10, count * 9 // 10]), strict=True))
    return Task.from_data(GraphSet(tuple(data), split), metric="roc_auc")


def test_a_trial_sees_few_of_many_graphs():
    task = graphs(5 * GRAPHS)
    few, share = excerpt(task)
    whole, part = (one.index("weights").numel() for one in (task, few))
    assert GRAPHS <= part < 2 * GRAPHS and share == pytest.approx(part / whole, rel=0.01)
    for role in ROLES[:2]:
        assert set(few.index(role).tolist()) < set(task.index(role).tolist())
    assert few.index(ROLES[2]).equal(task.index(ROLES[2]))
    # None of these may be of the rare class: the metric, which nobody reads, must not ask for one.
    assert not task.y[few.index("architecture")].any()
    space = for_level(usual_space(task, "layered", max_depth=1), task.level)
    pace = pace_of(Darts(epochs=6, hidden_channels=8), space, task, seed=0, room=1e-6)
    assert pace is not None and pace.weighs and pace.search > 0 and pace.warmup > 0


def test_a_trial_sees_all_of_few_graphs():
    task = graphs(GRAPHS)
    assert excerpt(task) == (task, 1.0)


def test_an_epochs_steps_are_counted_by_an_excerpt():
    many = replace(graphs(5 * GRAPHS), loading=Loading(batch_size=100))
    assert steps_of_epoch(many) == pytest.approx(len(list(many.steps(torch.Generator(), ("weights",)))), rel=0.1)
    assert steps_of_epoch(replace(graphs(1000), loading=Loading(batch_size=200))) == 4
    assert steps_of_epoch(replace(graphs(1000), loading=Loading(batch_size=800))) == 1
