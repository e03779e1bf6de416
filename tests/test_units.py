"""Numbers to predict: standardised by the weights split for learning, in the labels' units for everyone else."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

import gnas
from gnas import GraphModel, Task
from gnas.baselines import BASELINES
from gnas.evaluate import TrainFromScratch, builder
from gnas.export import source
from gnas.headed import hand_made
from gnas.recipe import Recipe
from gnas.units import Units, answering, scales_of

SPACE = gnas.layered(2)
NODES = 80


def graph(factor: float = 1.0, shift: float = 0.0) -> Data:
    """Labels that follow from the features, in units of ``factor`` from ``shift``; the test role's are far away."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(NODES, 4, generator=generator)
    y = torch.stack([x[:, 0] + 0.1 * x[:, 1], x[:, 2]], dim=1)
    roles = torch.arange(NODES) % 4
    y[roles == 3] += 100
    masks = {"train_mask": roles < 2, "val_mask": roles == 2, "test_mask": roles == 3}
    edge_index = torch.randint(NODES, (2, 100), generator=generator)
    return Data(x=x, edge_index=edge_index, y=y.double() * factor + shift, **masks)


def task(factor: float = 1.0, shift: float = 0.0, metric: str = "mae") -> Task:
    return Task.from_data(graph(factor, shift), metric=metric, features="none")


def network(of: Task, seed: int = 0) -> GraphModel:
    torch.manual_seed(seed)
    model = builder(SPACE.bind(SPACE.sample(random.Random(1))))(of, Recipe(16, dropout=0.1))
    assert isinstance(model, GraphModel)
    return model.eval()


def test_scales_are_those_of_the_weights_split_alone() -> None:
    found = task(3.0, 7.0)
    y = found.y[found.index("weights")]
    assert found.scales is not None
    mean, deviation = found.scales
    assert mean == pytest.approx(y.mean(dim=0).tolist(), abs=1e-4)
    assert deviation == pytest.approx(y.std(dim=0, correction=0).tolist(), rel=1e-4)
    assert any("standardised by mean and deviation of the weights split" in note for note in found.notes)


def test_gaps_and_constant_columns_have_scales_too() -> None:
    nan = float("nan")
    y = torch.tensor([[1.0, 5.0, nan, nan], [3.0, 5.0, 4.0, nan], [nan, 5.0, nan, nan]])
    assert scales_of(y) == ([2.0, 5.0, 4.0, 0.0], [1.0, 1.0, 1.0, 1.0])


def test_a_fresh_network_answers_around_the_mean_and_its_loss_has_no_units() -> None:
    plain, other = task(), task(1e3, -5e4)
    for build in (network, lambda of: (torch.manual_seed(0), BASELINES["GCN"](of, Recipe(16)).eval())[1]):
        found: dict[Task, Any] = {}
        for of in (plain, other):
            (batch,) = of.batches("weights")
            model = build(of)
            with torch.no_grad():
                found[of] = of.forward(model, batch), of.measure(model, ("weights",))["weights"]
        (answer, (loss, error)), (far, (far_loss, far_error)) = found[plain], found[other]
        assert torch.allclose(far, answer * 1e3 - 5e4, rtol=1e-3, atol=1.0)
        assert far_loss == pytest.approx(loss, rel=1e-3) and far_error == pytest.approx(1e3 * error, rel=1e-3)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_training_does_not_depend_on_the_units(metric: str) -> None:
    evaluator = TrainFromScratch(Recipe(16, dropout=0.0, lr=0.01, weight_decay=0.0), epochs=40, patience=40)
    build = builder(SPACE.bind(SPACE.sample(random.Random(1))))
    near, far = (evaluator(build, task(*units, metric), 0).metric_architecture for units in ((1.0, 0.0), (50.0, 900.0)))
    assert far == pytest.approx(50 * near, rel=0.1)
    labels = task(50.0, 900.0, metric)
    y = labels.y[labels.index("architecture")]
    assert far < 0.7 * float((y - y.mean(dim=0)).abs().mean())


def test_supernet_network_source_and_run_answer_in_the_labels_units(tmp_path: Path) -> None:
    of = task(2.0, 30.0)
    supernet = gnas.GraphSupernet(SPACE, of.in_channels, 16, of.out_channels, **of.inputs).eval()
    genotype = SPACE.sample(random.Random(2))
    supernet.set_arch(genotype)
    (batch,) = of.batches("weights")
    model = supernet.model(genotype).eval()
    with torch.no_grad():
        assert torch.allclose(of.forward(supernet, batch), of.forward(model, batch), atol=1e-4)
        assert 20 < float(of.forward(model, batch).mean()) < 40
    (tmp_path / "network.py").write_text(source(model), encoding="utf-8")
    written = runpy.run_path(str(tmp_path / "network.py"))["Network"]().eval()
    written.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.allclose(written(batch.x, batch.edge_index), of.forward(model, batch), atol=1e-5)
    recipe = Recipe(16, dropout=0.1)
    run = gnas.search(
        of,
        SPACE,
        gnas.Random(evaluations=2, evaluator=TrainFromScratch(recipe, epochs=3)),
        evaluator=TrainFromScratch(recipe, epochs=3),
        derivation=gnas.Derivation(listed=1, best_of=1, seeds=1, evidence=()),
        folder=tmp_path / "run",
        progress=False,
    )
    read = GraphModel.from_run(tmp_path / "run")
    assert read.units is not None and of.scales is not None
    assert read.units.scales()[0] == pytest.approx(of.scales[0])
    assert of.measure(read, ("architecture",))["architecture"][1] == pytest.approx(run.metric, rel=1e-4)


def test_hand_made_networks_answer_in_the_labels_units_and_classes_have_none() -> None:
    graphs = [
        Data(x=torch.rand(3, 4), edge_index=torch.zeros(2, 0).long(), y=torch.tensor([9.5 + i])) for i in range(9)
    ]
    of = Task.from_data(graphs, features="none")
    (batch, *_) = of.batches("weights")
    for name, build in hand_made(of).items():
        assert 5 < of.forward(build(of, Recipe(16)).eval(), batch).mean().item() < 25, name
    layer = torch.nn.Linear(2, 2)
    assert answering(layer, None) is layer
    classes = Task.from_data(Data(x=torch.rand(9, 2), edge_index=torch.zeros(2, 0).long(), y=torch.arange(9) % 3))
    assert classes.scales is None and "scales" not in classes.inputs
    assert Units([1.0], [2.0])(torch.tensor([[3.0]])).item() == 7.0
