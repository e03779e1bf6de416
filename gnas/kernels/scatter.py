"""Message passing by torch-scatter's ``segment_csr`` and ``gather_csr``, for those who have it installed.

It makes a tensor of entries by channels for each sum and keeps it for the backward pass: that is what it costs. Sums
over rows and copies to entries are each other's gradient, so that all but the extremes can be differentiated to any
order by them; ties of extremes share the gradient, as with the other backends.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from gnas.kernels import portable
from gnas.kernels.graph import Structure
from gnas.kernels.mixing import Propagation, aggregates, squares_of
from gnas.kernels.reference import rectified_sum as rectified_sum
from gnas.kernels.reference import thinned

TYPES = (torch.float32, torch.float64)


def reason() -> str:
    """Why this backend isn't available here, or nothing where it is."""
    if find_spec("torch_scatter") is None:
        return "torch-scatter isn't installed"
    try:
        import torch_scatter  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return f"torch-scatter can't be imported: {error}"
    return ""


def fits(structure: Structure, x: Tensor) -> bool:
    """Whether this backend serves such a graph and such states: there are some."""
    return x.dtype in TYPES and x.device.type in ("cpu", "cuda") and structure.entries > 0 and x.numel() > 0


def _segments(x: Tensor, structure: Structure, reduce: str) -> Tensor:
    from torch_scatter import segment_csr

    out: Tensor = segment_csr(x.contiguous(), structure.pointer, reduce=reduce)
    return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, structure: Structure) -> Tensor:
        return _segments(x, structure, "sum")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Structure], output: Tensor) -> None:
        ctx.structure = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Copies.apply(grad, ctx.structure), None


class _Copies(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, structure: Structure) -> Tensor:
        from torch_scatter import gather_csr

        out: Tensor = gather_csr(x.contiguous(), structure.pointer)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Structure], output: Tensor) -> None:
        ctx.structure = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(grad, ctx.structure), None


class _Maximum(portable._Maximum):
    @staticmethod
    def forward(x: Tensor, structure: Structure) -> Tensor:
        neighbours = x.index_select(0, structure.column)
        # torch-scatter passes over what is not a number.
        wrong = _segments(neighbours.isnan().to(x.dtype), structure, "sum")
        return _segments(neighbours, structure, "max").masked_fill(wrong > 0, torch.nan)


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.weighted_sum`."""
    neighbours = x.index_select(0, structure.column)
    out: Tensor = _Sum.apply(neighbours if values is None else values.unsqueeze(1) * neighbours, structure)
    return out


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.inner_product`."""
    return (_Copies.apply(left, structure) * right.index_select(0, structure.column)).sum(dim=1)


def extreme(structure: Structure, x: Tensor, largest: bool) -> Tensor:
    """As :func:`gnas.kernels.reference.extreme`."""
    out: Tensor = _Maximum.apply(x, structure) if largest else -_Maximum.apply(-x, structure)
    return out


def moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.moments`."""
    count = structure.pointer.diff().clamp(min=1).to(x.dtype).unsqueeze(1)
    neighbours = x.index_select(0, structure.column)
    mean = _Sum.apply(neighbours, structure) / count
    deviation = neighbours - _Copies.apply(mean, structure)
    variance = _Sum.apply(deviation * deviation, structure) / count
    flat = variance <= 1e-5
    return mean, variance.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)


def statistics(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.statistics`."""
    return extreme(structure, x, True), extreme(structure, x, False), *moments(structure, x)


def edge_softmax(structure: Structure, logits: Tensor) -> Tensor:
    """As :func:`gnas.kernels.reference.edge_softmax`."""
    top = _segments(logits.detach(), structure, "max")
    weight = (logits - _Copies.apply(top, structure)).exp()
    return weight / (_Copies.apply(_Sum.apply(weight, structure), structure) + 1e-16)


def attention(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention`."""
    logits = source.index_select(0, structure.column) + _Copies.apply(target, structure)
    logits = logits if edge is None else logits + edge
    return _attend(structure, leaky_relu(logits, slope), z, keep)


def attention_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """As :func:`gnas.kernels.reference.attention_v2`."""
    both = _Copies.apply(z if target is None else target, structure) + z.index_select(0, structure.column)
    return _attend(structure, (leaky_relu(both, slope) * att).sum(dim=-1), z, keep)


def _attend(structure: Structure, logits: Tensor, z: Tensor, keep: Tensor | None) -> Tensor:
    weight = thinned(edge_softmax(structure, logits), keep)
    out: Tensor = _Sum.apply(weight.unsqueeze(2) * z.index_select(0, structure.column), structure)
    return out


def mix(
    structure: Structure, kinds: int, x: Tensor, weights: Tensor, propagation: Propagation, squares: bool
) -> tuple[Tensor, Tensor]:
    """As :func:`gnas.kernels.reference.mix`."""
    own = partial(weighted_sum, structure), partial(extreme, structure), partial(moments, structure)
    parts = aggregates(kinds, x, propagation, *own)
    out = sum((weights[k] * part for k, part in parts.items()), torch.zeros_like(x))
    return out, squares_of(x, parts) if squares else x.new_empty(0)
