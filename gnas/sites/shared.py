"""Sites whose candidates share one projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gnas import kernels
from gnas.ops import Context, activate, find, settled
from gnas.ops.base import Settings
from gnas.ops.convolution import Convolution
from gnas.sites.own import FOLDED, Inputs, Mixes, State, layers_of, states_of
from gnas.space import Choice, Node
from gnas.space.node import Value

MIXED = {**FOLDED, "gat": "gat", "gatv2": "gatv2"}
"""Candidates that one mixture serves, by their name in the kernels."""
FOLDING = (*MIXED, "sage_max", "gin")
"""Candidates that can read the shared projection."""


class SharedSite(nn.Module):
    """A mixed convolution whose candidates share one projection (``share="site"``).

    With the projected state z = W dropout(relu(x)), or z = x where the layer doesn't transform, the value is
    sum_k w_k s_k aggr_k(z) + b. The constant s_k = rms(z) / rms(aggr_k(z)), of detached running means over
    earlier training steps, brings each candidate to the scale of what it reads, so that the weights are comparable;
    that of ``identity`` is one. Sums, attentions and other statistics of the neighbours are one mixture, see
    :func:`gnas.kernels.mix_aggregate`. GraphSAGE's candidates share a second projection for the node itself.
    Candidates that PyG lacks, and those that read edge features, keep parameters of their own.

    On a part of the channels it reads, and computes, these alone, by the block of its matrices that joins them.
    """

    momentum = 0.1
    inner = True

    def __init__(self, node: Node, hidden: int, edges: bool = False) -> None:
        super().__init__()
        self.op = node.op if isinstance(node.op, Choice) else Choice(node.name, (node.op,))
        self.transform = node.settings["transform"]
        ops = [str(option) for option in self.op.options]
        self.folding = frozenset(op for op in FOLDING if not (edges and find(op, node.name).edges))
        transforms = self.transform.options if isinstance(self.transform, Choice) else (self.transform,)
        self.project = nn.Linear(hidden, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.root = nn.Linear(hidden, hidden, bias=False) if any(op.startswith("sage_") for op in ops) else None
        self.own = nn.ModuleDict()
        for op in ops:
            for transform in transforms:
                settings = settled(find(op, node.name), {"transform": transform}, edges)
                if op not in self.folding:
                    self.own[f"{op} {transform}"] = layers_of(find(op, node.name), 1, settings, hidden)
        for op in ("gat", "gatv2"):
            if op in self.folding.intersection(ops):
                self.own[op] = find(op, node.name).layers(1, {"transform": False})[""].build(hidden)
        if "gin" in self.folding.intersection(ops):
            self.own["gin"] = _GIN(hidden, perceptron=True in transforms)
        self.rms: Tensor
        # The last entry is that of z.
        self.register_buffer("rms", torch.zeros(len(ops) + 1))
        self.tracking = True

    def reads(self, mixes: Mixes) -> list[int]:
        """Positions of the inputs that are read."""
        return [0]

    def draw(self, partial: int) -> Tensor | None:
        """Channels, one of so many, that this site can run on alone: whole heads where there is attention.

        None where a candidate keeps layers of its own, which have all channels.
        """
        if not self.folding.issuperset(str(option) for option in self.op.options):
            return None
        vectors = {"gat": "att_src", "gatv2": "att"}
        width = max((getattr(self.own[op], name).size(-1) for op, name in vectors.items() if op in self.own), default=1)
        heads = drawn(self.project.in_features // width, partial)
        return (heads.unsqueeze(1) * width + torch.arange(width)).flatten().to(self.bias.device)

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context, part: Tensor | None = None) -> Tensor:
        """The weighted sum of the candidates, of some channels alone if they are given."""
        x = inputs[0] if part is None else inputs[0].index_select(1, part)
        project, keep = self._transforms(mixes)
        if project is None and keep is None:
            return torch.zeros_like(x)
        active = activate(x, context) if project is not None else x
        mixed = _Mixed(self, x, active, project, keep, context, part)
        weights, positions = self._ops(mixes)
        # Those that one mixture serves come first, in the order of their weights and measures, too.
        options = [str(option) for option in self.op.options]
        folds = [op in MIXED and op in self.folding for op in options]
        positions = sorted(positions, key=lambda k: not folds[k])
        ops, folded = [options[k] for k in positions], sum(folds[k] for k in positions)
        weights = _part(weights, positions)
        scales = weights * _part(self._scales(), positions)
        biased = [n for n, op in enumerate(ops) if op in self.folding]
        bias = None
        if project is not None and biased:
            bias = self._projected(_part(weights, biased).sum(), project) * mixed.channels(self.bias)
        moves = self.training and self.tracking and x.numel() > 0
        base: Tensor | None = None
        squares: Tensor | None = None
        if folded:
            aggrs, vectors = [MIXED[op] for op in ops[:folded]], mixed.vectors(ops[:folded])
            given = mixed.z(), context.graph, _part(scales, range(folded)), aggrs
            if moves:
                base, squares = kernels.mix_aggregate(*given, True, attention=vectors, bias=bias)
            else:
                base = kernels.mix_aggregate(*given, attention=vectors, bias=bias)
        values = [mixed.candidate(op) for op in ops[folded:]]
        factors = [scales[folded:]] if values else []
        if moves:
            self._track([*positions, len(options)], squares, values, mixed.z())
        sage = [n for n, op in enumerate(ops) if op.startswith("sage_")]
        if sage and project is not None:
            factors.append(self._projected(_part(weights, sage).sum(), project).view(1))
            values.append(mixed.linear(cast(nn.Linear, self.root), active))
        if values:
            base = kernels.combine(torch.cat(factors), values, base)
            base = base if folded or bias is None else base.add_(bias)
        return torch.zeros_like(x) if base is None else base

    def _projected(self, weight: Tensor, project: Tensor) -> Tensor:
        """A weight times that of the transform, where that is a choice."""
        return weight * project if isinstance(self.transform, Choice) else weight

    def _transforms(self, mixes: Mixes) -> tuple[Tensor | None, Tensor | None]:
        if not isinstance(self.transform, Choice):
            one = self.bias.new_ones(())
            return (one, None) if self.transform else (None, one)
        mix = mixes[self.transform.name]
        weight: dict[Value, Tensor] = {self.transform.options[i]: mix.weights[i] for i in mix.active}
        return weight.get(True), weight.get(False)

    def _ops(self, mixes: Mixes) -> tuple[Tensor, Sequence[int]]:
        if self.op.name in mixes:
            return mixes[self.op.name].weights, mixes[self.op.name].active
        return self.bias.new_ones(1), (0,)

    @torch.no_grad()
    def _track(self, positions: list[int], squares: Tensor | None, values: Sequence[Tensor], z: Tensor) -> None:
        """Move the running means, of the positions' options and then of z: the first options by their sums of squares,
        which end with that of z, the others by their values."""
        measured = [*values, *([] if squares is not None else [z])]
        norms = [torch.linalg.vector_norm(value).square() for value in measured]
        if squares is None:
            squares = torch.stack(norms)
        elif norms:
            squares = torch.cat([squares[:-1], torch.stack(norms), squares[-1:]])
        now = (squares / z.numel()).sqrt().to(self.rms.dtype)
        # Identity is what is read: its entry stays zero, its scale one.
        options = self.op.options
        moving = [n for n, k in enumerate(positions) if k == len(options) or options[k] != "identity"]
        index = kernels.positions([positions[n] for n in moving], now.device)
        before, now = self.rms.index_select(0, index), _part(now, moving)
        self.rms.index_copy_(0, index, torch.where(before == 0, now, before.lerp(now, self.momentum)))

    def _scales(self) -> Tensor:
        """What brings each candidate to the scale of what it reads, [options]; one where none is known yet."""
        # Nothing over nothing is not a number, something over nothing infinite.
        return (self.rms[-1] / self.rms[:-1]).nan_to_num(1.0, 1.0)

    def inherit(self, op: str, settings: Settings) -> tuple[State, float | None]:
        """State of the plain layers of one candidate, and its scale."""
        transform = bool(settings.get("transform", op != "identity"))
        scale = float(self._scales()[self.op.index(op)])
        if op not in self.folding:
            return states_of(cast(nn.ModuleDict, self.own[f"{op} {transform}"])), scale
        state: dict[str, Tensor] = dict(self.own[op].state_dict()) if op in self.own else {}
        weight, bias = self.project.weight.detach(), self.bias.detach() / scale
        if op == "gin":
            state = cast(_GIN, self.own[op]).inherit(weight if transform else None, bias)
        elif transform:
            state |= self._projections(op, weight, bias, scale)
        return ({"": state} if state else {}), (None if op == "identity" else scale)

    def _projections(self, op: str, weight: Tensor, bias: Tensor, scale: float) -> dict[str, Tensor]:
        if op == "identity":
            return {"weight": weight, "bias": bias}
        if op.startswith("sage_"):
            root = cast(nn.Linear, self.root).weight.detach() / scale
            return {"lin_l.weight": weight, "lin_l.bias": bias, "lin_r.weight": root}
        if op == "gatv2":
            zero = torch.zeros_like(bias)
            shared = {"lin_l.weight": weight, "lin_r.weight": weight, "lin_l.bias": zero, "lin_r.bias": zero}
            return {**shared, "bias": bias}
        return {"lin.weight": weight, "bias": bias}


class _GIN(nn.Module):
    """What GIN's candidate doesn't share: eps, the first layer's bias and the second layer of its perceptron."""

    def __init__(self, hidden: int, perceptron: bool) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(hidden)) if perceptron else None
        self.second = nn.Linear(hidden, hidden, bias=False) if perceptron else None

    def inherit(self, weight: Tensor | None, bias: Tensor) -> dict[str, Tensor]:
        state = {"eps": self.eps.detach()}
        if weight is not None:
            second, inner = cast(nn.Linear, self.second), cast(Tensor, self.bias)
            state |= {"nn.0.weight": weight, "nn.0.bias": inner.detach()}
            state |= {"nn.2.weight": second.weight.detach(), "nn.2.bias": bias}
        return state


class _Mixed:
    """The candidates of a shared site at one input, with what they have in common computed once."""

    def __init__(
        self,
        site: SharedSite,
        x: Tensor,
        active: Tensor,
        project: Tensor | None,
        keep: Tensor | None,
        context: Context,
        part: Tensor | None,
    ) -> None:
        self.site, self.x, self.active, self.project, self.keep = site, x, active, project, keep
        self.context, self.part = context, part
        self.cache: dict[str, Tensor] = {}

    def channels(self, vector: Tensor) -> Tensor:
        """The entries of a vector of all channels that this is about."""
        return vector if self.part is None else vector.index_select(0, self.part)

    def linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        """The layer, or the block of it that joins the channels which this is about."""
        if self.part is None:
            return cast(Tensor, layer(x))
        return linear(x, layer.weight.index_select(0, self.part).index_select(1, self.part))

    def once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """A value that several candidates read."""
        if name not in self.cache:
            self.cache[name] = compute()
        return self.cache[name]

    def blend(self, projected: Callable[[], Tensor], kept: Callable[[], Tensor]) -> Tensor:
        """Mix a transformed and an untransformed value by the weights of the transform choice."""
        if not isinstance(self.site.transform, Choice):
            return projected() if self.site.transform else kept()
        pairs = [(w, value()) for w, value in ((self.project, projected), (self.keep, kept)) if w is not None]
        weights, values = zip(*pairs, strict=True)
        return kernels.combine(torch.stack(weights), values)

    def projected(self) -> Tensor:
        return self.once("projected", lambda: self.linear(self.site.project, self.active))

    def z(self) -> Tensor:
        return self.once("z", lambda: self.blend(self.projected, lambda: self.x))

    def candidate(self, op: str) -> Tensor:
        """Value of one candidate before its scale."""
        if op not in self.site.folding:
            return self.own_candidate(op)
        if op == "sage_max":
            # GraphSAGE projects after its maximum, so it is the activated state that is mixed with the plain one.
            top = kernels.aggregate(self.blend(lambda: self.active, lambda: self.x), self.context.graph, "max")
            return self.settle(lambda: self.linear(self.site.project, top), top)
        return self.gin()

    def vectors(self, ops: Sequence[str]) -> dict[str, tuple[Tensor, ...]]:
        """The vectors of those candidates that attend."""
        own = cast(Any, self.site.own)
        found: dict[str, tuple[Tensor, ...]] = {}
        if "gat" in ops:
            found["gat"] = (own["gat"].att_src, own["gat"].att_dst)
        if "gatv2" in ops:
            found["gatv2"] = (own["gatv2"].att,)
        if self.part is None:
            return found
        return {op: tuple(self.channels(v.flatten()).view(1, -1, v.size(-1)) for v in vs) for op, vs in found.items()}

    def gin(self) -> Tensor:
        layer = cast(_GIN, self.site.own["gin"])
        weights = torch.cat([torch.ones_like(layer.eps), 1 + layer.eps])
        # What isn't transformed has no bias, either.
        own = None if layer.bias is None else self.channels(layer.bias)
        bias = own if self.keep is None else None
        inner = kernels.mix_aggregate(self.z(), self.context.graph, weights, ("sum", "identity"), bias=bias)
        moved = inner if bias is not None or own is None else inner + own
        return self.settle(lambda: self.linear(cast(nn.Linear, layer.second), moved.relu()), inner)

    def settle(self, projected: Callable[[], Tensor], kept: Tensor) -> Tensor:
        """What follows an aggregation: something with a transform, nothing without; mixed by the transform choice.

        The weights of the choice are in the aggregated state already, and one of them is zero or one at the ends, so
        they mix here as shares of their sum.
        """
        if self.project is None:
            return kept
        if self.keep is None:
            return projected()
        shares = torch.stack([self.project, self.keep])
        return kernels.combine(shares / shares.sum(), [projected(), kept])

    def own_candidate(self, op: str) -> Tensor:
        convolution = cast(Convolution, find(op, op))

        def run(transform: bool, x: Tensor) -> Tensor:
            layers = cast(nn.ModuleDict, self.site.own[f"{op} {transform}"])
            return convolution.propagate(layers["conv"], x, self.context, transform)

        return self.blend(lambda: run(True, self.active), lambda: run(False, self.x))


def drawn(count: int, partial: int) -> Tensor:
    """One in ``partial`` of the numbers below ``count``, one of them at least."""
    return torch.randperm(count)[: max(1, count // partial)]


def _part(x: Tensor, positions: Sequence[int]) -> Tensor:
    """The entries at these positions, the tensor itself where these are all in their order."""
    if list(positions) == list(range(len(x))):
        return x
    return x.index_select(0, kernels.positions(positions, x.device))
