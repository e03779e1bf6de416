"""Edge level tasks: networks can read the features of the edge that they are asked about."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

import gnas
from gnas import GraphModel, Task
from gnas.evaluate import TrainFromScratch, builder
from gnas.export import source
from gnas.headed import hand_made
from gnas.links import edge_of_pair
from gnas.recipe import Recipe
from gnas.space import Space
from gnas.space.heads import EDGES, PAIRS, for_level

NODES, COUNT = 30, 200
SPACE = for_level(gnas.layered(1), "edge", edges=True)


def graph(**more: Any) -> Data:
    """The class of an edge is the sign of its own feature, of which its ends know nothing."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randperm(NODES * NODES, generator=generator)[:COUNT]
    attr = torch.randn(COUNT, 2, generator=generator)
    edge_index = torch.stack([pairs // NODES, pairs % NODES])
    roles = torch.arange(COUNT) % 4
    masks = {"train_mask": roles < 2, "val_mask": roles == 2, "test_mask": roles == 3}
    x = torch.randn(NODES, 3, generator=generator)
    given = {"x": x, "edge_index": edge_index, "edge_attr": attr, "y": (attr[:, 0] > 0).long(), **masks}
    return Data(**{**given, **more})


def bound(pair: str) -> Space:
    start = {name: choice.options[0] for name, choice in SPACE.choices.items()}
    return SPACE.bind(SPACE.genotype({**start, "pair": pair}))


def test_the_head_that_reads_edges_is_offered_where_there_are_some() -> None:
    assert SPACE.choices["pair"].options == EDGES and EDGES[:-1] == PAIRS
    assert for_level(gnas.layered(1), "edge").choices["pair"].options == PAIRS
    assert Task.from_data(graph(), level="edge").edge_of_pair is not None
    assert Task.from_data(graph(edge_attr=None), level="edge").edge_of_pair is None
    links = Task.from_data(graph(), level="link")
    assert links.edge_of_pair is None and all(batch.edge_label_attr is None for batch in links.batches("weights"))


@pytest.mark.parametrize("read", [True, False])
def test_an_edge_is_told_by_its_own_features(read: bool) -> None:
    task = Task.from_data(graph(), level="edge")
    evaluator = TrainFromScratch(Recipe(16, dropout=0.0, lr=0.02, weight_decay=0.0), epochs=60, patience=60)
    found = evaluator(builder(bound("pair_edge" if read else "pair_hadamard")), task, 0).metric_architecture
    assert found > 0.9 if read else found < 0.75


def test_hand_made_networks_read_them_too() -> None:
    evaluator = TrainFromScratch(Recipe(16, dropout=0.0, lr=0.02, weight_decay=0.0), epochs=60, patience=60)
    tasks = [Task.from_data(data, level="edge") for data in (graph(), graph(edge_attr=None))]
    told, blind = (evaluator(hand_made(task)["MLP"], task, 0).metric_architecture for task in tasks)
    assert told > 0.78 and blind < 0.7


def test_supernet_model_and_source_agree(tmp_path: Path) -> None:
    task = Task.from_data(graph(), level="edge")
    (batch,) = task.batches("weights")
    supernet = gnas.GraphSupernet(SPACE, task.in_channels, 16, task.out_channels, **task.inputs).eval()
    start = {name: choice.options[0] for name, choice in SPACE.choices.items()}
    for pair in EDGES:
        genotype = SPACE.genotype({**start, "pair": pair})
        supernet.set_arch(genotype)
        model = supernet.model(genotype).eval()
        out = task.forward(model, batch)
        assert torch.allclose(task.forward(supernet, batch), out, atol=1e-5), pair
        (tmp_path / "network.py").write_text(source(model), encoding="utf-8")
        network = runpy.run_path(str(tmp_path / "network.py"))["Network"]().eval()
        network.load_state_dict(model.state_dict())
        given: dict[str, Any] = {"edge_attr": batch.edge_attr, "edge_label_index": batch.edge_label_index}
        if pair == "pair_edge":
            given["edge_label_attr"] = batch.edge_label_attr
        assert torch.allclose(network(batch.x, batch.edge_index, **given), out, atol=1e-5), pair
    supernet.set_arch(None)
    task.loss(task.forward(supernet, batch), batch, "weights").backward()
    assert all(alpha.grad is not None and bool((alpha.grad != 0).any()) for alpha in supernet.arch_parameters())


def test_pairs_are_found_among_the_edges_in_their_direction() -> None:
    edge_index = torch.tensor([[0, 2, 1, 0], [1, 0, 0, 1]])
    notes: list[str] = []
    found = edge_of_pair(torch.tensor([[1, 0, 2], [0, 1, 0]]), edge_index, 3, notes)
    assert found is not None and found.tolist() == [2, 0, 1] and not notes
    assert edge_of_pair(torch.tensor([[0], [2]]), edge_index, 3, notes) is None
    assert notes == ["edge_label_index asks for pairs that are no edges, so no network reads edge features of pairs"]
    data = graph()
    asked = torch.arange(COUNT)[::2]
    some = Data(x=data.x, edge_index=data.edge_index, edge_attr=data.edge_attr)
    some.edge_label_index, some.edge_label = data.edge_index[:, asked], data.y[asked]
    (batch,) = Task.from_data(some, level="edge").batches("weights")
    assert data.edge_attr is not None and batch.edge_label_attr is not None
    assert torch.equal(batch.edge_label_attr, data.edge_attr[asked])


def test_missing_features_are_named() -> None:
    model = GraphModel(bound("pair_edge"), 3, 16, 2, edge_channels=2).eval()
    data = graph()
    with pytest.raises(ValueError, match=r"'pair_edge' reads the features .* edge_label_attr; .* 'pair_concat'"):
        model(data.x, data.edge_index, edge_attr=data.edge_attr, edge_label_index=data.edge_index)
