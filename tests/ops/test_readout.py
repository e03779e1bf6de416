"""Readouts against PyG's aggregations: of all nodes, of those that are kept, and of what lies between."""

from __future__ import annotations

import pytest
import torch
from graph_examples import close
from item_examples import items
from torch import Tensor
from torch_geometric.nn import (
    AttentionalAggregation,
    Set2Set,
    SortAggregation,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

from gnas.kernels import graph_of
from gnas.ops import OPS, Context, find
from gnas.ops.readout import Readout

READOUTS = sorted(name for name, op in OPS.items() if isinstance(op, Readout))
GRAPHS = items()
X = torch.randn(14, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
KEEP = torch.tensor([1.0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1], dtype=torch.float64)


def context(batch: Tensor | None) -> Context:
    graph = graph_of(GRAPHS.graph.edge_index, 14)
    return Context(graph, torch.zeros_like(X), 0.5, False, batch).at("graph")


def layers(name: str) -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {ending: call.build(8).double() for ending, call in find(name, "r").layers(1, {}).items()}


def run(name: str, x: Tensor, batch: Tensor | None, keep: Tensor | None = None) -> Tensor:
    inputs = [x] if keep is None else [x, torch.stack([keep, keep], dim=1)]
    return find(name, "r").forward(layers(name), inputs, {}, context(batch))


def by_pyg(name: str, x: Tensor, batch: Tensor) -> Tensor:
    plain = {"readout_mean": global_mean_pool, "readout_sum": global_add_pool, "readout_max": global_max_pool}
    if name in plain:
        return plain[name](x, batch)
    layer = layers(name)
    out: Tensor = layer[""](x, batch)
    return layer["_out"](out) if "_out" in layer else out


def test_they_are_pygs() -> None:
    kinds = {"readout_attention": AttentionalAggregation, "readout_set2set": Set2Set, "readout_sort": SortAggregation}
    assert all(isinstance(layers(name)[""], kind) for name, kind in kinds.items())
    assert len(READOUTS) == 6
    for name in READOUTS:
        close(run(name, X, GRAPHS.batch), by_pyg(name, X, GRAPHS.batch))
        close(run(name, X, None), by_pyg(name, X, torch.zeros(14, dtype=torch.long)))


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("single", [False, True])
def test_nodes_that_are_not_kept_are_not_there(name: str, single: bool) -> None:
    kept, batch = KEEP > 0, torch.zeros(14, dtype=torch.long) if single else GRAPHS.batch
    x = (X * KEEP.unsqueeze(1)).requires_grad_()
    got = run(name, x, None if single else batch, KEEP)
    close(got, by_pyg(name, x[kept], batch[kept]))
    direction = torch.randn_like(got)
    (gradient,) = torch.autograd.grad((got * direction).sum(), x)
    (expected,) = torch.autograd.grad((by_pyg(name, x[kept], batch[kept]) * direction).sum(), x)
    close(gradient[kept], expected[kept])


@pytest.mark.parametrize("name", READOUTS)
def test_a_graph_without_nodes_is_as_in_pyg(name: str) -> None:
    kept, x, batch = KEEP > 0, X * KEEP.unsqueeze(1), 2 * GRAPHS.batch
    got = run(name, x, batch, KEEP)
    close(got, by_pyg(name, x[kept], batch[kept]))
    assert got.isfinite().all() and got.size(0) == 2 * int(GRAPHS.batch.max()) + 1


@pytest.mark.parametrize("name", [name for name in READOUTS if name != "readout_sort"])
def test_the_weight_of_a_node_fades_in(name: str) -> None:
    # A node that is hardly kept changes hardly anything, and its weight has a finite gradient.
    for rest in (1e-7, 0.5):
        keep = KEEP.clamp(min=rest).requires_grad_()
        got = run(name, X * keep.detach().unsqueeze(1), GRAPHS.batch, keep)
        expected = run(name, X * KEEP.unsqueeze(1), GRAPHS.batch, KEEP)
        assert torch.allclose(got, expected, atol=1e-4) == (rest < 0.1)
        if name != "readout_sum":  # which has the weights in its states
            got.sum().backward()
            assert keep.grad is not None and keep.grad.isfinite().all() and bool((keep.grad != 0).any())
