"""Strategies from text: what is said becomes the settings that Python would make, and nothing else passes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gnas.relaxation import Sigmoid
from gnas.strategy import STRATEGIES, Darts, EigenvalueStop, Nsga2, Perturbation, Selection, Surrogate, labels


def made(label: str, **given: Any) -> Any:
    name, settings = labels.split(label)
    return labels.make(STRATEGIES[name], settings, given)


@pytest.mark.parametrize(
    ("label", "strategy"),
    [
        ("darts", Darts()),
        ("darts:order=2:hvp=exact", Darts(order=2, hvp="exact")),
        ("darts:auxiliary=1:grad_clip=null:checkpoint=true", Darts(auxiliary=1, grad_clip=None, checkpoint=True)),
        ("darts:stop=EigenvalueStop:auxiliary=1", Darts(stop=EigenvalueStop(), auxiliary=1.0)),
        ("darts:selection=Selection", Darts(selection=Selection())),
        ("darts:relaxation=Sigmoid:zero_one=10", Darts(relaxation=Sigmoid(), zero_one=10)),
        ("darts:perturbation=Perturbation", Darts(perturbation=Perturbation())),
        ("surrogate:final=left_out:initial=20", Surrogate(final="left_out", initial=20)),
        ('nsga2:objectives=["parameters", "macs"]', Nsga2(objectives=("parameters", "macs"))),
    ],
)
def test_text_makes_what_python_makes(label: str, strategy: object) -> None:
    assert made(label) == strategy


def test_settings_of_objects_come_beside_those_of_text() -> None:
    assert made("darts:auxiliary=1", order=2) == Darts(order=2, auxiliary=1)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("darts:depth=2", "got the setting 'depth=2'; expected one such as"),
        ("darts:order", "got the setting 'order'"),
        ("darts:order=", "got the setting 'order='"),
        ("darts:order=2:order=2", "got the setting 'order' twice"),
        ("darts:order=2.0", "expected a value of type int"),
        ("darts:order=true", "expected a value of type int"),
        ("darts:order=3", "expected 1 .first order. or 2"),
        ("darts:auxiliary=much", "expected a value of type float"),
        ("darts:checkpoint=1", "expected a value of type bool"),
        ("darts:stop=Selection", "expected EigenvalueStop, or a strategy made in Python"),
        ("darts:relaxation=Selection", "expected Gumbel or MaxW or OnePath or Sigmoid or Softmax or TwoPaths, or"),
        ("random:evaluator=Tabular", "or a strategy made in Python"),
        ("random:evaluations=null", "expected a value of type int"),
        ("nsga2:objectives=[1]", "expected a value of type tuple"),
    ],
)
def test_what_is_no_setting_is_refused(label: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(label)


def test_what_is_given_and_told_is_refused() -> None:
    with pytest.raises(ValueError, match="'order' twice"):
        made("darts:order=2", order=1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_plain_default_can_be_told(name: str) -> None:
    kind = STRATEGIES[name]
    plain = {
        entry.name: entry.default
        for entry in dataclasses.fields(kind)
        if isinstance(entry.default, (bool, int, float, str))
    }
    told = [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in plain.items()]
    assert labels.make(kind, tuple(told)) == kind()
