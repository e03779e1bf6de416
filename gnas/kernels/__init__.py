"""Message passing on compressed rows: one front, several backends. Knows torch, never PyG's layers, never spaces.

The backends are ``compiled`` (one C file, see :mod:`gnas.kernels.compiled`) and ``portable`` (PyTorch's sparse
products) for the CPU, ``triton`` (:mod:`gnas.kernels.triton`) for GPUs, ``scatter`` (torch-scatter) for those who have
it, and ``reference`` (plain PyTorch, which defines the meaning). The fastest that can serve a call does:
:func:`backend` says which, :func:`use` decides otherwise. What a backend can't serve, such as other devices and types
than its own, goes to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Literal, TypeAlias, overload

import torch
from torch import Tensor

from gnas.kernels import combining, compiled, portable, reference, scatter, triton
from gnas.kernels.blocks import Block, Blocks
from gnas.kernels.graph import Graph, Structure, graph_of, structure_of
from gnas.kernels.memory import retain
from gnas.kernels.mixing import AGGREGATIONS, ALL, ATTENTIONS, IDENTITY, Attention, with_attention
from gnas.kernels.positions import positions

__all__ = [
    "AGGREGATIONS",
    "ATTENTIONS",
    "BACKENDS",
    "Block",
    "Blocks",
    "Graph",
    "Structure",
    "aggregate",
    "attention",
    "attention_v2",
    "backend",
    "combine",
    "edge_softmax",
    "extreme",
    "graph_of",
    "inner_product",
    "mix_aggregate",
    "moments",
    "positions",
    "reason",
    "rectified_sum",
    "retain",
    "statistics",
    "structure_of",
    "use",
    "weighted_sum",
]

BACKENDS = ("compiled", "portable", "triton", "scatter", "reference")
"""Names of the backends; of those that serve a device, the fastest first."""

_DEVICES = {"cpu": ("compiled", "portable", "reference"), "cuda": ("triton", "scatter", "reference")}
_INSTEAD = {
    "compiled": "a working C compiler, try use('portable')",
    "triton": "Triton and a GPU, try use(None) for the fastest that is there",
    "scatter": "torch-scatter, try use(None) for the fastest that is there",
}

_wish: str | None = None


class use:
    """Choose the backend: ``use("reference")`` for good, ``with use("reference"): ...`` for a while.

    Args:
        name: One of :data:`BACKENDS`, or ``None`` for the fastest that is available.

    Raises:
        ValueError: The name is unknown, or that backend isn't available here.
    """

    def __init__(self, name: str | None) -> None:
        global _wish
        if name is not None and name not in BACKENDS:
            raise ValueError(f"got backend {name!r}; expected one of {list(BACKENDS)}, try use(None) for the fastest")
        if name is not None and reason(name):
            raise ValueError(f"got backend {name!r}, which isn't available: {reason(name)}; expected {_INSTEAD[name]}")
        self._before, _wish = _wish, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        global _wish
        _wish = self._before


def backend(device: torch.device | str = "cpu") -> str:
    """Name of the backend that serves float32 on a device."""
    kind = torch.device(device).type
    served = {
        "compiled": ("cpu",),
        "portable": ("cpu",),
        "triton": ("cpu",) if triton.INTERPRETED else ("cuda",),
        "scatter": ("cpu", "cuda"),
        "reference": (kind,),
    }
    return next(name for name in _order(kind) if kind in served[name] and not reason(name))


def reason(name: str = "compiled") -> str:
    """Why a backend isn't available, or nothing where it is."""
    if name == "compiled":
        return compiled.reason(torch.float32)
    return triton.reason() if name == "triton" else scatter.reason() if name == "scatter" else ""


def _order(device: str) -> tuple[str, ...]:
    # What is tried on a device: what is wished for, then what comes after it.
    names = _DEVICES.get(device, ("reference",))
    if _wish is None:
        return names
    return names[names.index(_wish) :] if _wish in names else (_wish, "reference")


@torch.compiler.assume_constant_result
def _available(name: str, dtype: torch.dtype) -> bool:
    return not (compiled.reason(dtype) if name == "compiled" else reason(name))


def _backend(structure: Structure, x: Tensor, heads: int = 1) -> ModuleType:
    # torch.func doesn't see through the operators of torch.library, nor into torch-scatter.
    seen = not torch._C._are_functorch_transforms_active()
    for name in _order(x.device.type):
        if name == "compiled" and seen and compiled.fits(structure, x, heads) and _available(name, x.dtype):
            return compiled
        if name == "portable":
            return _without_compiler(structure, x)
        if name == "triton" and seen and triton.fits(structure, x) and _available(name, x.dtype):
            return triton
        if name == "scatter" and seen and scatter.fits(structure, x) and _available(name, x.dtype):
            return scatter
    return reference


def _without_compiler(structure: Structure, x: Tensor) -> ModuleType:
    # PyTorch's reduced sparse products exist on the CPU, for these two types, and neither for empty matrices nor for
    # those with more entries than places.
    fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    fits = fits and 0 < structure.entries <= structure.shape[0] * structure.shape[1]
    return portable if fits and x.numel() > 0 else reference


def weighted_sum(structure: Structure, values: Tensor | None, x: Tensor) -> Tensor:
    """``out_i = sum_j values_ij x_j``: [rows, channels] from ``values`` [entries] and ``x`` [columns, channels].

    Without values it is the plain sum.
    """
    values = None if values is None else values.to(x.dtype)
    out: Tensor = _backend(structure, x).weighted_sum(structure, values, x)
    return out


def inner_product(structure: Structure, left: Tensor, right: Tensor) -> Tensor:
    """``<left_i, right_j>`` for every entry: [entries]."""
    out: Tensor = _backend(structure, left).inner_product(structure, left, right)
    return out


def rectified_sum(graph: Graph, x: Tensor, edge: Tensor) -> Tensor:
    """What GINE sums (Hu and others, arXiv 1905.12265): ``sum_j relu(x_j + e_ij)``, [nodes, channels].

    Args:
        graph: The graph.
        x: [nodes, channels].
        edge: A state for each edge, in the order of the graph's ``edge_index``, [edges, channels].
    """
    structure = graph.plain
    out: Tensor = _backend(structure, x).rectified_sum(structure, graph.order, x, edge)
    return out


def extreme(structure: Structure, x: Tensor, largest: bool = True) -> Tensor:
    """Channel-wise maximum (minimum) over the neighbours, zero where there is none: [rows, channels].

    As with PyG, neighbours that tie share the gradient evenly.
    """
    out: Tensor = _backend(structure, x).extreme(structure, x, largest)
    return out


def moments(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the neighbours, as PyG's ``mean`` and ``std``: two of [rows, channels]."""
    out: tuple[Tensor, Tensor] = _backend(structure, x).moments(structure, x)
    return out


def statistics(structure: Structure, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maximum, minimum, mean and standard deviation over the neighbours, from one read of them."""
    out: tuple[Tensor, Tensor, Tensor, Tensor] = _backend(structure, x).statistics(structure, x)
    return out


def edge_softmax(structure: Structure, logits: Tensor) -> Tensor:
    """Softmax of ``logits`` [entries, heads] over the entries of each row."""
    out: Tensor = _backend(structure, logits, logits.size(1)).edge_softmax(structure, logits)
    return out


def attention(
    structure: Structure,
    source: Tensor,
    target: Tensor,
    z: Tensor,
    slope: float = 0.2,
    keep: Tensor | None = None,
    edge: Tensor | None = None,
) -> Tensor:
    """Attention of GAT: ``sum_j p_ij z_j`` with ``p_ij = softmax_j leaky_relu(source_j + target_i)``, for each head.

    Args:
        structure: The edges.
        source: The sender's half of each logit, [columns, heads].
        target: The receiver's half, [rows, heads].
        z: What is summed, [columns, heads, channels].
        slope: Negative slope of the leaky ReLU, at least 0.
        keep: What each p_ij is multiplied by after the softmax, [entries, heads] in the order of the structure's, such
            as the mask of a dropout; a constant. None for one.
        edge: What each edge adds to its logit before the leaky ReLU, [entries, heads] in that order. None for nothing.

    Returns:
        [rows, heads, channels], zero where there is no neighbour.
    """
    keep = None if keep is None else keep.detach()
    out: Tensor = _backend(structure, z, z.size(1)).attention(structure, source, target, z, slope, keep, edge)
    return out


def attention_v2(
    structure: Structure,
    att: Tensor,
    z: Tensor,
    slope: float = 0.2,
    keep: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """Attention of GATv2: as :func:`attention`, with ``p_ij = softmax_j att . leaky_relu(t_i + z_j)``.

    Args:
        structure: The edges.
        att: A vector for each head, [heads, channels] or [1, heads, channels].
        z: What is summed, the sender's half before the leaky ReLU, [columns, heads, channels].
        slope: Negative slope of the leaky ReLU.
        keep: As for :func:`attention`.
        target: The receiver's half t, [rows, heads, channels]; None for z where senders and receivers are the same
            nodes and share a projection.

    Returns:
        [rows, heads, channels], zero where there is no neighbour.
    """
    keep = None if keep is None else keep.detach()
    out: Tensor = _backend(structure, z, z.size(1)).attention_v2(structure, att, z, slope, keep, target)
    return out


def aggregate(x: Tensor, graph: Graph, aggr: str) -> Tensor:
    """One aggregation of :func:`mix_aggregate` by itself: [nodes, channels]."""
    structure = graph.plain
    if aggr == "identity":
        return x
    if aggr == "gcn":
        return weighted_sum(graph.looped, graph.symmetric(x.dtype), x)
    if aggr in ("max", "min"):
        return extreme(structure, x, largest=aggr == "max")
    if aggr == "std":
        return moments(structure, x)[1]
    return weighted_sum(structure, graph.averaging(x.dtype) if aggr == "mean" else None, x)


Vectors: TypeAlias = Mapping[str, Sequence[Tensor]]


@overload
def mix_aggregate(
    x: Tensor,
    graph: Graph,
    weights: Tensor,
    aggrs: Sequence[str] = AGGREGATIONS,
    squares: Literal[False] = False,
    *,
    attention: Vectors | None = None,
    bias: Tensor | None = None,
) -> Tensor: ...


@overload
def mix_aggregate(
    x: Tensor,
    graph: Graph,
    weights: Tensor,
    aggrs: Sequence[str],
    squares: Literal[True],
    *,
    attention: Vectors | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]: ...


def mix_aggregate(
    x: Tensor,
    graph: Graph,
    weights: Tensor,
    aggrs: Sequence[str] = AGGREGATIONS,
    squares: bool = False,
    *,
    attention: Vectors | None = None,
    bias: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The weighted mixture of aggregations, ``sum_k w_k aggregate_k(x) + bias``, with only the sum of them in memory.

    ``sum``, ``mean``, ``max``, ``min`` and ``std`` read the neighbours, ``gcn`` is Kipf and Welling's propagation with
    one self-loop a node, ``identity`` the node's own state, ``gat`` and ``gatv2`` attention over the neighbours and the
    node itself. What is a sum has one coefficient an edge (and head), ``sum_k w_k c_k(e)``; the others come from the
    same read of the neighbours.

    Args:
        x: [nodes, channels].
        graph: The graph; its edge weights are those of ``gcn`` alone.
        weights: [aggregations].
        aggrs: Name of each, of :data:`AGGREGATIONS` and :data:`ATTENTIONS`; one that comes twice has the sum of its
            weights.
        squares: Return the sums of squares too, detached, of each aggregate and, last, of ``x``: [aggregations + 1].
        attention: The vectors of ``gat`` (sender's and receiver's) and of ``gatv2`` (one), each [heads, channels of a
            head] or [1, heads, channels of a head], with a negative slope of 0.2.
        bias: What each row is moved by, [channels].

    Raises:
        ValueError: A name is unknown, there are not as many weights as names, or vectors of attention are missing or
            don't fit the channels.
    """
    known = (*AGGREGATIONS, *ATTENTIONS)
    unknown = sorted(set(aggrs) - set(known))
    if unknown or not aggrs or weights.shape != (len(aggrs),):
        raise ValueError(
            f"got the aggregations {list(aggrs)} with weights of shape {list(weights.shape)}; expected some of "
            f"{list(known)}, and a weight for each"
        )
    places = [known.index(name) for name in aggrs]
    kinds = sum(1 << place for place in set(places))
    index = positions(places, weights.device)
    vector = weights.new_zeros(ALL, dtype=x.dtype).index_add(0, index, weights.to(x.dtype))
    propagation = graph.propagation(x.dtype, "gcn" in aggrs)
    attending = [name for name in ATTENTIONS if name in aggrs]
    att = _vectors(x, attention or {}, attending) if attending else None
    backend = _backend(graph.plain, x, 1 if att is None else att.size(1))
    # Coefficients that are learned get their gradient where the mixture is made up of products.
    if propagation.values is not None and propagation.values.requires_grad and backend is compiled:
        backend = _without_compiler(graph.plain, x)
    if backend is compiled:
        out, found = compiled.mix(graph.plain, kinds, x, vector, propagation, att, SLOPE, bias, squares)
    else:
        given = None if att is None else Attention(graph.looped, att, SLOPE)
        out, found = with_attention(backend, graph.plain, kinds, x, vector, propagation, given, squares)
        out = out if bias is None else out + bias
    return (out, found.index_select(0, positions([*places, IDENTITY], x.device))) if squares else out


SLOPE = 0.2
"""Negative slope of the leaky ReLU in a mixture's attentions, as in PyG's layers by default."""


def _vectors(x: Tensor, given: Vectors, names: Sequence[str]) -> Tensor:
    # [3, heads, channels of a head]: GAT's two vectors and GATv2's, zeros where they aren't mixed.
    counts = {"gat": 2, "gatv2": 1}
    got = {name: [tuple(v.shape) for v in given.get(name, ())] for name in names}
    heads = {shape[-2:] for shapes in got.values() for shape in shapes}
    fits = len(heads) == 1 and all(h * w == x.size(1) for h, w in heads)
    if not fits or any(len(got[name]) != counts[name] for name in names):
        raise ValueError(
            f"got vectors of attention of shapes {got} for {x.size(1)} channels; expected two for gat and one for "
            "gatv2, each [heads, channels of a head], that together have as many channels"
        )
    shape = next(iter(heads))
    pairs = [(name, k) for name in ATTENTIONS for k in range(counts[name])]
    return torch.stack([given[n][k].reshape(shape) if n in names else x.new_zeros(shape) for n, k in pairs])


def combine(weights: Tensor, values: Sequence[Tensor], base: Tensor | None = None) -> Tensor:
    """``base + sum_k w_k v_k``: a tensor of the values' shape, from one pass over each of them.

    Args:
        weights: [options].
        values: A tensor for each option, all of one shape.
        base: What they are added to, of the same shape; nothing if not given.

    Raises:
        ValueError: The values differ in shape or type, or there are not as many as weights.
    """
    first, every = values[0], [*values, *([] if base is None else [base])]
    if weights.shape != (len(values),) or any(v.shape != first.shape or v.dtype != first.dtype for v in every):
        raise ValueError(
            f"got weights of shape {list(weights.shape)} for values of {[(list(v.shape), v.dtype) for v in every]}; "
            "expected one weight for each value, and values of one shape and type"
        )
    traced = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if traced or first.device.type != "cpu" or _wish == "reference":
        out = torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum(dim=0)
        return out if base is None else base + out
    return combining.combine(weights, values, base, _wish != "portable" and _available("compiled", first.dtype))
