"""Each score against its formula, where it can be worked out by hand, and what holds for all of them."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gnas.data import quiet_sparse
from gnas.evaluate import builder, seeded
from gnas.model import GraphModel
from gnas.recipe import Recipe
from gnas.space import for_level, layered
from gnas.tabular import TableTask
from gnas.task import Task
from gnas.testing import example_graph, example_task
from gnas.zero_cost import (
    SCORES,
    Fisher,
    Flatness,
    GradientNorm,
    NtkCondition,
    Overlap,
    Parameters,
    Synflow,
    score,
)
from gnas.zero_cost.base import Rectified

SMALL = Recipe(hidden_channels=8)


def network(task: Task, seed: int = 0) -> GraphModel:
    space = layered(max_depth=3)
    genotype = space.genotype({**dict(space.sample(random.Random(seed)).choices), "depth": "layer3"})
    with seeded(seed):
        model = builder(space.bind(genotype))(task, SMALL)
    assert isinstance(model, GraphModel)
    return model


class Rows(nn.Module):
    """A network that knows no edges, of layers given by hand."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        return self.layers(x)


def linear(weight: Any) -> nn.Linear:
    weight = torch.tensor(weight, dtype=torch.float)
    layer = nn.Linear(weight.size(1), weight.size(0), bias=False)
    layer.weight.data = weight
    return layer


def rows_task(x: Any, y: list[int]) -> Task:
    """A graph without edges; two rows of the end are held out, all others train."""
    x = torch.tensor(x, dtype=torch.float)
    nodes = len(x)
    masks = {name: torch.zeros(nodes, dtype=torch.bool) for name in ("train_mask", "val_mask", "test_mask")}
    masks["train_mask"][:-2] = True
    masks["val_mask"][-2] = masks["test_mask"][-1] = True
    edges = torch.empty(2, 0, dtype=torch.long)
    return Task.from_data(Data(x=x, edge_index=edges, y=torch.tensor(y), **masks), features="none")


# what holds for all of them


@pytest.mark.parametrize("name", SCORES)
def test_network_and_generators_are_left_as_they_were(name: str) -> None:
    task = example_task()
    model = network(task).eval()
    before, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    SCORES[name]()(model, task)
    assert torch.equal(rng, torch.get_rng_state())
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.dropout == SMALL.dropout


@pytest.mark.parametrize("name", SCORES)
def test_the_seed_decides_and_only_the_role_weights_is_read(name: str) -> None:
    data = example_graph()
    other = data.clone()
    other.y = torch.where(other.train_mask, other.y, (other.y + 1) % 3)
    space = layered(max_depth=3)
    genotype = space.sample(random.Random(4))
    values = []
    for graph, used in ((data, 7), (data, 7), (other, 7)):
        torch.rand(1)
        values.append(score(name, space, genotype, Task.from_data(graph), used, SMALL))
    assert values[0] == values[1] == values[2]
    assert math.isfinite(values[0])


@pytest.mark.parametrize("score", [Parameters(), GradientNorm(), Synflow(), Fisher(), Overlap(30), NtkCondition(30)])
def test_numbering_of_nodes_does_not_matter(score: Any) -> None:
    data = example_graph()
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    masks = {name: data[name][order] for name in ("train_mask", "val_mask", "test_mask")}
    turned = Data(x=data.x[order], edge_index=place[data.edge_index], y=data.y[order], **masks)
    task = Task.from_data(data)
    model = network(task)
    assert score(model, Task.from_data(turned)) == pytest.approx(score(model, task), rel=1e-4)


def test_relus_are_found_however_they_are_called() -> None:
    x = torch.tensor([-1.0, 1.0])
    with Rectified() as rectified:
        _ = x.relu(), torch.relu(x), nn.functional.relu(x), nn.ReLU()(x), x.clone().relu_(), torch.tanh(x)
    assert [value.tolist() for value in rectified.found] == [[0, 1]] * 5


def test_names_and_tasks_that_can_not_be_scored() -> None:
    space, task = layered(max_depth=2), example_task()
    genotype = space.sample(random.Random(0))
    with pytest.raises(ValueError, match="got the score 'synflo'; expected one of"):
        score("synflo", space, genotype, task)
    with pytest.raises(ValueError, match=r"holds no data; expected a gnas\.Task"):
        score("synflow", space, genotype, TableTask("cora"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Overlap, NtkCondition])
def test_one_row_can_not_be_compared(kind: Any) -> None:
    with pytest.raises(ValueError, match="expected a whole number of at least 2"):
        kind(1)


@pytest.mark.parametrize("sigmas", [(), (0.0, 0.1), (0.2, 0.1), ("a",), (True,), (0.1, float("nan"))])
def test_noise_must_increase(sigmas: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="expected increasing numbers above 0"):
        Flatness(sigmas)


# one by one


def test_parameters_are_counted() -> None:
    model = Rows(nn.Linear(3, 4), nn.Linear(4, 2))
    model.layers[0].bias.requires_grad_(False)
    assert Parameters()(model, rows_task([[1, 0, 0]] * 5, [0, 1, 0, 1, 0])) == 3 * 4 + 4 * 2 + 2


def test_gradient_norm_of_logistic_regression() -> None:
    x, y = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1])
    weight = torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    task = rows_task([*x.tolist(), [0, 0], [0, 0]], [*y.tolist(), 0, 1])
    # dL/dW = mean of (softmax(W x) - onehot(y)) x^T
    error = (x @ weight.T).softmax(1) - nn.functional.one_hot(y, 2)
    expected = (error.T @ x / 3).norm()
    assert GradientNorm()(Rows(linear(weight.tolist())), task) == pytest.approx(float(expected), rel=1e-5)


def test_synflow_is_conserved_by_every_layer() -> None:
    first, second, third = [[1.0, -2.0], [3.0, 0.5]], [[-1.0, 1.0], [0.25, 2.0]], [[2.0, 1.0], [-1.0, 1.0]]
    task = rows_task([[5.0, -7.0]] * 4, [0, 1, 0, 1])
    product = torch.tensor(third).abs() @ torch.tensor(second).abs() @ torch.tensor(first).abs()
    flow = 4 * float(product.sum())
    found = Synflow()(Rows(linear(first), nn.ReLU(), linear(second), linear(third)), task)
    assert found == pytest.approx(math.log(3 * flow), rel=1e-6)
    # What one layer gains and the next one loses, and signs, make no difference.
    scaled = Rows(
        linear((torch.tensor(first) * -4).tolist()), linear((torch.tensor(second) / 4).tolist()), linear(third)
    )
    assert Synflow()(scaled, task) == pytest.approx(found, rel=1e-6)


def test_synflow_passes_normalisations_by() -> None:
    task = rows_task([[5.0, -7.0]] * 4, [0, 1, 0, 1])
    weight = [[1.0, 2.0], [3.0, 4.0]]
    assert Synflow()(Rows(linear(weight), nn.BatchNorm1d(2)), task) == Synflow()(Rows(linear(weight)), task)


@pytest.mark.parametrize(
    ("rows", "determinant"),
    # Codes of two bits; K has 2 where two are alike, 1 where they share a bit, and the identity adds one.
    [
        ([[1.0, -1.0], [2.0, -3.0], [1.0, -2.0]], 1 + 3 * 2),
        ([[1.0, -1.0], [-1.0, 1.0], [4.0, -1.0]], 3 * (3 * 3 - 2 * 2)),
        ([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]], 27 - 3 - 3),
    ],
)
def test_overlap_of_three_codes(rows: list[list[float]], determinant: float) -> None:
    task = rows_task(rows, [0, 1, 0])
    assert Overlap()(Rows(nn.ReLU(), linear([[1.0, 0], [0, 1]])), task) == pytest.approx(math.log(determinant))


def test_fisher_of_one_layer() -> None:
    x, y = torch.tensor([[1.0, -2.0], [0.5, 1.0]]), torch.tensor([0, 1])
    weight = torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    task = rows_task([*x.tolist(), [1.0, 1.0], [2.0, 2.0]], [*y.tolist(), 0, 1])
    activation = x.relu()
    # Of the mean loss over two rows; the other two rows have no gradient, and count in N = 4.
    slope = ((activation @ weight.T).softmax(1) - nn.functional.one_hot(y, 2)) @ weight / 2
    expected = float((activation * 4 * slope).square().sum()) / (2 * 4)
    # The first projection passes rows on as they are, so that there is a gradient behind the ReLU.
    model = Rows(linear([[1.0, 0], [0, 1]]), nn.ReLU(), linear(weight.tolist()))
    assert Fisher()(model, task) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", SCORES)
def test_a_network_without_a_relu_has_a_score(name: str) -> None:
    # Nothing but propagations, as in SGC.
    task = rows_task([[1.0, -2.0], [0.5, 1.0], [1.0, 1.0], [2.0, 2.0]], [0, 1, 0, 1])
    found = SCORES[name]()(Rows(linear([[1.0, 0], [0, 1]])), task)
    assert not math.isnan(found) and (found == 0 or name != "fisher")


@pytest.mark.parametrize("scale", [1.0, 3.0, 10.0])
def test_ntk_of_a_linear_network_is_the_gram_matrix(scale: float) -> None:
    # Orthogonal rows: the kernel is diagonal, and its condition number that of the squared lengths.
    task = rows_task([[1, 0, 0], [0, scale, 0], [0, 0, 1], [1, 1, 1], [1, 1, 1]], [0, 1, 0, 1, 0])
    assert NtkCondition()(Rows(nn.Linear(3, 2, bias=False)), task) == pytest.approx(-2 * math.log(scale), abs=1e-5)


def test_ntk_of_rows_that_are_alike_is_finite() -> None:
    task = rows_task([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]], [0, 1, 0, 1])
    assert -28 < NtkCondition()(Rows(nn.Linear(3, 2)), task) < -20


class Plain(Flatness):
    """Flatness of a task whose loss is the sum of the outputs."""

    def of(self, net: nn.Module, task: Any, batch: Any) -> float:
        return super().of(net, _Sum(), batch)  # type: ignore[arg-type]


class _Sum:
    def forward(self, net: nn.Module, batch: Any) -> Tensor:
        return net(batch.x)

    def loss(self, output: Tensor, batch: Any, role: str) -> Tensor:
        return output.double().sum()


def test_flatness_of_a_linear_loss_is_its_inverse_slope() -> None:
    labels = [0, 1, 0, 1]
    values = [
        Plain(sigmas=(0.1, 0.2), draws=200)(Rows(linear([[0.0]])), rows_task([[slope]] * 4, labels))
        for slope in (1.0, 2.0)
    ]
    # The loss is 4 s w; a step of 0.1 adds N(0, 0.1), so each of the two terms is 4 s |N(0, 1)|, 3.19 s in the mean.
    assert values[0] == pytest.approx(1 / (2 * 4 * math.sqrt(2 / math.pi)), rel=0.1)
    assert values[1] == pytest.approx(values[0] / 2, rel=1e-3)


def test_a_flat_loss_has_the_highest_score() -> None:
    model = Rows(linear([[0.0]]), nn.Hardtanh(5, 6))
    assert Plain()(model, rows_task([[1.0]] * 4, [0, 1, 0, 1])) == pytest.approx(1e5)


def edges_with_features(seed: int, categories: bool = False) -> Data:
    data = example_graph()
    generator = torch.Generator().manual_seed(seed)
    edges = data.edge_index.size(1)
    data.edge_attr = torch.randn(edges, 2, generator=generator)
    if categories:
        data.x = torch.randint(4, (data.num_nodes, 2), generator=generator)
        data.edge_attr = torch.randint(3, (edges, 1), generator=generator)
    return data


def graphs() -> list[Data]:
    found = []
    for seed in range(12):
        data = edges_with_features(seed)
        found.append(
            Data(x=data.x + seed % 2, edge_index=data.edge_index, edge_attr=data.edge_attr, y=torch.tensor([seed % 2]))
        )
    return found


def sparse() -> Task:
    data = example_graph()
    with quiet_sparse():
        data.x = data.x.abs().to_sparse_csr()
    return Task.from_data(data)


TASKS = {
    "edge features": lambda: Task.from_data(edges_with_features(0)),
    "codes": lambda: Task.from_data(edges_with_features(0, categories=True)),
    "links": lambda: Task.from_data(example_graph(), level="link"),
    "graphs": lambda: Task.from_data(graphs()),
    "parts": lambda: Task.from_data(example_graph(), loader="random", parts=3),
    "sparse": sparse,
}


@pytest.mark.parametrize("kind", TASKS)
def test_tasks_of_every_kind_are_scored(kind: str) -> None:
    task = TASKS[kind]()
    space = for_level(layered(max_depth=2, norms=("batch_norm", "pair_norm")), task.level)
    generator = random.Random(0)
    for genotype in (space.sample(generator) for _ in range(3)):
        for name in SCORES:
            first, second = (score(name, space, genotype, task, 3, SMALL) for _ in range(2))
            assert math.isfinite(first) and first == second, name
