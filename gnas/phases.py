"""The one loop of a search.

Three phases follow one another: the strategy's steps until it is done or the budget is spent; the derivation, which
measures what the architecture weights don't tell (above all depth); and the training of the chosen network from
scratch. Everything that happens goes into a :class:`~gnas.journal.Journal`, and a run that was killed at any moment
goes on from there.

Budget, seed, snapshots, interruption and progress are owned here; strategies open no file and read no clock.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import random
import time
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from statistics import fmean
from typing import Any

import torch
from torch import nn

from gnas import __version__, kernels, report
from gnas.budget import EARLY, TYPICAL, Budget, expected, extent, fit_derivation, trainings
from gnas.conditions import anything, gate, said
from gnas.crew import Crew
from gnas.derive import KINDS, LISTED, RUNG, Derivation, confidence
from gnas.derive import Job as DerivationJob
from gnas.diagnosis import diagnose
from gnas.evaluate import Result, TrainFromScratch, builder
from gnas.export import source as source_of
from gnas.journal import Journal
from gnas.model import GraphModel
from gnas.ops import unread
from gnas.pace import pace_of, seconds_of_epoch, steps_of_epoch
from gnas.progress import Display, Interrupt, duration, words
from gnas.run import Run
from gnas.scale import Scale
from gnas.space import Genotype, Space
from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox
from gnas.task import Task

# A wall-clock budget is for the whole run. The search phase gets at least and at most this share of it; between them
# what it would take of the whole without a budget.
SHARES = (0.125, 0.5)
# Snapshots may take one part in so many of the time.
SNAPSHOT_SHARE = 20
# Networks that are drawn to see whether conditions leave any.
DRAWN = 30


@dataclass
class Job:
    """One call of :func:`gnas.search`: its settings, and the little that changes."""

    task: Task
    space: Space
    strategy: Strategy[Any]
    derivation: Derivation
    evaluator: TrainFromScratch
    budget: Budget | None
    seed: int
    journal: Journal
    display: Display
    crew: Crew
    source: dict[str, str | None]
    seconds: dict[str, float] = field(default_factory=lambda: {"search": 0.0, "derivation": 0.0, "training": 0.0})
    state: Any = None
    steps: int = 0
    phase: str = "search"
    portion: float = SHARES[-1]
    epoch: float = 0.0
    apart: float = 0.0
    """Seconds of the derivation in which nothing was trained: they say nothing about how long a training takes."""

    def __post_init__(self) -> None:
        self.own = epochs_of(self.strategy)
        # A short training is no longer than the last one.
        if self.derivation.epochs > (longest := self.evaluator.epochs):
            rung = min(self.derivation.rung, longest - 1)
            self.derivation = dataclasses.replace(self.derivation, epochs=longest, rung=rung)
        self.admits = gate(self.derivation.conditions, self.space, self.task)

    # the phases

    def run(self, resume: bool, interrupt: Interrupt) -> Run:
        settings = self.settings()
        if self.journal.exists:
            if not resume:
                self.journal.refuse()
            self.journal.compare(settings)
            if self.journal.run()["status"] == "done":
                if not self.journal.path("report.html").exists():
                    report.write(self.journal.folder)
                return Run.read(self.journal, self.task, self.space)
            return self.go(interrupt)
        self.journal.create({**settings, "seconds": self.seconds})
        try:
            return self.go(interrupt)
        except Exception:
            self.journal.withdraw()
            raise

    def go(self, interrupt: Interrupt) -> Run:
        """All phases from the last snapshot on, or from the beginning."""
        self.restore()
        for note in (*self.task.notes, *self.unread):
            self.display.note(note)
        if self.phase == "search":
            self.foresee()
            self.explore(interrupt)
        events = self.journal.events()
        weights: dict[str, list[float]] = next(
            (event["weights"] for event in reversed(events) if "weights" in event), {}
        )
        genotype = self.derive(events, weights, interrupt)
        # What comes now is short and is not cut short: the status tells whether something was left out before.
        status = "interrupted" if interrupt.requested else "done"
        return self.train(genotype, weights, status)

    @property
    def unread(self) -> list[str]:
        """What of the edges' data operations of the space leave unread, in sentences."""
        features = {"edge_attr": self.task.edge_attr is not None, "edge_weight": self.task.edge_weight is not None}
        return unread(self.space, **features)

    def foresee(self) -> None:
        """Say before the search, and not only after it, that hardly a network fulfils the derivation's conditions."""
        generator = random.Random(self.seed)
        networks = (self.space.sample(generator) for _ in range(DRAWN))
        if self.admits is not anything and not self.steps and not any(map(self.admits, networks)):
            self.display.note(
                f"none of {DRAWN} networks drawn from the space fulfils {said(self.derivation.conditions)}; a search "
                "may end with none, which a wider limit or cost=CostTerm(...) prevents"
            )

    def explore(self, interrupt: Interrupt) -> None:
        """Step until the strategy is done or the budget is spent."""
        self.display.scale = self.judging
        self.display.start("search", *self.extent())
        began, before = time.monotonic(), self.seconds["search"]
        saved, cost = began, 0.0
        if self.timed and not self.steps:
            self.fit_strategy()
        while not interrupt.requested and not self.strategy.done(self.state) and not self.spent():
            event = self.strategy.step(self.task, self.state)
            self.journal.append(event)
            self.steps += 1
            now = time.monotonic()
            self.seconds["search"] = before + now - began
            total, done, _ = self.extent()
            self.display.advance(event, done, total)
            if now - saved >= SNAPSHOT_SHARE * cost:
                self.snapshot()
                saved = time.monotonic()
                cost = saved - now
        if not self.steps:
            if interrupt.requested:
                raise KeyboardInterrupt
            if isinstance(self.strategy, BlackBox):
                self.strategy.ask(self.state)  # says what was refused
            raise ValueError(f"{self.strategy.name} was done before its first step; expected settings for one or more")
        if not interrupt.requested:
            self.phase = "derivation"
        self.snapshot()
        self.display.end(self.summary())
        self.display.scale = self.task.metric

    def derive(self, events: list[dict[str, Any]], weights: dict[str, list[float]], interrupt: Interrupt) -> Genotype:
        """Measure what the weights leave open, then choose; after Ctrl-C, by what had been measured by then."""
        if interrupt.requested or not weights:
            return self.undecided(weights)
        listed = [event for event in events if event["event"] == LISTED]
        done = [event for event in events if event["event"] in KINDS]
        supernet: Any = getattr(self.state, "supernet", None)
        derivation, *larger = self.fitted_derivations(weights) if self.timed else [self.derivation]
        if derivation.lists(listed):
            self.display.start("shortlist")
            began, recipe = time.monotonic(), self.evaluator.recipe_for(self.task)
            # As long as the whole derivation wants it, for the time that a smaller one may leave.
            event = self.derivation.shorten(
                self.task, supernet, recipe, weights, self.seed, lambda: interrupt.requested, self.admits
            )
            if not event["genotypes"]:
                return self.undecided(weights)
            self.journal.append(event)
            listed.append(event)
            self.prepared(began)
            self.display.end(f"shortlist: {len(event['genotypes'])} of {event['listed']} networks by inherited weights")
        if derivation.redraws(self.task):
            items = self.task.index("architecture").numel()
            self.display.note(
                f"the architecture split has {items} {self.task.level}s: short trainings draw it and the weights split "
                "anew for each of their seeds, the same for all networks"
            )
        self.display.start("derivation", done=len(done), unit="trainings")
        if self.timed:
            began = time.monotonic()
            self.crew.begin()
            self.prepared(began)
        done, ended = self.measured(derivation, weights, listed, done, interrupt)
        for plan in larger:
            more = trainings(plan, self.space) - len(done)
            if ended or self.late(done, more * typical(self.derivation, done)):
                break
            derivation = plan
            done, ended = self.measured(derivation, weights, listed, done, interrupt)
        genotype = derivation.choose(self.space, weights, [*listed, *done], self.task.higher_is_better, self.admits)
        took = duration(self.seconds["derivation"])
        self.display.end(f"derivation: {len(done)} short trainings in {took}, {words(dict(genotype.choices))}")
        return genotype

    def prepared(self, began: float) -> None:
        """Count what the derivation did since then as no training."""
        took = time.monotonic() - began
        self.seconds["derivation"] += took
        self.apart += took

    def measured(
        self,
        derivation: Derivation,
        weights: dict[str, list[float]],
        listed: list[dict[str, Any]],
        done: list[dict[str, Any]],
        interrupt: Interrupt,
    ) -> tuple[list[dict[str, Any]], bool]:
        """All events of short trainings that a derivation may choose by, and whether time or Ctrl-C ended it."""
        supernet: Any = getattr(self.state, "supernet", None)
        began, before = time.monotonic(), self.seconds["derivation"]
        done, whole = list(done), list(done)
        while jobs := derivation.jobs(self.space, weights, [*listed, *done], self.task.higher_is_better, self.admits):
            # One seed after another. Of a seed's round, all options or none: those left out could not win. The first
            # round is the exception: what was not tried in it is out.
            turn = min((job.inherit, job.seed) for job in jobs)
            due = [job for job in jobs if (job.inherit, job.seed) == turn]
            kind = due[0].kind
            first = kind == RUNG or (kind == "best_of" and not due[0].seed)
            # Without a shortlist the candidates' order does not depend on how many there are, so some can be left out.
            cut = first and not listed and kind == (RUNG if derivation.rung else "best_of")
            late = self.late(done, self.ahead(derivation, done, due, first, cut))
            tried = begun(done, kind)
            if late and cut and tried < derivation.best_of:
                # None was, where short trainings of another plan have used the time up.
                derivation = dataclasses.replace(derivation, best_of=max(tried, 1))
                continue
            if late:
                self.display.note(f"the time budget ends the derivation after {len(done)} of its short trainings")
            if late or interrupt.requested:
                return whole, True
            left = len(jobs)
            recipe = self.evaluator.recipe_for(self.task)
            trained = [derivation.training(job, self.task, supernet, recipe, self.seed) for job in due]
            with closing(self.crew.each(trained)) as results:
                for job, result in zip(due, results, strict=True):
                    event = derivation.event(job, result)
                    self.journal.append(event)
                    done.append(event)
                    left -= 1
                    if first or len(done) - len(whole) == len(due):
                        whole = list(done)
                    self.seconds["derivation"] = before + time.monotonic() - began
                    self.journal.update(seconds=self.rounded())
                    self.display.advance(event, len(done), len(done) + left)
                    late = first and self.late(done, self.ahead(derivation, done, due, first, cut))
                    if interrupt.requested or late:
                        break
        return whole, False

    def ahead(
        self, derivation: Derivation, done: list[dict[str, Any]], due: list[DerivationJob], first: bool, cut: bool
    ) -> float:
        """Epochs of what there must be time for before a round goes on: one training of the first, else all of them.

        Where the first round may be cut short, also the trainings of those that would go on from it.
        """
        one = typical(derivation, done)
        if not cut:
            return one * (1 if first else len(due))
        tried = begun(done, due[0].kind) + 1
        after = trainings(dataclasses.replace(derivation, best_of=tried, evidence=()), self.space)
        return derivation.rung + one * after if derivation.rung else one * (1 + after - tried)

    def undecided(self, weights: dict[str, list[float]]) -> Genotype:
        """What the strategy has found by itself; under conditions, the most probable that fulfils them."""
        if weights and self.admits is not anything:
            return self.derivation.choose(self.space, weights, [], admits=self.admits)
        genotype = self.strategy.derive(self.task, self.state)
        if not self.admits(genotype):
            raise ValueError(
                f"{self.strategy.name} has found a network that does not fulfil {said(self.derivation.conditions)}: it "
                "takes no conditions and has no weights of options; expected a strategy with one or the other"
            )
        return genotype

    def train(self, genotype: Genotype, weights: dict[str, list[float]], status: str) -> Run:
        """Train the chosen network from scratch and write down all that the run hands over."""
        self.display.start("training")
        began = time.monotonic()
        torch.manual_seed(self.seed)
        result = self.evaluator.evaluate(self.space, genotype, self.task, self.seed)
        model = self.trained(genotype, result.state)
        event = {
            "event": "derived",
            "genotype": dict(genotype.choices),
            "confidence": confidence(self.space, weights) if weights else {},
            **self.gap(genotype),
            "derived_metric": result.metric_architecture,
        }
        self.seconds["training"] = time.monotonic() - began
        self.journal.append(event)
        self.write(genotype, model, result)
        findings = diagnose(self.journal.events(), self.task.metric, self.strategy.name)
        plain = [finding.plain() for finding in findings]
        self.journal.update(status=status, seconds=self.rounded(), diagnostics=plain)
        report.write(self.journal.folder)
        self.display.end(
            f"training: {self.task.metric.text(result.metric_architecture)} on the architecture split after "
            f"{result.epochs} epochs in {duration(self.seconds['training'])}, {result.parameters:,} parameters"
        )
        for finding in findings:
            if finding.action:
                self.display.note(f"{finding.title} {finding.shown}: {finding.action}")
        metric, told = result.metric_architecture, tuple(findings)
        return Run(self.journal, self.task, self.space, genotype, model, status, metric, told)

    def gap(self, genotype: Genotype) -> dict[str, float | None]:
        """The discretisation gap: the supernet's metric, and that of the chosen network with its weights."""
        supernet = getattr(self.state, "supernet", None)
        if supernet is None:
            return {"supernet_metric": None, "inherited_metric": None}
        before, inherited = self.measure(supernet), supernet.model(genotype)
        self.task.settle(inherited)
        return {"supernet_metric": before, "inherited_metric": self.measure(inherited)}

    def measure(self, network: nn.Module) -> float:
        return self.task.measure(network, ("architecture",))["architecture"][1]

    def trained(self, genotype: Genotype, state: dict[str, Any]) -> GraphModel:
        model = builder(self.space.bind(genotype))(self.task, self.evaluator.recipe_for(self.task))
        model.load_state_dict(state)
        assert isinstance(model, GraphModel)
        return model.to(self.task.device).eval()

    def write(self, genotype: Genotype, model: GraphModel, result: Result) -> None:
        header = f"Found by gnas {__version__} for {self.task.name}: {words(dict(genotype.choices))}."
        self.journal.write("genotype.json", genotype.to_json() + "\n")
        self.journal.write("space.json", self.space.to_json() + "\n")
        self.journal.save("weights.pt", result.state)
        self.journal.write("model.py", source_of(model, header=header))

    # what a run is made of

    def settings(self) -> dict[str, Any]:
        """What ``run.json`` holds from the start."""
        space = self.space
        depth = space.choices.get("depth")
        size = {"choices": len(space.choices), "genotypes": space.size, "share": space.share}
        described = {
            "space": {
                "name": space.name,
                "digest": space.digest(),
                "settings": {**size, "depths": None if depth is None else len(depth.options)},
            },
            "strategy": self.strategy.describe(),
            "derivation": dataclasses.asdict(self.derivation),
            "recipe": dataclasses.asdict(self.evaluator.recipe_for(self.task)),
            "evaluator": dataclasses.asdict(self.evaluator),
            "task": {**self.task.describe(), "digest": self.task.digest()},
            "unread": self.unread,
            "data": self.source,
            "seed": self.seed,
            "budget": None if self.budget is None else str(self.budget),
            "versions": {
                "gnas": __version__,
                "torch": torch.__version__,
                "torch_geometric": metadata.version("torch_geometric"),
                "python": platform.python_version(),
            },
            "device": str(self.task.device),
            "threads": torch.get_num_threads(),
            "workers": self.crew.workers,
            "kernels": kernels.backend(self.task.device),
        }
        # As it will be read back, so that the two can be compared.
        return json.loads(json.dumps(described))  # type: ignore[no-any-return]

    # the state

    def restore(self) -> None:
        """Make the strategy's state, and go back to the last snapshot if there is one."""
        kept = self.journal.restore(until="derived")
        torch.manual_seed(self.seed)
        self.state = self.strategy.init(self.space, self.task, torch.default_generator)
        if kept is None:
            return
        self.state.load_state_dict(kept["strategy"])
        self.steps, self.phase, self.seconds = kept["steps"], kept["phase"], dict(kept["seconds"])
        if self.phase == "derivation":
            self.seconds["derivation"] = self.journal.run()["seconds"]["derivation"]
        self.portion = kept["portion"]
        if self.timed and kept["epochs"] is not None:
            self.strategy = dataclasses.replace(self.strategy, epochs=kept["epochs"])  # type: ignore[call-arg]
        torch.set_rng_state(kept["rng"])
        self.display.note(f"going on after {self.steps} steps")

    def snapshot(self) -> None:
        state = {
            "strategy": self.state.state_dict(),
            "steps": self.steps,
            "phase": self.phase,
            "epochs": getattr(self.strategy, "epochs", None),
            "portion": self.portion,
            "seconds": self.seconds,
            "rng": torch.get_rng_state(),
        }
        self.journal.snapshot(state, closed=self.phase == "derivation")

    # the budget

    def spent(self) -> bool:
        if self.timed:
            return self.seconds["search"] >= self.share()
        return self.budget is not None and self.steps >= self.budget.amount

    def share(self) -> float:
        """Seconds of a wall-clock budget that the search phase may take."""
        assert self.budget is not None
        if isinstance(self.strategy, BlackBox) and self.steps:
            # No derivation follows: what is left must do for one more candidate and for the last training.
            return self.budget.amount - 2 * self.seconds["search"] / self.steps
        return self.budget.amount * self.portion

    def fit_strategy(self) -> None:
        """Share out a wall-clock budget between search and derivation, and give the strategy as many epochs as fit.

        Both are shortened alike: a supernet whose epochs are long, as of many batches, must not leave the derivation
        without the short trainings that decide.
        """
        began = time.monotonic()
        pace = pace_of(self.strategy, self.space, self.task, self.seed, self.share())
        if pace is None:
            return
        if pace.weighs:
            genotype, recipe = self.space.sample(random.Random(self.seed)), self.evaluator.recipe_for(self.task)
            epoch = seconds_of_epoch(self.space, genotype, self.task, recipe)
            whole, after = pace.whole(self.strategy), extent(self.derivation, self.space) * epoch
            self.portion = min(max(whole / (whole + after), SHARES[0]), SHARES[1])
        # The trials are of the same share, or the clock would end the strategy before its schedules do.
        self.strategy = pace.fit(self.strategy, self.share() - (time.monotonic() - began))

    @property
    def timed(self) -> bool:
        """Whether the budget is one of time."""
        return self.budget is not None and self.budget.unit == "seconds"

    def room(self) -> float:
        """Seconds of a wall-clock budget that the derivation has left, the last training's set aside."""
        assert self.budget is not None
        last = expected(self.evaluator.epochs, self.evaluator.patience, EARLY) * self.epoch
        return self.budget.amount - self.seconds["search"] - self.seconds["derivation"] - last

    def late(self, done: list[dict[str, Any]], epochs: float) -> bool:
        """Whether so many epochs of short trainings and the last training would go beyond a wall-clock budget."""
        if not self.timed or not done:
            return False
        pace = (self.seconds["derivation"] - self.apart) / sum(event["epochs"] for event in done)
        return self.room() <= epochs * pace

    @property
    def ready(self) -> bool:
        """Whether the supernet had half of the epochs that it would have had without a budget of time."""
        return 2 * epochs_of(self.strategy) >= self.own

    def fitted_derivations(self, weights: dict[str, list[float]]) -> list[Derivation]:
        """The derivation that the time left allows, by the pace of a trial, and larger ones, should it leave time."""
        genotype = self.derivation.choose(self.space, weights, [], True, self.admits)
        self.epoch = seconds_of_epoch(self.space, genotype, self.task, self.evaluator.recipe_for(self.task))
        steps = steps_of_epoch(self.task)
        return fit_derivation(self.derivation, self.space, self.room(), self.epoch, self.ready, steps)  # type: ignore[no-any-return]

    def extent(self) -> tuple[float | None, float, str]:
        """How much there is to do in the search phase, how much is done, and in what."""
        if self.timed:
            return self.share(), self.seconds["search"], "seconds"
        unit = unit_of(self.strategy)
        own = getattr(self.strategy, unit, None) or getattr(getattr(self.strategy, "inner", None), unit, None)
        return (own if self.budget is None else self.budget.amount), self.steps, unit

    def summary(self) -> str:
        """The search phase in one line."""
        event = self.journal.events()[-1]
        unit = "epochs" if event["event"] == "epoch" else "evaluations"
        metric = event.get("best", event.get("metric_architecture"))
        what = "the best candidate" if "best" in event else "the supernet"
        ended = f" ({event['stopped']})" if "stopped" in event else ""
        text = f"search: {self.steps} {unit} in {duration(self.seconds['search'])}{ended}"
        if metric is None:
            return text
        read = self.judging
        where = "on the architecture split" if read == self.task.metric else f"by its {read.name}"
        return f"{text}, {what} at {read.text(metric)} {where}"

    @property
    def judging(self) -> Scale:
        """How the values of the search's events are read."""
        return self.task.metric.judging(self.strategy.describe())

    def rounded(self) -> dict[str, float]:
        return {phase: round(seconds, 3) for phase, seconds in self.seconds.items()}


def begun(done: list[dict[str, Any]], kind: str) -> int:
    """How many candidates a first round has trained."""
    return sum(event["event"] == kind and not event["seed"] for event in done)


def typical(derivation: Derivation, done: list[dict[str, Any]]) -> float:
    """Epochs of a short training: as many as those that were made took on average."""
    made = [event["epochs"] for event in done if event["event"] != RUNG]
    return fmean(made) if made else expected(derivation.epochs, derivation.patience, TYPICAL)


def epochs_of(strategy: Strategy[Any]) -> int:
    """Epochs of a one-shot strategy, by itself or in a wrapper; none of any other."""
    return int(getattr(getattr(strategy, "inner", strategy), "epochs", 0))


def unit_of(strategy: Strategy[Any]) -> str:
    """What the steps of a strategy are called; its setting of that name limits them."""
    return "evaluations" if isinstance(strategy, BlackBox) else "epochs"
