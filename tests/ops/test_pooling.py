"""Pooling on the common node set against PyG's, which takes the nodes away."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from graph_examples import close
from hypothesis import given, settings
from hypothesis import strategies as st
from item_examples import Items, items
from torch import Tensor, nn
from torch_geometric.nn import SAGPooling, TopKPooling

from gnas.model import GraphModel
from gnas.ops import OPS
from gnas.ops.pooling import Kept, keep_best
from gnas.space import Choice, Node, Space
from gnas.supernet import GraphSupernet

KEPT = sorted(name for name, op in OPS.items() if isinstance(op, Kept))
CONVOLUTIONS = (*KEPT, "identity")
POOLS = {"keep_topk": TopKPooling, "keep_sag": SAGPooling}


def layered(first: str, second: str, pools: tuple[str, str], readout: str, ratio: float = 0.5) -> Space:
    """Two layers with a pooling each, and a readout."""
    settings = {"transform": True}
    nodes = (
        Node("conv1", first, ("x",), attrs=settings),
        Node("keep1", pools[0], ("conv1",), attrs={"ratio": ratio}),
        Node("layer1", "gate", ("conv1", "keep1")),
        Node("conv2", second, ("layer1", "keep1"), attrs=settings),
        Node("keep2", pools[1], ("conv2", "keep1"), attrs={"ratio": ratio}),
        Node("layer2", "gate", ("conv2", "keep2")),
        Node("read", readout, ("layer2", "keep2"), kind="graph"),
    )
    return Space("two", nodes, "read")


def network(space: Space, edges: bool) -> GraphModel:
    torch.manual_seed(0)
    return GraphModel(space, 5, 16, 3, edge_channels=3 if edges else 0).double().eval()


def by_pyg(model: GraphModel, graphs: Items, pools: tuple[str, str]) -> Tensor:
    """The same network with PyG's poolings, after which there are fewer nodes and edges."""
    layer: dict[str, Any] = dict(model.named_children())
    h, edge_index, batch = layer["encoder"](graphs.graph.x), graphs.graph.edge_index, graphs.batch
    edge_attr = layer["edge_encoder"](graphs.edge_attr) if "edge_encoder" in layer else None
    for i, pool in enumerate(pools, start=1):
        conv = layer[f"conv{i}"]
        if isinstance(conv, nn.Linear):
            h = conv(h.relu())
        else:
            features = [edge_attr] if model.settings(model.space[f"conv{i}"]).get("edges") else []
            h = conv(h.relu(), edge_index, *features)
        if pool != "keep":
            h, edge_index, edge_attr, batch, _, _ = layer[f"keep{i}"].pool(h, edge_index, edge_attr, batch)
    read: Tensor = layer["decoder"](layer["read"](h, batch))
    return read


@settings(max_examples=40)
@given(
    first=st.sampled_from(CONVOLUTIONS),
    second=st.sampled_from(CONVOLUTIONS),
    pools=st.tuples(*[st.sampled_from(["keep", *POOLS])] * 2),
    readout=st.sampled_from(["readout_mean", "readout_max", "readout_attention"]),
    ratio=st.sampled_from([0.3, 0.5, 0.8]),
    edges=st.booleans(),
    seed=st.integers(0, 100),
)
def test_it_is_pygs_pooling(
    first: str, second: str, pools: tuple[str, str], readout: str, ratio: float, edges: bool, seed: int
) -> None:
    model, graphs = network(layered(first, second, pools, readout, ratio), edges), items(seed)
    for name, pool in zip(("keep1", "keep2"), pools, strict=True):
        assert pool == "keep" or isinstance(model.get_submodule(f"{name}.pool"), POOLS[pool])
    given = {**graphs.arguments(edges), "edge_weight": None}
    close(model(**given), by_pyg(model, graphs, pools))


@pytest.mark.parametrize("pool", ["keep", *POOLS])
@pytest.mark.parametrize("conv", KEPT)
def test_one_hot_is_pygs_pooling(conv: str, pool: str) -> None:
    # The relaxed space, with every choice open, at one of its corners.
    space = layered("kept_gcn", "kept_gcn", ("keep", "keep"), "readout_mean")
    poolings, convolutions = Choice("pool", ("keep", *POOLS)), Choice("conv", CONVOLUTIONS)
    opened = {"conv1": convolutions, "conv2": convolutions, "keep1": poolings, "keep2": poolings}
    nodes = tuple(Node(n.name, opened.get(n.name, n.op), n.inputs, n.kind, n.attrs) for n in space.nodes)
    space = Space("open", nodes, "read", share="none")
    torch.manual_seed(0)
    net, graphs = GraphSupernet(space, 5, 16, 3, dropout=0.0).double(), items(3)
    genotype = space.genotype({"conv": conv, "pool": pool})
    net.set_arch(genotype)
    given = {**graphs.arguments(False), "edge_weight": None}
    close(net(**given), by_pyg(net.model(genotype), graphs, (pool, pool)))
    # And close to it the mixture is close to it.
    net.set_arch(None)
    near = []
    for sharp in (20.0, 40.0):
        with torch.no_grad():
            for name, option in (("conv", conv), ("pool", pool)):
                net.alpha(name).zero_()[space.choices[name].index(option)] = sharp
        near.append(float((net(**given) - by_pyg(net.model(genotype), graphs, (pool, pool))).abs().max().detach()))
    assert near[1] < 1e-5 and near[1] <= near[0]


def test_the_best_of_each_graph_are_kept() -> None:
    score = torch.tensor([0.1, 0.9, 0.5, -0.3, 0.2, -0.1])
    batch = torch.tensor([0, 0, 0, 1, 1, 1])
    first = keep_best(score, None, batch, 0.5)
    assert first[:, 0].tolist() == [0, 1, 1, 0, 1, 1]
    assert torch.equal(first[:, 1], first[:, 0] * score)
    # Of two that are left, one; a dropped node does not come back however large its score.
    again = keep_best(torch.tensor([9.0, 0.0, 1.0, 9.0, 1.0, 0.0]), first, batch, 0.5)
    assert again[:, 0].tolist() == [0, 0, 1, 0, 1, 0]
    assert keep_best(score, first, None, 1.0)[:, 0].tolist() == first[:, 0].tolist()


def test_a_mixture_keeps_a_share_of_the_weight() -> None:
    # Half none, half a pooling that keeps every other node.
    keep = torch.tensor([1.0, 0.5, 1.0, 0.5]).unsqueeze(1).expand(-1, 2).clone().requires_grad_()
    kept = keep_best(torch.tensor([0.0, 0.4, 0.1, 0.2]), keep, None, 0.5)
    assert kept[:, 0].tolist() == [0.0, 0.0, 1.0, 0.0] or kept[:, 0].count_nonzero() == 2
    kept[:, 0].sum().backward()
    assert keep.grad is not None and torch.equal(keep.grad[:, 0] != 0, kept[:, 0] > 0)


def test_a_virtual_node_sees_its_graph_only() -> None:
    graphs = items()
    torch.manual_seed(0)
    model = GraphModel(Space("one", (Node("virtual1", "virtual_node", ("x",)),), "virtual1"), 5, 16, 3).double().eval()
    given = graphs.arguments(False)
    moved = {**given, "x": given["x"] + (graphs.batch == 0).unsqueeze(1) * torch.eye(14, 5, dtype=torch.float64)}
    changed = (model(**moved) - model(**given)).abs().sum(dim=1) > 1e-9
    assert torch.equal(changed, graphs.batch == 0)


def test_what_is_dropped_stays_zero_beside_a_virtual_node() -> None:
    nodes = (
        Node("keep1", "keep_topk", ("x",)),
        Node("layer1", "gate", ("x", "keep1")),
        Node("virtual1", "virtual_node", ("layer1", "keep1")),
    )
    torch.manual_seed(0)
    model = GraphModel(Space("s", nodes, "virtual1"), 5, 16, 3).double().eval()
    out = model(**items().arguments(False)) - model.decoder.bias
    zero = out.abs().sum(dim=1) < 1e-12
    assert int(zero.sum()) == 14 - 5 - 3


def test_edge_weights_are_read_by_gcn_among_the_kept() -> None:
    graphs = items(4)
    for conv in KEPT:
        model = network(layered(conv, conv, ("keep_topk", "keep"), "readout_sum"), False)
        given = graphs.arguments(False)
        same = torch.allclose(model(**given), model(**{**given, "edge_weight": None}))
        assert same == (not OPS[conv].weighted) and OPS[conv].weighted == (conv == "kept_gcn")
