"""A trace says what a bound program says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_examples import spaces

from gnas.space import SPACES, Genotype, Space
from gnas.space.trace import Trace, Tracer


def of_bound(space: Space) -> str:
    """The output of a bound program as one expression."""
    said = {name: name for name in space.inputs}
    for node in space.nodes:
        inside = ", ".join(f"{key}={value!r}" for key, value in node.attrs if node.op != "zero")
        label = f"{node.op}({inside})" if inside else node.op
        reads = () if node.op == "zero" else node.inputs
        said[node.name] = f"{label}[{', '.join(said[str(read)] for read in reads)}]"
    return said[space.output]


def of_trace(trace: Trace, inputs: tuple[str, ...]) -> str:
    said: list[str] = []
    for label, reads in trace.steps:
        said.append(label if label in inputs else f"{label}[{', '.join(said[read] for read in reads)}]")
    return said[trace.output]


def agree(space: Space, genotype: Genotype) -> None:
    bound, trace = space.bind(genotype), Tracer(space)(genotype)
    assert of_trace(trace, space.inputs) == of_bound(bound)
    assert len(trace.steps) == len(bound.nodes) + sum(1 for label, _ in trace.steps if label in space.inputs)


@settings(max_examples=150)
@given(spaces(), st.integers(0, 1000))
def test_of_random_programs(space: Space, seed: int) -> None:
    agree(space, space.sample(random.Random(seed)))


@pytest.mark.parametrize("name", SPACES)
def test_of_every_published_space(name: str) -> None:
    space, generator = SPACES[name](), random.Random(0)
    for _ in range(5):
        agree(space, space.sample(generator))
