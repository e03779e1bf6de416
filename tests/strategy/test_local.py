"""Local search: the climb, the restart, and what is known already."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from landscapes import Directed, Scored, begin, chain, differing, diverging, finish, rugged, slope

from gnas.strategy import BlackBoxState, Local
from gnas.strategy.black_box import Trial


@pytest.mark.parametrize("higher", [True, False])
def test_on_one_hill_the_whole_climb_takes_the_steepest_steps(higher: bool) -> None:
    space = chain(4, 3)
    strategy = Local(evaluations=80, evaluator=Scored())
    state = begin(strategy, space, higher=higher)
    genotypes = finish(strategy, state)
    top = [2] * 4 if higher else [0] * 4
    # Every neighbourhood has 4 * 2 networks, and a step sets one choice right.
    steps = sum(a != b for a, b in zip([int(str(o)[2]) for o in dict(genotypes[0].choices).values()], top, strict=True))
    reached = next(i for i, g in enumerate(genotypes) if slope(g) == sum(top))
    assert steps and reached <= 8 * steps
    assert all(differing(genotypes[0], g) == 1 for g in genotypes[1:9])
    best = max(genotypes[1:9], key=slope) if higher else min(genotypes[1:9], key=slope)
    assert differing(best, genotypes[9]) == 1


def test_no_network_comes_twice_and_all_come_in_the_end() -> None:
    strategy = Local(evaluations=100, evaluator=Scored(rugged))
    state = begin(strategy, chain(3, 3))
    genotypes = finish(strategy, state)
    assert len(genotypes) == len(set(genotypes)) == 27
    assert strategy.done(state)


@pytest.mark.parametrize("whole", [True, False])
def test_a_climb_ends_in_a_local_optimum_and_the_next_begins_elsewhere(whole: bool) -> None:
    stands: list[Trial] = []

    class Watched(Local):
        def look_around(self, state: BlackBoxState, here: Trial) -> None:
            stands.append(here)
            super().look_around(state, here)

    space = chain(4, 3)
    strategy = Watched(evaluations=81, whole=whole, evaluator=Scored(rugged))
    finish(strategy, begin(strategy, space))
    optima = 0
    for here, there in pairwise(stands):
        best = max(rugged(genotype) for genotype in space.neighbours(here.genotype))
        if there.metric > here.metric and differing(here.genotype, there.genotype) == 1:
            assert not whole or there.metric == best
        else:
            optima += 1
            assert best < here.metric
    assert optima > 2


def test_a_network_of_ones_own_leaves_no_neighbour_out() -> None:
    space, strategy = chain(4, 3), Local(evaluations=80, evaluator=Scored(rugged))
    state, task = begin(strategy, space), Directed()
    strategy.step(task, state)
    start = state.trials[0]
    far = max((space.sample(random.Random(i)) for i in range(50)), key=lambda g: differing(start.genotype, g))
    strategy.tell(task, state, far, strategy.evaluator.evaluate(space, far, task, 0))
    while not strategy.done(state) and state.memory["here"] in ("", start.network):
        strategy.step(task, state)
    seen = {trial.network for trial in state.trials}
    assert {space.bind(g).digest() for g in space.neighbours(start.genotype)} <= seen


def test_the_first_better_neighbour_is_enough_if_so_wanted() -> None:
    spent = []
    for whole in (True, False):
        strategy = Local(evaluations=150, whole=whole, evaluator=Scored())
        counts = []
        for seed in range(2):
            genotypes = finish(strategy, begin(strategy, chain(5, 4), seed))
            counts.append(next(i for i, g in enumerate(genotypes) if slope(g) == 15))
        spent.append(sum(counts))
    assert spent[1] < spent[0]


def test_a_climb_leaves_what_diverged() -> None:
    strategy = Local(evaluations=150, evaluator=Scored(diverging(slope)))
    state = begin(strategy, chain())
    finish(strategy, state)
    assert math.isnan(state.trials[0].metric)
    assert strategy.best(state).metric == 15


def test_bad_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="local got whole=1; expected True or False"):
        Local(whole=1)  # type: ignore[arg-type]
