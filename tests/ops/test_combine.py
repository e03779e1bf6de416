"""Operations that combine states: their formulas, and a zero that nothing leaks through."""

from __future__ import annotations

import pytest
import torch
from graph_examples import close, example
from torch import Tensor

from gnas.data import quiet_sparse
from gnas.kernels import graph_of
from gnas.model import GraphModel
from gnas.ops import Context, dropout, find, sparse_dropout_linear
from gnas.space import Node, Space

GRAPH = example()
X = torch.randn(9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CONTEXT = Context(graph_of(GRAPH.edge_index, 9), torch.zeros_like(X), 0.5, False)


def run(op: str, *inputs: Tensor, **settings: object) -> Tensor:
    return find(op, "a").forward({}, inputs, settings, CONTEXT)


def test_formulas() -> None:
    a, b, c = X, X.cos(), X.exp()
    close(run("sum", a, b), a + b)
    close(run("sum", a, b, c), a + b + c)
    close(run("max", a, b, c), torch.maximum(torch.maximum(a, b), c))
    close(run("relu", a), a.clamp(min=0))
    close(run("lerp", a, b, weight=0.25), 0.75 * a + 0.25 * b)
    assert torch.equal(run("lerp", a, b, weight=0.0), a)
    assert torch.equal(run("zero", a), torch.zeros_like(a))


def test_zero_reads_nothing() -> None:
    broken = torch.full_like(X, torch.inf)
    assert torch.equal(run("zero", broken), torch.zeros_like(X))


@pytest.mark.parametrize(("op", "settings"), [("concat", {}), ("lstm", {}), ("max", {}), ("sum", {})])
def test_merges_take_any_number_of_states(op: str, settings: dict[str, object]) -> None:
    for count in (1, 2, 4):
        torch.manual_seed(0)
        space = Space("one", (Node("jump", op, ("x",) * count),), "jump")
        model = GraphModel(space, 5, 8, 3).double().eval()
        states = [model.encoder(GRAPH.x)] * count
        if op == "concat":
            expected = model.get_submodule("jump")(torch.cat(states, dim=1))
        elif op == "lstm":
            expected = model.get_submodule("jump")(states)
        else:
            expected = states[0] * (count if op == "sum" else 1)
        close(model(GRAPH.x, GRAPH.edge_index), model.decoder(expected))


def test_dropout_keeps_the_mean_and_the_share() -> None:
    torch.manual_seed(0)
    ones = torch.ones(200, 100)
    dropped = dropout(ones, 0.8, True)
    assert dropped.unique().tolist() == pytest.approx([0.0, 5.0], rel=1e-4)
    assert abs(float(dropped.mean()) - 1) < 0.05
    assert dropout(ones, 0.8, False) is ones and dropout(ones, 0.0, True) is ones
    assert not dropout(ones, 1.0, True).any()


def test_sparse_features_are_projected_like_dense_ones() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(5, 4).double()
    x = GRAPH.x * (GRAPH.x > 0.5)
    with quiet_sparse():
        sparse = x.to_sparse_csr()
    close(sparse_dropout_linear(sparse, linear, 0.5, False), linear(x))
    direction = torch.randn(9, 4, dtype=torch.float64)
    expected = torch.autograd.grad((linear(x) * direction).sum(), list(linear.parameters()))
    got = torch.autograd.grad(
        (sparse_dropout_linear(sparse, linear, 0.0, True) * direction).sum(), list(linear.parameters())
    )
    for a, b in zip(got, expected, strict=True):
        close(a, b)
    drawn = torch.stack([sparse_dropout_linear(sparse, linear, 0.5, True) for _ in range(300)])
    torch.testing.assert_close(drawn.mean(dim=0), linear(x), rtol=0, atol=0.4)
