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


def asked_pairs(data: Data, count: int) -> tuple[Tensor, Tensor]:
    """So many true pairs and false ones in turns, no edges and each once."""
    low = torch.combinations(torch.arange(NODES)).t()
    low = low[:, torch.randperm(low.size(1), generator=torch.Generator().manual_seed(5))]
    free = low[:, ~torch.isin(codes(low, NODES, True), codes(data.edge_index, NODES, True))][:, : 2 * count]
    return free, torch.arange(2 * count) % 2


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
    data = graph()
    pairs, y = asked_pairs(data, 15)
    part = torch.arange(30) % 6
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


@given(seed=st.integers(0, 200), parts=st.integers(1, 4), twice=st.sampled_from(("back", "again")))
def test_pairs_that_are_given_twice_are_asked_for_together(seed: int, parts: int, twice: str) -> None:
    data = graph(True, seed)
    some = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    data.edge_label_index = torch.cat([some, some.flip(0) if twice == "back" else some], dim=1)
    task = Task.from_data(data, level="link", parts=parts, seed=seed)
    role = {code: role for role, i in task.roles.items() for code in asked(task.pairs[:, i], task.y[i], True)}  # type: ignore[index]
    assert sum(len(asked(task.pairs[:, i], task.y[i], True)) for i in task.roles.values()) == len(role)  # type: ignore[index]
    batches = [*task.batches("weights"), *task.batches("architecture"), *task._source.measuring(("test",))]
    for batch in batches:
        passing = set(codes(batch.edge_index, NODES, True).tolist())
        assert not asked(batch.edge_label_index, batch.y, True) & passing  # type: ignore[arg-type]


@given(seed=st.integers(0, 200), parts=st.integers(1, 4))
def test_pairs_in_no_mask_hide_none_that_are_asked_for(seed: int, parts: int) -> None:
    data, generator = graph(True, seed), torch.Generator().manual_seed(seed)
    true = data.edge_index.unique(dim=1)
    # Both directions are given, masks name one of them: that of the larger number first, which comes second.
    data.edge_label_index = true
    part = torch.randint(4, (true.size(1),), generator=generator)
    for number, key in enumerate(("train_mask", "val_mask", "test_mask")):
        data[key] = (part == number) & (true[0] > true[1])
    task = Task.from_data(data, level="link", parts=parts, seed=seed)
    steps = [batch for step in task.steps(generator) for batch in step.values()]
    for batch in [*steps, *task.batches("weights"), *task.batches("architecture"), *task._source.measuring(("test",))]:
        passing = set(codes(batch.edge_index, NODES, True).tolist())
        assert batch.edge_label_index is not None
        assert not asked(batch.edge_label_index, batch.y, True) & passing


def test_false_pairs_that_are_edges_pass_no_messages_either() -> None:
    data = graph()
    some = data.edge_index[:, data.edge_index[0] < data.edge_index[1]].unique(dim=1)
    data.edge_label_index, data.edge_label = some, torch.arange(some.size(1)) % 2
    with pytest.raises(ValueError, match=r"0 for \d+ pairs .* that are edges .*try .*level='edge'.*level='link'"):
        Task.from_data(data)
    assert Task.from_data(data, level="edge").level == "edge"
    task = Task.from_data(data, level="link")
    for batch in [*task.batches("weights"), *task.batches("architecture"), *task._source.measuring(("test",))]:
        assert batch.edge_label_index is not None
        wanted = codes(batch.edge_label_index, NODES, True)
        assert not torch.isin(wanted, codes(batch.edge_index, NODES, True)).any()


def test_a_pair_has_one_label_and_one_role() -> None:
    data = graph()
    pairs, y = asked_pairs(data, 15)
    data.edge_label_index, data.edge_label = torch.cat([pairs, pairs[:, :1].flip(0)], dim=1), torch.cat([y, y[1:2]])
    with pytest.raises(ValueError, match=r"holds the pair .*or its reverse.* with the labels 0 and 1 \(1 such pairs\)"):
        Task.from_data(data)
    data.edge_label_index = torch.cat([pairs, pairs[:, 1:2]], dim=1)
    part = torch.cat([torch.arange(30) % 6, torch.tensor([4])])
    data.train_mask, data.val_mask, data.test_mask = part < 2, (part == 2) | (part == 3), part > 3
    with pytest.raises(ValueError, match=r"with the roles weights and test \(1 such pairs\); expected one role"):
        Task.from_data(data)


def test_drawn_false_pairs_are_no_true_ones_that_are_no_edges() -> None:
    data = graph()
    pairs, _ = asked_pairs(data, 150)
    data.edge_label_index = pairs
    task = Task.from_data(data)
    true = asked(task.pairs[:, task.roles["weights"]], task.y[task.roles["weights"]], True)  # type: ignore[index]
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for step in task.steps(generator):
            batch = step["weights"]
            assert not true & set(codes(batch.edge_label_index[:, batch.y == 0], NODES, True).tolist())  # type: ignore[index]


def test_what_is_said_of_direction_and_masks() -> None:
    data = graph()
    said = "\n".join(Task.from_data(data, level="link").notes)
    assert "every edge has one back, so the graph is undirected" in said
    one_way = Data(x=data.x, edge_index=data.edge_index.unique(dim=1)[:, 1:])
    said = "\n".join(Task.from_data(one_way, level="link").notes)
    assert "1 of " in said and "have none back, so the graph is directed" in said and "to_undirected" in said
    data.edge_label_index, data.edge_label = asked_pairs(data, 15)
    data.train_mask = torch.arange(NODES) < 9
    assert "masks of nodes are not read" in Task.from_data(data).notes
    data.train_mask = torch.arange(31) < 9
    with pytest.raises(
        ValueError, match=r"'train_mask': \[31\]\}; expected a bool for each pair .* \[30\], or no masks"
    ):
        Task.from_data(data)
