"""Operations on node and edge states against their formulas, edge by edge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from graph_examples import close
from item_examples import items
from torch import Tensor

from gnas.model import GraphModel
from gnas.ops import OPS
from gnas.ops.relation import EdgeJoin, Relate
from gnas.space import Node, Space

GRAPHS = items(1)
EDGES = sorted(name for name, op in OPS.items() if isinstance(op, EdgeJoin))
NODES = sorted(name for name, op in OPS.items() if isinstance(op, Relate))


def network(op: str) -> GraphModel:
    inputs, kind = (("edge_attr", "x"), "edge") if op in EDGES else (("x", "edge_attr"), "node")
    torch.manual_seed(0)
    space = Space("one", (Node("step", op, inputs, kind=kind),), "step", ("x", "edge_attr"))
    return GraphModel(space, 5, 8, 3, edge_channels=3).double().eval()


def parts(model: GraphModel) -> tuple[Tensor, Tensor, Any]:
    assert model.edge_encoder is not None
    return model.encoder(GRAPHS.graph.x), model.edge_encoder(GRAPHS.edge_attr), model.get_submodule("step")


@pytest.mark.parametrize("op", NODES)
def test_edges_scale_and_shift_messages(op: str) -> None:
    model = network(op)
    h, e, layer = parts(model)
    source, target = GRAPHS.graph.edge_index
    found = torch.zeros(14, 8, dtype=torch.float64)
    for node in range(14):
        messages = [
            (1 + layer.scale(e[k])) * layer.lin(h[source[k]]) + layer.shift(e[k])
            for k in range(len(source))
            if target[k] == node
        ]
        if not messages:
            continue
        stacked = torch.stack(messages)
        if op == "relate_std":
            spread = stacked.var(dim=0, unbiased=False).clamp(min=1e-5).sqrt()
            found[node] = spread.masked_fill(spread <= 1e-5**0.5, 0)
        else:
            sums = {"relate_sum": stacked.sum(0), "relate_mean": stacked.mean(0), "relate_max": stacked.amax(0)}
            found[node] = sums[op]
    torch.testing.assert_close(model(**GRAPHS.arguments(True)), model.decoder(layer.out(found)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("op", EDGES)
def test_an_edge_reads_its_ends(op: str) -> None:
    model = network(op)
    h, e, layer = parts(model)
    rows = []
    for k, (i, j) in enumerate(GRAPHS.graph.edge_index.t().tolist()):
        a, b = layer.node(h[i]), layer.node(h[j])
        both = {
            "edge_difference": a - b,
            "edge_gauss": torch.exp(-((a - b) ** 2) / 2),
            "edge_hadamard": a * b,
            "edge_mean": (a + b) / 2,
            "edge_sum": a + b,
            "edge_max": torch.where(a > b, a, b),
        }[op]
        rows.append(layer.norm(layer.edge(e[k]) + both).relu())
    out = model(**GRAPHS.arguments(True))
    assert out.shape == (GRAPHS.edge_attr.size(0), 3)
    close(out, model.decoder(torch.stack(rows)))


def test_there_are_the_operations_of_the_papers() -> None:
    assert EDGES == [f"edge_{name}" for name in ("difference", "gauss", "hadamard", "max", "mean", "sum")]
    assert NODES == [f"relate_{name}" for name in ("max", "mean", "std", "sum")]
