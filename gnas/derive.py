"""From alphas to a genotype: what alpha says about operations and wiring, and evidence of its own for depth.

Alphas order operations well enough to reject the bad ones, but say little about depth, and their most probable
genotype is one of many that are nearly as probable. So two questions are put to short trainings, and answered on
the architecture split:

1. How deep? With the layers that alpha chose, every depth is trained, from scratch on several seeds and from the
   supernet's weights. The best mean from scratch wins; among equals the shallower.
2. Which of the n most probable? At that depth, each is trained once; the best few are trained on more seeds, and
   the best mean wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gnas.evaluate import Recipe, TrainFromScratch, builder, seeded
from gnas.space import Genotype, Space
from gnas.space.discretise import Weights, confidence, discretise, most_probable
from gnas.space.program import Value
from gnas.supernet import GraphSupernet
from gnas.task import Task

__all__ = ["Derivation", "Job", "confidence", "discretise", "most_probable"]

DEPTH = "depth"
TRIES = 2000
Event = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One short training that the derivation asks for.

    Args:
        kind: ``"depth"`` or ``"best_of"``.
        genotype: What to train.
        seed: Seed of the training.
        inherit: Whether it starts from the supernet's weights.
        depth: Position of the genotype's depth among its options, from 1; 0 if depth is not a choice.
    """

    kind: str
    genotype: Genotype
    seed: int
    inherit: bool
    depth: int

    def matches(self, event: Event) -> bool:
        """Whether an event of the journal is this job's result."""
        same = event.get("event") == self.kind and event.get("seed") == self.seed
        same = same and event.get("inherit") == self.inherit
        return same and event.get("genotype") == dict(self.genotype.choices)


@dataclass(frozen=True)
class Derivation:
    """Settings of a derivation.

    Args:
        inputs: Edges that a sum of switchable edges keeps (GNAS-MP one, DARTS two).
        depth_seeds: Seeds on which every depth is trained from scratch; 0 leaves the depth to alpha.
        inherited: Whether every depth is also trained on from the supernet's weights.
        best_of: Number of most probable genotypes that are compared; 1 takes the most probable.
        finalists: How many of them are trained on more seeds.
        finalist_seeds: Seeds for those.
        epochs: Length of a short training.
        patience: Epochs without a better one after which it stops.
    """

    inputs: int | None = 1
    depth_seeds: int = 2
    inherited: bool = True
    best_of: int = 8
    finalists: int = 3
    finalist_seeds: int = 3
    epochs: int = 200
    patience: int = 50

    def __post_init__(self) -> None:
        if self.inputs is not None and self.inputs < 1:
            raise ValueError(f"inputs got {self.inputs}; expected at least 1, or None to keep every edge")
        if self.depth_seeds < 0 or min(self.best_of, self.finalists, self.finalist_seeds, self.epochs) < 1:
            raise ValueError(f"got {self}; expected depth_seeds >= 0 and every other count to be at least 1")

    def jobs(self, space: Space, weights: Weights, done: Sequence[Event]) -> list[Job]:
        """What is to be trained next, given what was; empty when nothing is left to measure.

        Args:
            space: The space that was searched.
            weights: Weights of the options by name of choice.
            done: Events of earlier jobs.
        """
        for stage in self._stages(space, weights, done):
            left = [job for job in stage if not any(job.matches(event) for event in done)]
            if left:
                return left
        return []

    def run(self, job: Job, task: Task, supernet: GraphSupernet, recipe: Recipe) -> dict[str, Any]:
        """Train what a job names, and say what came out as an event for the journal."""
        train = TrainFromScratch(recipe, self.epochs, self.patience)
        if job.inherit:
            with seeded(job.seed):
                result = train.train(supernet.model(job.genotype), task)
        else:
            result = train(builder(supernet.space.bind(job.genotype)), task, job.seed)
        return {
            "event": job.kind,
            "depth": job.depth,
            "genotype": dict(job.genotype.choices),
            "seed": job.seed,
            "inherit": job.inherit,
            "metric_architecture": result.metric_architecture,
            "loss_architecture": result.loss_architecture,
            "epochs": result.epochs,
        }

    def choose(self, space: Space, weights: Weights, done: Sequence[Event]) -> Genotype:
        """The genotype that the evidence speaks for; without evidence, the most probable."""
        finals = self._ranking(done, "best_of")
        if finals:
            most = max(len(scores) for _, scores in finals)
            best = max((item for item in finals if len(item[1]) == most), key=lambda item: fmean(item[1]))
            return space.genotype(best[0])
        return self.at_depth(space, weights, done)

    def at_depth(self, space: Space, weights: Weights, done: Sequence[Event]) -> Genotype:
        """The most probable genotype, at the depth that the evidence speaks for."""
        return discretise(space, self._settled(space, weights, done), self.inputs)

    def _stages(self, space: Space, weights: Weights, done: Sequence[Event]) -> Iterator[list[Job]]:
        if DEPTH in space.choices and self.depth_seeds:
            jobs = []
            alpha = discretise(space, weights, self.inputs)
            for position, option in enumerate(space.choices[DEPTH].options, 1):
                genotype = alpha.replace(depth=option)
                jobs += [Job("depth", genotype, seed, False, position) for seed in range(self.depth_seeds)]
                if self.inherited:
                    jobs.append(Job("depth", genotype, 0, True, position))
            yield jobs
        if self.best_of > 1:

            def job(genotype: Genotype, seed: int) -> Job:
                depth = space.choices[DEPTH].index(genotype[DEPTH]) + 1 if DEPTH in space.choices else 0
                return Job("best_of", genotype, seed, False, depth)

            yield [job(genotype, 0) for genotype in self._candidates(space, self._settled(space, weights, done))]
            ranked = sorted(self._ranking(done, "best_of"), key=lambda item: -item[1][0])
            finalists = [space.genotype(choices) for choices, _ in ranked[: self.finalists]]
            yield [job(genotype, seed) for genotype in finalists for seed in range(1, self.finalist_seeds)]

    def _candidates(self, space: Space, weights: Weights) -> Iterator[Genotype]:
        seen: set[str] = set()
        for tries, genotype in enumerate(most_probable(space, weights, self.inputs)):
            if DEPTH in space.choices and weights[DEPTH][space.choices[DEPTH].index(genotype[DEPTH])] == 0:
                return  # the depth was settled, and no network of that depth is left
            digest = space.bind(genotype).digest()
            if digest not in seen:
                seen.add(digest)
                yield genotype
            if len(seen) == self.best_of or tries == TRIES:
                return

    def _settled(self, space: Space, weights: Weights, done: Sequence[Event]) -> dict[str, list[float]]:
        settled = {name: list(values) for name, values in weights.items()}
        curve: dict[int, list[float]] = {}
        for event in done:
            if event["event"] == "depth" and not event["inherit"]:
                curve.setdefault(int(event["depth"]), []).append(float(event["metric_architecture"]))
        if curve:
            best = max(sorted(curve), key=lambda depth: fmean(curve[depth]))
            count = len(space.choices[DEPTH].options)
            settled[DEPTH] = [1.0 if position == best else 0.0 for position in range(1, count + 1)]
        return settled

    @staticmethod
    def _ranking(done: Sequence[Event], kind: str) -> list[tuple[dict[str, Value], list[float]]]:
        found: dict[str, tuple[dict[str, Value], list[float]]] = {}
        for event in sorted(done, key=lambda event: int(event.get("seed", 0))):
            if event["event"] == kind:
                choices = dict(event["genotype"])
                found.setdefault(repr(sorted(choices.items())), (choices, []))[1].append(event["metric_architecture"])
        return list(found.values())
