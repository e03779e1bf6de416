"""Black-box strategies: ask, evaluate, tell; a candidate is trained by itself, or looked up."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch

from gnas.checks import check_count, check_tuple
from gnas.conditions import Admits, Condition, anything, at, check_conditions, gate, said
from gnas.costs import USUAL, check_cost, cost
from gnas.evaluate import Result, TrainFromScratch
from gnas.recipe import Recipe
from gnas.space import Genotype, Space
from gnas.strategy.base import Event, Strategy, Task
from gnas.strategy.checks import check_keys

if TYPE_CHECKING:
    from typing_extensions import Self

ATTEMPTS = 1000
"""Draws that bring nothing new before a space counts as searched."""


class Evaluator(Protocol):
    """What says how good a genotype is, such as :class:`gnas.evaluate.TrainFromScratch`; a frozen dataclass."""

    def evaluate(self, space: Space, genotype: Genotype, task: Any, seed: int, /) -> Result: ...


@dataclass(frozen=True)
class Trial:
    """A genotype and how it did; ``network`` is the digest of the bound space, ``costs`` are by objective."""

    genotype: Genotype
    network: str
    metric: float
    loss: float
    epochs: int
    parameters: int
    costs: dict[str, float] = field(default_factory=dict, hash=False)


@dataclass
class BlackBoxState:
    """What was asked and told so far, and the generator that the next candidates are drawn from.

    Args:
        space: What is searched.
        higher_is_better: Whether a higher metric is a better one.
        seed: Number the search started from; candidate ``i`` is trained with the seed ``seed + i``.
        random: What proposals are drawn with.
        trials: What was told, in order.
        memory: What else a strategy keeps from one proposal to the next: tensors and plain values.
        pending: What was asked and is not told yet.
        refused: Digests of the networks that no condition lets through; they count as tried.
        admits: Whether a genotype may be evaluated; it belongs to the run and is not in a snapshot.
        cache: What can be made again from all the rest, such as features of the trials; it is not in a snapshot.
    """

    space: Space
    higher_is_better: bool
    seed: int
    random: random.Random
    trials: list[Trial] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    pending: Genotype | None = None
    refused: set[str] = field(default_factory=set)
    admits: Admits = field(default=anything, repr=False, compare=False)
    cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def rank(self, trial: Trial) -> tuple[float, float]:
        """What trials are sorted by, the best first: their metric, among equals their loss."""
        metric = -trial.metric if self.higher_is_better else trial.metric
        # Every comparison with NaN is false, so a candidate that diverged could come out first.
        return (metric if math.isfinite(metric) else math.inf, math.inf if math.isnan(trial.loss) else trial.loss)

    def refuses(self, network: str, genotype: Genotype) -> bool:
        """Whether the conditions refuse a network, given by its digest; each is judged once."""
        # What was told was let through once, even if a latency is longer today.
        admitted: set[str] = self.cache.setdefault("admitted", {trial.network for trial in self.trials})
        if self.admits is anything or network in admitted:
            return False
        if network not in self.refused and self.admits(genotype):
            admitted.add(network)
            return False
        self.refused.add(network)
        self.barred.add(genotype)
        return True

    @property
    def barred(self) -> set[Genotype]:
        """Genotypes that were found to be refused, since the snapshot at least."""
        found: set[Genotype] = self.cache.setdefault("barred", set())
        return found

    def tried(self) -> Tried:
        """The networks that need no second evaluation, as of now."""
        return Tried(self)

    def draw(self, tried: Tried | None = None) -> Genotype | None:
        """A network drawn uniformly that was not tried yet, or ``None`` when a thousand draws bring nothing new."""
        tried = self.tried() if tried is None else tried
        for _ in range(ATTEMPTS):
            genotype = self.space.sample(self.random)
            if genotype not in tried:
                return genotype
        return None

    def queued(self, tried: Tried, refill: Callable[[], list[Genotype]]) -> Genotype | None:
        """The next of a batch of questions; an empty queue is refilled once. ``None`` when that brings nothing new.

        Others may have been told meanwhile, so each is looked up before it is asked.
        """
        queue = [self.space.genotype(choices) for choices in self.memory.get("queue", ())]
        for batch in (lambda: queue, refill):
            waiting = batch()
            while waiting:
                genotype, *waiting = waiting
                self.memory["queue"] = [dict(other.choices) for other in waiting]
                if genotype not in tried:
                    return genotype
        return None

    def mutate(self, genotype: Genotype) -> Genotype:
        """A genotype that differs in one choice: the choice is drawn uniformly, then its option."""
        choices = [choice for choice in self.space.choices.values() if len(choice.options) > 1]
        if not choices:
            return genotype
        choice = choices[self.random.randrange(len(choices))]
        step = 1 + self.random.randrange(len(choice.options) - 1)
        option = choice.options[(choice.index(genotype[choice.name]) + step) % len(choice.options)]
        return genotype.replace(**{choice.name: option})

    def state_dict(self) -> dict[str, Any]:
        def plain(trial: Trial) -> dict[str, Any]:
            values = {entry.name: getattr(trial, entry.name) for entry in dataclasses.fields(trial)}
            return {**values, "genotype": dict(trial.genotype.choices)}

        return {
            "space": self.space.digest(),
            "seed": self.seed,
            "random": self.random.getstate(),
            "trials": [plain(trial) for trial in self.trials],
            "memory": copy.deepcopy(self.memory),
            "pending": None if self.pending is None else dict(self.pending.choices),
            "refused": sorted(self.refused),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        check_keys(state, ("space", "seed", "random", "trials", "memory", "pending", "refused"))
        if state["space"] != self.space.digest():
            raise ValueError(
                f"got the state of a search in space {state['space'][:12]}, expected one in {self.space.name!r} "
                f"({self.space.digest()[:12]}); build the space with the settings it was searched with"
            )
        self.seed = int(state["seed"])
        version, numbers, rest = state["random"]
        self.random.setstate((version, tuple(numbers), rest))
        self.trials = [
            Trial(**{**trial, "genotype": self.space.genotype(trial["genotype"])}) for trial in state["trials"]
        ]
        self.memory = copy.deepcopy(dict(state["memory"]))
        self.cache = {}
        self.refused = set(state["refused"])
        self.pending = None if state["pending"] is None else self.space.genotype(state["pending"])


class Tried:
    """The networks that are not asked: a genotype is ``in`` it if its network was told, or no condition admits it.

    What was found to be in it is not bound a second time: binding and hashing take milliseconds.
    """

    def __init__(self, state: BlackBoxState) -> None:
        self._space, self._refuses, self._barred = state.space, state.refuses, state.barred
        self._genotypes = {trial.genotype for trial in state.trials}
        self._networks = {trial.network for trial in state.trials}

    def __contains__(self, genotype: Genotype) -> bool:
        if genotype in self._genotypes or genotype in self._barred:
            return True
        network = self._space.bind(genotype).digest()
        if network not in self._networks and not self._refuses(network, genotype):
            return False
        self._genotypes.add(genotype)
        return True

    def add(self, genotype: Genotype) -> None:
        """Count a genotype as tried, such as one that is about to be asked."""
        self._genotypes.add(genotype)
        self._networks.add(self._space.bind(genotype).digest())


@dataclass(frozen=True, kw_only=True)
class BlackBox(Strategy[BlackBoxState]):
    """Candidates that are trained by themselves: a step is ask, evaluate, tell.

    A subclass says in :meth:`propose` what comes next. ``ask`` and ``tell`` are public, so candidates may also be
    evaluated elsewhere.

    Args:
        evaluations: After how many candidates the search is done; earlier where no other network is found, which the
            last event tells as ``stopped``.
        evaluator: What trains a candidate and measures it on the architecture split.
        conditions: What a network must fulfil to be evaluated. One that doesn't is not asked and costs no evaluation;
            when nothing that is drawn fulfils them, the search ends early.
        objectives: Costs of :data:`gnas.costs.COSTS` that are to be small besides; a strategy that can't search for
            several things at once refuses them.
    """

    several: ClassVar[bool] = False
    """Whether it searches for several objectives at once, or doesn't mind them."""

    evaluations: int = 20
    evaluator: Evaluator = field(default_factory=TrainFromScratch)
    conditions: tuple[Condition, ...] = ()
    objectives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_count(self, "evaluations", 1)
        check_conditions(self.conditions, self.name)
        check_tuple(self, "objectives", "('parameters',)")
        for objective in self.objectives:
            check_cost(objective, self.name)
        if self.objectives and not self.several:
            raise ValueError(
                f"{self.name} got objectives={self.objectives!r} and searches for the metric alone; expected none, try "
                "Nsga2 or Random for several, or conditions such as (gnas.Limit('parameters', 50_000),)"
            )
        if not callable(getattr(self.evaluator, "evaluate", None)):
            raise TypeError(f"{self.name} got evaluator={self.evaluator!r}; expected one such as TrainFromScratch()")

    def for_task(self, task: Task) -> Self:
        if not isinstance(self.evaluator, TrainFromScratch):
            return self
        return dataclasses.replace(self, evaluator=self.evaluator.settled(task))

    @abstractmethod
    def propose(self, state: BlackBoxState) -> Genotype | None:
        """The next candidate, or ``None`` if there is no other; may draw from ``state.random``."""

    def init(self, space: Space, task: Task, generator: torch.Generator) -> BlackBoxState:
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        state = BlackBoxState(space, task.higher_is_better, seed, random.Random(seed))
        state.admits = gate(at(self.conditions, self._recipe(task)), space, task)
        state.pending = self.propose(state)
        return state

    def step(self, task: Task, state: BlackBoxState) -> Event:
        genotype = self.ask(state)
        result = self.evaluator.evaluate(state.space, genotype, task, state.seed + len(state.trials))
        return self.tell(task, state, genotype, result)

    def ask(self, state: BlackBoxState) -> Genotype:
        """The genotype to evaluate next: the same one until it has been told."""
        if state.pending is None:
            what = (
                f"stop when done(state), or give more evaluations than {self.evaluations}, a larger space or wider "
                "conditions"
                if state.trials
                else "expected a network that fulfils them, try a wider limit or a larger space"
            )
            after = f"after {len(state.trials)} candidates{self._refused(state)}"
            raise ValueError(f"{self.name} has nothing left to ask {after}: {what}")
        return state.pending

    def _refused(self, state: BlackBoxState) -> str:
        return f" ({len(state.refused)} were refused by {said(self.conditions)})" if state.refused else ""

    def tell(self, task: Task, state: BlackBoxState, genotype: Genotype, result: Result) -> Event:
        """Take in how a genotype did and, if it was the one asked for, make up the next question.

        Candidates count from 1.
        """
        trial = Trial(
            genotype,
            state.space.bind(genotype).digest(),
            float(result.metric_architecture),
            float(result.loss_architecture),
            int(result.epochs),
            int(result.parameters),
            self._costs(task, state, genotype),
        )
        state.trials.append(trial)
        more = len(state.trials) < self.evaluations
        pending = state.pending
        # A network of the caller's own leaves the question as it stands.
        answered = pending is None or state.space.bind(pending).digest() == trial.network
        if not more:
            state.pending = None
        elif answered:
            state.pending = self.propose(state)
        ended = more and state.pending is None
        return {
            "event": "candidate",
            "index": len(state.trials),
            "genotype": dict(genotype.choices),
            "metric_architecture": _told(trial.metric),
            "loss_architecture": _told(trial.loss),
            "epochs": trial.epochs,
            "parameters": trial.parameters,
            **({"costs": trial.costs} if self.objectives else {}),
            "best": _told(self.best(state).metric),
            **({"stopped": f"no other network was found{self._refused(state)}"} if ended else {}),
        }

    def _costs(self, task: Any, state: BlackBoxState, genotype: Genotype) -> dict[str, float]:
        return {name: cost(name, state.space, genotype, task, self._recipe(task)) for name in self.objectives}

    def _recipe(self, task: Task) -> Recipe:
        """What the evaluator trains with."""
        if isinstance(self.evaluator, TrainFromScratch):
            return self.evaluator.recipe_for(task)
        own = getattr(self.evaluator, "recipe", None)
        return own if isinstance(own, Recipe) else USUAL

    def best(self, state: BlackBoxState) -> Trial:
        """The best trial by the architecture split; ties go to the lower loss, then to the earlier trial."""
        if not state.trials:
            raise ValueError(f"{self.name} has evaluated no candidate yet; expected a step before derive")
        return min(state.trials, key=state.rank)

    def derive(self, task: Task, state: BlackBoxState) -> Genotype:
        return self.best(state).genotype

    def done(self, state: BlackBoxState) -> bool:
        return state.pending is None


def _told(value: float) -> float | None:
    """A number as an event holds it: JSON has no word for one that is not finite."""
    return value if math.isfinite(value) else None
