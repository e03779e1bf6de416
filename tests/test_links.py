"""Link prediction: no pair is asked for along an edge that passes messages, and false pairs are no edges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnas.links import codes, false_pairs
from gnas.task import Task

NODES = 40


def graph(undirected: bool = True, seed: int = 0, edges: int = 150) -> Data:
    """A random graph with a self-loop and an edge that is there twice."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(NODES, (2, edges), generator=generator)
    if undirected:
        edge_index = to_undirected(edge_index)
    edge_index = torch.cat([edge_index, edge_index[:, :2], torch.tensor([[3], [3]])], dim=1)
    if undirected:
        edge_index = torch.cat([edge_index, edge_index[:, -3:-1].flip(0)], dim=1)
    attr = (edge_index[0] * NODES + edge_index[1]).float()
    return Data(x=torch.randn(NODES, 4, generator=generator), edge_index=edge_index, edge_attr=attr)


def asked(pairs: Tensor, y: Tensor, undirected: bool) -> set[int]:
    return set(codes(pairs[:, y == 1], NODES, undirected).tolist())


@given(undirected=st.booleans(), seed=st.integers(0, 500), parts=st.integers(1, 5))
def test_no_pair_is_asked_for_along_an_edge_that_passes_messages(undirected: bool, seed: int, parts: int) -> None:
    task = Task.from_data(graph(undirected, seed), level="link", parts=parts, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    test = task._source.measuring(("test",))
    steps = [batch for step in task.steps(generator) for batch in step.values()]
    true = {role: asked(task.pairs[:, i], task.y[i], undirected) for role, i in task.roles.items()}  # type: ignore[index]
    assert not (true["weights"] & true["architecture"] or true["weights"] & true["test"])
    assert not true["architecture"] & true["test"]
    for batch in [*steps, *task.batches("weights"), *task.batches("architecture"), *test]:
        assert batch.edge_label_index is not None
        passing = set(codes(batch.edge_index, NODES, undirected).tolist())
        wanted = asked(batch.edge_label_index, batch.y, undirected)
        assert wanted and not wanted & passing
        if "test" not in batch.index:
            assert not passing & (true["architecture"] | true["test"])
        # Features stay with their edges.
        assert batch.edge_attr is not None
        assert torch.equal(batch.edge_attr.view(-1).long(), codes(batch.edge_index, NODES, False))


def test_an_epoch_asks_for_each_true_pair_once_and_draws_false_ones_anew() -> None:
    task = Task.from_data(graph(), level="link")
    generator = torch.Generator().manual_seed(0)
    edges = set(codes(task.edge_index, NODES, True).tolist())
    test_only = edges - set(codes(next(task.batches("architecture")).edge_index, NODES, True).tolist())
    seen = []
    for _ in range(2):
        pairs = [(step["weights"].edge_label_index, step["weights"].y) for step in task.steps(generator)]
        true = [code for index, y in pairs for code in codes(index[:, y == 1], NODES, True).tolist()]  # type: ignore[index]
        false = [code for index, y in pairs for code in codes(index[:, y == 0], NODES, True).tolist()]  # type: ignore[index]
        weights = task.roles["weights"]
        assert sorted(true) == sorted(codes(task.pairs[:, weights][:, task.y[weights] == 1], NODES, True).tolist())  # type: ignore[index]
        assert len(false) == len(true) and not set(false) & (edges - test_only)
        seen.append(false)
    assert seen[0] != seen[1]
    first = [batch.edge_label_index for batch in task.batches("architecture")]
    again = [batch.edge_label_index for batch in task.batches("architecture")]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))  # type: ignore[arg-type]


def test_the_split_is_85_5_10_and_seeded() -> None:
    task = Task.from_data(graph(), level="link")
    true = [int(task.y[index].sum()) for index in task.roles.values()]
    assert [index.numel() for index in task.roles.values()] == [2 * count for count in true]
    total = sum(true)
    assert true[1:] == [int(0.05 * total), int(0.1 * total)]
    assert Task.from_data(graph(), level="link").digest() == task.digest()
    assert Task.from_data(graph(), level="link", seed=1).digest() != task.digest()
    assert (task.level, task.kind, task.metric.name, task.out_channels) == ("link", "link", "roc_auc", 1)


def test_given_pairs_are_taken_as_they_are() -> None:
    pairs = torch.randint(NODES, (2, 30), generator=torch.Generator().manual_seed(5))
    y = torch.arange(30) % 2
    part = torch.arange(30) % 6
    data = graph()
    data.edge_label_index, data.edge_label = pairs, y
    data.train_mask, data.val_mask, data.test_mask = part < 2, (part == 2) | (part == 3), part > 3
    task = Task.from_data(data)
    assert task.level == "link" and not task.drawn and torch.equal(task.pairs, pairs)  # type: ignore[arg-type]
    steps = list(task.steps(torch.Generator()))
    found = torch.cat([step["weights"].edge_label_index for step in steps], dim=1)  # type: ignore[misc]
    assert sorted(codes(found, NODES, False).tolist()) == sorted(codes(pairs[:, part < 2], NODES, False).tolist())
    with pytest.raises(ValueError, match="y and edge_label_index; expected a word"):
        data.y = torch.arange(NODES) % 2
        Task.from_data(data)


def test_false_pairs_are_no_edges_and_a_full_graph_has_none() -> None:
    taken = codes(torch.combinations(torch.arange(5)).t(), 5, True).unique()
    generator = torch.Generator().manual_seed(0)
    found = false_pairs(50, 6, codes(torch.combinations(torch.arange(5)).t(), 6, True).unique(), True, generator)
    assert found.size(1) == 50 and bool((found == 5).any(dim=0).all()) and bool((found[0] != found[1]).all())
    with pytest.raises(ValueError, match="the graph joins nearly all pairs"):
        false_pairs(3, 5, taken, True, generator)
    with pytest.raises(ValueError, match="expected at least 20 for a split"):
        Task.from_data(Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [1, 2]])), level="link")
