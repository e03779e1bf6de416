"""Hand-made networks for graphs and pairs: the shape of their output, what it depends on, and that they learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnas.baselines import BASELINES
from gnas.evaluate import TrainFromScratch
from gnas.graphs import GraphSet
from gnas.headed import NAMES, hand_made
from gnas.recipe import Recipe
from gnas.task import FEW, Task

RECIPE = Recipe(hidden_channels=10, dropout=0.0, lr=0.01, weight_decay=0.0)


def rings(codes: bool = False) -> Task:
    """Rings and paths of 4 to 7 nodes with random features; the label says whether the features' sum is positive."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for i in range(60):
        nodes = 4 + i % 4
        path = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
        edges = to_undirected(path)
        x = torch.randn(nodes, 3, generator=generator) + (1 if i % 3 else -1)
        y = torch.tensor([int(i % 3 > 0)])
        attr = torch.randn(edges.size(1), 2, generator=generator)
        if codes:
            x, attr = (x > 0).long() * 2, (attr > 0).long() * 3
        graphs.append(Data(x=x, edge_index=edges, edge_attr=attr, y=y))
    return Task.from_data(GraphSet(tuple(graphs), None))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("codes", [False, True])
def test_a_graph_has_one_row_that_depends_on_it_alone(name: str, codes: bool) -> None:
    task = rings(codes)
    torch.manual_seed(0)
    model = hand_made(task)[name](task, RECIPE).eval()
    (batch,) = task.batches("weights")
    out = task.forward(model, batch)
    assert out.shape == (batch.y.size(0), 2)
    singly = Task.from_data(GraphSet(tuple(_graphs(task)), dict(task.roles)), batch_size=1)
    rows = torch.cat([singly.forward(model, one) for one in singly.batches("weights")])
    torch.testing.assert_close(out, rows, rtol=1e-4, atol=1e-5)


def _graphs(task: Task) -> list[Data]:
    assert task.pointers is not None and task.edge_attr is not None
    found = []
    for i in range(task.num_graphs):
        (a, b), (c, d) = task.pointers[0, i : i + 2].tolist(), task.pointers[1, i : i + 2].tolist()
        found.append(
            Data(
                x=task.x[a:b],
                edge_index=task.edge_index[:, c:d] - a,
                edge_attr=task.edge_attr[c:d],
                y=task.y[i : i + 1],
            )
        )
    return found


@pytest.mark.parametrize("name", NAMES)
def test_graphs_are_learned(name: str) -> None:
    task = rings()
    result = TrainFromScratch(RECIPE, epochs=60, patience=60)(hand_made(task)[name], task, 0)
    assert result.metric_architecture >= 0.9


@pytest.mark.parametrize(("name", "reads"), [("GIN", True), ("GAT", True), ("GCN", False), ("SAGE", False)])
def test_edge_features_are_read_by_those_that_say_so(name: str, reads: bool) -> None:
    task = rings()
    torch.manual_seed(0)
    model = hand_made(task)[name](task, RECIPE).eval()
    (batch,) = task.batches("weights")
    other: Tensor = model(batch.x, batch.edge_index, None, batch.edge_attr + 1, batch=batch.batch)
    assert torch.allclose(task.forward(model, batch), other) != reads


@pytest.mark.parametrize("name", NAMES)
def test_links_have_one_score_for_either_direction(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    edges = to_undirected(torch.randint(30, (2, 90), generator=generator))
    task = Task.from_data(Data(x=torch.randn(30, 4, generator=generator), edge_index=edges), level="link")
    torch.manual_seed(0)
    model = hand_made(task)[name](task, RECIPE).eval()
    (batch,) = task.batches("architecture")
    assert batch.edge_label_index is not None
    out = task.forward(model, batch)
    turned = model(batch.x, batch.edge_index, edge_label_index=batch.edge_label_index.flip(0))
    assert out.shape == (batch.y.numel(), 1) and torch.allclose(out, turned)
    result = TrainFromScratch(RECIPE, epochs=2)(hand_made(task)[name], task, 0, test=True)
    assert result.test is not None and 0 <= result.test <= 1 and task.test_reads == 1


def test_nodes_with_few_labels_keep_their_networks() -> None:
    data = Data(x=torch.randn(9, 2), edge_index=torch.tensor([[0], [1]]), y=torch.arange(9) % 2)
    assert hand_made(Task.from_data(data)) == BASELINES


def test_nodes_with_many_labels_have_deep_networks_besides() -> None:
    """A node's label is told by a node four steps away, which two layers don't reach."""
    generator = torch.Generator().manual_seed(0)
    nodes = 3 * FEW
    x = torch.randn(nodes, 1, generator=generator)
    line = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    y = (x.roll(4).view(-1) > 0).long()
    task = Task.from_data(Data(x=x, edge_index=line, y=y), features="none")
    names = hand_made(task)
    assert list(names) == [*BASELINES, "GCN-4", "GIN-4", "SAGE-4", "GAT-4"]
    train = TrainFromScratch(replace(RECIPE, hidden_channels=16), epochs=60)
    near, far = (train(names[name], task, 0).metric_architecture for name in ("SAGE", "SAGE-4"))
    assert near < 0.6 and far > 0.9
