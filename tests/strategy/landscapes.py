"""Spaces and scores whose optimum is known, and how a black-box strategy is run on them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from strategy_fakes import TinyTask

from gnas.evaluate import Result
from gnas.space import Choice, Genotype, Node, Space
from gnas.strategy import BlackBox, BlackBoxState

Score = Callable[[Genotype], float]


def chain(choices: int = 5, options: int = 4) -> Space:
    """A chain of nodes, each with a choice of ops; every genotype is a network of its own."""
    names = tuple(f"op{k}" for k in range(options))
    nodes = [Node("h0", Choice("op.0", names), ("x",))]
    nodes += [Node(f"h{i}", Choice(f"op.{i}", names), (f"h{i - 1}",)) for i in range(1, choices)]
    return Space("chain", tuple(nodes), nodes[-1].name)


def ranks(genotype: Genotype) -> list[int]:
    """The number of the option at each choice of a chain."""
    return [int(str(option)[2:]) for option in dict(genotype.choices).values()]


def slope(genotype: Genotype) -> float:
    """One hill: each choice adds its number, so the climb is never held up."""
    return float(sum(ranks(genotype)))


def rugged(genotype: Genotype) -> float:
    """No slope at all: a number in [0, 1) that is as good as random, the same on every machine."""
    text = repr(sorted(dict(genotype.choices).items()))
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


@dataclass(frozen=True)
class Scored:
    """Evaluates a genotype by a function; the loss is the same for all."""

    score: Score = slope

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result:
        return Result(self.score(genotype), 1.0, epochs=1, seconds=0.0, parameters=1)


class Directed(TinyTask):
    """A task of either direction."""

    def __init__(self, higher_is_better: bool = True) -> None:
        super().__init__()
        self.higher_is_better = higher_is_better  # type: ignore[misc]


def begin(strategy: BlackBox, space: Space, seed: int = 0, higher: bool = True) -> BlackBoxState:
    return strategy.init(space, Directed(higher), torch.Generator().manual_seed(seed))


def finish(strategy: BlackBox, state: BlackBoxState, steps: int | None = None) -> list[Genotype]:
    """Run to the end, or for some steps; the genotypes in the order in which they were evaluated."""
    task = Directed(state.higher_is_better)
    before = len(state.trials)
    while not strategy.done(state) and (steps is None or len(state.trials) - before < steps):
        strategy.step(task, state)
    return [trial.genotype for trial in state.trials[before:]]


def differing(a: Genotype, b: Genotype) -> int:
    """In how many choices two genotypes differ."""
    return sum(x != y for x, y in zip(dict(a.choices).values(), dict(b.choices).values(), strict=True))


def diverging(score: Score, bad: str = "op0") -> Score:
    """A score where whoever has an op among its choices diverges."""

    def judge(genotype: Genotype) -> float:
        return math.nan if bad in dict(genotype.choices).values() else score(genotype)

    return judge
