"""Sites whose operation is settled, or whose candidates each have parameters of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from gnas import kernels
from gnas.ops import Context, Op, activate, find, settled, variants
from gnas.ops.base import Settings
from gnas.ops.convolution import Convolution
from gnas.space import Choice, Node

Inputs = Mapping[int, Tensor]
"""The values of those inputs that a site reads (its ``reads``), by position."""

State = dict[str, dict[str, Tensor]]
"""State dict of each layer of an operation, by the layer's ending."""


@dataclass(frozen=True)
class Mix:
    """Weights of a choice's options [options], and the positions of those that are not zero."""

    weights: Tensor
    active: tuple[int, ...]

    @classmethod
    def of(cls, weights: Tensor) -> Mix:
        """The mix of given weights."""
        return cls(weights, tuple(i for i, w in enumerate(weights.detach().tolist()) if w != 0))


Mixes = Mapping[str, Mix]


STATISTICS = {f"conv_{aggr}": aggr for aggr in ("sum", "mean", "max", "min", "std")}
FOLDED = {"identity": "identity", "gcn": "gcn", "sage_sum": "sum", "sage_mean": "mean", **STATISTICS}
"""Candidates that propagate in one pass over the neighbours, by their name in the kernels."""


class FixedSite(nn.Module):
    """A node whose operation and attributes are settled: its plain layers."""

    def __init__(self, node: Node, hidden: int, edges: bool = False) -> None:
        super().__init__()
        self.op, self.arity = find(str(node.op), node.name), len(node.inputs)
        self.settings = settled(self.op, node.settings, edges)
        self.layers = layers_of(self.op, self.arity, self.settings, hidden)
        self.inner = len(self.layers) > 0

    def reads(self, mixes: Mixes) -> list[int]:
        """Positions of the inputs that are read."""
        return list(self.op.reads(self.arity, self.settings))

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The node's value."""
        return _run(self.op, self.layers, self.arity, self.settings, inputs, context)

    def inherit(self, op: str, settings: Settings) -> tuple[State, float | None]:
        """State of the plain layers, and the constant that scales their value."""
        return states_of(self.layers), None


class OwnSite(nn.Module):
    """A mixed operation whose candidates have parameters of their own, as in DARTS: sum_k w_k op_k(inputs).

    Open attributes multiply the candidates: there is one for each operation and each setting, weighted by the
    product of their weights.
    """

    def __init__(self, node: Node, hidden: int, edges: bool = False) -> None:
        super().__init__()
        self.arity = len(node.inputs)
        places = [("op", node.op), *node.settings.items()]
        self.candidates: list[tuple[tuple[int, ...], Op, Settings]] = []
        self.layers = nn.ModuleList()
        for positions, op, settings in variants(node):
            settings = settled(op, settings, edges)
            self.candidates.append((positions, op, settings))
            self.layers.append(layers_of(op, self.arity, settings, hidden))
        # Name and option of each choice that makes a candidate.
        self.chosen = [
            [(place.name, i) for (_, place), i in zip(places, positions, strict=True) if isinstance(place, Choice)]
            for positions, _, _ in self.candidates
        ]
        self.inner = any(op.coefficients(self.arity, settings) is None for _, op, settings in self.candidates)

    # Compiled a second time, for other options, what they return comes out empty (torch 2.13).
    @torch.compiler.disable
    def _active(self, mixes: Mixes) -> list[int]:
        """Positions of the candidates whose options are all active."""
        return [k for k, chosen in enumerate(self.chosen) if all(i in mixes[name].active for name, i in chosen)]

    @torch.compiler.disable
    def _weights(self, mixes: Mixes) -> dict[int, Tensor]:
        """Weights of the active candidates by their positions: the product of their options' weights."""
        apart = {name: mixes[name].weights.unbind() for name in {name for name, _ in self.chosen[0]}}
        return {k: reduce(torch.mul, (apart[name][i] for name, i in self.chosen[k])) for k in self._active(mixes)}

    def reads(self, mixes: Mixes) -> list[int]:
        """Positions of the inputs that a candidate with a weight reads."""
        read: set[int] = set()
        for _, op, settings in (self.candidates[k] for k in self._active(mixes)):
            coefficients = op.coefficients(self.arity, settings)
            every = op.reads(self.arity, settings)
            read |= {i for i in every if coefficients is None or coefficients[i]}
        return sorted(read)

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The weighted sum of the candidates."""
        weights, values = [], []
        shares: dict[int, list[Tensor]] = {}
        for k, weight in self._weights(mixes).items():
            (_, op, settings), layers = self.candidates[k], cast(nn.ModuleDict, self.layers[k])
            coefficients = op.coefficients(self.arity, settings)
            if coefficients is None:
                weights.append(weight)
                values.append(_run(op, layers, self.arity, settings, inputs, context))
                continue
            for place, coefficient in enumerate(coefficients):
                if coefficient:
                    shares.setdefault(place, []).append(coefficient * weight)
        for place, parts in shares.items():
            weights.append(torch.stack(parts).sum())
            values.append(inputs[place])
        return kernels.combine(torch.stack(weights), values) if values else context.zeros

    def inherit(self, op: str, settings: Settings) -> tuple[State, float | None]:
        """State of one candidate's layers."""
        for (_, candidate, own), layers in zip(self.candidates, self.layers, strict=True):
            # That the network has edge features is no setting of a node.
            fits = all(settings.get(key) == value for key, value in own.items() if key != "edges")
            if candidate.name == op and fits:
                return states_of(cast(nn.ModuleDict, layers)), None
        raise ValueError(f"the site has no candidate {op!r} with {dict(settings)}")


class StackedSite(OwnSite):
    """A mixed convolution whose candidates have projections of their own (``share="none"``), as in the papers.

    A candidate that aggregates sums, or projects last, is h_k W_k + b_k with a state h_k made of the activated input.
    The matrices that follow one state add up, weighted, so that sum_k w_k (h_k W_k + b_k) is one product for each
    state and no candidate's own value is made. Those that propagate only are one pass over the neighbours, and the
    others run by themselves, all on one activated input, and add to one sum. Their weights, too, go into a projection
    where they can.
    """

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The weighted sum of the candidates."""
        x, weights = inputs[0], self._weights(mixes)
        if not weights:
            return context.zeros
        projecting = {k: weight for k, weight in weights.items() if self.candidates[k][2]["transform"]}
        out = self._project(projecting, x, context) if projecting else torch.zeros_like(x)
        plain: dict[str, list[Tensor]] = {}
        for k in (k for k in weights if k not in projecting):
            op, conv = self._layer(k)
            if op.name in FOLDED:
                plain.setdefault(FOLDED[op.name], []).append(weights[k])
            else:
                out.add_(kernels.combine(weights[k].view(1), [op.propagate(conv, x, context, False)]))
        if plain:
            totals = torch.stack([sum(parts[1:], parts[0]) for parts in plain.values()])
            out.add_(kernels.mix_aggregate(x, context.graph, totals, tuple(plain)))
        return out

    def _layer(self, k: int) -> tuple[Convolution, Any]:
        layers = cast(nn.ModuleDict, self.layers[k])
        return cast(Convolution, self.candidates[k][1]), layers["conv"] if len(layers) else None

    def _project(self, weights: Mapping[int, Tensor], x: Tensor, context: Context) -> Tensor:
        """The weighted sum of candidates that project."""
        read = _Aggregates(x, context)
        layers = {k: self._layer(k) for k in weights}
        matrices, bias = _weighted({k: (weights[k], *op.linear(conv)) for k, (op, conv) in layers.items()})
        # It is added to in place: a value is in the cache still when its sum is made, and has the gradient of the sum.
        out = torch.zeros_like(x) if bias is None else bias.expand_as(x).clone()
        products: dict[int, tuple[Tensor, list[Tensor]]] = {}
        others: list[int] = []
        for k, (op, conv) in layers.items():
            folds = op.folds(conv, matrices[k], read)
            if folds is None:
                others.append(k)
                continue
            for state, matrix in folds:
                products.setdefault(id(state), (state, []))[1].append(matrix)
        for state, parts in products.values():
            out.addmm_(state, sum(parts[1:], parts[0]).t())
        for k in others:
            op, conv = layers[k]
            out.add_(op.weighted_value(conv, weights[k], matrices[k], read("identity"), context))
        return out


def _weighted(
    linear: Mapping[int, tuple[Tensor, tuple[Tensor, ...], Tensor | None]],
) -> tuple[dict[int, list[Tensor]], Tensor | None]:
    """Each candidate's matrices times its weight, and the weighted sum of the biases, in few operations for all."""
    factors = [weight for weight, matrices, _ in linear.values() for _ in matrices]
    parts: Iterator[Tensor] = iter(())
    if factors:
        stacked = torch.stack([matrix for _, matrices, _ in linear.values() for matrix in matrices])
        parts = iter((torch.stack(factors).to(stacked.dtype).view(-1, 1, 1) * stacked).unbind())
    weighted = {k: [next(parts) for _ in matrices] for k, (_, matrices, _) in linear.items()}
    biased = [(weight, bias) for weight, _, bias in linear.values() if bias is not None]
    if not biased:
        return weighted, None
    shares, biases = (torch.stack(each) for each in zip(*biased, strict=True))
    return weighted, shares.to(biases.dtype) @ biases


class _Aggregates:
    """The activated input of a site and what is aggregated from it, each made when it is first asked for."""

    def __init__(self, x: Tensor, context: Context) -> None:
        self.x, self.context = x, context
        self.made: dict[str, Tensor] = {}

    def __call__(self, aggr: str) -> Tensor:
        if aggr not in self.made:
            self.made[aggr] = self.make(aggr)
        return self.made[aggr]

    def make(self, aggr: str) -> Tensor:
        graph = self.context.graph
        if aggr == "identity":
            return activate(self.x, self.context)
        if aggr == "mean":
            return graph.propagation(self.x.dtype, False).share.unsqueeze(1) * self("sum")
        return kernels.aggregate(self("identity"), graph, aggr)


def _key(ending: str) -> str:
    return ending or "conv"


def layers_of(op: Op, arity: int, settings: Settings, hidden: int) -> nn.ModuleDict:
    calls = op.layers(arity, settings)
    return nn.ModuleDict({_key(ending): call.build(hidden) for ending, call in calls.items()})


def states_of(layers: nn.ModuleDict) -> State:
    return {"" if key == "conv" else key: dict(layer.state_dict()) for key, layer in layers.items()}


def _run(op: Op, layers: nn.ModuleDict, arity: int, settings: Settings, inputs: Inputs, context: Context) -> Tensor:
    by_ending = {"" if key == "conv" else key: layer for key, layer in layers.items()}
    return op.forward(by_ending, [inputs[i] for i in op.reads(arity, settings)], settings, context)
