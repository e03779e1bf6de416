"""Samplers of Optuna as strategies: NSGA-II, TPE, a Gaussian process and CMA-ES.

Optuna (Akiba and others, KDD 2019, arXiv 1907.10902) is an extra, ``pip install 'gnas[optuna]'``, and is imported when
one of these is first asked. A snapshot holds nothing of it: a study lives in memory and is made again from the trials
by asking a sampler with the same seed the same questions and telling it the same answers, so a resumed run goes on as
the uninterrupted one would have.
"""

from __future__ import annotations

import math
import random
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from gnas.checks import check_count, check_flag, check_number
from gnas.space import Genotype
from gnas.strategy.black_box import ATTEMPTS, BlackBox, BlackBoxState

REPEATS = 20
"""Suggestions that may be networks which were tried, between two new ones."""


@dataclass
class Session:
    """A study and what it was asked last.

    Args:
        study: Optuna's.
        told: How many of the trials it was told.
        known: Its value by network, lower is better.
        genotype: What is to be evaluated next.
        trial: The study's question that stands behind it, if it came from the sampler.
    """

    study: Any
    told: int = 0
    known: dict[str, tuple[float, ...]] = field(default_factory=dict)
    genotype: Genotype | None = None
    trial: Any = None


@dataclass(frozen=True, kw_only=True)
class Optuna(BlackBox):
    """A sampler of Optuna behind ask and tell.

    Each choice is a categorical parameter. The sampler may suggest a network that was tried: then it is told what is
    known of it and asked again, twenty times at most; after that a network is drawn uniformly, and the sampler is told
    of it as well, though NSGA-II and CMA-ES read only the trials of their own generations. A network that diverged is
    told as the worst that did not.

    A subclass says which sampler.
    """

    needs: ClassVar[tuple[str, ...]] = ("optuna",)

    evaluations: int = 200

    @abstractmethod
    def sampler(self, seed: int) -> Any:
        """An untouched sampler; everything it draws follows from the seed."""

    def propose(self, state: BlackBoxState) -> Genotype | None:
        self.check_installed()
        with quiet():
            session: Session | None = state.cache.get("session")
            if session is None:
                import optuna

                directions = [optuna.study.StudyDirection.MINIMIZE] * (1 + len(self.objectives))
                session = Session(optuna.create_study(directions=directions, sampler=self.sampler(state.seed % 2**32)))
                self._ask(state, session)
                state.cache["session"] = session
            while session.told < len(state.trials):
                if self._tell(state, session):
                    self._ask(state, session)
        return session.genotype

    def check_installed(self) -> None:
        """Raise :class:`ImportError` if Optuna, or what the sampler needs besides, is missing."""
        for package in self.needs:
            try:
                import_module(package)
            except ImportError as error:
                raise ImportError(
                    f"{self.name} needs the package {package!r}, which could not be imported ({error}); "
                    "try pip install 'gnas[optuna]'"
                ) from error

    def parameters(self, state: BlackBoxState) -> dict[str, Any]:
        """Optuna's distribution by name of parameter."""
        from optuna.distributions import CategoricalDistribution

        choices = state.space.choices.items()
        return {n: CategoricalDistribution(range(len(c.options))) for n, c in choices if len(c.options) > 1}

    def decode(self, state: BlackBoxState, values: dict[str, Any]) -> Genotype:
        """The genotype of a sampler's values."""
        choices = state.space.choices.items()
        return state.space.genotype({name: choice.options[values.get(name, 0)] for name, choice in choices})

    def encode(self, state: BlackBoxState, genotype: Genotype) -> dict[str, Any]:
        """Values of the parameters that stand for a genotype."""
        choices = state.space.choices.items()
        return {name: choice.index(genotype[name]) for name, choice in choices if len(choice.options) > 1}

    def _ask(self, state: BlackBoxState, session: Session) -> None:
        """The next question; it depends on the seed and on what the study was told, and on nothing else."""
        for _ in range(REPEATS):
            trial = session.study.ask(self.parameters(state))
            genotype = self.decode(state, trial.params)
            network = state.space.bind(genotype).digest()
            value = session.known.get(network)
            if value is None and state.refuses(network, genotype):
                # What no condition admits is as bad as what diverged.
                value = (math.inf,) * (1 + len(self.objectives))
            if value is None:
                session.genotype, session.trial = genotype, trial
                return
            self._answer(session, trial, value)
        # Not from the state's generator: the study has to come out the same when it is made again later.
        generator = random.Random(f"{state.seed} {session.told}")
        session.genotype, session.trial = None, None
        for _ in range(ATTEMPTS):
            genotype = state.space.sample(generator)
            network = state.space.bind(genotype).digest()
            if network not in session.known and not state.refuses(network, genotype):
                session.genotype = genotype
                return

    def _tell(self, state: BlackBoxState, session: Session) -> bool:
        """Tell the study the first trial that it does not know; whether that answers its question."""
        from optuna.trial import TrialState, create_trial

        trial = state.trials[session.told]
        asked = session.genotype
        answered = asked is None or state.space.bind(asked).digest() == trial.network
        value = (state.rank(trial)[0], *(trial.costs[name] for name in self.objectives))
        session.known[trial.network] = value
        session.told += 1
        if session.trial is not None and trial.genotype == session.genotype:
            self._answer(session, session.trial, value)
            return True
        if session.trial is not None and answered:
            session.study.tell(session.trial, state=TrialState.FAIL)
        value = self._finite(session, value)
        if all(map(math.isfinite, value)):
            values, parameters = self.encode(state, trial.genotype), self.parameters(state)
            session.study.add_trial(create_trial(params=values, distributions=parameters, values=value))
        return answered

    def _answer(self, session: Session, trial: Any, value: tuple[float, ...]) -> None:
        from optuna.trial import TrialState

        value = self._finite(session, value)
        if all(map(math.isfinite, value)):
            session.study.tell(trial, list(value))
        else:
            session.study.tell(trial, state=TrialState.FAIL)

    def _finite(self, session: Session, value: tuple[float, ...]) -> tuple[float, ...]:
        """The values, or the worst one so far in place of one that is not finite."""

        def worst(place: int) -> float:
            return max((v[place] for v in session.known.values() if math.isfinite(v[place])), default=math.inf)

        return tuple(v if math.isfinite(v) else worst(place) for place, v in enumerate(value))


@dataclass(frozen=True, kw_only=True)
class Tpe(Optuna):
    r"""The tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl, NeurIPS 2011).

    The best part of the trials has the density l, the others g; what is suggested maximises :math:`l(x) / g(x)`.

    Args:
        startup: Networks that are drawn before the first estimate.
        joint: Whether the densities are over all choices together and not over one after another.
        evaluations, evaluator, conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "tpe"
    several: ClassVar[bool] = True

    startup: int = 10
    joint: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "startup", 1)
        check_flag(self, "joint")

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.startup, multivariate=self.joint, constant_liar=False, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Nsga2(Optuna):
    """NSGA-II (Deb, Pratap, Agarwal and Meyarivan, IEEE Transactions on Evolutionary Computation 2002).

    A genetic algorithm: the best of parents and children are the next parents; uniform crossover, and each choice is
    redrawn with probability one over their number. With the metric alone its sorting by dominance is that by
    the metric; ``objectives`` such as ``("parameters",)`` make it what it was made for.

    Args:
        population: Networks of a generation.
        crossover: Probability that a child has two parents.
        evaluations, evaluator, conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "nsga2"
    several: ClassVar[bool] = True

    population: int = 50
    crossover: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "population", 2)
        check_number(self, "crossover", most=1)

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(population_size=self.population, crossover_prob=self.crossover, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Gp(Optuna):
    """Bayesian optimisation with a Gaussian process over the choices: a Matérn kernel, expected improvement.

    The dearest of these samplers: a suggestion takes up to a second, and so does each trial of a run that is resumed.

    Args:
        startup: Networks that are drawn before the first model.
        evaluations, evaluator, conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "gp"

    evaluations: int = 100
    startup: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "startup", 1)

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import GPSampler

        return GPSampler(n_startup_trials=self.startup, seed=seed)


@dataclass(frozen=True, kw_only=True)
class CmaEs(Optuna):
    r"""CMA-ES (Hansen and Ostermeier, Evolutionary Computation 2001), through the package ``cmaes``.

    It knows numbers only, so each option has one from 0 to 1, and of each choice the option with the largest is taken.
    Points are drawn from :math:`\mathcal{N}(m, \sigma^2 C)`; mean, step size and covariance follow the better half.

    Args:
        population: Points of a generation; ``None`` for :math:`4 + \lfloor 3 \ln n \rfloor` of n options.
        evaluations, evaluator, conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "cma_es"
    needs: ClassVar[tuple[str, ...]] = ("optuna", "cmaes")

    population: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.population is not None:
            check_count(self, "population", 2)

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(popsize=self.population, seed=seed, warn_independent_sampling=False)

    def parameters(self, state: BlackBoxState) -> dict[str, Any]:
        from optuna.distributions import FloatDistribution

        places = [
            (name, k) for name, c in state.space.choices.items() if len(c.options) > 1 for k in range(len(c.options))
        ]
        return {f"{name}:{k}": FloatDistribution(0.0, 1.0) for name, k in places}

    def decode(self, state: BlackBoxState, values: dict[str, Any]) -> Genotype:
        def strongest(name: str, count: int) -> int:
            return max(range(count), key=lambda k: values.get(f"{name}:{k}", 0.0))

        choices = state.space.choices.items()
        return state.space.genotype({name: c.options[strongest(name, len(c.options))] for name, c in choices})

    def encode(self, state: BlackBoxState, genotype: Genotype) -> dict[str, Any]:
        picked = {f"{name}:{c.index(genotype[name])}" for name, c in state.space.choices.items()}
        return {place: float(place in picked) for place in self.parameters(state)}


@contextmanager
def quiet() -> Iterator[None]:
    """Within, Optuna logs warnings only and does not say which of its parts are experimental."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
