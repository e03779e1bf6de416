"""A task: what it takes, what it refuses, and what it promises to whoever holds one."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric import EdgeIndex, data
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.utils import coalesce, to_edge_index

from gnas.batch import Batch
from gnas.data import load
from gnas.split import ROLES, TOO_SMALL
from gnas.task import Task

NODES, CLASSES = 30, 3


def graph(nodes: int = NODES, **changes: Any) -> Data:
    """A random graph of 30 nodes in 3 classes with masks of 9, 9 and 12 nodes, and whatever is to be different."""
    generator = torch.Generator().manual_seed(0)
    part = torch.arange(nodes) % 10
    data = Data(
        x=torch.randn(nodes, 5, generator=generator),
        edge_index=torch.randint(0, nodes, (2, 4 * nodes), generator=generator),
        y=torch.arange(nodes) % CLASSES,
        train_mask=part < 3,
        val_mask=(part >= 3) & (part < 6),
        test_mask=part >= 6,
    )
    for key, value in changes.items():
        data[key] = value
    return data


def words(nodes: int = NODES, columns: int = 100) -> Tensor:
    """Bags of words: 4 % ones, and a row without any."""
    x = (torch.rand(nodes, columns, generator=torch.Generator().manual_seed(1)) < 0.04).float()
    x[0] = 0
    return x


def at(tensor: Tensor, place: Any, value: float) -> Tensor:
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


class Gives(nn.Module):
    """A network whose output is settled."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, *inputs: Any, **more: Any) -> Tensor:
        return self.output


def whole(task: Task) -> Batch:
    """The one batch of a task on a whole graph."""
    (batch,) = task.batches("weights")
    return batch


def mask(*chosen: int) -> Tensor:
    return at(torch.zeros(NODES, dtype=torch.bool), list(chosen), True)


# -- what a task is


def test_roles_are_the_masks() -> None:
    data = graph()
    task = Task.from_data(data, name="mine")
    assert (task.name, task.num_nodes, task.in_channels, task.out_channels) == ("mine", 30, 5, 3)
    assert (task.metric.name, task.higher_is_better) == ("accuracy", True)
    assert (task.level, task.kind) == ("node", "classification")
    for role, key in zip(ROLES, ("train_mask", "val_mask", "test_mask")):
        assert torch.equal(task.index(role), data[key].nonzero().view(-1))
    assert task.x.dtype == torch.float32 and task.y.dtype == torch.long
    assert task.edge_weight is None and task.edge_attr is None


@pytest.mark.parametrize("labels", ["classes", "numbers", "several"])
def test_another_draw_of_the_roles_keeps_their_sizes_their_classes_and_the_test_role(labels: str) -> None:
    y = {
        "classes": (torch.arange(NODES) ** 2) % CLASSES,
        "numbers": torch.arange(NODES).float() / 7,
        "several": (torch.arange(2 * NODES).view(NODES, 2) % 3 == 0).float(),
    }[labels]
    task = Task.from_data(graph(y=y))
    before = {role: index.clone() for role, index in task.roles.items()}
    first, again, second = task.redrawn(1), task.redrawn(1), task.redrawn(2)
    for role in ROLES:
        assert torch.equal(task.roles[role], before[role]) and torch.equal(first.roles[role], again.roles[role])
    for drawn in (first, second):
        assert torch.equal(drawn.index("test"), before["test"])
        both = torch.cat([drawn.index("weights"), drawn.index("architecture")])
        assert torch.equal(both.sort().values, torch.cat([before["weights"], before["architecture"]]).sort().values)
        for role in ROLES:
            index = drawn.index(role)
            assert torch.equal(index, index.sort().values) and len(index) == len(before[role])
            if labels == "classes":
                assert torch.equal(y[index].bincount(minlength=CLASSES), y[before[role]].bincount(minlength=CLASSES))
    assert len({tuple(each.index("weights").tolist()) for each in (task, first, second)}) == 3
    # What is derived from the roles is derived anew.
    (batch,) = first.batches("architecture")
    assert torch.equal(batch.index["architecture"], first.index("architecture"))


@pytest.mark.parametrize("seed", range(30))
def test_another_draw_leaves_each_role_what_its_metric_needs(seed: int) -> None:
    y = (torch.arange(NODES) % 12 == 0).float().view(-1, 1)
    data = graph(y=y)
    data.train_mask, data.val_mask = torch.arange(NODES) % 4 < 2, torch.arange(NODES) % 4 == 2
    data.val_mask[0], data.train_mask[0], data.test_mask = True, False, torch.arange(NODES) % 4 == 3
    data.y[3] = 1.0
    task = Task.from_data(data, metric="roc_auc").redrawn(seed)
    assert all(set(y[task.index(role)].view(-1).tolist()) == {0.0, 1.0} for role in ("weights", "architecture"))


def test_forward_hands_over_what_the_graph_has() -> None:
    data = graph(edge_weight=torch.rand(120).double(), edge_attr=torch.arange(120))
    task = Task.from_data(data)
    seen: list[Any] = []

    def model(*inputs: Any) -> Tensor:
        seen.extend(inputs)
        return torch.zeros(NODES, CLASSES)

    task.forward(model, whole(task))
    assert [tuple(value.shape) for value in seen] == [(30, 5), (2, 120), (120,), (120, 1)]
    assert [value.dtype for value in seen] == [torch.float32, torch.long, torch.float32, torch.float32]


def test_loss_and_metric_are_those_of_the_role() -> None:
    task = Task.from_data(graph())
    output = torch.randn(NODES, CLASSES, requires_grad=True)
    batch, measured = whole(task), task.measure(Gives(output))
    for role in ("weights", "architecture"):
        index = task.index(role)
        expected = -output.log_softmax(1)[index, task.y[index]].mean()
        assert torch.allclose(task.loss(output, batch, role), expected)
        loss, metric = measured[role]
        assert loss == task.loss(output, batch, role).item()
        assert metric == pytest.approx((output[index].argmax(1) == task.y[index]).float().mean().item())
    task.loss(output, batch, "weights").backward()
    assert output.grad is not None
    assert set(output.grad.abs().sum(1).nonzero().view(-1).tolist()) == set(task.index("weights").tolist())
    perfect = torch.nn.functional.one_hot(task.y).float()
    metric = task.measure(Gives(perfect))["architecture"][1]
    assert metric == 1.0 and isinstance(metric, float)


def test_the_test_role_has_one_door_and_counts() -> None:
    task = Task.from_data(graph())
    output = torch.nn.functional.one_hot(task.y).float()
    model = Gives(output)
    doors: tuple[Callable[[], Any], ...] = (
        lambda: task.loss(output, whole(task), "test"),
        lambda: task.batches("test"),
        lambda: task.steps(torch.default_generator, ("weights", "test")),
        lambda: task.measure(model, ("architecture", "test")),
    )
    for door in doors:
        with pytest.raises(ValueError, match=r"'test' is closed .* test\(model\)"):
            door()
    assert task.test_reads == 0
    assert task.test(model) == 1.0 and task.test_reads == 1
    output[task.index("test")] = 1 - output[task.index("test")]
    assert task.test(model) == 0.0 and task.test_reads == 2


def test_unknown_roles_and_outputs_of_a_wrong_shape_are_refused() -> None:
    task = Task.from_data(graph())
    with pytest.raises(ValueError, match="got the role 'train'; expected one of"):
        task.index("train")
    with pytest.raises(ValueError, match=r"output has shape \[30, 4\]; expected .* \[30, 3\]"):
        task.forward(Gives(torch.zeros(30, 4)), whole(task))


def test_describe_is_json() -> None:
    described = Task.from_data(graph(x=words()), name="w").describe()
    assert json.loads(json.dumps(described)) == described
    assert described["split"] == {"weights": 9, "architecture": 9, "test": 12}
    assert (described["normalisation"], described["sparse"], described["classes"]) == ("l2", True, 3)
    assert any("unit L2 norm" in note for note in described["notes"])
    assert repr(Task.from_data(graph(), name="w")) == "Task('w', 30 nodes, 120 edges, 5 features, 3 classes, 9/9/12)"


def test_to_moves_everything() -> None:
    task = Task.from_data(graph(x=words(), edge_weight=torch.rand(120), edge_attr=torch.rand(120, 2)))
    assert task.to("meta") is task
    tensors = [task.x, task.edge_index, task.edge_weight, task.edge_attr, task.y, *task.roles.values()]
    assert all(tensor is not None and tensor.device.type == "meta" for tensor in tensors)


# -- the graph stays the user's own


@pytest.mark.parametrize("x", [torch.randn(NODES, 5), words(), words().bool(), words().to_sparse()])
def test_the_graph_is_neither_changed_nor_shared(x: Tensor) -> None:
    data = graph(x=x, edge_weight=torch.rand(120), edge_attr=torch.rand(120), train_mask=None)
    del data.train_mask, data.val_mask, data.test_mask
    before = copy.deepcopy(data)
    task = Task.from_data(data, features="l2")
    digest = task.digest()
    keys = before.keys()
    assert data.keys() == keys and all(torch.equal(dense(data[key]), dense(before[key])) for key in keys)
    edges, weight, y = task.edge_index.clone(), task.edge_weight, task.y.clone()
    assert weight is not None
    weight = weight.clone()
    for key in ("edge_index", "edge_weight", "edge_attr", "y"):
        data[key].zero_()
    if not x.is_sparse:
        x.zero_()
    assert torch.equal(task.edge_index, edges) and torch.equal(task.edge_weight, weight) and torch.equal(task.y, y)
    assert bool(dense(task.x).any()) and task.digest() == digest


def dense(value: Tensor) -> Tensor:
    return value.to_dense() if value.layout != torch.strided else value


# -- features


@pytest.mark.filterwarnings("error")
def test_bags_of_words_are_kept_sparse_and_scaled() -> None:
    task = Task.from_data(graph(x=words()))
    assert task.x.layout == torch.sparse_csr
    assert task.x.crow_indices().dtype == task.x.col_indices().dtype == torch.long
    norms = task.x.to_dense().norm(dim=1)
    assert norms[0] == 0 and torch.allclose(norms[1:], torch.ones(NODES - 1))
    weight = torch.randn(100, 2, requires_grad=True)
    assert torch.allclose(task.x @ weight, task.x.to_dense() @ weight, atol=1e-6)


@pytest.mark.parametrize(("columns", "density", "sparse"), [(100, 0.05, True), (100, 0.2, False), (60, 0.05, False)])
def test_features_are_sparse_where_that_pays(columns: int, density: float, sparse: bool) -> None:
    x = torch.zeros(NODES, columns)
    x.view(-1)[: int(density * x.numel())] = 1
    for given_x in (x, x.to_sparse()):
        assert (Task.from_data(graph(x=given_x)).x.layout == torch.sparse_csr) == sparse


@pytest.mark.parametrize("features", ["auto", "l2", "l1", "none"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_scaling_is_the_same_dense_and_sparse(features: str, sign: int) -> None:
    x = words() * (1 + torch.arange(100.0)) * sign
    wanted = {"auto": "l2" if sign == 1 else "none"}.get(features, features)
    order = {"l1": 1, "l2": 2, "none": None}[wanted]
    norm = torch.ones(NODES, 1) if order is None else x.norm(order, dim=1, keepdim=True)
    sparse = Task.from_data(graph(x=x), features=features)
    narrow = Task.from_data(graph(x=x[:, :60]), features="none")
    assert sparse.normalisation == wanted and sparse.x.layout == torch.sparse_csr
    assert narrow.x.layout == torch.strided and torch.equal(narrow.x, x[:, :60])
    assert torch.allclose(sparse.x.to_dense(), x / norm.clamp(min=1e-12))
    thick = torch.randn(NODES, 100) * 1e30
    scaled = Task.from_data(graph(x=thick), features=features).x
    if features in ("l1", "l2"):
        assert torch.allclose(scaled.norm(order, dim=1), torch.ones(NODES))
    else:
        assert torch.equal(scaled, thick)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64, torch.bfloat16])
def test_features_of_any_number_type_become_float32(dtype: torch.dtype) -> None:
    x = words(columns=10)
    for given_x in (x.to(dtype), x.to(dtype).to_sparse()):
        task = Task.from_data(graph(x=given_x), features="none")
        assert task.x.dtype == torch.float32 and torch.equal(task.x, x)
        assert any("converted to float32" in note for note in task.notes) == (not dtype.is_floating_point)


def test_sparse_and_dense_features_are_the_same_data() -> None:
    x = words()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        csr, csc = x.to_sparse_csr(), x.to_sparse_csc()
        indices, values = x.to_sparse().indices(), x.to_sparse().values()
        doubled = torch.sparse_coo_tensor(
            torch.cat([indices, indices, torch.tensor([[0], [0]])], 1),
            torch.cat([values / 2, values / 2, torch.zeros(1)]),
        )
    tasks = [Task.from_data(graph(x=form)) for form in (x, x.to_sparse(), csr, csc, doubled)]
    assert all(torch.equal(task.x.to_dense(), tasks[0].x.to_dense()) for task in tasks)
    assert len({task.digest() for task in tasks}) == 1


# -- graphs of all kinds


@pytest.mark.parametrize(
    "edges",
    [
        torch.empty(2, 0, dtype=torch.long),
        torch.tensor([[0], [0]]),
        torch.tensor([[0, 0, 0], [1, 1, 1]]),
        torch.tensor([[3], [29]]),
        torch.tensor([[0, 1], [1, 2]]).t().contiguous().t(),
        EdgeIndex([[0, 1], [1, 2]], sparse_size=(NODES, NODES)),
    ],
    ids=["none", "self-loop", "duplicates", "directed", "strided", "EdgeIndex"],
)
def test_odd_edges_work(edges: Tensor) -> None:
    count = edges.size(1)
    data = graph(edge_index=edges, edge_weight=torch.rand(count), edge_attr=torch.rand(count, 2))
    task = Task.from_data(data)
    assert type(task.edge_index) is Tensor and task.edge_index.is_contiguous()
    assert task.edge_index.tolist() == edges.tolist()
    assert any("no edges" in note for note in task.notes) == (count == 0)
    assert 0 <= task.measure(Gives(torch.randn(NODES, CLASSES)))["architecture"][1] <= 1
    assert torch.isfinite(task.loss(torch.randn(NODES, CLASSES), whole(task), "weights"))


def test_no_edges_with_edge_features_of_one_dimension() -> None:
    data = graph(edge_index=torch.empty(2, 0, dtype=torch.long), edge_attr=torch.empty(0))
    attr = Task.from_data(data).edge_attr
    assert attr is not None and attr.shape == (0, 1)


def test_a_single_class_in_one_split_works_and_is_told() -> None:
    y = torch.where(graph().train_mask, 1, torch.arange(NODES) % 3)
    task = Task.from_data(graph(y=y))
    assert task.out_channels == 3
    assert torch.isfinite(task.loss(torch.randn(NODES, 3), whole(task), "weights"))
    assert "no node of the weights split has class 0, 2, so no network can learn it" in task.notes


def test_labels_of_a_column_are_squeezed_and_small_types_widened() -> None:
    for y in (graph().y.view(-1, 1), graph().y.to(torch.uint8), (graph().y > 0)):
        task = Task.from_data(graph(y=y))
        assert task.y.dtype == torch.long and torch.equal(task.y, y.view(-1).long())
    assert "labels came with shape [30, 1] and were squeezed" in Task.from_data(graph(y=graph().y.view(-1, 1))).notes


def test_stated_classes_count_even_without_a_node() -> None:
    assert Task.from_data(graph(num_classes=50)).out_channels == 50
    assert Task.from_data(graph(y=torch.zeros(NODES, dtype=torch.long), num_classes=2)).out_channels == 2


# -- splits


def without(*keys: str, **changes: Any) -> Data:
    data = graph(**changes)
    for key in keys:
        del data[key]
    return data


MASKS = ("train_mask", "val_mask", "test_mask")


def test_without_masks_the_nodes_are_split_by_class_and_it_is_told() -> None:
    data = without(*MASKS)
    task = Task.from_data(data, seed=3)
    assert [task.index(role).numel() for role in ROLES] == [18, 6, 6]
    for role, each in zip(ROLES, (6, 2, 2)):
        assert task.y[task.index(role)].bincount().tolist() == [each] * 3
    assert "the graph had no masks: its nodes were split 18/6/6 (weights/architecture/test) with seed 3" in task.notes
    assert task.digest() == Task.from_data(data, seed=3).digest() != Task.from_data(data, seed=4).digest()
    assert Task.from_data(without(*MASKS, train_mask=None), seed=3).digest() == task.digest()


def test_classes_too_small_for_a_split_are_told() -> None:
    y = at(torch.zeros(NODES, dtype=torch.long), 7, 1)
    task = Task.from_data(without(*MASKS, y=y))
    assert TOO_SMALL in task.notes
    assert [task.index(role).numel() for role in ROLES] == [18, 6, 6]


def test_without_val_mask_a_part_of_train_is_used() -> None:
    data = without("val_mask", train_mask=graph().train_mask | graph().val_mask)
    task = Task.from_data(data)
    assert [task.index(role).numel() for role in ROLES] == [14, 4, 12]
    parts = torch.cat([task.index("weights"), task.index("architecture")]).sort().values
    assert torch.equal(parts, data.train_mask.nonzero().view(-1))
    assert any("no val_mask: 4 nodes of train_mask became" in note for note in task.notes)


@pytest.mark.parametrize(("keys", "sizes"), [(("test_mask",), [9, 9, 12]), (("val_mask", "test_mask"), [9, 11, 10])])
def test_without_test_mask_the_nodes_in_no_mask_are_used(keys: tuple[str, ...], sizes: list[int]) -> None:
    task = Task.from_data(without(*keys))
    assert [task.index(role).numel() for role in ROLES] == sizes
    assert any("had no " + " and no ".join(keys) in note for note in task.notes)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    seed=st.integers(0, 2**31 - 1),
    kept=st.sets(st.sampled_from(MASKS)),
)
@settings(max_examples=40)
def test_roles_never_share_a_node(sizes: list[int], seed: int, kept: set[str]) -> None:
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    nodes = y.numel()
    data = Data(x=torch.ones(nodes, 1), edge_index=torch.empty(2, 0, dtype=torch.long), y=y)
    for i, key in enumerate(MASKS):
        if key in kept:
            data[key] = torch.arange(nodes) % 3 == i
    try:
        task = Task.from_data(data, seed=seed)
    except ValueError as error:
        assert nodes < 6 or (kept and "train_mask" not in kept), error
        return
    index = [task.index(role) for role in ROLES]
    assert all(part.numel() > 0 and torch.equal(part, part.unique()) for part in index)
    assert torch.cat(index).unique().numel() == sum(part.numel() for part in index)
    assert task.digest() == Task.from_data(data, seed=seed).digest()


# -- bad inputs: each a sentence that says what was got


EDGES = graph().edge_index
X = graph().x
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "edge beyond": (
        lambda: graph(edge_index=at(EDGES, (0, 3), 30)),
        ValueError,
        "names node 30 in a graph of 30 nodes",
    ),
    "edge below": (lambda: graph(edge_index=at(EDGES, (1, 3), -1)), ValueError, r"names node -1 .*expected 0 to 29"),
    "edges of floats": (
        lambda: graph(edge_index=EDGES.float()),
        TypeError,
        r"dtype float32; expected int64, try .*long",
    ),
    "edges in int32": (lambda: graph(edge_index=EDGES.int()), TypeError, "edge_index has dtype int32"),
    "edges lying": (lambda: graph(edge_index=EDGES.t()), ValueError, r"shape \[120, 2\]; .* try edge_index.t\(\)"),
    "edges flat": (
        lambda: graph(edge_index=EDGES[0]),
        ValueError,
        r"edge_index has shape \[120\]; expected \[2, edges",
    ),
    "edges missing": (lambda: without("edge_index"), ValueError, r"no edge_index; .* torch.empty\(2, 0"),
    "edges in adj_t": (lambda: without("edge_index", adj_t=torch.eye(30)), ValueError, "no edge_index; .*adj_t"),
    "edges sparse": (
        lambda: graph(edge_index=torch.eye(30).to_sparse()),
        TypeError,
        "is a sparse tensor .*to_edge_index",
    ),
    "edges a list": (lambda: graph(edge_index=[[0], [1]]), TypeError, "edge_index is a list; expected a tensor"),
    "x missing": (lambda: without("x"), ValueError, "the graph has no x; expected node features"),
    "x with NaN": (lambda: graph(x=at(X, (2, 3), float("nan"))), ValueError, "x holds 1 numbers of 150 that are NaN"),
    "x infinite": (lambda: graph(x=at(X, 2, float("inf"))), ValueError, "x holds 5 numbers of 150 .* infinite"),
    "x sparse NaN": (lambda: graph(x=at(X, 2, float("nan")).to_sparse()), ValueError, "x holds 5 numbers of 150"),
    "x too large": (lambda: graph(x=at(X.double(), 2, 1e300)), ValueError, "infinite as float32"),
    "x complex": (lambda: graph(x=X.to(torch.complex64)), TypeError, "x has dtype complex64; expected real"),
    "x flat": (lambda: graph(x=X[:, 0]), ValueError, r"x has shape \[30\]; expected \[nodes, features\]"),
    "x narrow": (lambda: graph(x=X[:, :0]), ValueError, r"x has shape \[30, 0\]; expected at least one feature"),
    "x numpy": (lambda: graph(x=X.numpy()), TypeError, "x is a ndarray; expected a tensor, try torch.as_tensor"),
    "no nodes": (
        lambda: graph(x=X[:0], y=graph().y[:0], edge_index=EDGES[:, :0]),
        ValueError,
        "the graph is empty: x has 0 nodes",
    ),
    "nothing": (lambda: Data(), ValueError, "the graph has no x"),
    "nodes stated": (lambda: graph(num_nodes=31), ValueError, "x has 30 rows but num_nodes is 31"),
    "y missing": (lambda: without("y"), ValueError, "the graph has no y"),
    "y of floats": (lambda: graph(y=graph().y.float()), TypeError, r"y has dtype float32; expected class .*y.long\(\)"),
    "y of floats with gaps": (
        lambda: graph(y=at(graph().y.float(), 3, float("nan"))),
        TypeError,
        r"try data.y.nan_to_num\(0\).long\(\), with all three masks and each node whose label is NaN in none",
    ),
    "y short": (lambda: graph(y=graph().y[:-1]), ValueError, r"y has shape \[29\]; expected one class .* \[30\]"),
    "y one-hot": (lambda: graph(y=torch.eye(30).long()), ValueError, r"y has shape \[30, 30\]; .* y.argmax\(dim=1\)"),
    "y negative": (
        lambda: graph(y=at(graph().y, 29, -1)),
        ValueError,
        "y holds the label -1; expected class numbers of 0 or more .*try y.unique.*or kind='regression'",
    ),
    "num_classes in words": (
        lambda: graph(num_classes="three"),
        ValueError,
        "num_classes='three'; expected a whole number",
    ),
    "categories a number": (lambda: graph(categories=4), ValueError, "categories=4; expected the number of values of"),
    "edge_categories alone": (
        lambda: graph(edge_categories=(4,)),
        ValueError,
        "has edge_categories but no edge_attr; expected both, or neither",
    ),
    "metric a function": (
        lambda: graph(metric=max),
        ValueError,
        "has a function as its metric; expected the name of one there, try .*metric=function",
    ),
    "batch": (
        lambda: data.Batch.from_data_list([Data(x=torch.ones(3, 1), edge_index=EDGES[:, :0], y=torch.zeros(1))] * 4),
        ValueError,
        r"got a Batch of 4 graphs .* try Task.from_data\(batch.to_data_list\(\)\)",
    ),
    "y outside": (
        lambda: graph(y=at(graph().y, 5, 99)),
        ValueError,
        "y holds the label 99 but only 4 different labels",
    ),
    "y over stated": (lambda: graph(num_classes=2), ValueError, "y holds the label 2 but num_classes is 2"),
    "y all alike": (lambda: graph(y=0 * graph().y), ValueError, "y holds the label 0 alone; expected at least two"),
    "mask empty": (lambda: graph(val_mask=mask()), ValueError, "val_mask selects 0 of 30 nodes"),
    "test empty": (lambda: graph(test_mask=mask()), ValueError, "test_mask selects 0 of 30 nodes"),
    "masks overlap": (
        lambda: graph(val_mask=graph().val_mask | mask(0, 1)),
        ValueError,
        "train_mask and val_mask share 2 nodes; .* try data.val_mask &= ~data.train_mask",
    ),
    "masks overlap in test": (lambda: graph(test_mask=mask(0)), ValueError, "train_mask and test_mask share 1 nodes"),
    "mask short": (lambda: graph(test_mask=mask(9)[:-1]), ValueError, r"test_mask has shape \[29\]; .*\[30\]"),
    "mask in columns": (
        lambda: graph(train_mask=torch.ones(30, 10).bool()),
        ValueError,
        r"train_mask has shape \[30, 10\], one column for each of 10 splits; .* data.train_mask\[:, 0\]",
    ),
    "mask of numbers": (
        lambda: graph(train_mask=torch.arange(5)),
        TypeError,
        "train_mask has dtype int64.*index_to_mask",
    ),
    "mask of bytes": (lambda: graph(train_mask=mask(0).byte()), TypeError, r"dtype uint8; .*data.train_mask.bool\(\)"),
    "mask of all positions": (
        lambda: graph(train_mask=torch.arange(30)),
        TypeError,
        "train_mask has dtype int64.*index_to_mask",
    ),
    "mask of positions in floats": (
        lambda: graph(train_mask=torch.arange(5.0)),
        TypeError,
        r"train_mask has dtype float32.*index_to_mask\(data.train_mask.long\(\), 30\)",
    ),
    "no train_mask": (lambda: without("train_mask"), ValueError, "has val_mask and test_mask but no train_mask"),
    "one to train": (lambda: without("val_mask", train_mask=mask(0)), ValueError, "no val_mask and train_mask has 1"),
    "none to test": (
        lambda: without("test_mask", train_mask=~graph().val_mask),
        ValueError,
        "no test_mask, and 0 nodes are in no mask; expected at least 1",
    ),
    "too few to split": (
        lambda: without(*MASKS, **dict(small())),
        ValueError,
        "2 nodes with a label and no masks; expected at least 3",
    ),
    "weights short": (lambda: graph(edge_weight=torch.rand(7)), ValueError, r"edge_weight has shape \[7\]; .*\[120\]"),
    "weights negative": (
        lambda: graph(edge_weight=-torch.ones(120)),
        ValueError,
        "edge_weight holds the negative number -1",
    ),
    "weights NaN": (lambda: graph(edge_weight=torch.full((120,), float("nan"))), ValueError, "edge_weight holds 120"),
    "edge_attr short": (
        lambda: graph(edge_attr=torch.rand(7, 2)),
        ValueError,
        r"edge_attr has shape \[7, 2\]; .*\[120",
    ),
    "edge_attr NaN": (lambda: graph(edge_attr=torch.rand(120, 2) / 0), ValueError, "edge_attr holds 240 numbers"),
    "hetero": (lambda: HeteroData(), TypeError, r"HeteroData .*not search yet; .*to_homogeneous\(\)"),
    "old": (lambda: Data.__new__(Data), ValueError, r"got a damaged Data, or one of PyG before 2.0 \(try .*; expected"),
    "a number": (lambda: 3, TypeError, "got a int; expected a torch_geometric.data.Data, or several"),
}


def small() -> Data:
    return Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1]))


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_input_is_refused_in_one_sentence(bad: str) -> None:
    make, kind, message = BAD[bad]
    with pytest.raises(kind, match=message) as caught:
        Task.from_data(make())
    text = str(caught.value)
    assert "\n" not in text and not text.endswith(".") and "expected" in text


@pytest.mark.filterwarnings("ignore:Sparse")
def test_what_is_advised_for_adj_t_gives_the_edges_back() -> None:
    data = ToSparseTensor()(graph())
    advice = r"no edge_index; .* try torch_geometric.utils.to_edge_index\(data.adj_t\)\[0\].flip\(0\)$"
    with pytest.raises(ValueError, match=advice):
        Task.from_data(data)
    given_back = to_edge_index(data.adj_t)[0].flip(0)
    # The matrix holds each edge once.
    assert torch.equal(coalesce(given_back), coalesce(EDGES)), "with their direction"


def test_an_unknown_scaling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"features got 'max'; expected one of \['auto', 'l2', 'l1', 'none'\]"):
        Task.from_data(graph(), features="max")


@given(nodes=st.integers(3, 8), edges=st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), max_size=6))
@settings(max_examples=40)
def test_edges_are_taken_when_and_only_when_they_join_nodes(nodes: int, edges: list[tuple[int, int]]) -> None:
    edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    data = Data(x=torch.ones(nodes, 1), edge_index=edge_index, y=torch.arange(nodes) % 2)
    if all(0 <= end < nodes for edge in edges for end in edge):
        assert torch.equal(Task.from_data(data).edge_index, edge_index)
    else:
        with pytest.raises(ValueError, match="edge_index names node"):
            Task.from_data(data)


# -- the digest


CHANGES: dict[str, Callable[[], Task]] = {
    "x": lambda: Task.from_data(graph(x=at(X, (0, 0), 7))),
    "edges": lambda: Task.from_data(graph(edge_index=EDGES.flip(0))),
    "weight": lambda: Task.from_data(graph(edge_weight=torch.ones(120))),
    "attr": lambda: Task.from_data(graph(edge_attr=torch.ones(120))),
    "y": lambda: Task.from_data(graph(y=at(graph().y, 0, 1))),
    "classes": lambda: Task.from_data(graph(num_classes=4)),
    "roles": lambda: Task.from_data(graph(val_mask=graph().test_mask, test_mask=graph().val_mask)),
    "scaling": lambda: Task.from_data(graph(), features="l1"),
}


def test_the_digest_sees_the_data_and_nothing_else() -> None:
    same = Task.from_data(graph()).digest()
    assert len(same) == 64
    assert Task.from_data(graph(), name="other", seed=7).digest() == same
    digests = [make().digest() for make in CHANGES.values()]
    assert same not in digests and len(set(digests)) == len(digests)


@pytest.mark.slow
def test_the_digest_is_the_same_in_another_process() -> None:
    code = "from gnas.data import load; from gnas.task import Task; print(Task.from_data(load('digits')).digest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert other.stdout.strip() == Task.from_data(load("digits")).digest()
    assert other.stderr == ""


@pytest.mark.parametrize("seed", [None, "a", -1, 1.5, True, 2**31])
def test_a_seed_of_a_split_is_a_whole_number(seed: object) -> None:
    message = rf"Task\.from_data got seed={seed!r}; expected a whole number from 0 to 2147483647"
    with pytest.raises(ValueError, match=message):
        Task.from_data(graph(), seed=seed)  # type: ignore[arg-type]


def test_a_seed_may_be_numpys() -> None:
    data = without(*MASKS)
    assert Task.from_data(data, seed=np.int64(3)).digest() == Task.from_data(data, seed=3).digest()  # type: ignore[arg-type]
    assert type(Task.from_data(data, seed=np.int64(3)).seed) is int  # type: ignore[arg-type]


def half_known() -> Data:
    """Thirty nodes with two numbers each, every third node without any and one without the first."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(30, 2, generator=generator)
    y[::3] = math.nan
    y[1, 0] = math.nan
    return Data(
        x=torch.randn(30, 4, generator=generator), edge_index=torch.randint(30, (2, 90), generator=generator), y=y
    )


def of_edges(data: Data) -> Data:
    return Data(x=data.x, edge_index=data.edge_index, y=data.y[:, 1].repeat(3))


def of_graphs(data: Data) -> list[Data]:
    return [Data(x=data.x[:3], edge_index=data.edge_index[:, :0], y=label.view(1, 2)) for label in data.y]


def with_train_mask(data: Data) -> Data:
    data.train_mask = torch.arange(30) < 10
    return data


@pytest.mark.parametrize(
    ("make", "level", "drawn", "known", "unknown"),
    [
        (half_known, "node", ROLES, 20, 10),
        (lambda: of_edges(half_known()), "edge", ROLES, 60, 30),
        (lambda: of_graphs(half_known()), "graph", ROLES, 20, 10),
        (lambda: with_train_mask(half_known()), "node", ROLES[1:], 14, 6),
    ],
    ids=["nodes", "edges", "graphs", "nodes in no mask"],
)
def test_items_without_a_label_are_not_drawn(
    make: Callable[[], Data | list[Data]], level: str, drawn: tuple[str, ...], known: int, unknown: int
) -> None:
    task = Task.from_data(make(), level=level, metric="mae")
    found = torch.cat([task.roles[role] for role in drawn])
    assert found.numel() == found.unique().numel() == known
    assert not task.y[found].isnan().all(dim=1).any()
    assert f"{unknown} {level}s without any label were left out of the split" in task.notes


def test_too_few_labels_to_draw_from_are_refused() -> None:
    data = half_known()
    data.y[3:] = math.nan
    with pytest.raises(ValueError, match="the graph has 2 nodes with a label and no masks; expected at least 3"):
        Task.from_data(data, metric="mae")
