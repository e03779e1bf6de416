"""The rows of an evaluation: tuned, trained, and kept as they come."""

from __future__ import annotations

import difflib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch_geometric.data import Data, Dataset

from gnas import __version__
from gnas.checks import whole
from gnas.compare.runs import FORMAT, VERSION
from gnas.compare.statistics import BASELINE, FOUND, RANDOM, Evaluation, Row, compare, restored, spread, verdict
from gnas.costs import Limit
from gnas.crew import Crew, Network, Training
from gnas.data import load, split_of
from gnas.evaluate import Result, TrainFromScratch
from gnas.graphs import GraphSet
from gnas.headed import hand_made
from gnas.journal import Folder, Journal, as_json
from gnas.metrics import KINDS
from gnas.progress import Display, display
from gnas.recipe import Recipe, recipes_of
from gnas.space import Genotype, Space
from gnas.strategy import Random
from gnas.task import Task

FIRST_TUNING_SEED = 1_000_000
"""Tuning seeds count from here, so that none of them is a reporting seed."""


def evaluate(
    folder: Folder,
    *,
    data: Data | GraphSet | Sequence[Data] | Dataset | Task | None = None,
    seeds: int | Sequence[int] = 10,
    tuning_seeds: int = 2,
    baselines: Sequence[str] | None = None,
    random: bool = True,
    recipes: Sequence[Recipe] | None = None,
    evaluator: TrainFromScratch | None = None,
    root: str | Path | None = None,
    reuse: Sequence[Folder] = (),
    workers: int = 1,
    progress: bool | None = False,
) -> Evaluation:
    """Evaluate a finished run and write ``evaluation.json`` into its folder.

    Each row is kept in ``evaluation/`` as it comes, so a call that was broken off goes on with the next row.

    Args:
        folder: The folder that :func:`gnas.search` wrote; or the run that it handed over, which also has the data.
        data: The data, if the run doesn't know where they lie (or they moved); the same that were searched.
        seeds: Number of reporting seeds (counted from 0), or the seeds.
        tuning_seeds: Number of trainings of each network under each recipe.
        baselines: Names of hand-made networks (:func:`gnas.headed.hand_made`); all if not given, none if empty.
        random: Whether to add random search.
        recipes: What the recipe of each network is chosen from; :func:`gnas.recipe.recipes_of` the task if not given.
        evaluator: How long and with what patience networks are trained; its recipe is not read.
        root: Folder of raw data files, if it is another than the search's.
        reuse: Folders of runs on the same data whose rows are taken over where the same was measured there: the
            hand-made networks don't depend on the search.
        workers: Trainings that run side by side, each in a process with one thread; a script that asks for more than
            one needs Python's usual ``if __name__ == "__main__":``. Random search has the machine to itself.
        progress: As for :func:`gnas.search`.

    Returns:
        The content of ``evaluation.json``; metrics that are shares lie between 0 and 1.

    Raises:
        FileNotFoundError, ValueError: A run is not there, not finished or damaged, or the data are others.
        TypeError: What should be a folder is none.
    """
    journal = Journal(folder)
    run = journal.run()
    journal.result("genotype.json")
    task = _task(journal, run, getattr(folder, "task", None) if data is None else data, root)
    recipes = recipes_of(task) if recipes is None else recipes
    if not isinstance(recipes, (list, tuple)) or not all(isinstance(recipe, Recipe) for recipe in recipes):
        raise TypeError(
            f"evaluate got recipes={recipes!r}; expected a tuple, such as (gnas.Recipe(lr=0.01), gnas.Recipe(lr=0.02))"
        )
    if not recipes:
        raise ValueError("evaluate got no recipes; expected at least one, try recipes=None for the usual ones")
    tuning_seeds = whole("evaluate", "tuning_seeds", tuning_seeds, 1)
    plan = _Plan(
        task=task,
        seeds=_seeds(seeds),
        tuning=tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + tuning_seeds)),
        recipes=tuple(recipes),
        evaluator=TrainFromScratch() if evaluator is None else evaluator,
        journal=journal,
        reuse=_others(reuse),
        shown=_shown(progress, task),
        crew=Crew(task, workers),
    )
    names = _names(baselines, task)
    space = journal.read("space.json", Space.from_json)
    genotype = journal.read("genotype.json", Genotype.from_json)
    space.check(genotype)
    journal.events()  # refuses a journal that was cut or edited
    try:
        rows = [_found_row(plan, run, space, genotype)]
        if random:
            rows.append(_random_row(plan, run, space))
        rows += [plan.row(name, BASELINE, name, None) for name in names]
    finally:
        plan.shown.close()
        plan.crew.close()
    evaluation = _evaluation(plan, rows)
    _write(journal.path("evaluation.json"), evaluation)
    return evaluation


def _shown(progress: bool | None, task: Task) -> Display:
    shown = display(progress)
    shown.scale = task.metric
    return shown


# ------------------------------------------------------------------------------------------------------------- a row


@dataclass
class _Plan:
    """What all rows have in common."""

    task: Task
    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    recipes: tuple[Recipe, ...]
    evaluator: TrainFromScratch
    journal: Journal
    reuse: tuple[Path, ...]
    shown: Display
    crew: Crew

    def settings(self) -> dict[str, Any]:
        """How every row was made, as plain values."""
        length = {key: value for key, value in asdict(self.evaluator).items() if key != "recipe"}
        recipes = [asdict(recipe) for recipe in self.recipes]
        return {
            "seeds": list(self.seeds),
            "tuning_seeds": list(self.tuning),
            "recipes": recipes,
            "training": length,
            "device": str(self.task.device),
        }

    def row(self, name: str, kind: str, network: Network, genotype: Genotype | None, **more: Any) -> Row:
        """Tune, train on all reporting seeds and keep the row; or take it over if it was kept before."""
        made_with = {
            "name": name,
            **_of_task(self.task),
            "genotype": None if genotype is None else [genotype.digest, dict(genotype.choices)],
            "settings": self.settings(),
            "versions": _versions(),
        }
        kept = self.kept(name, made_with)
        if kept is None:
            self.shown.start(name, len(self.recipes) * len(self.tuning) + len(self.seeds), unit="trainings")
            kept = self.train(network)
            self.keep(name, made_with, kept)
            self.shown.end(f"{name}: {self.task.metric.spread(kept['test_mean'], kept['test_std'])} on the test split")
        choices = None if genotype is None else dict(genotype.choices)
        return {"name": name, "kind": kind, **kept, "genotype": choices, **more}

    def train(self, network: Network) -> Row:
        done = 0

        def told(trainings: list[Training]) -> Iterator[Result]:
            nonlocal done
            for result in self.crew.each(trainings):
                done += 1
                self.shown.advance({"event": "training", "metric_architecture": result.metric_architecture}, done)
                yield result

        trainings = [
            Training(network, replace(self.evaluator, recipe=recipe), seed)
            for recipe in self.recipes
            for seed in self.tuning
        ]
        results = list(told(trainings))
        size = len(self.tuning)
        tuned = [results[i : i + size] for i in range(0, len(results), size)]
        best = self.recipes[max(range(len(tuned)), key=lambda i: self.merit(tuned[i]))]
        results = list(
            told([Training(network, replace(self.evaluator, recipe=best), seed, True) for seed in self.seeds])
        )
        test = [result.test for result in results if result.test is not None]
        assert len(test) == len(self.seeds)
        return {
            **spread("test", test),
            **spread("architecture", [result.metric_architecture for result in results]),
            "parameters": results[0].parameters,
            "seconds": fmean(result.seconds for result in results),
            "recipe": asdict(best),
            "tuning": [fmean(result.metric_architecture for result in group) for group in tuned],
        }

    def merit(self, results: Sequence[Result]) -> tuple[float, float]:
        """How good a recipe is by the architecture split: metric, then loss; the first of equals wins."""
        metric = fmean(result.metric_architecture for result in results)
        loss = fmean(result.loss_architecture for result in results)
        return self.task.metric.judged(metric, loss)

    # Rows lie in evaluation/, each with all that it depends on.

    def kept(self, name: str, made_with: Mapping[str, Any]) -> Row | None:
        for folder in (self.journal.folder, *self.reuse):
            path = folder / "evaluation" / _file(name)
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{path} is damaged ({error}); delete it, and the row is made again") from None
            if not isinstance(content, dict) or not isinstance(content.get("row"), dict):
                raise ValueError(f"{path} is no row of an evaluation; delete it, and the row is made again")
            # As it was read back: JSON makes lists of tuples.
            if content.get("made_with") == json.loads(json.dumps(made_with)):
                return restored(content["row"])
        return None

    def keep(self, name: str, made_with: Mapping[str, Any], row: Row) -> None:
        _write(self.journal.folder / "evaluation" / _file(name), {"made_with": made_with, "row": row})


def _evaluation(plan: _Plan, rows: list[Row]) -> Evaluation:
    """The content of ``evaluation.json``."""
    scale = plan.task.metric
    differences = compare(rows, scale=scale)
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": {**plan.task.describe(), "digest": plan.task.digest()},
        "seeds": list(plan.seeds),
        "rows": rows,
        "verdict": verdict(rows, differences, scale=scale),
        "comparisons": differences,
        "settings": plan.settings(),
        "versions": _versions(),
        "threads": torch.get_num_threads(),
    }


def _found_row(plan: _Plan, run: Mapping[str, Any], space: Space, genotype: Genotype) -> Row:
    name = f"{FOUND} ({space.name}, {run['strategy']['name']})"
    seconds = _cost(run)
    return plan.row(name, FOUND, space.bind(genotype), genotype, search={"seconds": seconds})


def _random_row(plan: _Plan, run: Mapping[str, Any], space: Space) -> Row:
    """Random search for as long as the search and its derivation took, then its best network as any other."""
    name, cost = f"{RANDOM} ({space.name})", _cost(run)
    evaluator = replace(plan.evaluator, recipe=Recipe(**run["recipe"]))
    strategy = Random(evaluations=10**9, evaluator=evaluator, conditions=Limit.of(run))
    made_with = {
        "name": f"{name} best",
        **_of_task(plan.task),
        "space": space.digest(),
        "seconds": cost,
        "seed": run["seed"],
        "evaluator": asdict(plan.evaluator),
        "recipe": run["recipe"],
        "versions": _versions(),
        **({"limits": list(map(str, strategy.conditions))} if strategy.conditions else {}),
    }
    kept = plan.kept(f"{name} best", made_with)
    if kept is None:
        plan.shown.start(name, cost, unit="seconds")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run["seed"])
            state = strategy.init(space, plan.task, torch.default_generator)
            began, spent = time.monotonic(), 0.0
            # The last candidate may overrun the time: the difference is random search's gain.
            while not strategy.done(state) and (spent < cost or not state.trials):
                event = strategy.step(plan.task, state)
                spent = time.monotonic() - began
                plan.shown.advance(event, min(spent, cost), cost)
        choices = dict(strategy.derive(plan.task, state).choices)
        kept = {"genotype": choices, "seconds": spent, "evaluations": len(state.trials)}
        plan.keep(f"{name} best", made_with, kept)
        plan.shown.end(f"{name}: {len(state.trials)} networks in {spent:.0f} s")
    genotype = space.genotype(kept["genotype"])
    cost_of = {"seconds": kept["seconds"], "evaluations": kept["evaluations"]}
    return plan.row(name, RANDOM, space.bind(genotype), genotype, search=cost_of)


def _task(
    journal: Journal,
    run: Mapping[str, Any],
    data: Data | GraphSet | Sequence[Data] | Dataset | Task | None,
    root: str | Path | None,
) -> Task:
    """The task that was searched, from where the run says that its data lie, or from the data given."""
    told = run["task"]
    if data is None:
        source = run.get("data") or {}
        where = source.get("name") or source.get("path")
        if where is None:
            raise ValueError(
                f"{journal.folder} was searched on data that were given in memory, so they can't be loaded again; "
                "give them: evaluate(folder, data=data)"
            )
        data = load(where, root or source.get("root"), split_of(source.get("split")))
    if isinstance(data, Task):
        task = data
    else:
        task = _again(data, told, journal)
    if task.digest() != told["digest"]:
        raise ValueError(
            f"the data are not those that {journal.folder} was searched on: got {task.name!r} ({task.digest()[:12]}), "
            f"expected {told['name']!r} ({told['digest'][:12]}); give the same data, or search again"
        )
    if (loading := task.describe()["loading"]) != told.get("loading", {}):
        raise ValueError(
            f"the task makes batches with {loading or 'the whole graph'}, but {journal.folder} was searched with "
            f"{told.get('loading') or 'the whole graph'}; give a task that loads alike, or search again"
        )
    return task


def _of_task(task: Task) -> dict[str, Any]:
    """What of a task a row depends on: its data, and how batches are made where that is not the usual way."""
    loading = task.describe()["loading"]
    return {"task": task.digest(), **({"loading": loading} if loading else {})}


def _again(data: Data | GraphSet | Sequence[Data] | Dataset, told: Mapping[str, Any], journal: Journal) -> Task:
    """The task of a run made again from its data."""
    key = told.get("metric_key", "accuracy")
    if key is None:
        raise ValueError(
            f"{journal.folder} was searched with a metric of your own ({told.get('metric')}); give the task: "
            "evaluate(folder, data=Task.from_data(data, metric=...))"
        )
    return Task.from_data(
        data,
        name=told["name"],
        seed=told.get("split_seed", 0),
        features=told.get("scaling") or told.get("normalisation", "auto"),
        level=told.get("level", "node"),
        kind=told["kind"] if told.get("kind") in KINDS[:3] else None,
        metric=key,
        **told.get("loading", {}),
    )


def _cost(run: Mapping[str, Any]) -> float:
    """Seconds that the search and its derivation took."""
    seconds = run.get("seconds") or {}
    return float(seconds.get("search", 0.0)) + float(seconds.get("derivation", 0.0))


def _names(baselines: Sequence[str] | None, task: Task) -> list[str]:
    known = list(hand_made(task))
    if baselines is None:
        return known
    lower = {name.lower(): name for name in known}
    names = []
    for name in [baselines] if isinstance(baselines, str) else baselines:
        if str(name).lower() not in lower:
            near = difflib.get_close_matches(str(name).lower(), lower, n=2, cutoff=0.4)
            hint = f" (did you mean {' or '.join(repr(lower[other]) for other in near)}?)" if near else ""
            raise ValueError(f"there is no hand-made network {name!r}{hint}; expected some of {known}")
        names.append(lower[str(name).lower()])
    return list(dict.fromkeys(names))


def _others(reuse: Sequence[Folder]) -> tuple[Path, ...]:
    """The folders of other runs, each checked to be one: a row that is looked for elsewhere would never be found."""
    if not isinstance(reuse, (list, tuple)):
        raise TypeError(f"evaluate got reuse={reuse!r}; expected a list of runs' folders, such as ['runs/other']")
    journals = [Journal(other) for other in reuse]
    for journal in journals:
        journal.run()
    return tuple(journal.folder for journal in journals)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    try:
        given = seeds if isinstance(seeds, Iterable) else range(whole("evaluate", "seeds", seeds, 1))
        chosen = tuple(whole("evaluate", "seeds", seed, 0, FIRST_TUNING_SEED - 1) for seed in given)
    except ValueError:
        chosen = ()
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"evaluate got seeds={seeds!r}; expected a number of seeds, or different whole numbers from 0 to "
            f"{FIRST_TUNING_SEED - 1}"
        )
    return chosen


def _versions() -> dict[str, str]:
    return {
        "gnas": __version__,
        "torch": str(torch.__version__),
        "torch_geometric": metadata.version("torch_geometric"),
    }


def _file(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as a whole: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(as_json(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
