"""The backend of torch-scatter, where that is installed: values and derivatives against the reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from test_kernels import calls, channels, compare, compare_single, gradcheck_twice, graph_with, graphs, heads, mixtures

from gnas import kernels
from gnas.kernels import Graph, scatter

pytestmark = pytest.mark.skipif(bool(kernels.reason("scatter")), reason=kernels.reason("scatter"))


@settings(max_examples=25)
@given(graphs, channels, heads)
def test_it_equals_the_reference(graph: Graph, width: int, split: tuple[int, int]) -> None:
    cases = calls(graph.plain, width, split, torch.float64) | mixtures(graph, width, torch.float64)
    compare("scatter", cases)
    compare_single("scatter", cases)


def test_first_and_second_derivatives() -> None:
    graph = graph_with(5, 12, 1)
    with kernels.use("scatter"):
        for name, (function, inputs) in calls(graph.plain, 3, (2, 2), torch.float64).items():
            if name not in ("max", "min", "statistics"):  # rounded states tie, where there is no derivative
                gradcheck_twice(function, inputs)
        for function, inputs in mixtures(graph, 2, torch.float64).values():
            gradcheck_twice(function, inputs)


def test_what_is_not_a_number_stays_visible() -> None:
    structure = Graph(torch.tensor([[0, 1, 2], [0, 0, 0]]), 3).plain
    for place in range(3):
        x = torch.ones(3, 20)
        x[place] = torch.nan
        with kernels.use("scatter"):
            high, low, _, std = kernels.statistics(structure, x)
        assert all(out[0].isnan().all() for out in (high, low, std))


def test_it_serves_when_asked_for_and_what_it_can_serve() -> None:
    structure, x = graph_with(5, 12, 1).plain, torch.randn(5, 3)
    assert kernels._backend(structure, x) is not scatter
    with kernels.use("scatter"):
        assert kernels.backend() == "scatter"
        assert kernels._backend(structure, x) is scatter
        assert kernels._backend(structure, x.bfloat16()) is kernels.reference
