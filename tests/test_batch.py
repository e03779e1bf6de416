"""Batches: what is gathered from a store is what PyG collates."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch as Collated
from torch_geometric.data import Data

from gnas.batch import Store, of_graphs, ranges, rows_of
from gnas.graphs import GraphSet
from gnas.joining import joined


def graphs(sizes: list[int], seed: int = 0) -> list[Data]:
    """Random graphs with edge features, some without any edge."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for size in sizes:
        edges = int(torch.randint(0, 3 * size, (), generator=generator))
        found.append(
            Data(
                x=torch.randn(size, 4, generator=generator),
                edge_index=torch.randint(size, (2, edges), generator=generator),
                edge_attr=torch.randn(edges, 2, generator=generator),
                edge_weight=torch.rand(edges, generator=generator),
                y=torch.tensor([size % 2]),
            )
        )
    return found


def store_of(given_graphs: list[Data]) -> Store:
    data, pointers = joined(GraphSet(tuple(given_graphs), None))
    return Store(data.x, data.edge_index, data.edge_weight, data.edge_attr, pointers)


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_gathered_graphs_are_those_that_pyg_collates(sizes: list[int], seed: int) -> None:
    made = graphs(sizes, seed)
    store = store_of(made)
    chosen = torch.randperm(len(made), generator=torch.Generator().manual_seed(seed))[: max(1, len(made) - 1)]
    part = of_graphs(store, chosen)
    expected = Collated.from_data_list([made[i] for i in chosen.tolist()])
    assert torch.equal(store.x[part.nodes], expected.x)
    assert torch.equal(part.edge_index, expected.edge_index)
    weight, attr = store.edges(part.edges)
    assert weight is not None and torch.equal(weight, expected.edge_weight)
    assert attr is not None and torch.equal(attr, expected.edge_attr)
    assert part.batch is not None and torch.equal(part.batch, expected.batch)


def test_rows_of_a_sparse_matrix() -> None:
    x = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    rows = torch.tensor([2, 0, 2, 1])
    found = rows_of(x.to_sparse_csr(), rows)
    assert found.layout == torch.sparse_csr and torch.equal(found.to_dense(), x[rows])
    assert torch.equal(rows_of(x, rows), x[rows])
    assert rows_of(x.to_sparse_csr(), rows[:0]).shape == (0, 3)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=6))
def test_ranges(pairs: list[tuple[int, int]]) -> None:
    start, size = torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()
    expected: list[Tensor] = [torch.arange(a, a + n) for a, n in pairs]
    assert ranges(start, size).tolist() == [int(i) for part in expected for i in part]
