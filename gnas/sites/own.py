"""Sites whose operation is settled, or whose candidates each have parameters of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

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
        self.places = [("op", node.op), *node.settings.items()]
        self.candidates: list[tuple[tuple[int, ...], Op, Settings]] = []
        self.layers = nn.ModuleList()
        for positions, op, settings in variants(node):
            settings = settled(op, settings, edges)
            self.candidates.append((positions, op, settings))
            self.layers.append(layers_of(op, self.arity, settings, hidden))
        self.inner = any(op.coefficients(self.arity, settings) is None for _, op, settings in self.candidates)

    # Compiled a second time, for other options, its list comes out empty (torch 2.13).
    @torch.compiler.disable
    def _chosen(self, positions: tuple[int, ...], mixes: Mixes) -> list[Tensor] | None:
        """Weights of a candidate's options, ``None`` where one of them is not active."""
        places = zip(self.places, positions, strict=True)
        chosen = [(mixes[place.name], i) for (_, place), i in places if isinstance(place, Choice)]
        return [mix.weights[i] for mix, i in chosen] if all(i in mix.active for mix, i in chosen) else None

    def reads(self, mixes: Mixes) -> list[int]:
        """Positions of the inputs that a candidate with a weight reads."""
        read: set[int] = set()
        for positions, op, settings in self.candidates:
            if self._chosen(positions, mixes) is not None:
                coefficients = op.coefficients(self.arity, settings)
                every = op.reads(self.arity, settings)
                read |= {i for i in every if coefficients is None or coefficients[i]}
        return sorted(read)

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The weighted sum of the candidates."""
        weights, values = [], []
        shares: dict[int, list[Tensor]] = {}
        for (positions, op, settings), layers in zip(self.candidates, self.layers, strict=True):
            chosen = self._chosen(positions, mixes)
            if chosen is None:
                continue
            weight = torch.stack(chosen).prod()
            coefficients = op.coefficients(self.arity, settings)
            if coefficients is None:
                weights.append(weight)
                values.append(_run(op, cast(nn.ModuleDict, layers), self.arity, settings, inputs, context))
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

    A candidate that aggregates sums, or projects last, is h_k W_k + b_k with an aggregate h_k of the activated input.
    The matrices that follow one aggregate add up, weighted, so that sum_k w_k (h_k W_k + b_k) is one product for each
    aggregate and no candidate's own value is made. Those that propagate only are one pass over the neighbours, and the
    others run by themselves, all on one activated input.
    """

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The weighted sum of the candidates."""
        x = inputs[0]
        active: Tensor | None = None
        plain: dict[str, list[Tensor]] = {}
        matrices: dict[str, list[Tensor]] = {}
        biases: list[Tensor] = []
        others: list[tuple[Tensor, Tensor]] = []
        for (positions, op, settings), layers in zip(self.candidates, self.layers, strict=True):
            chosen = self._chosen(positions, mixes)
            if chosen is None:
                continue
            weight, project = torch.stack(chosen).prod(), bool(settings["transform"])
            if not project and op.name in FOLDED:
                plain.setdefault(FOLDED[op.name], []).append(weight)
                continue
            conv, convolution = cast(nn.ModuleDict, layers)["conv"], cast(Convolution, op)
            active = activate(x, context) if project and active is None else active
            folds = convolution.folds(conv) if project else None
            if folds is None:
                read = active if project and active is not None else x
                others.append((weight, convolution.propagate(conv, read, context, project)))
                continue
            for aggr, matrix in folds[0].items():
                matrices.setdefault(aggr, []).append(weight * matrix)
            biases += [] if folds[1] is None else [weight * folds[1]]
        if plain:
            totals = torch.stack([torch.stack(parts).sum() for parts in plain.values()])
            others.append((x.new_ones(()), kernels.mix_aggregate(x, context.graph, totals, tuple(plain))))
        out = kernels.combine(torch.stack([w for w, _ in others]), [v for _, v in others]) if others else None
        for aggr, parts in matrices.items():
            # Sums of small matrices; each product adds to what is there.
            matrix, read = sum(parts[1:], parts[0]).t(), kernels.aggregate(cast(Tensor, active), context.graph, aggr)
            out = read @ matrix if out is None else torch.addmm(out, read, matrix)
        if out is None:
            return context.zeros
        return out + sum(biases[1:], biases[0]) if biases else out


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
