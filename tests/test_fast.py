"""PyG's layers on gnas's kernels against PyG's own: values, gradients, and what dropout does to attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv

from gnas.fast import FastGATConv, FastGATv2Conv

PAIRS = [(FastGATConv, GATConv), (FastGATv2Conv, GATv2Conv)]
Build = Callable[..., nn.Module]


def multigraph() -> Tensor:
    """Edges that come twice, self-loops, and a node that has none."""
    edges = torch.randint(8, (2, 40), generator=torch.Generator().manual_seed(0))
    return torch.cat([edges, edges[:, :9], torch.tensor([[3, 3], [3, 3]])], dim=1)


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
@pytest.mark.parametrize("settings", [{}, {"concat": False}, {"bias": False, "negative_slope": 0.1}])
def test_attention_is_that_of_pyg(fast: Build, plain: Build, settings: dict[str, object]) -> None:
    ours = fast(6, 5, heads=3, **settings).double()
    theirs = plain(6, 5, heads=3, **settings).double()
    theirs.load_state_dict(ours.state_dict())
    found = []
    for conv in (ours, theirs):
        x = torch.randn(9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out = conv(x, multigraph())
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *conv.parameters()])])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("fast", [FastGATConv, FastGATv2Conv])
def test_dropout_drops_weights_and_scales_the_others(fast: Build) -> None:
    # Nodes without neighbours attend to themselves alone, by a weight of one.
    alone, nodes = torch.zeros(2, 0, dtype=torch.int64), 4000
    conv = fast(3, 2, heads=2, dropout=0.6, bias=False)
    x = torch.randn(nodes, 3)
    whole = conv.eval()(x, alone)
    torch.manual_seed(0)
    times = (conv.train()(x, alone) / whole).view(nodes, 2, 2)
    torch.testing.assert_close(times[..., 0], times[..., 1])
    kept = times[..., 0] != 0
    torch.testing.assert_close(times[..., 0][kept], torch.full_like(times[..., 0][kept], 2.5), rtol=1e-3, atol=0)
    # Four standard deviations of a share of 8,000.
    assert abs(float(kept.float().mean()) - 0.4) < 4 * (0.24 / 8000) ** 0.5
    assert 0 < int((kept[:, 0] != kept[:, 1]).sum()) < nodes


@pytest.mark.parametrize("fast", [FastGATConv, FastGATv2Conv])
def test_gradients_belong_to_the_weights_that_were_kept(fast: Build) -> None:
    conv = fast(3, 2, heads=2, dropout=0.5).double()
    x = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return conv(x, multigraph())

    assert torch.autograd.gradcheck(run, [x])
