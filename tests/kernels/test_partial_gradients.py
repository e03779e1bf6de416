"""Gradients that are to be differentiated again are the same gradients, whatever the inputs were made from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from graph_examples import example
from torch import Tensor

from gnas import kernels

GRAPH = kernels.graph_of(example().edge_index, 9)


def gat(x: Tensor) -> Tensor:
    z = x.view(9, 2, 4)
    return kernels.attention(GRAPH.looped, z.sum(-1), (2 * z).sum(-1), z)


def gatv2(x: Tensor) -> Tensor:
    z = x.view(9, 2, 4)
    return kernels.attention_v2(GRAPH.looped, z.mean(dim=0), z)


def product(x: Tensor) -> Tensor:
    return kernels.weighted_sum(GRAPH.plain, kernels.inner_product(GRAPH.plain, x, 2 * x), x)


def softmax(x: Tensor) -> Tensor:
    logits = x[GRAPH.plain.column.long(), :2]
    return kernels.edge_softmax(GRAPH.plain, logits) * logits


@pytest.mark.parametrize("name", kernels.BACKENDS)
@pytest.mark.parametrize("formula", [gat, gatv2, product, softmax])
def test_create_graph_changes_nothing(name: str, formula: Callable[[Tensor], Tensor]) -> None:
    if kernels.reason(name):
        pytest.skip(kernels.reason(name))
    x = torch.randn(9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with kernels.use(name):
        plain, again = (
            torch.autograd.grad(formula(x).sin().sum(), x, create_graph=create_graph)[0]
            for create_graph in (False, True)
        )
    torch.testing.assert_close(again, plain)
    assert again.requires_grad and not plain.requires_grad
