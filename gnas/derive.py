"""From alphas to a genotype: alpha proposes, short trainings decide, on the architecture split.

Alphas order operations well enough to reject the bad ones, but their most probable genotype is one of many that
are nearly as probable, they know nothing of how two choices go together, and they say little about depth. So, one
after another:

1. **Shortlist.** The ``listed`` most probable genotypes (512) are judged by the supernet's weights
   (:mod:`gnas.shortlist`).
2. **Best of n.** The best of these, and points of the space that are known to be good (a warm start; alpha may not have
   seen what they have), n in all, are trained from scratch by successive halving (Jamieson and Talwalkar, arXiv
   1502.07943): all on one seed, the better half on two, half of those on four; of the last few the best mean goes on,
   among equals the lower loss. Where time is short, a first rung of fewer epochs sorts out three of four.
3. **Evidence.** One after another, some choices are settled: each option is trained from scratch on several seeds
   with all other choices as they stand; the best mean wins, and what stood stands in a tie. Depth is the most
   important of them, and by default the only one; its options are also trained on from the supernet's weights.

An accuracy on twenty items moves in steps of five points, and the best of a hundred networks on them is the luckiest.
Where the architecture split is as small as that, each seed of a short training draws the items that it trains on and
is judged by anew, from both roles, the same for all networks: a mean over seeds is then a cross-validation by random
splits (Kohavi, IJCAI 1995), over as many items as both roles have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from math import inf
from statistics import fmean
from typing import Any, NoReturn

from gnas.budget import SIXTH, survivors
from gnas.checks import check_count, check_flag, check_tuple
from gnas.conditions import Admits, Condition, anything, check_conditions, said
from gnas.crew import Training
from gnas.evaluate import Result, TrainFromScratch, seeded
from gnas.recipe import Recipe
from gnas.scale import Scale
from gnas.shortlist import shortlist
from gnas.space import Genotype, Space
from gnas.space.discretise import Weights, confidence, discretise, drawn, most_probable
from gnas.space.node import Value
from gnas.supernet import GraphSupernet
from gnas.task import Task

__all__ = ["Derivation", "Job", "confidence", "discretise", "most_probable"]

RUNG = "rung"
"""The event of a training of the first rung."""
WHOLE = ("best_of", "depth", "evidence")
KINDS = (RUNG, *WHOLE)
"""Events of short trainings."""
LISTED = "shortlist"
"""The event of a shortlist."""
DEPTH = "depth"
METRIC, LOSS = "metric_architecture", "loss_architecture"
TRIES = 2000
FIRST_SEED = 2_000_000
"""Seeds of short trainings count from here, so that none of them is one of an evaluation."""
RUNG_SEED = 999
"""A seed of its own among these: what a rung was lucky with does not count again."""
Event = Mapping[str, Any]
Merit = tuple[float, float]
"""Of a training, more is better: the metric, then the loss."""


@dataclass(frozen=True)
class Job:
    """One short training that the derivation asks for.

    Args:
        kind: ``"rung"``, ``"best_of"``, ``"depth"`` or ``"evidence"``.
        genotype: What to train.
        seed: Which of the seeds, counted from 0.
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
        same = event.get("event") in _kinds(self.kind) and event.get("seed") == self.seed
        same = same and event.get("inherit") == self.inherit
        return same and event.get("genotype") == dict(self.genotype.choices)


@dataclass(frozen=True)
class Derivation:
    """How a supernet becomes one genotype: a shortlist by inherited weights, short trainings that halve it, then depth.

    Args:
        inputs: Edges that a sum of switchable edges keeps (GNAS-MP one, DARTS two).
        listed: Number of most probable genotypes that are judged by the supernet's weights; no more than
            ``best_of`` leaves that out, and the most probable one goes on with draws from the weights and the space.
        steps: Training steps of the supernet in each of the two rounds of that.
        best_of: Number of genotypes that are compared by short trainings; 1 takes the first.
        starts: Whether the space's own starts, points that are known to be good, are among these: half at most, a third
            where nothing is listed.
        rounds: Rounds of halving them: the first has one seed, each further one twice as many.
        rung: Epochs of a first rung of all candidates, of which a quarter goes on to these rounds; 0 for none.
        seeds: Seeds for every depth and for further evidence.
        evidence: Choices to settle by training, in this order; those that a space lacks are skipped. Without
            ``"depth"`` among them alpha decides on the depth.
        inherited: Whether every depth is also trained on from the supernet's weights.
        epochs: Length of a short training.
        patience: Epochs without a better one after which it stops.
        redraw: With fewer items than this in the architecture split, each seed of a short training draws both roles
            anew; 0 never does. What inherits weights keeps the split that these were trained on.
        conditions: What a network must fulfil to be considered at all, such as :class:`gnas.costs.Limit`.
    """

    inputs: int | None = 1
    listed: int = 512
    steps: int = 200
    best_of: int = 32
    starts: bool = True
    rounds: int = 4
    rung: int = 0
    seeds: int = 3
    evidence: tuple[str, ...] = (DEPTH,)
    inherited: bool = True
    epochs: int = 200
    patience: int = 40
    redraw: int = 50
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        check_conditions(self.conditions, "Derivation")
        # A text's letters would be taken for choices, which no space has, so nothing would be settled.
        check_tuple(self, "evidence", "('depth',)")
        if not all(isinstance(name, str) for name in self.evidence):
            raise TypeError(f"Derivation got evidence={self.evidence!r}; expected names of choices, such as ('depth',)")
        for key in ("listed", "steps", "best_of", "rounds", "seeds", "epochs", "patience"):
            check_count(self, key, 1)
        if self.inputs is not None:
            check_count(self, "inputs", 1)
        for key in ("rung", "redraw"):
            check_count(self, key, 0)
        if self.rung >= self.epochs:
            raise ValueError(
                f"Derivation got rung={self.rung} and epochs={self.epochs}; expected fewer epochs of a first rung "
                f"than of a short training, try {self.epochs // SIXTH} or 0 for none"
            )
        for key in ("starts", "inherited"):
            check_flag(self, key)

    def redraws(self, task: Task) -> bool:
        """Whether the short trainings draw what they train on and are judged by."""
        return task.redrawable and task.roles["architecture"].numel() < self.redraw

    def lists(self, done: Sequence[Event]) -> bool:
        """Whether a shortlist is the next thing to make."""
        return self.listed > self.best_of and not any(event["event"] == LISTED for event in done)

    def shorten(
        self,
        task: Task,
        supernet: GraphSupernet,
        recipe: Recipe,
        weights: Weights,
        seed: int = 0,
        stopped: Callable[[], bool] = lambda: False,
        admits: Admits = anything,
    ) -> dict[str, Any]:
        """Judge the most probable genotypes by the supernet's weights; the best are an event for the journal."""
        space = supernet.space
        probable = list(islice(self._probable(space, weights, admits), self.listed))
        if not probable:
            self._refused()
        best = shortlist(supernet, task, probable, self.best_of, recipe, self.steps, FIRST_SEED + 1000 * seed, stopped)
        return {
            "event": LISTED,
            "listed": len(probable),
            "genotypes": [dict(genotype.choices) for genotype, _ in best],
            "metrics": [metric for _, metric in best],
        }

    def jobs(
        self,
        space: Space,
        weights: Weights,
        done: Sequence[Event],
        higher_is_better: bool = True,
        admits: Admits = anything,
    ) -> list[Job]:
        """What is to be trained next, given what was; empty when nothing is left to measure.

        Args:
            space: The space that was searched.
            weights: Weights of the options by name of choice.
            done: Events of earlier jobs.
            higher_is_better: Of the metric.
            admits: Whether a genotype fulfils the conditions; see :func:`gnas.conditions.gate`.
        """
        done = _merits(done, higher_is_better)
        for stage in self._stages(space, weights, done, admits):
            left = [job for job in stage if not any(job.matches(event) for event in done)]
            if left:
                return left
        return []

    def training(self, job: Job, task: Task, supernet: GraphSupernet, recipe: Recipe, seed: int = 0) -> Training:
        """The training that a job asks for.

        The search's ``seed`` decides on that of the training: two searches must not agree because they were lucky
        in the same way.
        """
        epochs, number = (self.rung, RUNG_SEED) if job.kind == RUNG else (self.epochs, job.seed)
        evaluator, own = TrainFromScratch(recipe, epochs, self.patience), FIRST_SEED + 1000 * seed + number
        if not job.inherit:
            redraw = own if self.redraws(task) else None
            return Training(supernet.space.bind(job.genotype), evaluator, own, redraw=redraw)
        with seeded(own):
            model = supernet.model(job.genotype)
        sizes = replace(recipe, hidden_channels=model.hidden_channels, dropout=model.dropout)
        return Training(model.space, replace(evaluator, recipe=sizes), own, state=model.state_dict())

    def event(self, job: Job, result: Result) -> dict[str, Any]:
        """What came out, for the journal."""
        return {
            "event": job.kind,
            "depth": job.depth,
            "genotype": dict(job.genotype.choices),
            "seed": job.seed,
            "inherit": job.inherit,
            METRIC: result.metric_architecture,
            LOSS: result.loss_architecture,
            "epochs": result.epochs,
            "parameters": result.parameters,
        }

    def choose(
        self,
        space: Space,
        weights: Weights,
        done: Sequence[Event],
        higher_is_better: bool = True,
        admits: Admits = anything,
    ) -> Genotype:
        """The genotype that the evidence so far speaks for; without evidence, the most probable."""
        done = _merits(done, higher_is_better)
        genotype = self._proposed(space, weights, done, admits)
        for name in self._settled(space):
            genotype = self._winner(space, genotype, name, done)
        return genotype

    def _stages(self, space: Space, weights: Weights, done: Sequence[Event], admits: Admits) -> Iterator[list[Job]]:
        def job(kind: str, genotype: Genotype, seed: int, inherit: bool = False) -> Job:
            depth = space.choices[DEPTH].index(genotype[DEPTH]) + 1 if DEPTH in space.choices else 0
            return Job(kind, genotype, seed, inherit, depth)

        if self.best_of > 1:
            left = list(self._candidates(space, weights, done, admits))
            if not left:
                self._refused()
            if self.rung:
                yield [job(RUNG, genotype, 0) for genotype in left]
                left = _best(left, _scores(done, RUNG))[: survivors(len(left))]
            for before, seeds in halvings(self.rounds):
                if len(left) == 1:
                    # There is nothing to compare it with.
                    break
                yield [job("best_of", genotype, seed) for seed in range(before, seeds) for genotype in left]
                # As it stood then: a seed of a later round must not change who was in it.
                scores = [(choices, values[:seeds]) for choices, values in _scores(done, "best_of")]
                left = _best(left, scores)[: -(-len(left) // 2)]
        genotype = self._proposed(space, weights, done, admits)
        for name in self._settled(space):
            jobs = []
            kind = "depth" if name == DEPTH else "evidence"
            others = [genotype.replace(**{name: option}) for option in space.choices[name].options]
            if len({space.bind(other).digest() for other in others}) == 1:
                # The choice lies in a part that isn't read at this depth.
                continue
            for other in filter(admits, others):
                jobs += [job(kind, other, seed) for seed in range(self.seeds)]
                if name == DEPTH and self.inherited:
                    jobs.append(job(kind, other, 0, inherit=True))
            yield jobs
            genotype = self._winner(space, genotype, name, done)

    def _settled(self, space: Space) -> list[str]:
        return [name for name in self.evidence if name in space.choices and len(space.choices[name].options) > 1]

    def _candidates(self, space: Space, weights: Weights, done: Sequence[Event], admits: Admits) -> Iterator[Genotype]:
        """What the best of n is taken from: the space's own starts, then the shortlist.

        Without one, these take turns, since time may end before all of them were tried: the starts, draws from the
        weights after the most probable network, and draws from all of the space. The next most probable networks would
        differ from the first in what alpha cares least about, and alpha itself may care for the wrong things.
        """
        starts = [space.genotype(start) for start in space.starts] if self.starts else []
        if listed := _listed(done):
            found = chain(starts[: self.best_of // 2], map(space.genotype, listed))
        else:
            likely = chain(islice(self._probable(space, weights, admits), 1), drawn(space, weights, self.inputs, TRIES))
            # Two searches draw others, and a search the same ones each time it is asked.
            generator = random.Random(repr(sorted(weights.items())))
            anyhow = (space.sample(generator) for _ in range(TRIES))
            found = chain.from_iterable(zip_longest(starts, likely, anyhow))
        return islice(_distinct(space, (one for one in found if one is not None and admits(one))), self.best_of)

    def _probable(self, space: Space, weights: Weights, admits: Admits) -> Iterator[Genotype]:
        """The most probable genotypes that are admitted, of those that bind to one network the first.

        Conditions may refuse all of those. Then networks follow that are drawn from the weights, made ever flatter.
        """
        likely = islice(most_probable(space, weights, self.inputs), TRIES)
        further = iter(()) if admits is anything else drawn(space, weights, self.inputs, TRIES)
        return filter(admits, _distinct(space, chain(likely, further)))

    def _refused(self) -> NoReturn:
        raise ValueError(
            f"the {TRIES} most probable networks, and as many that were drawn, do not fulfil {said(self.conditions)}; "
            "expected one that does, try a wider limit, a search with cost=CostTerm(...), or a smaller space"
        )

    def _proposed(self, space: Space, weights: Weights, done: Sequence[Event], admits: Admits) -> Genotype:
        """The best of n, judged by those that were trained on the most seeds; without any the most probable."""
        scores = _scores(done, "best_of") or _scores(done, RUNG)
        if not scores:
            listed = _listed(done)
            if listed:
                return space.genotype(listed[0])
            found = discretise(space, weights, self.inputs)
            found = found if admits(found) else next(self._probable(space, weights, admits), found)
            return found if admits(found) else self._refused()
        most = max(len(values) for _, values in scores)
        return space.genotype(max((s for s in scores if len(s[1]) == most), key=lambda s: _mean(s[1]))[0])

    def _winner(self, space: Space, genotype: Genotype, name: str, done: Sequence[Event]) -> Genotype:
        """The genotype with the option of one choice that did best from scratch; as it is, if that did as well.

        All options are compared on the same seeds: some are kinder than others, and what stands has had more of them.
        """
        scores = {
            _key(choices): [metric for metric, _ in values[: self.seeds]]
            for choices, values in _scores(done, "evidence")
        }
        best, score = genotype, fmean(scores.get(_key(dict(genotype.choices))) or [-inf])
        for option in space.choices[name].options:
            other = genotype.replace(**{name: option})
            values = scores.get(_key(dict(other.choices))) or []
            # One lucky seed is no evidence against a mean over many.
            if len(values) >= self.seeds and fmean(values) > score:
                best, score = other, fmean(values)
        return best


def _merits(done: Sequence[Event], higher_is_better: bool) -> list[Event]:
    """The events with metrics of which more is better, whatever the metric; one that diverged is below all others."""
    scale = Scale(higher_is_better=higher_is_better)
    return [{**event, METRIC: scale.merit(event[METRIC])} if METRIC in event else event for event in done]


def _listed(done: Sequence[Event]) -> list[Mapping[str, Value]]:
    return [choices for event in done if event["event"] == LISTED for choices in event["genotypes"]]


def _distinct(space: Space, genotypes: Iterable[Genotype]) -> Iterator[Genotype]:
    """Of the genotypes that bind to one network the first."""
    seen: set[str] = set()
    for genotype in genotypes:
        digest = space.bind(genotype).digest()
        if digest not in seen:
            seen.add(digest)
            yield genotype


def halvings(rounds: int) -> list[tuple[int, int]]:
    """Of each round of halving, how many seeds a genotype had before and how many it has then."""
    return [(2**i // 2, 2**i) for i in range(rounds)]


def _best(genotypes: Sequence[Genotype], scores: Sequence[tuple[dict[str, Value], list[Merit]]]) -> list[Genotype]:
    """The genotypes by their mean merit, the best first; among equals the order stays."""
    means = {_key(choices): _mean(values) for choices, values in scores}
    # Python's sort keeps the order of equals in reverse, too.
    return sorted(genotypes, key=lambda genotype: means[_key(dict(genotype.choices))], reverse=True)


def _mean(merits: Sequence[Merit]) -> Merit:
    """Over seeds: metric, then loss."""
    return fmean(metric for metric, _ in merits), fmean(loss for _, loss in merits)


def _key(choices: Mapping[str, Value]) -> str:
    return repr(sorted(choices.items()))


def _kinds(kind: str) -> tuple[str, ...]:
    # The depth curve is drawn from its own events; further evidence takes over what was trained before.
    return WHOLE if kind == "evidence" else (kind,)


def _scores(done: Sequence[Event], kind: str) -> list[tuple[dict[str, Value], list[Merit]]]:
    """Merits from scratch by genotype, in the order of their seeds."""
    found: dict[str, tuple[dict[str, Value], dict[int, Merit]]] = {}
    by_loss = Scale(higher_is_better=False)
    for event in done:
        if event["event"] in _kinds(kind) and not event["inherit"]:
            choices = dict(event["genotype"])
            by_seed = found.setdefault(_key(choices), (choices, {}))[1]
            by_seed[int(event["seed"])] = float(event[METRIC]), by_loss.merit(event[LOSS])
    return [(choices, [by_seed[seed] for seed in sorted(by_seed)]) for choices, by_seed in found.values()]
