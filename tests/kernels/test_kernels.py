"""Every backend against the reference: values and gradients, on graphs of all shapes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn.aggr import StdAggregation
from torch_geometric.utils import softmax

from gnas import kernels
from gnas.kernels import Graph, Structure, portable, reference


def graph_with(nodes: int, edges: int, seed: int) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    return Graph(edge_index, nodes)


graphs = st.builds(graph_with, st.integers(5, 12), st.integers(1, 25), st.integers(0, 10_000))


@settings(max_examples=40, deadline=None)
@given(graphs, st.sampled_from([1, 7, 16, 20]))
def test_the_portable_backend_equals_the_reference(graph: Graph, channels: int) -> None:
    structure = graph.plain
    x = torch.randn(graph.num_nodes, channels, dtype=torch.float64, requires_grad=True)
    values = torch.randn(structure.entries, dtype=torch.float64, requires_grad=True)
    assert kernels._backend(structure, x) is portable
    weight = torch.randn(graph.num_nodes, channels, dtype=torch.float64)
    calls = (
        (lambda backend: backend.weighted_sum(structure, values, x), (values, x)),
        (lambda backend: backend.weighted_sum(structure.transposed(), values, x), (values, x)),
        (lambda backend: backend.extreme(structure, x, True), (x,)),
        (lambda backend: backend.extreme(structure, x, False), (x,)),
    )
    for call, inputs in calls:
        expected, got = call(reference), call(portable)
        torch.testing.assert_close(got, expected)
        for a, b in zip(
            torch.autograd.grad((got * weight).sum(), inputs),
            torch.autograd.grad((expected * weight).sum(), inputs),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


def test_second_derivatives_are_right() -> None:
    graph = graph_with(6, 14, 1)
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(14, dtype=torch.float64, requires_grad=True)
    run = lambda v, z: portable.weighted_sum(graph.plain, v, z)  # noqa: E731
    assert torch.autograd.gradcheck(run, (values, x))
    assert torch.autograd.gradgradcheck(run, (values, x))
    assert torch.autograd.gradgradcheck(
        lambda a, b: portable.inner_product(graph.plain, a, b), (x, torch.randn(6, 3, dtype=torch.float64))
    )


def test_torch_func_goes_through() -> None:
    graph = graph_with(6, 14, 2)
    values = torch.randn(14, dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64)
    energy = lambda z: portable.weighted_sum(graph.plain, values, z).pow(2).sum() / 2  # noqa: E731
    dense = graph.plain.matrix(values).to_dense()
    torch.testing.assert_close(torch.func.grad(energy)(x), dense.t() @ dense @ x)


@pytest.mark.parametrize("edges", [0, 1, 40])
def test_isolated_nodes_and_empty_graphs_give_zeros(edges: int) -> None:
    graph = Graph(torch.randint(5, (2, edges)), 9)
    x = torch.randn(9, 4)
    alone = graph.degree == 0
    assert alone[5:].all()
    for out in (
        kernels.weighted_sum(graph.plain, graph.weight, x),
        kernels.extreme(graph.plain, x),
        kernels.extreme(graph.plain, x, largest=False),
        *kernels.moments(graph.plain, x),
    ):
        assert out.shape == (9, 4)
        assert (out[alone] == 0).all()


def test_the_looped_pattern_has_exactly_one_loop_a_node() -> None:
    edge_index = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 2, 0]])
    graph = Graph(edge_index, 4, torch.tensor([3.0, 1.0, 5.0, 1.0, 1.0]))
    dense = graph.looped.matrix(graph._looped()[1]).to_dense()
    torch.testing.assert_close(dense.diagonal(), torch.tensor([3.0, 5.0, 1.0, 1.0]))
    assert graph.looped.entries == 3 + 4


def test_softmax_and_std_are_those_of_pyg() -> None:
    graph = graph_with(7, 30, 3)
    structure = graph.plain
    logits = torch.randn(30, 2)
    torch.testing.assert_close(kernels.edge_softmax(structure, logits), softmax(logits, structure.row))
    x = torch.randn(7, 5, dtype=torch.float64) + 100
    expected = StdAggregation()(x[structure.column], structure.row, dim_size=7)
    torch.testing.assert_close(kernels.moments(structure, x)[1], expected, rtol=1e-6, atol=1e-6)


def test_a_graph_is_remembered_until_its_edges_change() -> None:
    edge_index = torch.randint(5, (2, 9))
    first = kernels.graph_of(edge_index, 5)
    assert kernels.graph_of(edge_index, 5) is first
    edge_index[0, 0] = (edge_index[0, 0] + 1) % 5
    assert kernels.graph_of(edge_index, 5) is not first
    assert kernels.graph_of(edge_index.clone(), 5) is not first


def test_a_rectangular_pattern_transposes() -> None:
    row, column = torch.tensor([2, 0, 1]), torch.tensor([1, 4, 0])
    structure, order = Structure.from_entries(row, column, (3, 5))
    values = torch.tensor([1.0, 2.0, 3.0])[order]
    dense = torch.zeros(3, 5).index_put((row, column), torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(structure.matrix(values).to_dense(), dense)
    torch.testing.assert_close(structure.matrix_t(values).to_dense(), dense.t())
