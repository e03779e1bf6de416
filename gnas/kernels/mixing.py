"""The words of a mixture of aggregations: their names, their bits, what they know of a graph, and each by itself."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gnas.kernels.graph import Structure

AGGREGATIONS = ("sum", "mean", "gcn", "identity", "max", "min", "std")
"""What can be mixed; a set of them is a number whose bits are the positions here."""
KINDS = len(AGGREGATIONS)
IDENTITY = AGGREGATIONS.index("identity")
LINEAR = 0b1111
"""Those that are sums."""
ATTENTIONS = ("gat", "gatv2")
"""What can be mixed besides, given vectors of attention; its bits follow those."""
ALL = KINDS + len(ATTENTIONS)


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


class Attention(NamedTuple):
    """What the attentions of a mixture know.

    Args:
        looped: The edges with one self-loop a node.
        att: For each head GAT's vectors of the sender and of the receiver, and GATv2's, [3, heads, channels of a head].
        slope: Negative slope of the leaky ReLU, at least 0.
    """

    looped: Structure
    att: Tensor
    slope: float


def with_attention(
    backend: ModuleType,
    structure: Structure,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    propagation: Propagation,
    attention: Attention | None,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    """A backend's mixture with its attentions added one by one; it defines what those that fold them must compute.

    ``weights``: [9], as :data:`AGGREGATIONS` and :data:`ATTENTIONS`; the sums of squares are as many, and that of the
    identity is always there.
    """
    plain = kinds & (1 << KINDS) - 1
    out, found = torch.zeros_like(x), squares_of(x, {})
    if plain:
        out, found = backend.mix(structure, plain, x, weights[:KINDS], propagation, squares)
    parts: dict[int, Tensor] = {}
    if attention is not None:
        source, target, att = attention.att
        z = x.reshape(x.size(0), *att.shape)
        if kinds >> KINDS & 1:
            halves = [(z * half).sum(dim=-1) for half in (source, target)]
            parts[KINDS] = backend.attention(attention.looped, *halves, z, attention.slope).flatten(1)
        if kinds >> KINDS & 2:
            parts[KINDS + 1] = backend.attention_v2(attention.looped, att, z, attention.slope).flatten(1)
    for k, part in parts.items():
        out = out + weights[k] * part
    if not squares:
        return out, found
    own = x.detach().square().sum().view(1)
    return out, torch.cat([found[:IDENTITY], own, found[IDENTITY + 1 :], squares_of(x, parts, range(KINDS, ALL))])


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


def squares_of(x: Tensor, parts: dict[int, Tensor], places: range = range(KINDS)) -> Tensor:
    """Sum of squares of each part, detached, zero for those that are missing: [places]."""
    zero = x.new_zeros(())
    return torch.stack([parts[k].detach().square().sum() if k in parts else zero for k in places])
