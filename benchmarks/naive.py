"""The supernet that gnas is measured against: each candidate a PyG layer of its own, run one after another."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv, SimpleConv

from gnas.ops import Context, find
from gnas.sites import STATISTICS, Inputs, Mixes
from gnas.space import Choice, Node


class NaiveSite(nn.Module):
    """The mixture of a shared site by PyG's layers: each candidate gathers, and makes a state of its own.

    The running scales of gnas's site, which would cost it little, are left out.
    """

    inner = False

    def __init__(self, node: Node, hidden: int) -> None:
        super().__init__()
        self.op, self.hidden = cast(Choice, node.op), hidden
        self.project = nn.Linear(hidden, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.layers = nn.ModuleList(self.layer(str(op)) for op in self.op.options)

    def layer(self, op: str) -> nn.Module:
        """PyG's layer for the projected state."""
        if op in STATISTICS:
            return SimpleConv(aggr=STATISTICS[op])
        if op == "gcn":
            conv = GCNConv(self.hidden, self.hidden, bias=False)
            conv.lin = nn.Identity()
            return conv
        if op == "gin":
            return GINConv(nn.Sequential(nn.ReLU(), nn.Linear(self.hidden, self.hidden, bias=False)), train_eps=True)
        calls = find(op, op).layers(1, {"transform": False})
        return calls[""].build(self.hidden) if calls else nn.Identity()

    def reads(self, mixes: Mixes) -> list[int]:
        """Positions of the inputs that are read."""
        return [0]

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The weighted sum of the candidates."""
        z = self.project(nn.functional.dropout(inputs[0].relu(), context.dropout, context.training))
        return _mixed(mixes[self.op.name].weights, self.layers, z, context) + self.bias


class NaiveOwnSite(nn.Module):
    """The mixture of candidates with projections of their own, each PyG's layer."""

    inner = False

    def __init__(self, node: Node, hidden: int) -> None:
        super().__init__()
        self.op = cast(Choice, node.op)
        self.layers = nn.ModuleList(
            find(str(op), node.name).layers(1, {"transform": True})[""].build(hidden) for op in self.op.options
        )

    def reads(self, mixes: Mixes) -> list[int]:
        """Positions of the inputs that are read."""
        return [0]

    def forward(self, inputs: Inputs, mixes: Mixes, context: Context) -> Tensor:
        """The weighted sum of the candidates."""
        x = nn.functional.dropout(inputs[0].relu(), context.dropout, context.training)
        return _mixed(mixes[self.op.name].weights, self.layers, x, context)


def _mixed(weights: Tensor, layers: nn.ModuleList, x: Tensor, context: Context) -> Tensor:
    values = [conv(x) if _alone(conv) else conv(x, context.graph.edge_index) for conv in layers]
    mixed: Any = (weights.view(-1, 1, 1) * torch.stack(values)).sum(dim=0)
    return cast(Tensor, mixed)


def _alone(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Identity | nn.Linear)
