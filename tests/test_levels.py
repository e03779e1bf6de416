"""Tasks of every level and kind: what is inferred, what a batch holds, and that batching changes no number."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.nn import global_add_pool
from torch_geometric.transforms import RandomLinkSplit
from torch_geometric.typing import WITH_METIS, WITH_PYG_LIB, WITH_TORCH_SPARSE

from gnas.graphs import GraphSet
from gnas.model import GraphModel
from gnas.space import layered
from gnas.split import ROLES
from gnas.task import Task

GRAPHS = 40


class Sums(nn.Module):
    """Each node's neighbours' and own features, then for graphs their sum, for pairs their ends' sum."""

    def __init__(self, channels: int = 3, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(channels, outputs).double()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        edge_label_index: Tensor | None = None,
        pool: bool = False,
    ) -> Tensor:
        x = x.to_dense().double() if x.layout != torch.strided else x.double()
        x = x.index_add(0, edge_index[1], x[edge_index[0]])
        if edge_label_index is not None:
            x = x[edge_label_index[0]] + x[edge_label_index[1]]
        return self.lin(x)


class Pooled(Sums):
    def forward(self, x: Tensor, edge_index: Tensor, *others: Any, **more: Any) -> Tensor:
        return global_add_pool(super().forward(x, edge_index), more.get("batch"))


def molecules(label: Callable[[int, torch.Generator], Tensor], count: int = GRAPHS, **more: Any) -> GraphSet:
    """Small graphs of 2 to 7 nodes, with labels of one's own."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for i in range(count):
        nodes = 2 + i % 6
        edges = torch.randint(nodes, (2, 2 * nodes), generator=generator)
        x = torch.randn(nodes, 3, generator=generator)
        attr = torch.randn(2 * nodes, 2, generator=generator)
        graphs.append(Data(x=x, edge_index=edges, edge_attr=attr, y=label(i, generator)))
    part = torch.arange(count)
    split = {"weights": part[part % 4 < 2], "architecture": part[part % 4 == 2], "test": part[part % 4 == 3]}
    return GraphSet(tuple(graphs), split, **more)


def classes(i: int, generator: torch.Generator) -> Tensor:
    return torch.tensor([i // 2 % 2])


def tasks(i: int, generator: torch.Generator) -> Tensor:
    y = torch.randint(2, (1, 3), generator=generator).float()
    y[0, i % 3] = math.nan
    return y


def number(i: int, generator: torch.Generator) -> Tensor:
    return torch.randn(1, generator=generator)


LABELS = {"classes": classes, "tasks": tasks, "number": number}


@pytest.mark.parametrize(
    ("labels", "kind", "metric", "outputs", "shape"),
    [
        ("classes", "classification", "accuracy", 2, [GRAPHS]),
        ("tasks", "multilabel", "roc_auc", 3, [GRAPHS, 3]),
        ("number", "regression", "mae", 1, [GRAPHS, 1]),
    ],
)
def test_graph_tasks_are_inferred_and_told(labels: str, kind: str, metric: str, outputs: int, shape: list[int]) -> None:
    task = Task.from_data(molecules(LABELS[labels]), name="mol")
    assert (task.level, task.kind, task.metric.name, task.out_channels) == ("graph", kind, metric, outputs)
    assert list(task.y.shape) == shape and task.num_graphs == GRAPHS
    assert [task.index(role).numel() for role in ROLES] == [20, 10, 10]
    assert task.inputs == {"edge_channels": 2, **({"scales": task.scales} if kind == "regression" else {})}
    assert (task.scales is None) == (kind != "regression")
    described = task.describe()
    assert json.loads(json.dumps(described)) == described
    assert (described["level"], described["metric"], described["graphs"]) == ("graph", metric, GRAPHS)
    assert described["higher_is_better"] == (metric != "mae")
    if kind != "classification":
        assert any(metric in note or "mean absolute error" in note for note in task.notes)


@given(size=st.integers(1, 25), labels=st.sampled_from(list(LABELS)))
def test_loss_and_metric_do_not_depend_on_the_batching(size: int, labels: str) -> None:
    data = molecules(LABELS[labels])
    whole, parted = Task.from_data(data), Task.from_data(data, batch_size=size)
    model = Pooled(outputs=whole.out_channels)
    assert whole.digest() == parted.digest()
    found, expected = parted.measure(model), whole.measure(model)
    for role in ("weights", "architecture"):
        assert found[role] == pytest.approx(expected[role])
        batches = list(parted.batches(role))
        assert len(batches) == -(-parted.index(role).numel() // size)
        assert sum(batch.index[role].numel() for batch in batches) == parted.index(role).numel()
    assert parted.test(model) == pytest.approx(whole.test(model))


def test_missing_labels_change_nothing() -> None:
    given_graphs = molecules(tasks)
    task = Task.from_data(given_graphs)
    (batch,) = task.batches("weights")
    output = task.forward(Pooled(outputs=3), batch)
    known = ~batch.y.isnan()
    expected = nn.functional.binary_cross_entropy_with_logits(output[known], batch.y[known].double())
    assert torch.allclose(task.loss(output, batch, "weights").double(), expected)
    output = output.detach().requires_grad_()
    task.loss(output, batch, "weights").backward()
    assert output.grad is not None and bool((output.grad[~known] == 0).all()) and bool((output.grad[known] != 0).all())
    assert any("labels are missing (NaN)" in note for note in task.notes)


@pytest.mark.parametrize(("metric", "loss"), [("mae", nn.functional.l1_loss), ("rmse", nn.functional.mse_loss)])
def test_the_loss_of_a_regression_goes_with_its_metric(metric: str, loss: Any) -> None:
    task = Task.from_data(molecules(number), metric=metric)
    (batch,) = task.batches("weights")
    output = task.forward(Pooled(outputs=1), batch)
    deviation = float(batch.y.std(correction=0))
    assert torch.allclose(task.loss(output, batch, "weights"), loss(output / deviation, batch.y / deviation))
    measured = task.measure(Pooled(outputs=1), ("weights",))["weights"]
    own = measured[0] if metric == "mae" else math.sqrt(measured[0])
    assert measured[1] == pytest.approx(own * deviation)
    assert not task.higher_is_better


def test_an_epoch_sees_each_graph_of_the_weights_once_and_no_test_graph() -> None:
    task = Task.from_data(molecules(number), batch_size=6)
    named = {float(value): i for i, value in enumerate(task.y)}
    orders = []
    for seed in (0, 0, 1):
        steps = list(task.steps(torch.Generator().manual_seed(seed)))
        assert len(steps) == 4
        seen = [[named[float(v)] for v in step["weights"].y] for step in steps]
        assert sorted(i for part in seen for i in part) == task.index("weights").tolist()
        others = {named[float(v)] for step in steps for v in step["architecture"].y}
        assert others <= set(task.index("architecture").tolist())
        orders.append(seen)
    assert orders[0] == orders[1] != orders[2]
    small = Task.from_data(molecules(number))
    (first,), (second,) = list(small.steps(torch.Generator())), list(small.steps(torch.Generator()))
    assert first["weights"] is second["weights"], "a small set is one batch, made once"


def ppi(masks: bool = False) -> GraphSet:
    """Graphs with labels of their nodes; the split is by graph, or by node in each graph."""
    generator = torch.Generator().manual_seed(1)
    graphs = []
    for i in range(6):
        nodes = 8 + i
        data = Data(
            x=torch.randn(nodes, 3, generator=generator),
            edge_index=torch.randint(nodes, (2, 20), generator=generator),
            y=torch.randint(2, (nodes, 4), generator=generator).float(),
        )
        if masks:
            part = torch.arange(nodes) % 4
            data.train_mask, data.val_mask, data.test_mask = part < 2, part == 2, part == 3
        graphs.append(data)
    split = {"weights": torch.tensor([0, 1, 3]), "architecture": torch.tensor([2]), "test": torch.tensor([4, 5])}
    return GraphSet(tuple(graphs), None if masks else split)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_several_graphs_with_labels_of_their_nodes(masks: bool, size: int) -> None:
    data = ppi(masks)
    task = Task.from_data(data, batch_size=size)
    assert (task.level, task.kind, task.metric.name, task.out_channels) == ("node", "multilabel", "micro_f1", 4)
    model = Sums(outputs=4)
    outputs = torch.cat([model(graph.x, graph.edge_index) for graph in data.graphs])
    y = torch.cat([graph.y for graph in data.graphs])
    for role, (loss, metric) in task.measure(model).items():
        index = task.index(role)
        expected = nn.functional.binary_cross_entropy_with_logits(outputs[index], y[index].double())
        assert loss == pytest.approx(float(expected.detach()))
        assert metric == pytest.approx(task.metric(outputs[index], y[index]))
    seen = torch.cat([step["weights"].y[step["weights"].index["weights"]] for step in task.steps(torch.Generator())])
    assert seen.shape == (task.index("weights").numel(), 4)


def node_graph(**changes: Any) -> Data:
    generator = torch.Generator().manual_seed(0)
    part = torch.arange(60) % 5
    data = Data(
        x=torch.randn(60, 3, generator=generator),
        edge_index=torch.randint(60, (2, 240), generator=generator),
        y=torch.arange(60) % 2,
        train_mask=part < 2,
        val_mask=part == 2,
        test_mask=part > 2,
    )
    for key, value in changes.items():
        data[key] = value
    return data


def test_a_whole_graph_is_one_batch_for_both_roles_and_draws_nothing() -> None:
    task, generator = Task.from_data(node_graph()), torch.Generator().manual_seed(0)
    before = generator.get_state()
    (step,) = task.steps(generator)
    assert step["weights"] is step["architecture"] is next(task.batches("weights"))
    assert torch.equal(generator.get_state(), before)
    runs = []

    class Counted(Sums):
        def forward(self, *inputs: Any, **more: Any) -> Tensor:
            runs.append(1)
            return super().forward(*inputs, **more)

    task.measure(Counted())
    assert len(runs) == 1


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_parts_of_a_graph_are_its_induced_subgraphs(parts: int) -> None:
    data = node_graph(edge_attr=torch.arange(240), edge_weight=torch.arange(240) + 1.0)
    data.x[:, 0] = torch.arange(60)
    task = Task.from_data(data, loader="random", parts=parts)
    steps = list(task.steps(torch.Generator().manual_seed(0)))
    seen: list[int] = []
    for step in steps:
        batch = step["weights"]
        nodes = batch.x[:, 0].long()
        index = batch.index["weights"]
        seen += nodes[index].tolist()
        assert torch.equal(batch.y, data.y[nodes]) and bool(data.train_mask[nodes[index]].all())
        edges = nodes[batch.edge_index]
        among = torch.isin(data.edge_index, nodes).all(dim=0)
        assert batch.edge_attr is not None and batch.edge_weight is not None
        kept = batch.edge_attr.view(-1).long()
        assert sorted(kept.tolist()) == among.nonzero().view(-1).tolist()
        assert torch.equal(edges, data.edge_index[:, kept]) and torch.equal(batch.edge_weight, kept + 1.0)
        other = step["architecture"]
        assert bool(data.val_mask[other.x[:, 0].long()[other.index["architecture"]]].all())
    assert sorted(seen) == data.train_mask.nonzero().view(-1).tolist()
    again = [step["weights"].x for step in task.steps(torch.Generator().manual_seed(0))]
    assert all(torch.equal(step["weights"].x, x) for step, x in zip(steps, again, strict=True))


@pytest.mark.parametrize("parts", [1, 3])
def test_edges_keep_what_is_theirs_where_they_are_as_many_as_nodes(parts: int) -> None:
    ring = torch.stack([torch.arange(60), (torch.arange(60) + 1) % 60])
    data = node_graph(edge_index=ring, edge_weight=torch.arange(60) + 1.0)
    data.x[:, 0] = torch.arange(60)
    for step in Task.from_data(data, loader="random", parts=parts).steps(torch.Generator().manual_seed(0)):
        batch = step["weights"]
        assert torch.equal(batch.x[batch.edge_index[0], 0] + 1, batch.edge_weight)


def test_one_part_is_the_whole_graph_and_measuring_is_whole_unless_asked() -> None:
    data = node_graph()
    whole = Task.from_data(data).measure(Sums())
    assert Task.from_data(data, loader="random", parts=4).measure(Sums()) == whole
    one = Task.from_data(data, loader="random", parts=1, measure="parts")
    assert one.measure(Sums())["weights"] == pytest.approx(whole["weights"])
    parted = Task.from_data(data, loader="random", parts=4, measure="parts")
    drawn = torch.get_rng_state()
    found = parted.measure(Sums())
    assert found == parted.measure(Sums()) != whole and torch.equal(torch.get_rng_state(), drawn)
    (step,) = one.steps(torch.Generator())
    model, (batch,) = Sums(), Task.from_data(data).batches("weights")
    loss = one.loss(one.forward(model, step["weights"]), step["weights"], "weights")
    assert torch.allclose(loss, one.loss(one.forward(model, batch), batch, "weights"))


def test_sparse_features_stay_sparse_in_parts() -> None:
    x = (torch.rand(60, 100, generator=torch.Generator().manual_seed(0)) < 0.03).float()
    task = Task.from_data(node_graph(x=x), loader="random", parts=3)
    for step in task.steps(torch.Generator()):
        assert step["weights"].x.layout == torch.sparse_csr
        assert task.forward(Sums(100), step["weights"]).size(1) == 2


@pytest.mark.skipif(WITH_METIS or WITH_PYG_LIB or WITH_TORCH_SPARSE, reason="what these loaders need is installed")
@pytest.mark.parametrize("loader", ["cluster", "neighbor"])
def test_loaders_that_need_more_say_so(loader: str) -> None:
    with pytest.raises(ValueError, match=r"needs pyg-lib or torch-sparse, .* try loader='random'"):
        Task.from_data(node_graph(), loader=loader)


def test_clusters_are_read_as_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.loader import ClusterData

    def metis(self: Any, edge_index: Tensor, num_nodes: int) -> Tensor:
        return torch.arange(num_nodes) % self.num_parts

    monkeypatch.setattr("torch_geometric.typing.WITH_METIS", True)
    monkeypatch.setattr(ClusterData, "_metis", metis)
    data = node_graph()
    data.x[:, 0] = torch.arange(60)
    task = Task.from_data(data, loader="cluster", parts=6, batch_size=2)
    steps = list(task.steps(torch.Generator().manual_seed(0)))
    assert len(steps) == 3
    seen = torch.cat([step["weights"].x[:, 0].long()[step["weights"].index["weights"]] for step in steps])
    assert sorted(seen.tolist()) == data.train_mask.nonzero().view(-1).tolist()
    for step in steps:
        nodes = step["weights"].x[:, 0].long()
        assert len({int(node) % 6 for node in nodes}) == 2
        among = torch.isin(data.edge_index, nodes).all(dim=0)
        assert step["weights"].edge_index.size(1) == int(among.sum())


def test_labels_of_edges() -> None:
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(50, (2, 80), generator=generator)
    edge_index = torch.cat([half, half.flip(0)], dim=1)
    y = (half.sum(dim=0) % 3).repeat(2)
    data = Data(x=torch.randn(50, 3, generator=generator), edge_index=edge_index, y=y)
    task = Task.from_data(data)
    assert (task.level, task.kind, task.out_channels) == ("edge", "classification", 3)
    assert any("one row for each edge" in note for note in task.notes)
    roles = torch.full((160,), -1)
    for number_, role in enumerate(ROLES):
        roles[task.index(role)] = number_
    assert bool((roles[:80] == roles[80:]).all()), "an edge and its reverse have the same role"
    (batch,) = task.batches("weights")
    output = task.forward(Sums(outputs=3), batch)
    assert output.shape == (160, 3) and torch.isfinite(task.loss(output, batch, "weights"))
    numbers = Data(x=data.x, edge_index=edge_index, y=torch.randn(160, generator=generator))
    assert Task.from_data(numbers, metric="rmse").kind == "regression"


@pytest.mark.parametrize("masks", ["train and test", "train", "one direction"])
def test_what_is_drawn_beside_masks_keeps_an_edge_with_its_reverse(masks: str) -> None:
    half = torch.combinations(torch.arange(20)).t()[:, ::2]
    edge_index, pair = torch.cat([half, half.flip(0)], dim=1), torch.arange(half.size(1)).repeat(2)
    train = (pair % 5 < 3) & ((torch.arange(pair.numel()) < half.size(1)) | (masks != "one direction"))
    data = Data(x=torch.randn(20, 3), edge_index=edge_index, y=pair % 3, train_mask=train)
    if masks == "train and test":
        data.test_mask = ~train
    task = Task.from_data(data, level="edge")
    pairs = {role: set(pair[index].tolist()) for role, index in task.roles.items()}
    assert not pairs["weights"] & pairs["architecture"] and not pairs["architecture"] & pairs["test"]
    assert not pairs["weights"] & pairs["test"] and all(pairs.values())


def test_numbers_and_several_labels_of_nodes() -> None:
    numbers = Task.from_data(node_graph(y=torch.randn(60)))
    assert (numbers.kind, numbers.metric.name, numbers.y.shape) == ("regression", "mae", (60, 1))
    labels = Task.from_data(node_graph(y=torch.randint(2, (60, 4)).bool()))
    assert (labels.kind, labels.metric.name, labels.out_channels) == ("multilabel", "micro_f1", 4)
    one_hot = node_graph(y=torch.eye(3)[torch.arange(60) % 3])
    for word in ({"kind": "multilabel"}, {"metric": "roc_auc"}):
        assert Task.from_data(one_hot, **word).kind == "multilabel"
    one_hot.y[0, 0] = math.nan
    assert Task.from_data(one_hot).kind == "multilabel"
    named = Task.from_data(node_graph(metric="roc_auc"))
    assert (named.kind, named.metric.name, named.out_channels) == ("classification", "roc_auc", 2)
    ill = Task.from_data(node_graph(y=torch.arange(60) % 3, metric="roc_auc"))
    assert ill.metric.name == "accuracy"
    assert (
        "the data name the metric roc_auc, which is not defined for their classification, so accuracy is measured"
        in (ill.notes)
    )
    whole = Task.from_data(node_graph(y=torch.arange(60).float()), metric="mae")
    assert whole.kind == "regression"
    whole = Task.from_data(node_graph(y=7 * torch.arange(60) - 9), metric="mae", kind="regression")
    assert whole.y.view(-1)[:3].tolist() == [-9, -2, 5]
    assert Task.from_data(node_graph(y=torch.arange(60).float()), kind="regression").metric.name == "mae"


def test_a_metric_of_ones_own() -> None:
    def worst(output: Tensor, y: Tensor) -> float:
        return float((output - y).abs().max())

    task = Task.from_data(node_graph(y=torch.randn(60)), metric=worst, higher_is_better=False)
    assert not task.higher_is_better and task.describe()["metric_key"] is None
    model = Sums(outputs=1)
    (batch,) = task.batches("weights")
    index = task.index("weights")
    expected = float((task.forward(model, batch)[index] - task.y[index]).abs().max())
    assert task.measure(model)["weights"][1] == pytest.approx(expected)


def test_codes_of_categories_stay_codes() -> None:
    data = molecules(number)
    for i, graph in enumerate(data.graphs):
        graph.x = torch.stack([torch.arange(graph.num_nodes) % 5, torch.full((graph.num_nodes,), i % 3)], dim=1)
        graph.edge_attr = torch.arange(graph.num_edges) % 4
    task = Task.from_data(data)
    assert task.x.dtype == torch.long and task.edge_attr is not None and task.edge_attr.dtype == torch.long
    codes = {"edge_channels": 1, "categories": (5, 3), "edge_categories": (4,)}
    assert task.inputs == {**codes, "scales": task.scales}
    stated = GraphSet(data.graphs, data.split, categories=(10, 3), edge_categories=(7,))
    assert Task.from_data(stated).categories == (10, 3)
    floats = Task.from_data(data, features="none")
    assert floats.x.dtype == torch.float32 and floats.categories is None
    with pytest.raises(ValueError, match=r"less than \[4, 3\]"):
        Task.from_data(GraphSet(data.graphs, data.split, categories=(4, 3)))


def broken(change: Callable[[Data], None], which: int = 3) -> GraphSet:
    data = molecules(classes)
    change(data.graphs[which])
    return data


def split_edges(**settings: Any) -> tuple[Data, ...]:
    return RandomLinkSplit(num_val=0.2, num_test=0.2, **settings)(node_graph())  # type: ignore[no-any-return]


def one_graph(transform: Callable[[Data], Any]) -> InMemoryDataset:
    """A data set of a single graph."""
    dataset = InMemoryDataset(transform=transform)
    dataset.data, dataset.slices = InMemoryDataset.collate([node_graph()])
    return dataset


def pairs(**changes: Any) -> Data:
    """A graph with labels of 40 pairs."""
    ends = torch.randint(60, (2, 40), generator=torch.Generator().manual_seed(1))
    graph = node_graph(**{"edge_label_index": ends, "edge_label": torch.arange(40) % 3, **changes})
    for key in ("y", "train_mask", "val_mask", "test_mask", *(key for key in changes if changes[key] is None)):
        del graph[key]
    return graph


def unknown(role: str, labels: int = 1) -> Data:
    """A graph without a label in one role."""
    graph = node_graph()
    y = torch.rand(60, 1) if labels == 1 else (torch.arange(60 * labels).view(60, labels) % 2).float()
    y[graph[role]] = math.nan
    graph.y = y
    return graph


def far_apart(**changes: Any) -> list[Data]:
    """Graphs of the classes 0 and 9."""
    edge = torch.tensor([[0], [1]])
    return [Data(x=torch.rand(2, 3), edge_index=edge, y=torch.tensor([i % 2 * 9]), **changes) for i in range(20)]


def no_edges(graph: Data) -> None:
    del graph.edge_attr


def masked_graphs() -> list[Data]:
    graphs = list(molecules(classes).graphs)
    for i, graph in enumerate(graphs):
        graph.train_mask = torch.full((graph.num_nodes or 0,), i % 3 == 0)
    return graphs


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "direction of a named metric": (
        lambda: Task.from_data(node_graph(), metric="accuracy", higher_is_better=False),
        "higher_is_better=False and the metric 'accuracy'; expected it only with a function",
    ),
    "direction of no metric": (
        lambda: Task.from_data(node_graph(), higher_is_better=True),
        "higher_is_better=True and no metric; expected it only with a function",
    ),
    "kind of links": (
        lambda: Task.from_data(node_graph(), level="link", kind="regression"),
        "kind='regression' and level='link'; expected no kind",
    ),
    "numbers that are said to be classes": (
        lambda: Task.from_data(node_graph(num_classes=3), kind="regression"),
        "kind='regression', but the data say that y holds 3 classes",
    ),
    "masks of nodes, labels of graphs": (
        lambda: Task.from_data(masked_graphs()),
        r"masks of their nodes and labels of whole graphs; expected one .*GraphSet\(graphs, split=",
    ),
    "masks of nodes, split of graphs": (
        lambda: Task.from_data(GraphSet(ppi(masks=True).graphs, {"weights": torch.arange(1), "test": torch.arange(1)})),
        "masks of their nodes and a split of whole graphs; expected one",
    ),
    "features of two types": (
        lambda: Task.from_data(broken(lambda g: setattr(g, "x", g.x.double()))),  # type: ignore[union-attr]
        "graph 3 has x of dtype float64, and graph 0 has it of dtype float32; expected the same",
    ),
    "parts and their size": (
        lambda: Task.from_data(node_graph(), loader="random", parts=3, batch_size=20),
        "parts=3 and batch_size=20 for loader='random'; expected one of them",
    ),
    "more parts than nodes": (
        lambda: Task.from_data(node_graph(), loader="random", parts=61),
        "parts=61 of a graph of 60 nodes; expected at most 60",
    ),
    "one graph": (lambda: Task.from_data(node_graph(), level="graph"), "one graph and level='graph'; expected several"),
    "level": (lambda: Task.from_data(node_graph(), level="nodes"), "level='nodes'; expected one of"),
    "kind": (lambda: Task.from_data(node_graph(), kind="classes"), "kind='classes'; expected one of"),
    "metric": (
        lambda: Task.from_data(node_graph(), metric="mae"),
        r"metric 'mae' for classification; expected one .*, or kind='regression' \(--kind .* or y.float\(\)",
    ),
    "metric for whole numbers": (
        lambda: Task.from_data(node_graph(y=7 * torch.arange(60) - 9), metric="rmse"),
        r"metric 'rmse' for classification; expected one .*, or kind='regression' \(--kind .* or y.float\(\)",
    ),
    "metric for what is said to be classes": (
        lambda: Task.from_data(node_graph(), metric="mae", kind="classification"),
        r"metric 'mae' for classification; expected one that is defined for it: \[[^]]*\]$",
    ),
    "one-hot": (
        lambda: Task.from_data(node_graph(y=torch.eye(3)[torch.arange(60) % 3])),
        r"^y has a single 1 in each row, .* y.argmax\(dim=1\) for .* metric='roc_auc' or kind='multilabel'$",
    ),
    "one-hot in bool": (
        lambda: Task.from_data(node_graph(y=torch.eye(3)[torch.arange(60) % 3].bool()), metric="micro_f1"),
        "one-hot class of each node, or yes or no to 3 labels",
    ),
    "labels of graphs far apart": (
        lambda: Task.from_data(far_apart()),
        "^y holds the label 9 but only 2 .* try to number the labels of all graphs anew, or num_classes = 10 in each",
    ),
    "num_classes of some": (
        lambda: Task.from_data(broken(lambda g: setattr(g, "num_classes", 10))),
        r"the graphs have num_classes \[None, 10\]; expected the same number in all",
    ),
    "three classes": (
        lambda: Task.from_data(node_graph(y=torch.arange(60) % 3), metric="roc_auc"),
        "'roc_auc' with 3 classes; expected two",
    ),
    "empty": (lambda: Task.from_data([]), "a set of 0 graphs"),
    "a list of one": (lambda: Task.from_data(far_apart(num_classes=10)[:1]), "or that graph by itself instead of a"),
    "lacks": (lambda: Task.from_data(broken(no_edges)), "graph 3 has no edge_attr, and graph 0 has"),
    "beyond": (
        lambda: Task.from_data(broken(lambda g: g.edge_index.fill_(99))),
        "edge_index of graph 3 holds the edge 99 to 99; expected nodes from 0 to 4",
    ),
    "features": (
        lambda: Task.from_data(broken(lambda g: setattr(g, "x", g.x[:, :2]))),
        r"graph 3 has x of shape \[5, 2\]; expected \[nodes, 3\]",
    ),
    "flat features": (
        lambda: Task.from_data([Data(x=torch.arange(5), edge_index=torch.ones(2, 1).long(), y=torch.ones(1).long())]),
        r"graph 0 has x of shape \[5\]; expected \[nodes, features\], try graph.x = graph.x.view\(-1, 1\)",
    ),
    "split edges": (lambda: Task.from_data(split_edges()), "graph 0 has edge_label_index, .*level='link'"),
    "split edges by label": (
        lambda: Task.from_data(split_edges(split_labels=True)),
        "graph 0 has pos_edge_label_index, .*level='link'",
    ),
    "split edges of a data set": (
        lambda: Task.from_data(one_graph(RandomLinkSplit())),
        "graph 0 has edge_label_index, .*level='link'",
    ),
    "pairs beyond": (
        lambda: Task.from_data(pairs(edge_label_index=torch.full((2, 40), 99))),
        "^edge_label_index names node 99 in a graph of 60 nodes",
    ),
    "pairs lying": (
        lambda: Task.from_data(pairs(edge_label_index=torch.ones(40, 2).long())),
        r"^edge_label_index has shape \[40, 2\]; expected \[2, pairs\], try edge_label_index.t\(\)",
    ),
    "pairs without labels": (
        lambda: Task.from_data(pairs(edge_label=None), level="edge"),
        "the graph has no edge_label; expected the class of each edge",
    ),
    "labels of pairs": (
        lambda: Task.from_data(pairs(edge_label=torch.arange(39) % 3)),
        r"^edge_label has shape \[39\]; expected one class for each edge, \[40\]",
    ),
    "yes and no of pairs": (
        lambda: Task.from_data(pairs(edge_label=torch.arange(39) % 2)),
        r"^edge_label has shape \[39\] and values from 0 to 1; expected 1 for a true pair .* \[40\]",
    ),
    "no edges": (
        lambda: Task.from_data(
            Data(x=torch.ones(9, 1), edge_index=torch.empty(2, 0).long(), y=torch.empty(0).long()), level="edge"
        ),
        "there are 0 edges to label; expected at least 3",
    ),
    "numbers far from zero": (
        lambda: Task.from_data(node_graph(y=1.7e9 + torch.rand(60, dtype=torch.float64))),
        r"column 0 of y holds numbers from 1700000000 to 1700000001, which float32 rounds .* try y - y.mean\(\)",
    ),
    "times as codes": (
        lambda: Task.from_data(
            GraphSet(
                tuple(
                    Data(
                        x=torch.tensor([[2_000_000_000 - i]]),
                        edge_index=torch.zeros(2, 1).long(),
                        y=torch.tensor(i % 2),
                    )
                    for i in range(9)
                ),
                None,
            )
        ),
        r"x holds whole numbers up to 2000000000 in 9 rows, .* try x.float\(\) if they are numbers",
    ),
    "labels of pairs far apart": (
        lambda: Task.from_data(pairs(edge_label=99 * (torch.arange(40) % 2))),
        r"^edge_label holds the label 99 .* try data.edge_label = data.edge_label.unique",
    ),
    "weights unknown": (
        lambda: Task.from_data(unknown("train_mask")),
        "all labels of the weights split are missing",
    ),
    "architecture unknown": (
        lambda: Task.from_data(unknown("val_mask")),
        "all labels of the architecture split are missing",
    ),
    "several labels unknown": (
        lambda: Task.from_data(unknown("val_mask", 3), metric="micro_f1"),
        "all labels of the architecture split are missing",
    ),
    "test unknown": (lambda: Task.from_data(unknown("test_mask")), "all labels of the test split are missing"),
    "labels": (
        lambda: Task.from_data(broken(lambda g: setattr(g, "y", torch.zeros(4).long()))),
        r"the labels of the graphs have the shapes \[1\] for 2 nodes",
    ),
    "node labels": (lambda: Task.from_data(molecules(classes), level="node"), "expected level='graph'"),
    "links of sets": (lambda: Task.from_data(molecules(classes), level="link"), "set of graphs and level='link'"),
    "loader of sets": (lambda: Task.from_data(molecules(classes), loader="random"), "for a set of graphs; expected"),
    "loader of links": (lambda: Task.from_data(node_graph(), level="link", loader="random"), "one graph at link level"),
    "no use": (lambda: Task.from_data(node_graph(), batch_size=3), "has no use for it; expected None"),
    "parts to measure": (lambda: Task.from_data(node_graph(), measure="parts"), "expected 'random' or 'cluster'"),
    "loader": (lambda: Task.from_data(node_graph(), loader="all"), "loader='all'; expected one of"),
    "parts": (lambda: Task.from_data(node_graph(), loader="random", parts=0), "parts=0; expected a whole number"),
    "one value": (
        lambda: Task.from_data(node_graph(y=torch.where(node_graph().val_mask, 0, node_graph().y), metric="roc_auc")),
        "the architecture split has no label with both values",
    ),
    "few false pairs": (
        lambda: Task.from_data(node_graph(), level="link", metric="hits@20"),
        r"got \d+ false pairs in the architecture split for the metric 'hits@20'; expected at least 20",
    ),
    "no label": (
        lambda: Task.from_data(node_graph(y=torch.cat([torch.rand(60, 1), torch.full((60, 1), math.nan)], dim=1))),
        "column 1 of y holds no label at all",
    ),
    "split beyond": (
        lambda: Task.from_data(
            GraphSet(molecules(classes).graphs, {"weights": torch.arange(9), "test": torch.tensor([40])})
        ),
        "the role 'test' of the split holds positions from 40 to 40; expected different ones from 0 to 39",
    ),
    "split shared": (
        lambda: Task.from_data(
            GraphSet(molecules(classes).graphs, {"weights": torch.arange(9), "test": torch.arange(8, 9)})
        ),
        "share 1 graphs; expected none",
    ),
    "split roles": (
        lambda: Task.from_data(GraphSet(molecules(classes).graphs, {"train": torch.arange(9)})),
        r"has the roles \['train'\]; expected",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_does_not_fit_is_refused_in_one_sentence(bad: str) -> None:
    make, message = BAD[bad]
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_classes_that_each_graph_states_count() -> None:
    assert Task.from_data(far_apart(num_classes=10)).out_channels == 10
    with pytest.raises(ValueError, match="y holds the label 9 but num_classes is 5; expected 0 to 4"):
        Task.from_data(far_apart(num_classes=5))


def test_sets_without_a_split_get_a_seeded_one() -> None:
    graphs = molecules(classes).graphs
    task = Task.from_data(list(graphs), seed=2)
    assert [task.index(role).numel() for role in ROLES] == [32, 4, 4]
    assert any("the set had no split" in note for note in task.notes)
    assert task.digest() == Task.from_data(list(graphs), seed=2).digest() != Task.from_data(list(graphs)).digest()
    carved = GraphSet(graphs, {"weights": torch.arange(20), "test": torch.arange(20, 40)})
    assert [Task.from_data(carved).index(role).numel() for role in ROLES] == [15, 5, 20]


def test_to_moves_everything_of_a_set() -> None:
    task = Task.from_data(molecules(number)).to("meta")
    tensors = [task.x, task.edge_index, task.edge_attr, task.y, task.pointers, *task.roles.values()]
    assert all(tensor is not None and tensor.device.type == "meta" for tensor in tensors)


def test_a_batch_of_one_node_is_not_normalised() -> None:
    space = layered(1, norms=("batch_norm",))
    bound = space.bind(space.sample(random.Random(0)))
    task = Task.from_data(node_graph(), loader="random", batch_size=1)
    model = GraphModel(bound, task.in_channels, 8, task.out_channels)
    batch = next(task.steps(torch.Generator()))["weights"]
    with pytest.raises(ValueError, match="a batch of one node has no statistics .* try a larger batch_size"):
        task.forward(model.train(), batch)
    assert task.forward(model.eval(), batch).shape == (1, task.out_channels)
