"""Batch normalisations of a network that is measured on one whole graph are those of the network as it is then."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from gnas import GraphSupernet
from gnas.evaluate import TrainFromScratch, builder
from gnas.recipe import Recipe
from gnas.settling import settled
from gnas.space import for_level, gap, layered
from gnas.strategy import Nac, nac
from gnas.task import Task


def example(graphs: int = 1, **settings: object) -> Task:
    generator = torch.Generator().manual_seed(0)

    def graph() -> Data:
        edges = torch.randint(40, (2, 160), generator=generator)
        data = Data(x=torch.randn(40, 5, generator=generator), edge_index=edges, y=torch.arange(40) % 3)
        data.train_mask = torch.arange(40) < 15
        data.val_mask = (torch.arange(40) >= 15) & (torch.arange(40) < 28)
        data.test_mask = torch.arange(40) >= 28
        return data

    return Task.from_data(graph() if graphs == 1 else [graph() for _ in range(graphs)], name="example", **settings)  # type: ignore[arg-type]


def stack(task: Task, dropout: float = 0.5) -> nn.Module:
    space = gap(2)
    torch.manual_seed(0)
    return builder(space.bind(space.genotype(space.starts[-1])))(task, Recipe(8, dropout))


def norms(network: nn.Module) -> list[nn.BatchNorm1d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]


def statistics(network: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for norm in norms(network) for value in (norm.running_mean, norm.running_var)]  # type: ignore[union-attr]


def test_measuring_takes_the_statistics_of_the_graph() -> None:
    task = example()
    model = stack(task)
    (batch,) = task.batches("architecture")
    seen: dict[nn.Module, torch.Tensor] = {}
    for norm in norms(model):
        norm.register_forward_pre_hook(lambda module, args: seen.update({module: args[0]}))
    first = task.measure(model)
    assert norms(model) and not any(module.training for module in model.modules())
    for norm in norms(model):
        assert norm.momentum == 0.1
        torch.testing.assert_close(norm.running_mean, seen[norm].mean(0))
        torch.testing.assert_close(norm.running_var, seen[norm].var(0))
    # The plain module gives what was measured, but for torch's n - 1 in the variance that is kept.
    with torch.no_grad():
        plain = task.forward(model, batch)
        with settled(model):
            own = task.forward(model, batch)
    torch.testing.assert_close(plain, own, atol=0.05, rtol=0.05)
    assert task.measure(model) == first


def test_a_supernet_settles_too_and_a_network_without_norms_is_left_alone() -> None:
    task = example()
    net = GraphSupernet(gap(2), 5, 8, 3, dropout=0.5)
    before = statistics(net)
    task.measure(net)
    after = statistics(net)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    space = layered(2)
    model = builder(space.bind(space.genotype(space.starts[0])))(task, Recipe(8))
    assert not norms(model) and task.measure(model) == task.measure(model)


def test_what_a_training_hands_over_has_settled() -> None:
    task = example()
    model = stack(task)
    result = TrainFromScratch(Recipe(8, 0.5), epochs=5, patience=5).train(model, task)
    kept = {key: value for key, value in result.state.items() if "running" in key}
    task.measure(model)
    now = model.state_dict()
    for key, value in kept.items():
        torch.testing.assert_close(now[key], value)


def test_batches_of_graphs_go_by_running_averages() -> None:
    # A batch is not all there is, and an epoch has many.
    task = example(graphs=6, batch_size=2)
    model = stack(task)
    before = statistics(model)
    task.measure(model)
    for a, b in zip(before, statistics(model), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "settings", [{"graphs": 6, "batch_size": 2}, {"loader": "random", "parts": 3}, {"level": "link"}]
)
def test_over_batches_a_supernet_is_measured_by_what_it_is_now(settings: dict[str, Any]) -> None:
    task = example(**settings)
    torch.manual_seed(0)
    net = GraphSupernet(for_level(layered(2, norms=("identity", "batch_norm")), task.level), 5, 8, task.out_channels)
    # Running averages of some network that it no longer is.
    for norm in norms(net):
        norm.running_mean.fill_(5.0)  # type: ignore[union-attr]
        norm.running_var.fill_(1e-4)  # type: ignore[union-attr]
    drawn = torch.get_rng_state()
    first = task.measure(net)
    assert torch.equal(torch.get_rng_state(), drawn) and norms(net)
    assert not any(module.training for module in net.modules()) and {norm.momentum for norm in norms(net)} == {0.1}
    kept = statistics(net)
    seen: dict[nn.Module, list[torch.Tensor]] = {norm: [] for norm in norms(net)}
    hooks = [norm.register_forward_pre_hook(lambda module, args: seen[module].append(args[0])) for norm in seen]
    task.settle(net)
    for hook in hooks:
        hook.remove()
    for norm, states in seen.items():
        assert states
        torch.testing.assert_close(norm.running_mean, torch.stack([state.mean(0) for state in states]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([state.var(0) for state in states]).mean(0))
    assert all(torch.equal(a, b) for a, b in zip(kept, statistics(net), strict=True)) and task.measure(net) == first


def test_the_last_evaluation_reads_what_was_kept() -> None:
    task = example()
    model = stack(task)
    task.measure(model)
    before = statistics(model)
    task.test(model.train())
    assert not model.training
    for a, b in zip(before, statistics(model), strict=True):
        assert torch.equal(a, b)


def test_a_code_is_made_of_states_as_they_are_measured() -> None:
    """NAC trains nothing, so its decoder and its slopes must see the normalisations that its networks are judged by."""
    task, strategy = example(), Nac(hidden_channels=8, dropout=0.0)
    torch.manual_seed(0)
    state = strategy.init(gap(2), task, torch.default_generator)
    net = cast(Any, state.supernet)
    seen: list[list[torch.Tensor]] = []
    fit = nac.fit_decoder

    def spy(*arguments: Any) -> None:
        seen.append(statistics(net))
        task.measure(net, ("weights",))
        seen.append(statistics(net))
        fit(*arguments)

    with mock.patch.object(nac, "fit_decoder", spy):
        strategy.step(task, state)
    for fitted, measured in zip(*seen, strict=True):
        # A measuring divides by the number of nodes, BatchNorm's own record by one less.
        torch.testing.assert_close(fitted, measured, rtol=0.05, atol=1e-3)
