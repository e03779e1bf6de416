"""Ageing evolution: who may be a parent, and that selection does more than chance."""

from __future__ import annotations

import math
from statistics import median

import pytest
from landscapes import Scored, begin, chain, differing, diverging, finish, slope

from gnas.strategy import Evolution, Random


def test_children_differ_in_one_choice_from_one_of_the_living() -> None:
    strategy = Evolution(evaluations=60, population=8, sample=3, evaluator=Scored())
    genotypes = finish(strategy, begin(strategy, chain()))
    assert len(set(genotypes)) == 60
    for i in range(8, 60):
        assert 1 in {differing(genotypes[i], parent) for parent in genotypes[i - 8 : i]}


def test_the_first_generation_is_that_of_random_search() -> None:
    evolution = Evolution(evaluations=10, population=10, sample=3, evaluator=Scored())
    chance = Random(evaluations=10, evaluator=Scored())
    assert finish(evolution, begin(evolution, chain())) == finish(chance, begin(chance, chain()))


def test_with_a_sample_of_the_whole_population_the_parent_is_its_best() -> None:
    # Three hundred draws from six leave one of them out with a probability below 1e-23.
    strategy = Evolution(evaluations=40, population=6, sample=300, evaluator=Scored())
    genotypes = finish(strategy, begin(strategy, chain()))
    for i in range(6, 40):
        best = max(slope(g) for g in genotypes[i - 6 : i])
        assert any(differing(genotypes[i], g) == 1 for g in genotypes[i - 6 : i] if slope(g) == best)


@pytest.mark.parametrize("higher", [True, False])
def test_it_climbs_where_random_search_does_not(higher: bool) -> None:
    space, ends = chain(7, 5), []
    for kind in (Evolution(population=20, sample=5, evaluator=Scored()), Random(evaluations=200, evaluator=Scored())):
        best = []
        for seed in range(3):
            state = begin(kind, space, seed, higher)
            finish(kind, state)
            best.append(kind.best(state).metric)
        ends.append(median(best))
    # The optimum is 28 or 0; uniform draws have 14 ± 4.
    assert (ends[0] >= 27 and ends[1] < 26) if higher else (ends[0] <= 1 and ends[1] > 2)


def test_what_diverged_is_a_parent_of_last_resort() -> None:
    strategy = Evolution(evaluations=120, population=20, sample=8, evaluator=Scored(diverging(slope)))
    state = begin(strategy, chain())
    finish(strategy, state)
    late = [math.isnan(trial.metric) for trial in state.trials[60:]]
    early = [math.isnan(trial.metric) for trial in state.trials[:20]]
    assert sum(late) / 60 < sum(early) / 20 - 0.25
    assert strategy.best(state).metric == 15


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="evolution got population=0; expected a whole number of at least 1"):
        Evolution(population=0)
    with pytest.raises(ValueError, match=r"evolution got sample=2\.5; expected a whole number of at least 1"):
        Evolution(sample=2.5)  # type: ignore[arg-type]
