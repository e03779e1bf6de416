"""The weighted mixture of aggregations, for the compiled backend; see :mod:`gnas.kernels.compiled`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnas.kernels import build, portable, threads
from gnas.kernels.graph import Structure
from gnas.kernels.mixing import ALL, ATTENTIONS, KINDS, LINEAR, Attention, Propagation, with_attention
from gnas.kernels.operators import CHANNELS, PARTIAL, address, again, alike, entries_of, full, op

HALVES = 3
"""Vectors of a head: those of both halves of the first version's logits, and the second version's."""
KEPT = 6
"""Planes that the backward pass of an attention reads: see ``attend.h``."""


class _Call:
    """What both passes hand to the library, checked, with the tensors that must live as long."""

    def __init__(
        self,
        pattern: Tensor,
        kinds: int,
        x: Tensor,
        weights: Tensor,
        share: Tensor,
        values: Tensor | None,
        diagonal: Tensor | None,
        bias: Tensor | None,
        att: Tensor | None,
    ) -> None:
        self.pattern, (self.nodes, self.channels) = pattern, x.shape
        self.entries = entries_of(pattern, self.nodes, self.nodes)
        self.kinds, self.attending = kinds & (1 << KINDS) - 1, kinds >> KINDS
        self.x = full("x", x, (share.numel(), self.channels), x.dtype)
        self.weights, self.share = full("weights", weights, (ALL,), x.dtype), share.contiguous()
        self.values = None if values is None else full("values", values, (self.entries,), x.dtype)
        self.diagonal = None if diagonal is None else full("diagonal", diagonal, (self.nodes,), x.dtype)
        self.bias = None if bias is None else full("bias", bias, (self.channels,), x.dtype)
        self.heads = self.width = 0
        self.att = att
        if att is not None:
            self.heads, self.width = att.size(1), self.channels // att.size(1)
            self.att = full("att", att, (HALVES, self.heads, self.width), x.dtype)

    def mixing(self) -> tuple[object, ...]:
        """Arguments of ``mix`` and its gradients up to the states and their channels."""
        places = [address(t) for t in (self.weights, self.share, self.values, self.diagonal, self.x)]
        return (self.pattern.data_ptr(), self.nodes, self.entries, self.kinds, *places, self.channels)

    def attention(self, slope: float) -> tuple[object, ...]:
        """Arguments of ``attend`` and its gradients up to the states."""
        weights = self.weights.data_ptr() + KINDS * self.weights.element_size()
        sizes = (self.pattern.data_ptr(), self.nodes, self.entries, self.attending, weights, self.heads, self.width)
        return (*sizes, slope, address(self.att), self.x.data_ptr())

    @property
    def work(self) -> int:
        """Multiplications, about."""
        return 2 * self.entries * self.channels

    @property
    def attention_work(self) -> int:
        """Those of an attention."""
        return 2 * (self.entries + self.nodes) * self.heads * (self.width + 20)


def _ranges(work: int) -> int:
    # A fixed number for a graph, so that no sum depends on the threads; one where there is little to share out.
    return PARTIAL if work >= threads.LARGE else 1


def _function(name: str, dtype: torch.dtype) -> Any:
    mixing, attention = "pnnnpppppn", "pnnnpnnfpp"
    signatures = {
        "mix": mixing + "pppnnp",
        "fold_back": mixing + "pppnpnp",
        "mix_back": mixing + "pppnpnp",
        "attend_logits": "pnnnnpppnp",
        "attend": attention + "ppppnnp",
        "attend_back": attention + "pppppppnnp",
    }
    return build.function(name, dtype, signatures[name])


@op("gnas::mix", device_types="cpu")
def _mix(
    pattern: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    bias: Tensor | None,
    att: Tensor | None,
    slope: float,
    squares: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    call = _Call(pattern, kinds, x, weights, share, values, diagonal, bias, att)
    (out,) = alike(x)
    kept = x.new_empty(0)
    ranges = _ranges(call.work) if squares else 0
    totals = _totals(x, max(ranges, _ranges(call.attention_work))) if squares else None
    columns = 0 if totals is None else totals.size(1)
    arguments = (*call.mixing(), address(call.bias), out.data_ptr(), address(totals), columns)
    threads.run(_function("mix", x.dtype), arguments, threads.count(call.work), ranges)
    if att is not None:
        kept = _attend(call, slope, out, totals)
    return out, x.new_empty(0) if totals is None else totals.sum(dim=1).to(x.dtype), kept


def _totals(x: Tensor, columns: int) -> Tensor:
    # Sums for each aggregation, of which each range of rows, or each channel or head, has its own.
    return x.new_zeros((ALL, columns), dtype=torch.float64)


def _attend(call: _Call, slope: float, out: Tensor, totals: Tensor | None) -> Tensor:
    # Adds the attentions to the value and their squares to the sums; what the backward pass reads.
    x, workers = call.x, threads.count(call.attention_work)
    # What only one of them reads is zero where that one isn't mixed.
    make = x.new_empty if call.attending == (1 << len(ATTENTIONS)) - 1 else x.new_zeros
    kept = make((KEPT, call.nodes, call.heads))
    ranges = _ranges(call.attention_work)
    if call.attending & 1:
        sizes = (call.pattern.data_ptr(), call.nodes, call.entries, call.heads, call.width)
        places = (address(call.att), x.data_ptr(), kept.data_ptr())
        threads.run(_function("attend_logits", x.dtype), (*sizes, *places), workers)
    room = x.new_empty(ranges, call.channels)
    found = (0, 0) if totals is None else (totals[KINDS:].data_ptr(), totals.size(1))
    arguments = (*call.attention(slope), kept.data_ptr(), room.data_ptr(), out.data_ptr(), *found)
    threads.run(_function("attend", x.dtype), arguments, workers, ranges)
    return kept


@_mix.register_fake
def _(
    pattern: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    bias: Tensor | None,
    att: Tensor | None,
    slope: float,
    squares: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    kept = x.new_empty(0) if att is None else x.new_empty(KEPT, x.size(0), att.size(1))
    return alike(x)[0], x.new_empty(ALL if squares else 0), kept


@op("gnas::mix_back", device_types="cpu")
def _to_mix(
    pattern: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    biased: bool,
    att: Tensor | None,
    slope: float,
    kept: Tensor,
    grad: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    call = _Call(pattern, kinds, x, weights, share, values, diagonal, None, att)
    grad = full("grad", grad, tuple(x.shape), x.dtype)
    (out,) = alike(x)
    workers = threads.count(call.work)
    if call.kinds & ~LINEAR:
        name, workers = "mix_back", min(workers, -(-call.channels // CHANNELS))
        ranges, rows, columns = workers, 1, call.channels
    else:
        name, rows = "fold_back", _ranges(call.work)
        ranges, columns = rows, max(rows, call.heads)
    totals = _totals(x, columns)
    to_bias = x.new_zeros((rows if biased else 0, call.channels), dtype=torch.float64)
    places = (grad.data_ptr(), out.data_ptr(), totals.data_ptr(), columns, to_bias.data_ptr() if biased else 0)
    threads.run(_function(name, x.dtype), (*call.mixing(), *places), workers, ranges)
    to_att = x.new_empty(0) if att is None else _attend_back(call, slope, kept, grad, out, totals)
    moved = to_bias.sum(dim=0).to(x.dtype) if biased else x.new_empty(0)
    return out, totals.sum(dim=1).to(x.dtype), moved, to_att


def _attend_back(call: _Call, slope: float, kept: Tensor, grad: Tensor, out: Tensor, totals: Tensor) -> Tensor:
    # Adds to the states' gradient and to the products for the weights; the gradient to the vectors.
    x, shape = call.x, (HALVES, call.heads, call.width)
    to_logits, room = x.new_zeros(2, call.nodes, call.heads), x.new_zeros(shape)
    to_att = x.new_zeros(shape, dtype=torch.float64)
    places = (t.data_ptr() for t in (kept, grad, to_logits, out, room, to_att, totals[KINDS:]))
    # Threads share out the heads, and a vector holds all of a row: half of them take more than half of the time.
    workers = min(threads.count(call.attention_work // 16), call.heads)
    arguments = (*call.attention(slope), *places, totals.size(1))
    threads.run(_function("attend_back", x.dtype), arguments, workers, workers)
    return to_att.to(x.dtype)


@_to_mix.register_fake
def _(
    pattern: Tensor,
    kinds: int,
    x: Tensor,
    weights: Tensor,
    share: Tensor,
    values: Tensor | None,
    diagonal: Tensor | None,
    biased: bool,
    att: Tensor | None,
    slope: float,
    kept: Tensor,
    grad: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    to_att = x.new_empty(0) if att is None else alike(att)[0]
    return alike(x)[0], x.new_empty(ALL), x.new_empty(x.size(1) if biased else 0), to_att


def _keep_mix(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pattern, ctx.kinds, x, weights, share, values, diagonal, bias, att, ctx.slope, _ = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.biased = bias is not None
    ctx.save_for_backward(pattern, x, weights, share, values, diagonal, bias, att, output[2])


def _mix_back(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    pattern, x, weights, share, values, diagonal, bias, att, kept = ctx.saved_tensors
    found: list[Tensor | None]
    if torch.is_grad_enabled():
        structure = Structure.from_pattern(pattern, share.numel(), share.numel())
        propagation = Propagation(share, values, diagonal)
        given = [x, weights, *(t for t in (bias, att) if t is not None)]

        def formula(z: Tensor, w: Tensor, *more: Tensor) -> Tensor:
            attention = None if att is None else Attention(structure.looped(), more[-1], ctx.slope)
            out, _ = with_attention(portable, structure, ctx.kinds, z, w, propagation, attention, False)
            return out if bias is None else out + more[0]

        found = again(formula, given, [grad])
        found = [*found[:2], found[2] if bias is not None else None, found[-1] if att is not None else None]
        return None, None, *found[:2], None, None, None, *found[2:], None, None
    both = _to_mix(
        pattern, ctx.kinds, x, weights, share, values, diagonal, bias is not None, att, ctx.slope, kept, grad
    )
    asked = (ctx.needs_input_grad[k] for k in (2, 3, 7, 8))
    found = [value if wanted else None for value, wanted in zip(both, asked, strict=True)]
    return None, None, *found[:2], None, None, None, *found[2:], None, None


_mix.register_autograd(_mix_back, setup_context=_keep_mix)
