"""Pairs of nodes: their formulas, and which are the same from either end."""

from __future__ import annotations

import pytest
import torch
from graph_examples import close
from item_examples import items

from gnas.model import GraphModel
from gnas.space import Node, Space

GRAPHS = items()


def network(op: str) -> GraphModel:
    torch.manual_seed(0)
    return GraphModel(Space("one", (Node("both", op, ("x",), kind="pair"),), "both"), 5, 8, 3).double().eval()


@pytest.mark.parametrize("op", ["pair_hadamard", "pair_difference", "pair_concat"])
def test_formulas(op: str) -> None:
    model, given = network(op), GRAPHS.arguments(False)
    h = model.encoder(GRAPHS.graph.x)
    u, v = h[GRAPHS.pairs[0]], h[GRAPHS.pairs[1]]
    if op == "pair_concat":
        value = model.get_submodule("both")(torch.cat([u, v], dim=1))
    else:
        value = u * v if op == "pair_hadamard" else (u - v).abs()
    out = model(**given)
    assert out.shape == (6, 3)
    close(out, model.decoder(value))
    turned = model(**{**given, "edge_label_index": GRAPHS.pairs.flip(0)})
    assert torch.allclose(turned, out) == (op != "pair_concat")


def test_there_may_be_no_pair() -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    assert network("pair_concat")(**{**GRAPHS.arguments(False), "edge_label_index": none}).shape == (0, 3)
