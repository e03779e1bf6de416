"""Optuna's samplers: what they are told, that they are quiet, and that a study is made again as it was."""

from __future__ import annotations

import builtins
import io
import math
from typing import Any

import pytest
import torch
from landscapes import Directed, Scored, begin, chain, diverging, finish, rugged, slope

from gnas.strategy import CmaEs, Gp, Nsga2, Tpe
from gnas.strategy.optuna import Optuna

optuna = pytest.importorskip("optuna")
pytest.importorskip("cmaes")

KINDS: list[Optuna] = [
    Tpe(evaluations=18, evaluator=Scored()),
    Nsga2(evaluations=18, population=6, evaluator=Scored()),
    CmaEs(evaluations=18, population=5, evaluator=Scored()),
    Gp(evaluations=9, startup=4, evaluator=Scored()),
]
each = pytest.mark.parametrize("strategy", KINDS, ids=lambda kind: kind.name)


@each
def test_a_sampler_is_told_each_network_once_with_its_metric(strategy: Optuna) -> None:
    state = begin(strategy, chain(4, 3))
    genotypes = finish(strategy, state, strategy.evaluations - 1)
    assert len(set(genotypes)) == len(genotypes)
    session = state.cache["session"]
    told = [trial for trial in session.study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len(told) >= len(genotypes)
    for trial in told:
        genotype = strategy.decode(state, trial.params)
        # Lower is better in the study.
        assert genotype in genotypes and trial.value == -slope(genotype)
    assert {strategy.decode(state, trial.params) for trial in told} == set(genotypes)


@each
def test_a_genotype_comes_back_from_its_parameters(strategy: Optuna) -> None:
    state = begin(strategy, chain(4, 3))
    for _ in range(10):
        genotype = state.space.sample(state.random)
        assert strategy.decode(state, strategy.encode(state, genotype)) == genotype


@pytest.mark.parametrize("kind", [Tpe, Nsga2, CmaEs, Gp], ids=lambda kind: kind.name)
def test_it_does_better_than_chance(kind: Any) -> None:
    strategy = kind(evaluations=25 if kind is Gp else 100, evaluator=Scored())
    state = begin(strategy, chain(6, 4))
    late = finish(strategy, state)[-15:]
    # Uniform draws have 9 ± 2.7.
    assert sum(map(slope, late)) / 15 > 10.5


@each
@pytest.mark.parametrize("at", [2, 6])
def test_a_study_is_made_again_as_it_was(strategy: Optuna, at: int) -> None:
    state = begin(strategy, chain(3, 3), seed=5)
    finish(strategy, state, at)
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    expected = finish(strategy, state)
    file.seek(0)
    other = begin(strategy, chain(3, 3), seed=6)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert finish(strategy, other) == expected
    assert state.memory == {}, "a snapshot holds nothing of Optuna's"


@each
def test_what_others_evaluated_is_told_as_well(strategy: Optuna) -> None:
    space = chain(4, 3)
    state = begin(strategy, space)
    own = space.genotype({f"op.{i}": "op2" for i in range(4)})
    asked = strategy.ask(state)
    assert asked != own
    strategy.tell(Directed(), state, own, Scored().evaluate(space, own, None, 0))
    assert strategy.ask(state) == asked
    answer = Scored().evaluate(space, asked, None, 0)
    strategy.tell(Directed(), state, asked, answer)
    study = state.cache["session"].study
    values = [trial.value for trial in study.trials if trial.value is not None]
    assert sorted(values) == sorted([-8.0, -answer.metric_architecture])
    assert not study.get_trials(states=[optuna.trial.TrialState.FAIL]), "what was asked is answered, and not given up"
    finish(strategy, state, 3)
    assert sum(trial.genotype == own for trial in state.trials) == 1


@each
def test_what_diverged_is_told_as_the_worst_that_did_not(strategy: Optuna) -> None:
    kind = type(strategy)(evaluations=12, evaluator=Scored(diverging(rugged)))
    state = begin(kind, chain(3, 3))
    finish(kind, state, 11)
    values = [t.value for t in state.cache["session"].study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    finite = [trial.metric for trial in state.trials if math.isfinite(trial.metric)]
    assert all(map(math.isfinite, values)) and max(values) <= -min(finite) + 1e-12
    assert len(values) > len(finite)


def test_it_is_quiet_and_leaves_the_verbosity_alone(capfd: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    strategy = Tpe(evaluations=12, startup=3, evaluator=Scored())
    finish(strategy, begin(strategy, chain(3, 3)))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


@pytest.mark.parametrize(("strategy", "package"), [(KINDS[0], "optuna"), (KINDS[2], "cmaes")], ids=["optuna", "cmaes"])
def test_a_missing_package_is_named(strategy: Optuna, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import gnas.strategy.optuna as module

    def missing(name: str) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return builtins.__import__(name)

    monkeypatch.setattr(module, "import_module", missing)
    with pytest.raises(ImportError, match=rf"needs the package '{package}'.*pip install 'gnas\[optuna\]'"):
        begin(strategy, chain())
    assert strategy.describe()["name"] == strategy.name


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="tpe got startup=0"):
        Tpe(startup=0)
    with pytest.raises(ValueError, match=r"nsga2 got crossover=1\.5; expected a non-negative number of at most 1"):
        Nsga2(crossover=1.5)
    with pytest.raises(ValueError, match="cma_es got population=1"):
        CmaEs(population=1)
    with pytest.raises(ValueError, match="gp got startup=0"):
        Gp(startup=0)
