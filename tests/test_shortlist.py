"""The shortlist: which genotypes inherited weights speak for."""

from __future__ import annotations

import torch
from torch_geometric.data import Data

from gnas.recipe import Recipe
from gnas.shortlist import shortlist
from gnas.space import Genotype, Space, layered
from gnas.supernet import GraphSupernet
from gnas.task import Task

RECIPE = Recipe(hidden_channels=16, dropout=0.0, lr=0.02, weight_decay=0.0)


def neighbours_tell() -> Task:
    """Pairs of nodes: a node's label is the sign of the other's feature, its own feature says nothing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(240, 1, generator=generator)
    pairs = torch.arange(240).view(-1, 2)
    edge_index = torch.cat([pairs, pairs.flip(1)]).t().contiguous()
    y = (x.view(-1, 2).flip(1).reshape(-1) > 0).long()
    return Task.from_data(Data(x=x, edge_index=edge_index, y=y), seed=0)


def plain(aggregators: tuple[str, ...], depth: int = 2) -> Space:
    return layered(depth, aggregators, transforms=0, transform=(False,), previous=(0.0,), initial=(0.0,))


def every(space: Space) -> list[Genotype]:
    first = space.genotype({name: choice.options[0] for name, choice in space.choices.items()})
    found = [first]
    for genotype in found:
        found += [other for other in space.neighbours(genotype) if other not in found]
    return found


def test_what_can_not_know_the_answer_comes_last() -> None:
    task, space = neighbours_tell(), plain(("identity", "sage_mean"))
    torch.manual_seed(0)
    net = GraphSupernet(space, 1, 16, 2)
    genotypes = every(space)
    assert len(genotypes) == 4
    ranked = shortlist(net, task, genotypes, 4, RECIPE, 60, 0)
    # One step reads the other node, two steps read the node itself again.
    best, metric = ranked[0]
    assert (best["aggregate"], best["depth"]) == ("sage_mean", "layer1") and metric > 0.9
    assert all(metric < 0.7 for _, metric in ranked[1:])


def test_it_keeps_the_best_and_changes_nothing() -> None:
    task, space = neighbours_tell(), plain(("identity", "sage_mean", "gcn"), depth=3)
    torch.manual_seed(0)
    net = GraphSupernet(space, 1, 16, 2)
    before, drawn = {key: value.clone() for key, value in net.state_dict().items()}, torch.get_rng_state()
    genotypes = every(space)
    short = shortlist(net, task, genotypes, 3, RECIPE, 20, 5)
    metrics = [metric for _, metric in short]
    assert len({genotype for genotype, _ in short} & set(genotypes)) == 3
    assert metrics == sorted(metrics, reverse=True)
    assert short == shortlist(net, task, genotypes, 3, RECIPE, 20, 5), "the seed decides"
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and task.test_reads == 0


def test_it_can_be_stopped() -> None:
    task, space = neighbours_tell(), plain(("identity", "sage_mean"))
    net = GraphSupernet(space, 1, 16, 2)
    asked = iter([False] * 5 + [True])
    assert shortlist(net, task, every(space), 2, RECIPE, 60, 0, lambda: next(asked)) == []
