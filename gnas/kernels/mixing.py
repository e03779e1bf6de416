"""The words of a mixture of aggregations: their names, their bits, what they know of a graph, and each by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

AGGREGATIONS = ("sum", "mean", "gcn", "identity", "max", "min", "std")
"""What can be mixed; a set of them is a number whose bits are the positions here."""
KINDS = len(AGGREGATIONS)
LINEAR = 0b1111
"""Those that are sums."""


class Propagation(NamedTuple):
    """What the sums of a mixture know of a graph, in one floating point type.

    Args:
        share: One over the number of neighbours, one where there is none, [nodes].
        values: Kipf and Welling's coefficient of each edge between two nodes, 0 for a self-loop, [entries].
        diagonal: That of each node's own state, [nodes].
    """

    share: Tensor
    values: Tensor | None
    diagonal: Tensor | None


def aggregates(
    kinds: int,
    x: Tensor,
    propagation: Propagation,
    weighted_sum: Callable[[Tensor | None, Tensor], Tensor],
    extreme: Callable[[Tensor, bool], Tensor],
    moments: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> dict[int, Tensor]:
    """The aggregates of a mixture by position, [nodes, channels] each, by the functions of a backend on a graph."""
    share, values, diagonal = propagation
    found = {}
    if kinds & 0b11:
        total = weighted_sum(None, x)
        found = {0: total, 1: share.unsqueeze(1) * total}
    if values is not None and diagonal is not None:
        found[2] = weighted_sum(values, x) + diagonal.unsqueeze(1) * x
    if kinds & 0b1000:
        found[3] = x
    if kinds & 0b10000:
        found[4] = extreme(x, True)
    if kinds & 0b100000:
        found[5] = extreme(x, False)
    if kinds & 0b1000000:
        found[6] = moments(x)[1]
    return {k: part for k, part in found.items() if kinds >> k & 1}


def squares_of(x: Tensor, parts: dict[int, Tensor]) -> Tensor:
    """Sum of squares of each part, detached, zero for those that are missing: [7]."""
    zero = x.new_zeros(())
    return torch.stack([parts[k].detach().square().sum() if k in parts else zero for k in range(KINDS)])
