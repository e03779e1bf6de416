"""Small random graphs with everything that makes graphs awkward, for the tests of operations and networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """A graph in float64: ``x`` [nodes, 5], ``edge_index`` [2, edges], ``edge_weight`` [edges]."""

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor

    @property
    def nodes(self) -> int:
        return self.x.size(0)


def example(nodes: int = 9, edges: int = 20, seed: int = 0, channels: int = 5) -> Example:
    """Directed, with a self-loop, a duplicate edge and, as the last two nodes have no edges, isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(max(nodes - 2, 1), (2, edges), generator=generator)
    if edges > 3:
        edge_index[:, 0] = edge_index[0, 0]
        edge_index[:, 1] = edge_index[:, 2]
    x = torch.randn(nodes, channels, generator=generator, dtype=torch.float64)
    return Example(x, edge_index, torch.rand(edges, generator=generator, dtype=torch.float64) + 0.5)


examples = st.builds(example, st.integers(3, 9), st.sampled_from([0, 1, 8, 25]), st.integers(0, 1000))


def joined(a: Example, b: Example) -> tuple[Example, Tensor]:
    """Two graphs as one that is not connected, and the graph of each node."""
    x = torch.cat([a.x, b.x])
    edge_index = torch.cat([a.edge_index, b.edge_index + a.nodes], dim=1)
    batch = torch.tensor([0] * a.nodes + [1] * b.nodes)
    return Example(x, edge_index, torch.cat([a.edge_weight, b.edge_weight])), batch


def close(got: Tensor, expected: Tensor) -> None:
    """Equal but for rounding in float64."""
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)
