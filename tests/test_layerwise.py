"""Layer-wise evaluation: blocks give what the whole graph gives, for every operation that says it is local."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

import gnas
from gnas import Task, layerwise
from gnas.batch import Batch
from gnas.kernels import Blocks, graph_of
from gnas.model import GraphModel
from gnas.ops import OPS
from gnas.space import Node, Space

HIDDEN = 16
NODES = 23


def graph(weighted: bool = False) -> Batch:
    """Duplicate edges, loops, isolated nodes and a hub that is read from every block."""
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(NODES - 2, (2, 70), generator=generator)
    hub = torch.stack([torch.arange(NODES - 2), torch.full((NODES - 2,), 3)])
    loops = torch.tensor([[5, 3, 8], [5, 3, 8]])
    edge_index = torch.cat([edge_index, hub, hub.flip(0), loops, edge_index[:, :5]], dim=1).unique(dim=1)
    edge_index = torch.cat([edge_index, edge_index[:, edge_index[0] != edge_index[1]][:, :6]], dim=1)
    edges = edge_index.size(1)
    weight = torch.rand(edges, generator=generator) + 0.1 if weighted else None
    attr = torch.randn(edges, 4, generator=generator)
    x = torch.randn(NODES, 5, generator=generator)
    return Batch(x, edge_index, weight, attr, torch.zeros(NODES), {})


def single(name: str) -> Space | None:
    """A program in which an operation is read after a first convolution; None where it is not for nodes or edges."""
    op = OPS[name]
    kind = op.gives or "node"
    if kind not in layerwise.KINDS:
        return None
    first = Node("first", "gcn", ("x",))
    if kind == "edge":
        mid = Node("mid", name, ("edge_attr", "first"), kind="edge")
        nodes = [first, mid, Node("again", name, ("mid", "first"), kind="edge")]
        return Space("one", (*nodes, Node("out", "relate_sum", ("first", "again"))), "out", ("x", "edge_attr"))
    if "edge" in op.takes:
        nodes = [first, Node("mid", name, ("first", "edge_attr"))]
        return Space("one", (*nodes, Node("out", "sage_mean", ("mid",))), "out", ("x", "edge_attr"))
    inputs = {"lerp": ("first", "x"), "sparse": ("first", "x"), "dense": ("first", "x")}.get(name, ("first",))
    inputs = ("first", "x") if name in ("concat", "max", "lstm", "merge", "sum") else inputs
    if name == "gate":
        return Space("one", (first, Node("mask", "keep", ("first",)), Node("out", "gate", ("first", "mask"))), "out")
    attrs = {"lerp": {"weight": 0.3}}.get(name, {})
    end = Node("out", "sum", ("kept", "mid")) if name != "keep" else Node("out", "gate", ("kept", "mid"))
    nodes = (first, Node("kept", "skip", ("first",)), Node("mid", name, inputs, attrs=attrs), end)
    return Space("one", nodes, "out")


def network(space: Space, edge_channels: int = 4) -> GraphModel:
    """A network in evaluation mode whose running statistics are those of no data at hand."""
    torch.manual_seed(1)
    model = GraphModel(space, 5, HIDDEN, 3, edge_channels=edge_channels)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
        if hasattr(module, "avg_deg_log"):
            module.avg_deg_log.fill_(1.3)
    return model.double().eval()


def double(batch: Batch) -> Batch:
    more = {
        key: None if (v := getattr(batch, key)) is None else v.double() for key in ("x", "edge_weight", "edge_attr")
    }
    return replace(batch, **more)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [name for name in OPS if single(name) is not None])
def test_each_operation_is_local_as_it_says(name: str, weighted: bool) -> None:
    space, batch = single(name), double(graph(weighted))
    assert space is not None
    model = network(space)
    if not OPS[name].local:
        with pytest.raises(ValueError, match=rf"'{name}' of kind 'node', which reads more of the graph"):
            model.by_layers(batch, 4)
        return
    whole = batch.run(model)
    for size in (1, 4, NODES):
        assert torch.allclose(model.by_layers(batch, size), whole, atol=1e-10), size


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("space", [gnas.layered(4), gnas.gap(), gnas.relational()], ids=lambda space: space.name)
def test_networks_of_the_spaces_give_what_they_give_on_the_whole_graph(space: Space, seed: int) -> None:
    bound = space.bind(space.sample(random.Random(seed)))
    model, batch = network(bound), double(graph(seed % 2 == 1))
    assert torch.allclose(model.by_layers(batch, 5), batch.run(model), atol=1e-9)


def test_blocks_hold_each_edge_once_and_read_what_ends_in_them() -> None:
    batch = graph(True)
    blocks = Blocks(batch.edge_index, NODES, batch.edge_weight, 6)
    seen = []
    for block in blocks:
        own = range(block.own.start, block.own.stop)
        assert block.nodes[: block.size].tolist() == list(own)
        assert block.nodes.unique().numel() == block.nodes.numel()
        assert torch.equal(block.nodes[block.graph.edge_index], batch.edge_index[:, block.edges])
        assert all(int(target) in own for target in batch.edge_index[1, block.edges])
        assert torch.equal(blocks.order[block.among], block.edges)
        seen += block.edges.tolist()
    assert sorted(seen) == list(range(batch.edge_index.size(1)))
    whole = graph_of(batch.edge_index, NODES, batch.edge_weight)
    degree = torch.zeros(NODES).index_add_(0, whole.looped.row, whole.looped_weight)
    assert torch.allclose(blocks.degree, degree.double())


def test_states_that_nobody_reads_any_more_are_let_go() -> None:
    chain = [Node(f"h{i}", "gcn", (f"h{i - 1}" if i else "x",)) for i in range(6)]
    passes = layerwise.Passes(Space("chain", tuple(chain), "h5"))
    assert passes.count == 7 and passes.last == {"x": 1, **{f"h{i}": i + 2 for i in range(5)}}
    local = [Node("a", "gcn", ("x",)), Node("b", "relu", ("a",)), Node("c", "sum", ("a", "b", "x"))]
    assert layerwise.Passes(Space("local", tuple(local), "c")).last == {"x": 1}


class Sums(torch.nn.Module):
    """A network that is none of gnas's: sums over neighbours."""

    def forward(self, x: Tensor, edge_index: Tensor, *more: object) -> Tensor:
        return x[:, :3].index_add(0, edge_index[1], x[edge_index[0], :3])


def task(measure: str, **more: Any) -> Task:
    batch = graph()
    y = torch.arange(NODES) // 4 % 3
    data = Data(x=batch.x, edge_index=batch.edge_index, y=y)
    for number, key in enumerate(("train_mask", "val_mask", "test_mask")):
        data[key] = torch.arange(NODES) % 3 == number
    return Task.from_data(data, loader="random", parts=4, measure=measure, **more)


def test_a_plain_network_is_measured_by_layers_and_a_supernet_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    run = layerwise.run
    monkeypatch.setattr(layerwise, "run", lambda *given: ran.append(given[2]) or run(*given))
    space = gnas.layered(3)
    model = network(space.bind(space.sample(random.Random(3))), 0).float()
    full, layers, parts = (task(measure).measure(model) for measure in ("full", "layers", "parts"))
    assert len(ran) == 1 and full != parts
    for role, (loss, metric) in full.items():
        assert layers[role] == (pytest.approx(loss, abs=1e-5), metric)
    test = task("layers")
    assert test.test(model) == task("full").test(model) and len(ran) == 2
    supernet = gnas.GraphSupernet(space, 5, HIDDEN, 3)
    assert task("layers").measure(supernet) == task("parts").measure(supernet)
    hand_made = Sums()
    assert task("layers").measure(hand_made) == task("full").measure(hand_made)


def test_a_search_refuses_what_is_not_local_before_it_begins(tmp_path: Path) -> None:
    space = gnas.layered(2, norms=("identity", "graph_norm"))
    with pytest.raises(ValueError, match=r"may be 'graph_norm' of kind 'node', which reads more of the graph"):
        gnas.search(task("layers"), space, folder=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_training_mode_and_loaders_without_parts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"training mode; expected evaluation mode, try model.eval"):
        network(Space("one", (Node("a", "gcn", ("x",)),), "a")).train().by_layers(double(graph()), 4)
    data = Data(x=torch.rand(9, 2), edge_index=torch.zeros(2, 0).long(), y=torch.arange(9) % 3)
    with pytest.raises(ValueError, match=r"measure='layers' and loader='full'; expected 'random' or 'cluster'"):
        Task.from_data(data, measure="layers")
