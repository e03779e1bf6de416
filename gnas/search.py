"""The one loop: :func:`search` takes data, a space and a strategy, and hands over a trained network.

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
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data, Dataset

from gnas import __version__, kernels, report
from gnas.budget import EARLY, Budget, fit_derivation, fit_epochs
from gnas.conditions import Condition, anything, at, gate, said
from gnas.crew import Crew
from gnas.derive import KINDS, LISTED, Derivation, confidence
from gnas.diagnosis import Finding, diagnose
from gnas.evaluate import Recipe, Result, TrainFromScratch, builder, seeded
from gnas.export import source as source_of
from gnas.graphs import GraphSet
from gnas.journal import Journal
from gnas.layerwise import check_local
from gnas.making import Wish
from gnas.model import GraphModel
from gnas.ops import unread
from gnas.progress import Display, Interrupt, display, duration, words
from gnas.scale import Scale
from gnas.space import Genotype, Space, layered
from gnas.space.heads import for_level
from gnas.strategy import Darts, OneShot
from gnas.strategy.base import Strategy
from gnas.strategy.black_box import BlackBox
from gnas.task import Task

# A wall-clock budget is for the whole run. Derivation and the last training get this share of it.
RESERVED = 0.5
# Snapshots may take one part in so many of the time.
SNAPSHOT_SHARE = 20
# Epochs of the trial that sets the pace of a wall-clock budget: of the warm-up, then of the search.
TRIAL = (2, 3)
TRIAL_SHARE = 0.05


@dataclass(frozen=True)
class Run:
    """What a search hands over; all of it also lies in the run's folder.

    Args:
        journal: The folder, with settings and events.
        task: The data as the search saw it.
        space: What was searched.
        genotype: What was found.
        model: The found network, trained from scratch, in evaluation mode.
        status: ``"done"``, or ``"interrupted"`` if Ctrl-C ended it early.
        metric: Metric of the model on the architecture split.
        diagnostics: What the run's events tell about its search, each with what to do: :mod:`gnas.diagnosis`.
    """

    journal: Journal
    task: Task
    space: Space
    genotype: Genotype
    model: GraphModel
    status: str
    metric: float
    diagnostics: tuple[Finding, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self.journal.folder

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.journal.path("report.html")

    def __repr__(self) -> str:
        return (
            f"Run({self.status}, {self.task.metric.text(self.metric)} on the architecture split, "
            f"{words(dict(self.genotype.choices))}, folder={str(self.folder)!r})"
        )


def search(
    data: Data | GraphSet | Sequence[Data] | Dataset | Task,
    space: Space | None = None,
    strategy: Strategy[Any] | None = None,
    derivation: Derivation | None = None,
    *,
    evaluator: TrainFromScratch | None = None,
    budget: str | float | Budget | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    name: str | None = None,
    level: str | None = None,
    metric: Wish = None,
    workers: int = 1,
    conditions: Sequence[Condition] = (),
    source: Mapping[str, str | None] | None = None,
) -> Run:
    """Search a network for a graph, or for a set of graphs.

    .. code-block:: python

        from gnas import Darts, search
        from gnas.space import layered

        run = search(data, layered(max_depth=6), Darts(order=2), budget="2min")
        run.model(data.x, data.edge_index)

    Ctrl-C ends the search after the present step and hands over what was found so far; a second Ctrl-C aborts.
    A run that was killed, aborted or interrupted goes on with ``resume=True`` and ends as it would have otherwise.
    Memory that is freed stays with the process, see :func:`gnas.kernels.retain`.

    Args:
        data: One graph or several with labels ``y``, see :meth:`gnas.Task.from_data`; or the task that it makes, which
            has more settings (batches, the seed of the split, a metric of your own).
        space: What to search; ``gnas.space.layered()`` if not given. What it lacks for the task's level, such as a
            readout, is added by :func:`gnas.space.heads.for_level`.
        strategy: How to search; ``gnas.Darts()`` if not given.
        derivation: How a genotype is made of architecture weights. Black-box strategies need none: they have
            trained their candidates.
        evaluator: How the found network is trained.
        budget: When to stop searching, if that is earlier than the strategy's own end: ``"50 epochs"``,
            ``"20 evaluations"``, a number of steps, or a time such as ``"2min"``. It also sets the strategy's own
            end, so its schedules fit. A time is for the whole run: about half of it is kept for the derivation and
            the last training, and a derivation that would take longer measures less, the depth first.
        seed: Of everything that is drawn.
        folder: Where to write; ``runs/<data>-<space>-<strategy>-s<seed>`` if not given. Never overwritten.
        resume: Go on with the run in that folder, given the same settings; without one there, begin it.
        progress: True for a live display, False for silence, None for a live display in a terminal and a few plain
            lines elsewhere.
        name: What the data is called.
        level: What has labels, ``"node"``, ``"edge"``, ``"link"`` or ``"graph"``; inferred where the data tell.
        metric: What networks are judged by; the data's own or the usual one if not given.
        workers: Short trainings of the derivation that run side by side, each in a process with one thread; a script
            that asks for more than one guards its start with ``if __name__ == "__main__":``.
        conditions: What a network must fulfil to be considered, such as ``gnas.Limit("parameters", 50_000)``. Networks
            that don't are never trained by themselves and never handed over; ``Darts(cost=...)`` makes a supernet's
            search look for what fulfils them.
        source: Where the data can be loaded from again: ``{"name": ..., "root": ...}`` or ``{"path": ...}``; the
            command line knows it.

    Returns:
        The genotype, the trained model and the folder.

    Raises:
        TypeError, ValueError: Data or settings are wrong; the message says what was expected.
    """
    _check_types(data, space, strategy, derivation, evaluator, seed)
    kernels.retain()
    limit = Budget.parse(budget)
    strategy = Darts() if strategy is None else strategy
    strategy = strategy if limit is None else limit.fit(strategy, _unit(strategy))
    task = data if isinstance(data, Task) else Task.from_data(data, name=name, level=level, metric=metric)
    space = for_level(layered() if space is None else space, task.level, edges=task.edge_of_pair is not None)
    if task.loading.measure == "layers":
        check_local(space)
    derivation = Derivation() if derivation is None else derivation
    evaluator = TrainFromScratch() if evaluator is None else evaluator
    strategy, derivation = _under(strategy, derivation, tuple(conditions), evaluator.recipe)
    if folder is None:
        folder = Path("runs") / f"{task.name}-{space.name}-{strategy.name}-s{seed}"
    job = _Search(
        task=task,
        space=space,
        strategy=strategy,
        derivation=derivation,
        evaluator=evaluator,
        budget=limit,
        seed=seed,
        journal=Journal(folder),
        display=display(progress),
        crew=Crew(task, workers),
        source=dict(source or {"name": None, "path": None, "root": None, "split": None}),
    )
    job.display.scale = task.metric
    # What is drawn here neither depends on nor disturbs what the caller draws.
    with job.journal, torch.random.fork_rng(devices=[]), Interrupt(job.display) as interrupt:
        try:
            return job.run(resume, interrupt)
        finally:
            job.crew.close()
            job.display.close()


@dataclass
class _Search:
    """One call of :func:`search`: its settings, and the little that changes."""

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
    epoch: float = 0.0

    def __post_init__(self) -> None:
        self.admits = gate(self.derivation.conditions, self.space, self.task)

    # the phases

    def run(self, resume: bool, interrupt: Interrupt) -> Run:
        settings = self.settings()
        if self.journal.exists:
            if not resume:
                self.journal.refuse()
            self.journal.compare(settings)
            if self.journal.run()["status"] == "done":
                return self.finished()
        else:
            self.journal.create({**settings, "seconds": self.seconds})
        self.restore()
        features = {"edge_attr": self.task.edge_attr is not None, "edge_weight": self.task.edge_weight is not None}
        for note in (*self.task.notes, *unread(self.space, **features)):
            self.display.note(note)
        if self.phase == "search":
            self.explore(interrupt)
        events = self.journal.events()
        weights: dict[str, list[float]] = next(
            (event["weights"] for event in reversed(events) if "weights" in event), {}
        )
        genotype = self.derive(events, weights, interrupt)
        # What comes now is short and is not cut short: the status tells whether something was left out before.
        status = "interrupted" if interrupt.requested else "done"
        return self.train(genotype, weights, status)

    def explore(self, interrupt: Interrupt) -> None:
        """Step until the strategy is done or the budget is spent."""
        self.display.scale = self.judging
        self.display.start("search", *self.extent())
        began, before = time.monotonic(), self.seconds["search"]
        saved, cost = began, 0.0
        if self.timed and not self.steps:
            self.strategy = self.fitted_strategy()
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
        began, before = time.monotonic(), self.seconds["derivation"]
        supernet: Any = getattr(self.state, "supernet", None)
        derivation = self.fitted_derivation(weights) if self.timed else self.derivation
        if derivation.lists(listed):
            self.display.start("shortlist")
            recipe = self.evaluator.recipe
            event = derivation.shorten(
                self.task, supernet, recipe, weights, self.seed, lambda: interrupt.requested, self.admits
            )
            if not event["genotypes"]:
                return self.undecided(weights)
            self.journal.append(event)
            listed.append(event)
            self.display.end(f"shortlist: {len(event['genotypes'])} of {event['listed']} networks by inherited weights")
        self.display.start("derivation", done=len(done), unit="trainings")
        whole = list(done)
        while jobs := derivation.jobs(self.space, weights, [*listed, *done], self.task.higher_is_better, self.admits):
            # One seed after another. Of a seed's round, all options or none: those left out could not win. The first
            # round is the exception: what was not tried in it is out.
            turn = min((job.inherit, job.seed) for job in jobs)
            due = [job for job in jobs if (job.inherit, job.seed) == turn]
            first = due[0].kind == "best_of" and not due[0].seed
            late = self.late(len(done), 1 if first else len(due))
            if late:
                self.display.note(f"the time budget ends the derivation after {len(done)} of its short trainings")
            if late or interrupt.requested:
                break
            left = len(jobs)
            trainings = [derivation.training(job, supernet, self.evaluator.recipe, self.seed) for job in due]
            with closing(self.crew.each(trainings)) as results:
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
                    if interrupt.requested or (first and self.late(len(done), 1)):
                        break
        done = whole
        genotype = derivation.choose(self.space, weights, [*listed, *done], self.task.higher_is_better, self.admits)
        took = duration(self.seconds["derivation"])
        self.display.end(f"derivation: {len(done)} short trainings in {took}, {words(dict(genotype.choices))}")
        return genotype

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
        return {
            "supernet_metric": self.measure(supernet),
            "inherited_metric": self.measure(supernet.model(genotype)),
        }

    def measure(self, network: nn.Module) -> float:
        return self.task.measure(network, ("architecture",))["architecture"][1]

    def trained(self, genotype: Genotype, state: dict[str, Any]) -> GraphModel:
        model = builder(self.space.bind(genotype))(self.task, self.evaluator.recipe)
        model.load_state_dict(state)
        assert isinstance(model, GraphModel)
        return model.to(self.task.device).eval()

    def write(self, genotype: Genotype, model: GraphModel, result: Result) -> None:
        header = f"Found by gnas {__version__} for {self.task.name}: {words(dict(genotype.choices))}."
        self.journal.write("genotype.json", genotype.to_json() + "\n")
        self.journal.write("space.json", self.space.to_json() + "\n")
        self.journal.write("model.py", source_of(model, header=header))
        self.journal.save("weights.pt", result.state)

    def finished(self) -> Run:
        """The run as its folder has it, for one that had come to its end before."""
        genotype = Genotype.from_json(self.journal.path("genotype.json").read_text(encoding="utf-8"))
        state = self.journal.load("weights.pt")
        metric = self.journal.events()[-1]["derived_metric"]
        if not self.journal.path("report.html").exists():
            report.write(self.journal.folder)
        told = tuple(Finding(**finding) for finding in self.journal.run().get("diagnostics") or ())
        return Run(self.journal, self.task, self.space, genotype, self.trained(genotype, state), "done", metric, told)

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
            "recipe": dataclasses.asdict(self.evaluator.recipe),
            "evaluator": dataclasses.asdict(self.evaluator),
            "task": {**self.task.describe(), "digest": self.task.digest()},
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
        return self.budget.amount * (1 - RESERVED)

    @property
    def timed(self) -> bool:
        """Whether the budget is one of time."""
        return self.budget is not None and self.budget.unit == "seconds"

    def left(self) -> float:
        """Seconds of a wall-clock budget that search and derivation have left."""
        assert self.budget is not None
        return self.budget.amount - self.seconds["search"] - self.seconds["derivation"]

    def late(self, done: int, next_ones: int) -> bool:
        """Whether the next short trainings and the last training would go beyond a wall-clock budget."""
        if not self.timed or not done:
            return False
        last = self.evaluator.epochs * EARLY * self.epoch
        return self.left() - last <= next_ones * self.seconds["derivation"] / done

    def fitted_strategy(self) -> Strategy[Any]:
        """The strategy with as many epochs as its share of the time allows, by the pace of a trial."""
        inner = getattr(self.strategy, "inner", self.strategy)
        if not isinstance(inner, OneShot) or inner.epochs <= sum(TRIAL):
            return self.strategy
        trial = dataclasses.replace(inner, warmup=TRIAL[0])
        with seeded(self.seed):
            state = trial.init(self.space, self.task, torch.default_generator)
            paces: list[float] = []
            # A generation of networks may be dear: it is not repeated for the sake of an even pace.
            while len(paces) <= TRIAL[0] or (len(paces) < sum(TRIAL) and sum(paces) < TRIAL_SHARE * self.share()):
                began = time.monotonic()
                trial.step(self.task, state)
                paces.append(time.monotonic() - began)
        # The first one of each kind also sets things up.
        warmup, search = fmean(paces[1 : TRIAL[0]]), fmean(paces[TRIAL[0] + 1 :] or paces[TRIAL[0] :])
        room = self.share() - sum(paces)
        return fit_epochs(self.strategy, inner.epochs, room, warmup, search)  # type: ignore[no-any-return]

    def fitted_derivation(self, weights: dict[str, list[float]]) -> Derivation:
        """The derivation that the time left allows, by the pace of a trial."""
        genotype = self.derivation.choose(self.space, weights, [], True, self.admits)
        deepest = genotype
        if "depth" in self.space.choices:
            deepest = genotype.replace(depth=self.space.choices["depth"].options[-1])
        trial = TrainFromScratch(self.evaluator.recipe, epochs=5)
        # The first one also sets things up; depths are tried from the shallowest to the deepest.
        paces = [trial(builder(self.space.bind(g)), self.task, 0).seconds / 5 for g in (genotype, genotype, deepest)]
        self.epoch = sum(paces[1:]) / 2
        room = self.left() - self.evaluator.epochs * EARLY * self.epoch
        return fit_derivation(self.derivation, self.space, room, self.epoch)  # type: ignore[no-any-return]

    def extent(self) -> tuple[float | None, float, str]:
        """How much there is to do in the search phase, how much is done, and in what."""
        if self.timed:
            return self.share(), self.seconds["search"], "seconds"
        unit = _unit(self.strategy)
        own = getattr(self.strategy, unit, None) or getattr(getattr(self.strategy, "inner", None), unit, None)
        return (own if self.budget is None else self.budget.amount), self.steps, unit

    def summary(self) -> str:
        """The search phase in one line."""
        event = self.journal.events()[-1]
        unit = "epochs" if event["event"] == "epoch" else "evaluations"
        metric = event.get("best", event.get("metric_architecture"))
        what = "the best candidate" if "best" in event else "the supernet"
        text = f"search: {self.steps} {unit} in {duration(self.seconds['search'])}"
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


def _under(
    strategy: Strategy[Any], derivation: Derivation, conditions: tuple[Condition, ...], recipe: Recipe
) -> tuple[Strategy[Any], Derivation]:
    """Strategy and derivation with further conditions, on networks as they are trained in the end.

    A strategy that judges networks one by one, or one around such a strategy, takes them itself.
    """
    inner, own = getattr(strategy, "inner", None), getattr(strategy, "conditions", None)
    if isinstance(inner, Strategy):
        within, derivation = _under(inner, derivation, conditions, recipe)
        return _with(strategy, inner=within), derivation
    if own is not None:
        return _with(strategy, conditions=at((*own, *conditions), recipe)), derivation
    return strategy, _with(derivation, conditions=at((*derivation.conditions, *conditions), recipe))


def _with(settings: Any, **changes: Any) -> Any:
    """Settings with changes, and themselves where nothing changes."""
    same = all(getattr(settings, key) == value for key, value in changes.items())
    return settings if same else dataclasses.replace(settings, **changes)


def _unit(strategy: Strategy[Any]) -> str:
    """What the steps of a strategy are called; its setting of that name limits them."""
    return "evaluations" if isinstance(strategy, BlackBox) else "epochs"


def _check_types(data: Any, space: Any, strategy: Any, derivation: Any, evaluator: Any, seed: Any) -> None:
    if not isinstance(data, (Data, GraphSet, list, tuple, Dataset, Task)):
        raise TypeError(
            f"search got data of type {type(data).__name__}; expected a torch_geometric.data.Data, several of them, or "
            "a gnas.Task (for a name such as 'cora': gnas.load('cora'))"
        )
    expected = (
        ("space", space, Space, "gnas.space.layered()"),
        ("strategy", strategy, Strategy, "gnas.Darts()"),
        ("derivation", derivation, Derivation, "gnas.Derivation()"),
        ("evaluator", evaluator, TrainFromScratch, "gnas.TrainFromScratch()"),
    )
    for key, value, kind, example in expected:
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"search got {key}={value!r}; expected a {kind.__name__} object, try {example} "
                "(names are for the command line)"
            )
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"search got seed={seed!r}; expected a whole number from 0 to {2**31 - 1}")
