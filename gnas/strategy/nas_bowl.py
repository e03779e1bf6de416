"""NAS-BOWL: Bayesian optimisation with a Weisfeiler-Lehman kernel over the network's graph, and what it learnt.

"Interpretable Neural Architecture Search via Bayesian Optimisation with Weisfeiler-Lehman Kernels" (Ru, Wan, Dong and
Osborne, ICLR 2021, arXiv 2006.07556); the kernel is that of Shervashidze and others (JMLR 2011).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnas.checks import check_count
from gnas.space import Genotype, Space
from gnas.strategy.black_box import ATTEMPTS, BlackBox, BlackBoxState
from gnas.strategy.gaussian import expected_improvement

NOISES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
COMMUTATIVE = ("sum", "max", "mean")

Motifs = list[Counter[str]]
"""Counts of motifs by height."""


@dataclass(frozen=True)
class Motif:
    """A piece of a network, and what the model thinks of it.

    Args:
        text: The operation and what it reads, as far down as the motif goes: ``gcn(sage_max(x))``.
        score: Change of the predicted metric with one more of it, on average over the networks that have it; positive
            is good, whichever way the metric goes.
        count: In how many of the trained networks it is.
    """

    text: str
    score: float
    count: int


@dataclass(frozen=True, kw_only=True)
class NasBowl(BlackBox):
    r"""Propose what a Gaussian process over Weisfeiler-Lehman features expects most of.

    :math:`\phi_h(g)` counts the motifs of height h in the network's graph: a node's operation with its settings, and
    from there what it reads, h steps down. With :math:`\phi = (\phi_0, \dots, \phi_H)`,

    .. math::
        k(g, g') = \frac{\langle \phi(g), \phi(g') \rangle}{\|\phi(g)\| \, \|\phi(g')\|}, \qquad
        f \sim \mathcal{GP}(0, s^2 k), \quad y = f(g) + \varepsilon, \quad \varepsilon \sim \mathcal{N}(0, s^2 \lambda)

    where H and the noise maximise the marginal likelihood. The next networks are those of a pool with the largest
    expected improvement :math:`\mathrm{E}[\max(f(g) - y^*, 0)]`. Half of the pool is drawn uniformly, half are the
    best networks with one choice redrawn.

    The posterior mean has a gradient in the features, :math:`\partial \mu / \partial \phi_j`: how much one more of the
    motif j would help. :meth:`motifs` lists them.

    Where it departs from the paper, and why:

    * Motifs look down, at what a node reads, and not at both sides: so each is a piece of program that can be read.
      A motif that ends at an input is counted at its own height only.
    * The metric is standardised as it is; the paper takes the logarithm of an error, which not every metric has.
    * No network is proposed twice; when the pool is empty the search is over.

    Args:
        initial: Networks that are drawn before the first model (10 in the paper).
        batch: Networks that are proposed by one model (5 in the paper).
        pool: Networks that a proposal is chosen from (200 in the paper).
        parents: How many of the best are redrawn for the pool.
        height: The largest H.
        evaluations: How many networks are trained.
        evaluator: What trains a candidate and measures it on the architecture split.
        conditions, objectives: See :class:`~gnas.strategy.black_box.BlackBox`.
    """

    name: ClassVar[str] = "nas_bowl"

    evaluations: int = 150
    initial: int = 10
    batch: int = 5
    pool: int = 200
    parents: int = 10
    height: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("initial", "batch", "pool", "parents"):
            check_count(self, key, 1)
        check_count(self, "height", 0)

    def propose(self, state: BlackBoxState) -> Genotype | None:
        if len(state.trials) < self.initial:
            return state.draw()
        return state.queued(state.tried(), lambda: self.questions(state))

    def questions(self, state: BlackBoxState) -> list[Genotype]:
        """The next batch, the largest expected improvement first; empty when nothing is left."""
        pool = self.candidates(state)
        if not pool:
            return []
        model = self.model(state)
        values = expected_improvement(*model.predict([self.look(state, genotype) for genotype in pool]), model.best)
        return [pool[i] for i in np.argsort(-values, kind="stable")[: self.batch]]

    def candidates(self, state: BlackBoxState) -> list[Genotype]:
        """Networks that were not tried yet, no two alike."""
        tried, pool = state.tried(), list[Genotype]()
        best = sorted(state.trials, key=state.rank)[: self.parents]
        for wanted, kind in ((self.pool // 2, "mutated"), (self.pool, "drawn")):
            vain = 0
            while len(pool) < wanted and vain < ATTEMPTS:
                parent = best[state.random.randrange(len(best))].genotype
                genotype = state.mutate(parent) if kind == "mutated" else state.space.sample(state.random)
                vain = vain + 1 if genotype in tried else 0
                if not vain:
                    tried.add(genotype)
                    pool.append(genotype)
        return pool

    def look(self, state: BlackBoxState, genotype: Genotype) -> Motifs:
        """The motifs of a genotype's network; those of networks that were seen are kept."""
        kept = state.cache.setdefault("motifs", {})
        if genotype not in kept:
            kept[genotype] = motifs_of(state.space.bind(genotype), self.height)
        found: Motifs = kept[genotype]
        return found

    def model(self, state: BlackBoxState) -> Process:
        """The Gaussian process after the trials so far; what diverged counts as the worst that did not."""
        metrics = np.array([trial.metric for trial in state.trials])
        values = metrics if state.higher_is_better else -metrics
        finite = values[np.isfinite(values)]
        values = np.where(np.isfinite(values), values, finite.min() if len(finite) else 0.0)
        return Process([self.look(state, trial.genotype) for trial in state.trials], values)

    def motifs(self, state: BlackBoxState) -> list[Motif]:
        """What was learnt: the motifs of the networks so far, the most helpful first."""
        if len(state.trials) < 2:
            raise ValueError(f"nas_bowl got {len(state.trials)} trials; expected two or more before motifs are scored")
        return self.model(state).motifs()


class Process:
    """A Gaussian process on motif counts.

    Args:
        networks: Motifs of each network.
        values: What is to be predicted, [networks]; higher is better.
    """

    def __init__(self, networks: Sequence[Motifs], values: np.ndarray) -> None:
        self.mean, self.std = float(values.mean()), float(values.std()) or 1.0
        targets = (values - self.mean) / self.std
        self.best = float(values.max())
        likelihood = -math.inf
        for height in range(len(networks[0])):
            names = sorted({text for motifs in networks for counts in motifs[: height + 1] for text in counts})
            index = {text: j for j, text in enumerate(names)}
            counts = _counts(networks, height, index)
            rows = _unit(counts)
            spectrum, basis = np.linalg.eigh(rows @ rows.T)
            spectrum, turned = spectrum.clip(0), basis.T @ targets
            for noise in NOISES:
                scale = float((turned**2 / (spectrum + noise)).mean())
                found = -0.5 * len(targets) * math.log(scale or 1e-12) - 0.5 * float(np.log(spectrum + noise).sum())
                if found > likelihood:
                    likelihood, self.height, self.index, self.counts = found, height, index, counts
                    self.scale, self.inverse = scale, (basis / (spectrum + noise)) @ basis.T
                    self.rows, self.weights = rows, self.inverse @ targets

    def predict(self, networks: Sequence[Motifs]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the value of each network, [networks] each."""
        counts = _counts(networks, self.height, self.index)
        # Motifs that were never seen have no column, but they make a network less like the others.
        norms = np.array([math.sqrt(sum(n * n for c in m[: self.height + 1] for n in c.values())) for m in networks])
        kernel = (counts / np.maximum(norms, 1e-12)[:, None]) @ self.rows.T
        variance = (self.scale * (1 - np.einsum("ij,jk,ik->i", kernel, self.inverse, kernel))).clip(1e-12)
        return self.mean + self.std * kernel @ self.weights, self.std * np.sqrt(variance)

    def gradient(self) -> np.ndarray:
        """Derivative of the mean in each motif's count at each network that was learnt from, [networks, motifs]."""
        direction = self.rows.T @ self.weights
        norms = np.maximum(np.linalg.norm(self.counts, axis=1), 1e-12)[:, None]
        slopes: np.ndarray = self.std * (direction - (self.rows @ direction)[:, None] * self.rows) / norms
        return slopes

    def motifs(self) -> list[Motif]:
        """The motifs by score, the best first."""
        slopes, has = self.gradient(), self.counts > 0
        scores = (slopes * has).sum(0) / has.sum(0)
        found = [Motif(text, float(scores[j]), int(has[:, j].sum())) for text, j in self.index.items()]
        return sorted(found, key=lambda motif: (-motif.score, motif.text))


def motifs_of(bound: Space, height: int) -> Motifs:
    """Counts of the motifs of a program without choices, for each height up to ``height``."""
    if not bound.bound:
        raise ValueError(f"got space {bound.name!r} with open choices; expected a bound one, try space.bind(genotype)")
    plain = {}
    for node in bound.nodes:
        settings = ", ".join(f"{key}={value}" for key, value in node.settings.items())
        plain[node.name] = f"{node.op}[{settings}]" if settings else str(node.op)
    labels = {**{name: name for name in bound.inputs}, **plain}
    found = [Counter(plain.values())]
    for _ in range(height):
        deeper = dict(labels)
        for node in bound.nodes:
            read = [labels[str(name)] for name in node.inputs]
            read = sorted(read) if node.op in COMMUTATIVE else read
            deeper[node.name] = f"{plain[node.name]}({', '.join(read)})"
        found.append(Counter(deeper[name] for name in plain if deeper[name] != labels[name]))
        labels = deeper
    return found


def _counts(networks: Sequence[Motifs], height: int, index: dict[str, int]) -> np.ndarray:
    counts = np.zeros((len(networks), len(index)))
    for i, motifs in enumerate(networks):
        for by_height in motifs[: height + 1]:
            for text, count in by_height.items():
                if text in index:
                    counts[i, index[text]] = count
    return counts


def _unit(counts: np.ndarray) -> np.ndarray:
    rows: np.ndarray = counts / np.maximum(np.linalg.norm(counts, axis=1), 1e-12)[:, None]
    return rows
