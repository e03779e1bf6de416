"""The front door: :func:`search` takes data, a space and a strategy, and hands over a trained network."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data, Dataset

from gnas import checks, kernels
from gnas.budget import Budget
from gnas.conditions import Condition, at, check_conditions
from gnas.crew import Crew
from gnas.derive import Derivation
from gnas.evaluate import TrainFromScratch
from gnas.export import check_exportable
from gnas.graphs import GraphSet
from gnas.journal import Folder, Journal
from gnas.layerwise import check_local
from gnas.making import Wish
from gnas.model import check_width
from gnas.phases import Job, unit_of
from gnas.progress import Interrupt, display
from gnas.recipe import Recipe
from gnas.run import Run
from gnas.space import Space
from gnas.space.heads import for_level
from gnas.strategy import Darts
from gnas.strategy.base import Strategy
from gnas.task import Task
from gnas.usual import usual_space


def search(
    data: Data | GraphSet | Sequence[Data] | Dataset | Task,
    space: Space | None = None,
    strategy: Strategy[Any] | None = None,
    derivation: Derivation | None = None,
    *,
    evaluator: TrainFromScratch | None = None,
    budget: str | float | Budget | None = None,
    seed: int = 0,
    folder: Folder | None = None,
    resume: bool = False,
    progress: bool | None = None,
    name: str | None = None,
    level: str | None = None,
    kind: str | None = None,
    metric: Wish = None,
    higher_is_better: bool | None = None,
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
        space: What to search; ``layered`` as :func:`gnas.usual.usual_space` has it if not given. What it lacks for the
            task's level, such as a readout, is added by :func:`gnas.space.heads.for_level`.
        strategy: How to search; ``gnas.Darts()`` if not given.
        derivation: How a genotype is made of architecture weights. Black-box strategies need none: they have
            trained their candidates.
        evaluator: How the found network is trained.
        budget: When to stop searching, if that is earlier than the strategy's own end: ``"50 epochs"``,
            ``"20 evaluations"``, a number of steps, or a time such as ``"2min"``. It also sets the strategy's own
            end, so its schedules fit. A time is for the whole run: a supernet gets an eighth to a half of it,
            the derivation and the last training the rest, and a derivation that would take longer measures less; a
            black-box strategy leaves time for one more candidate and the last training.
        seed: Of everything that is drawn.
        folder: Where to write; ``runs/<data>-<space>-<strategy>-s<seed>`` if not given. Never overwritten.
        resume: Go on with the run in that folder, given the same settings; without one there, begin it.
        progress: True for a live display, False for silence, None for a live display in a terminal and a few plain
            lines elsewhere.
        name: What the data is called.
        level: What has labels, ``"node"``, ``"edge"``, ``"link"`` or ``"graph"``; inferred where the data tell.
        kind: What labels are, ``"classification"``, ``"multilabel"`` or ``"regression"``; inferred likewise.
        metric: What networks are judged by; the data's own or the usual one if not given.
        higher_is_better: Of a metric that is a function of your own.
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
    _check_types(data, space, strategy, derivation, evaluator)
    check_conditions(conditions, "search")
    seed = checks.seed("search", seed)
    kernels.retain()
    limit = Budget.parse(budget)
    strategy = Darts() if strategy is None else strategy
    strategy = strategy if limit is None else limit.fit(strategy, unit_of(strategy))
    about: dict[str, Any] = {"name": name, "level": level, "kind": kind, "metric": metric}
    about["higher_is_better"] = higher_is_better
    task = data if isinstance(data, Task) else Task.from_data(data, **about)
    given = [key for key, value in about.items() if value is not None]
    if given and isinstance(data, Task):
        raise ValueError(
            f"search got a task and {', '.join(given)} besides, which a task already knows; expected one or the other, "
            f"try gnas.Task.from_data(data, {', '.join(f'{key}=...' for key in given)})"
        )
    space = for_level(usual_space(task) if space is None else space, task.level, edges=task.edge_of_pair is not None)
    if task.loading.measure == "layers":
        check_local(space)
    check_exportable(space)
    derivation = Derivation() if derivation is None else derivation
    strategy = strategy.for_task(task)
    evaluator = (TrainFromScratch() if evaluator is None else evaluator).settled(task)
    for trainer in (evaluator, getattr(strategy, "evaluator", None)):
        if isinstance(trainer, TrainFromScratch):
            check_width(space, trainer.recipe_for(task).hidden_channels)
    strategy, derivation = _under(strategy, derivation, tuple(conditions), evaluator.recipe_for(task))
    if folder is None:
        # A name may have separators, and must not lead elsewhere.
        folder = Path("runs") / re.sub(r"[/\\]", "-", f"{task.name}-{space.name}-{strategy.name}-s{seed}")
    job = Job(
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


def _check_types(data: Any, space: Any, strategy: Any, derivation: Any, evaluator: Any) -> None:
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
