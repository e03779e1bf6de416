"""Surrogate: a Gaussian process over pieces of the networks, expected improvement, a few questions a round. gnas's own.

Bayesian optimisation (Jones, Schonlau and Welch 1998; for architectures NASBOT, arXiv 1802.07191, and NAS-BOWL, arXiv
2006.07556) with the parts that measurements on NAS-Bench-Graph spoke for:

* the features are pieces of the network's graph (:mod:`gnas.strategy.features`), the same in every space, and the
  model is a Gaussian process (:mod:`gnas.strategy.gaussian`);
* the model learns the metrics as they are, but none worse than four median deviations below the median, since a few
  networks that don't train at all would otherwise decide the scale: how far ahead the best are is what ranks lose;
* the next question maximises the expected improvement over the best *mean* of what is known,

      EI(a) = sigma(a) (u Phi(u) + phi(u)),   u = (mu(a) - max_i mu(a_i)) / sigma(a),

  not over the best metric, which noise has lifted. The other questions of a round follow in the same way, each as if
  the ones before had been answered by their means, so they don't repeat each other (Ginsbourger's kriging believer;
  the best mean stays that of the trials, as it was at the round's start);
* a space of up to ``whole`` genotypes is scored as a whole; in a larger one fresh draws and the neighbours of what
  looks best are.

Small validation sets are noisy: of many networks the one with the best metric is the luckiest among the good. With
``final="left_out"`` the trials whose metric is within two standard deviations of the model's noise of the best are
equals, and the one of them is handed over of which its likes speak best, its own metric left out:

    mu_-i = y_i - [C^-1 y]_i / [C^-1]_ii,   C = k(trials, trials) + n I

(Rasmussen and Williams, "Gaussian Processes for Machine Learning", equation 5.12). It is not the default: on the
tables of NAS-Bench-Graph it gains where validation misleads and loses elsewhere, nothing on average
(benchmarks/README.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

import gnas.task
from gnas.checks import check_count, check_number, check_tuple
from gnas.evaluate import Result
from gnas.recipe import Recipe
from gnas.space import Genotype, Space
from gnas.space.trace import Trace
from gnas.strategy.base import Event, Task
from gnas.strategy.black_box import ATTEMPTS, BlackBox, BlackBoxState
from gnas.strategy.features import Encoder, Features, encoder, everything
from gnas.strategy.gaussian import Array, Kernel, Posterior, expected_improvement
from gnas.strategy.score_features import Matrix, places, widened
from gnas.zero_cost import Score
from gnas.zero_cost.scoring import named, scored

FINALS = ("observed", "left_out")
LEADERS = 10
EQUAL = 2.0
"""Metrics so many standard deviations of the noise apart count as equal, when a network is handed over."""
CUT = 4.0
"""Metrics further below the median than so many median deviations count as being there."""


@dataclass(frozen=True, kw_only=True)
class Surrogate(BlackBox):
    """A Gaussian process over pieces of the networks' graphs, asked for the largest expected improvement.

    Args:
        evaluations: How many networks are evaluated.
        evaluator: What evaluates a candidate.
        initial: Networks that are drawn at random before the model is asked, a third of the evaluations at most.
        batch: Questions from one model.
        whole: Spaces of up to so many genotypes are scored as a whole, once per network.
        pool: In a larger space, how many fresh draws are scored in a round.
        shortlist: How many of the best by mean are compared by expected improvement.
        final: Which trial is handed over: the one with the best metric (``"observed"``), or of those with nearly the
            best metric the one that the others speak best of (``"left_out"``).
        scores: Zero-cost scores that the model sees besides, by name or as objects. They need a task with data, and
            :class:`~gnas.task.Task` is one; a table of metrics is not.
        scored: How many of a round's candidates are scored, the best by the pieces.
        weight: What the scores count, where all pieces count one.
        recipe: The width of the networks that are scored.
        conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "surrogate"

    initial: int = 40
    batch: int = 5
    whole: int = 100_000
    pool: int = 1000
    shortlist: int = 600
    final: str = "observed"
    scores: tuple[str | Score, ...] = ()
    scored: int = 50
    weight: float = 0.3
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "initial", 2)
        for name in ("batch", "pool", "shortlist", "scored"):
            check_count(self, name, 1)
        check_count(self, "whole", 0)
        if self.final not in FINALS:
            raise ValueError(f"surrogate got final={self.final!r}; expected one of {list(FINALS)}")
        check_tuple(self, "scores", "('synflow',)")
        check_number(self, "weight", positive=True)
        for each in self.scores:
            named(each)

    def init(self, space: Space, task: Task, generator: torch.Generator) -> BlackBoxState:
        if self.scores and not isinstance(task, gnas.task.Task):
            raise ValueError(
                f"surrogate got scores={self.scores!r} and {task!r}, which holds no data; expected a gnas.Task, since "
                "scores build and run networks for real, or scores=()"
            )
        return super().init(space, task, generator)

    def tell(self, task: Task, state: BlackBoxState, genotype: Genotype, result: Result) -> Event:
        state.cache["task"] = task
        return super().tell(task, state, genotype, result)

    @property
    def _drawn(self) -> int:
        return max(2, min(self.initial, self.evaluations // 3))

    def propose(self, state: BlackBoxState) -> Genotype | None:
        tried = state.tried()
        asked = state.queued(tried, lambda: self._questions(state)) if len(state.trials) >= self._drawn else None
        return state.draw(tried) if asked is None else asked

    def derive(self, task: Task, state: BlackBoxState) -> Genotype:
        """The trial that ``final`` says; while the model knows too little, the one with the best metric."""
        if self.final == "observed" or len(state.trials) < self._drawn:
            return super().derive(task, state)
        state.cache["task"] = task
        kernel, posterior = self._model(state, self._judged(state, _known(state)), fit=False)
        targets = _targets(state)
        # What diverged counts as the worst of the others, which are equal to the best where all are alike.
        measured = np.array([math.isfinite(state.rank(trial)[0]) for trial in state.trials])
        if not measured.any():
            return super().derive(task, state)
        equals = measured & (targets >= targets.max() - EQUAL * math.sqrt(kernel.noise))
        return state.trials[int(np.where(equals, posterior.left_out, -math.inf).argmax())].genotype

    def _questions(self, state: BlackBoxState) -> list[Genotype]:
        """The next round's questions, best first."""
        known = _known(state)
        judged = self._judged(state, known)
        kernel, posterior = self._model(state, judged)
        plain = Posterior(kernel, known.distances, known.products, _targets(state)) if self.scores else posterior
        pool = self._pool(state, known, kernel, plain)
        means = pool.means.copy()
        tried = set(known.traces)
        means[[trace in tried for trace in pool.traces]] = -math.inf
        order = np.argsort(-means, kind="stable")
        order, size = order[np.isfinite(means[order])], self.scored if self.scores else self.shortlist
        refused = len(state.refused)
        for start in range(0, len(order), size):
            found = self._picked(state, known, pool, means, order[start : start + size], posterior)
            # Where conditions refuse all of the best, others follow; so many that are judged are enough for a round.
            if found or len(state.refused) - refused >= ATTEMPTS:
                return found
        return []

    def _picked(
        self,
        state: BlackBoxState,
        known: _Known,
        pool: _Pool,
        means: NDArray[np.float64],
        rows: NDArray[np.intp],
        posterior: Posterior,
    ) -> list[Genotype]:
        """Of some rows of the pool those with the largest expected improvement, one after another."""
        kernel = posterior.kernel
        chosen = pool.features[rows]
        across, mean = pool.across[rows], means[rows]
        compared: tuple[Array, Array] = chosen.compare(chosen)
        if self.scores:
            trials = self._places(state, [trial.genotype for trial in state.trials])
            own = self._places(state, [pool.genotypes[row] for row in rows])
            compared = widened(compared, own, own, self.weight)
            across = kernel(*widened(chosen.compare(known.features), own, trials, self.weight))
            mean = across @ posterior.weights
        prior = kernel(*(part.astype(float) for part in compared))
        covariance = posterior.covariance(prior, across.astype(float))
        best = float(posterior.known.max())
        found: list[Genotype] = []
        asked = state.tried()
        left = np.ones(len(rows), dtype=bool)
        while left.any() and len(found) < self.batch:
            deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-9))
            place = int(np.where(left, expected_improvement(mean, deviation, best), -math.inf).argmax())
            left[place] = False
            genotype = pool.genotypes[rows[place]]
            if genotype in asked:
                continue
            asked.add(genotype)
            found.append(genotype)
            gain = covariance[:, place] / (covariance[place, place] + kernel.noise)
            covariance = covariance - np.outer(gain, covariance[place])
        return found

    def _judged(self, state: BlackBoxState, known: _Known) -> _Known:
        """The trials as the model reads them with the scores, where there are any."""
        if not self.scores:
            return known
        own = self._places(state, [trial.genotype for trial in state.trials])
        distances, products = widened((known.distances, known.products), own, own, self.weight)
        return replace(known, distances=distances, products=products)

    def _places(self, state: BlackBoxState, genotypes: Sequence[Genotype]) -> Matrix:
        """Where the scores of networks stand among those of the trials, [networks, scores]."""
        kept: dict[Genotype, list[float]] = state.cache.setdefault("scores", {})
        for genotype in (*(trial.genotype for trial in state.trials), *genotypes):
            if genotype not in kept:
                kept[genotype] = scored(
                    self.scores, state.space, genotype, state.cache["task"], state.seed, self.recipe
                )
        trials = np.array([kept[trial.genotype] for trial in state.trials])
        return places(np.array([kept[genotype] for genotype in genotypes]), trials)

    def _model(self, state: BlackBoxState, known: _Known, fit: bool = True) -> tuple[Kernel, Posterior]:
        """The model of all trials. Its four numbers are searched anew when there is a good deal more to learn from."""
        targets = _targets(state)
        count, logs = len(targets), state.memory.get("kernel")
        kernel = Kernel() if logs is None else Kernel(tuple(logs))
        due = fit and count >= state.memory.get("fit_next", 0)
        if due or logs is None:
            kernel = kernel.fitted(known.distances, known.products, targets)
        if due:
            state.memory["kernel"] = list(kernel.logs)
            state.memory["fit_next"] = count + max(self.batch, count // 10)
        return kernel, Posterior(kernel, known.distances, known.products, targets)

    def _pool(self, state: BlackBoxState, known: _Known, kernel: Kernel, posterior: Posterior) -> _Pool:
        """What may be asked: the whole space, or draws and the neighbours of the best."""
        space = state.space
        if space.size <= self.whole:
            genotypes, traces, features = everything(space)
            cached: _Columns | None = state.cache.get("columns")
            if cached is None or cached.traces != known.traces[: len(cached.traces)]:
                cached = state.cache["columns"] = _Columns(features)
            return _Pool.of(genotypes, traces, features, cached.up_to(known), kernel, posterior)
        encode = encoder(space)
        leaders = sorted(range(len(state.trials)), key=lambda i: -posterior.known[i])[:LEADERS]
        found = {encode.trace(g): g for g in (space.sample(state.random) for _ in range(self.pool))}
        found.update(_around(encode, (state.trials[i].genotype for i in leaders)))
        pool = _Pool.scored(encode, found, known, kernel, posterior)
        # One step uphill from what looks best.
        climbers = [pool.genotypes[i] for i in np.argsort(-pool.means, kind="stable")[:LEADERS]]
        return _Pool.scored(encode, found | _around(encode, climbers), known, kernel, posterior)


def _targets(state: BlackBoxState) -> Array:
    return standing([state.rank(trial)[0] for trial in state.trials])


def standing(metrics: Sequence[float]) -> Array:
    """Targets of metrics where lower is better: turned round, cut below, with mean zero and variance one. [trials]

    What is not finite counts as the worst that is.
    """
    values = -np.array(metrics, dtype=float)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    values[~finite] = values[finite].min()
    middle = np.median(values)
    values = np.maximum(values, middle - CUT * np.median(np.abs(values - middle)))
    deviation = values.std()
    # The mean of equal numbers may differ from them by their last digit.
    spread = deviation > 1e-9 * np.abs(values).max()
    return np.asarray((values - values.mean()) / deviation if spread else np.zeros(len(values)))


def _around(encode: Encoder, genotypes: Iterable[Genotype]) -> dict[Trace, Genotype]:
    """The networks that differ from some in one choice."""
    return {encode.trace(other): other for one in genotypes for other in encode.tracer.space.neighbours(one)}


@dataclass(frozen=True)
class _Known:
    """The trials as the model reads them."""

    traces: list[Trace]
    features: Features
    distances: NDArray[np.float64]
    products: NDArray[np.float64]


def _known(state: BlackBoxState) -> _Known:
    encode = encoder(state.space)
    traces = [encode.trace(trial.genotype) for trial in state.trials]
    features = encode(traces)
    distances, products = features.compare(features)
    return _Known(traces, features, distances.astype(float), products.astype(float))


class _Columns:
    """Distances and products of a whole space with the trials, a column for each; what is there is kept."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.traces: list[Trace] = []
        self.blocks: list[tuple[Array, Array]] = []

    def up_to(self, known: _Known) -> tuple[Array, Array]:
        """[networks, trials] each."""
        start = len(self.traces)
        if start < len(known.traces):
            rows = known.features[np.arange(start, len(known.traces))]
            self.blocks.append(self.features.compare(rows))
            self.traces = list(known.traces)
        distances, products = (np.concatenate([block[part] for block in self.blocks], axis=1) for part in (0, 1))
        self.blocks = [(distances, products)]
        return distances, products


@dataclass(frozen=True)
class _Pool:
    """Candidates with their means, and their covariances with the trials [candidates, trials]."""

    genotypes: Sequence[Genotype]
    traces: Sequence[Trace]
    features: Features
    across: Array
    means: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        genotypes: Sequence[Genotype],
        traces: Sequence[Trace],
        features: Features,
        compared: tuple[Array, Array],
        kernel: Kernel,
        posterior: Posterior,
    ) -> _Pool:
        across = kernel(*compared)
        means: Any = across @ posterior.weights.astype(across.dtype)
        return cls(genotypes, traces, features, across, means.astype(float))

    @classmethod
    def scored(
        cls, encode: Encoder, found: dict[Trace, Genotype], known: _Known, kernel: Kernel, posterior: Posterior
    ) -> _Pool:
        features = encode(tuple(found))
        compared = features.compare(known.features)
        return cls.of(tuple(found.values()), tuple(found), features, compared, kernel, posterior)
