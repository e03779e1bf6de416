"""The loop: what a run leaves, kill and resume, Ctrl-C, budgets, refusals."""

from __future__ import annotations

import dataclasses
import faulthandler
import functools
import html
import json
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from gnas import compare, kernels, phases, report
from gnas.costs import Limit
from gnas.crew import Crew
from gnas.derive import KINDS, LISTED, Derivation
from gnas.evaluate import TrainFromScratch
from gnas.journal import EVENTS, Journal
from gnas.model import GraphModel
from gnas.pace import Pace
from gnas.recipe import Recipe
from gnas.run import Run
from gnas.search import search
from gnas.space import Space, layered
from gnas.strategy import BlackBox, Darts, Random, Reinforce
from gnas.task import Task
from gnas.testing import Scores, three_networks

EPOCHS = 8
LIMIT = 90
"""Seconds after which a search of these sizes hangs."""
RECIPE = Recipe(hidden_channels=8)
EVALUATOR = TrainFromScratch(RECIPE, epochs=4, patience=4)
DERIVATION = Derivation(listed=6, steps=2, best_of=3, evidence=("depth",), epochs=2)
STRATEGIES: dict[str, Any] = {
    "first": Darts(order=1, epochs=EPOCHS, hidden_channels=8),
    "second": Darts(order=2, epochs=EPOCHS, hidden_channels=8),
    "random": Random(evaluations=EPOCHS, evaluator=EVALUATOR),
    "reinforce": Reinforce(evaluations=EPOCHS, evaluator=EVALUATOR),
}
BLACK_BOX = [which for which, strategy in STRATEGIES.items() if isinstance(strategy, BlackBox)]


def graph(seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(60) % 3
    x = torch.randn(60, 5, generator=generator) + y[:, None]
    order = torch.randperm(60, generator=generator)
    masks = {}
    for i, key in enumerate(("train_mask", "val_mask", "test_mask")):
        masks[key] = torch.zeros(60, dtype=torch.bool)
        masks[key][order[20 * i : 20 * i + 20]] = True
    return Data(x=x, edge_index=torch.randint(60, (2, 200), generator=generator), y=y, **masks)


def found(folder: Path, which: str = "first", **settings: Any) -> Run:
    settings = {"derivation": DERIVATION, "evaluator": EVALUATOR, "progress": False, "name": "tiny", **settings}
    strategy = settings.pop("strategy", STRATEGIES[which])
    return search(settings.pop("data", graph()), layered(max_depth=2), strategy, folder=folder, **settings)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def pythons_own_interrupts():
    """A test run that was started in the background ignores Ctrl-C; these tests press it."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[[str], Run]:
    """Gives the uninterrupted run of a strategy, made once."""

    @functools.cache
    def run(which: str) -> Run:
        return found(tmp_path_factory.mktemp(which) / "run", which)

    return run


@pytest.fixture(params=list(STRATEGIES))
def finished(request, whole) -> tuple[str, Run]:
    """The uninterrupted run of each strategy."""
    return request.param, whole(request.param)


@pytest.fixture
def first(whole) -> Run:
    return whole("first")


def events(folder: Path) -> list[dict[str, Any]]:
    return Journal(folder).events()


# what a run leaves


def test_a_run_leaves_all_its_files(finished):
    which, run = finished
    names = {path.name for path in run.folder.iterdir()}
    expected = {"run.json", "events.jsonl", "state.pt", "genotype.json", "space.json", "model.py", "weights.pt"}
    assert names == expected | {"report.html"}
    kinds = [event["event"] for event in events(run.folder)]
    step = "candidate" if which in BLACK_BOX else "epoch"
    assert kinds[:EPOCHS] == [step] * EPOCHS
    assert kinds[-1] == "derived"
    if which in BLACK_BOX:
        assert len(kinds) == EPOCHS + 1
    else:
        assert "depth" in kinds and set(kinds[EPOCHS:-1]) <= {LISTED, *KINDS}


def test_a_run_tells_what_its_events_say_of_the_search(finished):
    which, run = finished
    told = json.loads((run.folder / "run.json").read_text())["diagnostics"]
    assert told == [finding.plain() for finding in run.diagnostics]
    expected = set() if which in BLACK_BOX else {"skips", "entropy", "gap"}
    assert {finding.name for finding in run.diagnostics} == expected
    last = events(run.folder)
    for finding in run.diagnostics:
        assert finding.says.endswith(".") and (not finding.action or finding.action.endswith("."))
        if finding.name in ("skips", "entropy"):
            assert finding.value == [event for event in last if event["event"] == "epoch"][-1][finding.name]


def test_run_json_tells_the_settings(finished):
    which, run = finished
    told = json.loads((run.folder / "run.json").read_text())
    assert (told["format"], told["version"], told["status"], told["seed"]) == ("gnas.run", 1, "done", 0)
    assert told["space"]["digest"] == run.space.digest()
    assert told["strategy"]["name"] == STRATEGIES[which].name
    assert told["recipe"]["hidden_channels"] == 8
    assert told["task"]["digest"] == run.task.digest()
    assert set(told["versions"]) == {"gnas", "torch", "torch_geometric", "python"}
    assert set(told["seconds"]) >= {"search", "derivation"}
    assert told["device"] == "cpu" and told["kernels"] == kernels.backend()


def test_the_model_is_the_found_network_trained(finished):
    _, run = finished
    assert isinstance(run.model, GraphModel) and not run.model.training
    assert run.space.genotype(dict(run.genotype.choices)) == run.genotype
    metric = run.task.measure(run.model)["architecture"][1]
    assert metric == run.metric == events(run.folder)[-1]["derived_metric"]
    weights = torch.load(run.folder / "weights.pt", weights_only=True)
    assert all(torch.equal(weights[key], value) for key, value in run.model.state_dict().items())


def test_the_source_runs_without_gnas_and_is_the_model(finished):
    _, run = finished
    text = (run.folder / "model.py").read_text()
    assert "import gnas" not in text and "from gnas" not in text
    assert "tiny" in text.splitlines()[0]


def test_the_test_role_is_never_read(finished):
    _, run = finished
    assert run.task.test_reads == 0


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_callers_stream(finished, tmp_path):
    which, run = finished
    before = torch.get_rng_state()
    again = found(tmp_path / "again", which)
    assert torch.equal(torch.get_rng_state(), before)
    assert (again.folder / EVENTS).read_bytes() == (run.folder / EVENTS).read_bytes()
    assert again.genotype == run.genotype


def test_another_seed_gives_another_search(tmp_path):
    a, b = found(tmp_path / "a", seed=1), found(tmp_path / "b", seed=2)
    assert events(a.folder)[0] != events(b.folder)[0]


def test_a_task_may_be_given_and_the_default_folder_names_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = Task.from_data(graph(), name="mine")
    run = found(None, data=task, name=None, seed=3, budget="2 epochs")  # type: ignore[arg-type]
    assert run.folder == Path("runs/mine-layered-darts-s3")
    assert "mine-layered-darts-s3" in repr(run)
    task = Task.from_data(graph(), name="../up\\a")
    run = found(None, data=task, name=None, budget="1 epochs")  # type: ignore[arg-type]
    assert run.folder == Path("runs/..-up-a-layered-darts-s0"), "a name leads nowhere else"


def test_what_a_task_knows_is_not_given_beside_it(tmp_path):
    task = Task.from_data(graph(), name="mine")
    wishes = {"metric": "balanced_accuracy", "level": "link", "kind": "regression", "name": "other"}
    for given in (*({key: wish} for key, wish in wishes.items()), {"higher_is_better": True}):
        with pytest.raises(ValueError, match=f"a task and {next(iter(given))} besides"):
            search(task, folder=tmp_path / "run", progress=False, **given)
    assert not (tmp_path / "run").exists()


def test_a_function_may_be_the_metric(tmp_path):
    def errors(prediction: torch.Tensor, target: torch.Tensor) -> float:
        return float((prediction.argmax(1) != target).sum())

    run = found(tmp_path / "run", metric=errors, higher_is_better=False, budget="2 epochs")
    assert not run.task.higher_is_better and run.task.metric.name == "errors"


def test_whole_numbers_may_be_what_is_predicted(tmp_path):
    run = found(tmp_path / "run", kind="regression", budget="2 epochs")
    assert (run.task.kind, run.task.metric.name) == ("regression", "mae")


@pytest.mark.filterwarnings("ignore:Precision loss")
def test_a_run_serves_wherever_its_folder_does(first):
    assert GraphModel.from_run(first).state_dict().keys() == first.model.state_dict().keys()
    assert report.write(first) == first.report
    assert found(first, resume=True).genotype == first.genotype
    evaluator, settings = TrainFromScratch(epochs=1), {"seeds": 2, "tuning_seeds": 1, "recipes": (RECIPE,)}
    table = compare.evaluate(first, evaluator=evaluator, baselines=["GCN"], random=False, reuse=[first], **settings)
    assert compare.read(first) == table, "its task holds the data, which were given in memory"
    with pytest.raises(ValueError, match=f"{re.escape(str(first.folder))} was searched with the seed 0, as"):
        compare.combine([first, first])


@pytest.mark.parametrize("take", [GraphModel.from_run, report.write, compare.evaluate, compare.read, Journal])
def test_what_is_no_folder_is_refused(take):
    for wrong in (None, 3, ["runs/mine"]):
        with pytest.raises(TypeError, match=r"as a run's folder; expected its path, such as 'runs/mine', or the run"):
            take(wrong)


# kill and resume


class Slow:
    """The same search, slow enough to be met on the way."""

    def step(self, task, state):
        time.sleep(0.02)
        return super().step(task, state)  # type: ignore[misc]


class SlowDarts(Slow, Darts):
    pass


class SlowRandom(Slow, Random):
    pass


class SlowReinforce(Slow, Reinforce):
    pass


def settings_of(settings: Any) -> dict[str, Any]:
    return {entry.name: getattr(settings, entry.name) for entry in dataclasses.fields(settings)}


def slow(strategy: Any) -> Any:
    kinds = {Darts: SlowDarts, Random: SlowRandom, Reinforce: SlowReinforce}
    return kinds[type(strategy)](**settings_of(strategy))


def child(folder: Path, which: str, settings: dict[str, Any], result: Path) -> None:
    torch.set_num_threads(1)
    # A test run that was started in the background ignores Ctrl-C, and its children would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Says where it hangs, if it ever does.
    faulthandler.dump_traceback_later(LIMIT - 10)
    try:
        run = found(folder, strategy=slow(STRATEGIES[which]), resume=True, **settings)
        result.write_text(run.status)
    except KeyboardInterrupt:
        result.write_text("aborted")


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Callable[..., tuple[Any, Path]]:
    """Starts a search in a process of its own, quickly: the server has torch and gnas loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch_geometric", "torchmetrics", "gnas.search", "gnas.report"])

    def begin(folder: Path, which: str, **settings: Any) -> tuple[Any, Path]:
        result = tmp_path_factory.mktemp("result") / "status"
        process = context.Process(target=child, args=(folder, which, settings, result))
        process.start()
        return process, result

    return begin


def ended(process: Any) -> None:
    """Wait until the process has ended; one that doesn't is killed, and the test fails."""
    process.join(LIMIT)
    if process.is_alive():
        process.kill()
        pytest.fail(f"the search had not ended after {LIMIT} s")


def wait_for_lines(process: Any, folder: Path, count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while process.is_alive() and time.monotonic() < deadline:
        file = folder / EVENTS
        if file.exists() and file.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)


@pytest.mark.parametrize("moments", [(0, 1, EPOCHS - 1), (2, EPOCHS + 1), (5, EPOCHS, EPOCHS + 2)], ids=str)
def test_a_killed_run_ends_as_if_it_had_not_been(finished, start, tmp_path, moments):
    which, run = finished
    folder = tmp_path / "run"
    draws = random.Random(f"{which} {moments}")
    killed = 0
    for lines in moments:
        process, _ = start(folder, which)
        wait_for_lines(process, folder, lines)
        time.sleep(draws.uniform(0, 0.03))
        process.kill()
        ended(process)
        killed += process.exitcode == -signal.SIGKILL
    assert killed, "at least the first kill met the run on its way"
    process, result = start(folder, which)
    ended(process)
    assert result.read_text() == "done"
    for name in (EVENTS, "genotype.json", "space.json", "model.py"):
        assert (folder / name).read_bytes() == (run.folder / name).read_bytes(), name
    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert all(torch.equal(weights[key], value) for key, value in run.model.state_dict().items())


def test_a_running_run_is_not_touched_by_a_second_process(start, tmp_path):
    process, _ = start(tmp_path / "run", "first")
    wait_for_lines(process, tmp_path / "run", 2)
    with pytest.raises(ValueError, match="is in use by another search"):
        found(tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match=r"still going on or was killed; go on with it by resume=True \(--resume\)"):
        found(tmp_path / "run")
    process.kill()
    ended(process)


# Ctrl-C


def test_an_interrupted_search_hands_over_what_it_found_and_can_go_on(finished, start, tmp_path):
    which, run = finished
    folder = tmp_path / "run"
    process, result = start(folder, which)
    wait_for_lines(process, folder, 3)
    os.kill(process.pid, signal.SIGINT)
    ended(process)
    assert result.read_text() == "interrupted"
    told = events(folder)
    assert 3 <= len(told) - 1 < EPOCHS
    assert told[-1]["event"] == "derived", "alpha alone decides, nothing else is measured"
    assert Journal(folder).run()["status"] == "interrupted"
    for name in ("genotype.json", "model.py", "weights.pt", "report.html"):
        assert (folder / name).exists()
    with pytest.raises(ValueError, match="a run that is interrupted; go on with it"):
        found(folder, which)
    again = found(folder, which, resume=True)
    assert again.status == "done"
    assert (folder / EVENTS).read_bytes() == (run.folder / EVENTS).read_bytes()


class InterruptedDerivation(Derivation):
    """Presses Ctrl-C when its second short training has ended."""

    def event(self, *args, **kwargs):
        if len(events(self.folder)) == EPOCHS + 2:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)
        return super().event(*args, **kwargs)


def merit(event: dict[str, Any]) -> tuple[float, float]:
    """Of a short training: the metric, among equals the loss."""
    return event["metric_architecture"], -event["loss_architecture"]


def test_an_interrupted_derivation_takes_the_best_so_far_and_can_go_on(first, tmp_path):
    derivation = InterruptedDerivation(**settings_of(DERIVATION))
    object.__setattr__(derivation, "folder", tmp_path / "run")
    run = found(tmp_path / "run", derivation=derivation)
    told = events(run.folder)
    assert run.status == "interrupted"
    assert [event["event"] for event in told[EPOCHS:]] == [LISTED, "best_of", "best_of", "derived"]
    measured = told[EPOCHS + 1 : -1]
    assert dict(run.genotype.choices) == max(measured, key=merit)["genotype"]
    again = found(tmp_path / "run", resume=True)
    assert again.status == "done"
    assert (again.folder / EVENTS).read_bytes() == (first.folder / EVENTS).read_bytes()


def test_two_interrupts_abort_and_leave_a_run_that_goes_on(tmp_path):
    class Twice(Darts):
        def step(self, task, state):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            return super().step(task, state)

    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "run", strategy=Twice(epochs=EPOCHS, hidden_channels=8))
    assert Journal(tmp_path / "run").run()["status"] == "running"
    assert found(tmp_path / "run", resume=True).status == "done"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# budgets


def test_budgets_in_epochs_evaluations_and_steps(tmp_path):
    def steps(run: Run) -> list[str]:
        return [event["event"] for event in events(run.folder) if event["event"] in ("epoch", "candidate")]

    assert steps(found(tmp_path / "a", budget="3 epochs")) == ["epoch"] * 3
    assert steps(found(tmp_path / "b", budget=2)) == ["epoch"] * 2
    assert steps(found(tmp_path / "c", "random", budget="3 evaluations")) == ["candidate"] * 3
    longer = found(tmp_path / "d", budget=f"{EPOCHS + 2} epochs")
    assert steps(longer) == ["epoch"] * (EPOCHS + 2), "a budget also moves the strategy's own end"
    assert Journal(longer.folder).run()["budget"] == f"{EPOCHS + 2} epochs"


def test_a_budget_in_seconds_is_kept(tmp_path):
    endless = SlowDarts(epochs=10_000, hidden_channels=8)
    began = time.monotonic()
    run = found(tmp_path / "run", strategy=endless, budget="2s")
    took = time.monotonic() - began
    assert took < 4
    told = Journal(run.folder).run()
    assert 0.5 < told["seconds"]["search"] < 2, "part of it is kept for what follows the search"
    assert run.status == "done"


@pytest.mark.parametrize(
    ("after", "weighs", "share"), [(0.0, True, 0.5), (30.0, True, 0.25), (1e3, True, 0.125), (1e3, False, 0.5)]
)
def test_search_and_derivation_share_a_time_by_what_they_would_take(tmp_path, monkeypatch, after, weighs, share):
    whole = Derivation(listed=1, best_of=8, rounds=1, evidence=(), epochs=4)
    # The search would take ten seconds; what is after it are eight trainings of four epochs, none of which stops early.
    pace, trial = Pace(warmup=1.0, search=1.0, weighs=weighs), 0.2
    monkeypatch.setattr(phases, "pace_of", lambda *_: pace)
    monkeypatch.setattr(phases, "seconds_of_epoch", lambda *_: (time.sleep(trial), after / 32)[1])
    given: list[float] = []
    monkeypatch.setattr(Pace, "fit", lambda self, strategy, room: (given.append(room), strategy)[1])
    run = found(tmp_path / "run", strategy=Darts(epochs=10, hidden_channels=8), derivation=whole, budget="40s")
    assert torch.load(run.folder / "state.pt", weights_only=True)["state"]["portion"] == share
    # What the trials took is gone by then.
    (room,) = given
    assert 40 * share - 2 < room <= 40 * share - (trial if weighs else 0)


@pytest.mark.parametrize(("epochs", "ready"), [(9, False), (10, True), (20, True)])
def test_a_supernet_that_time_cut_short_judges_no_shortlist(tmp_path, monkeypatch, epochs, ready):
    told: list[bool] = []
    monkeypatch.setattr(phases, "pace_of", lambda *_: Pace(warmup=1.0, search=1.0, weighs=True))
    monkeypatch.setattr(Pace, "fit", lambda self, strategy, room: replace(strategy, epochs=epochs))
    monkeypatch.setattr(
        phases, "fit_derivation", lambda *given: (told.append(given[-2]), [replace(given[0], best_of=1)])[1]
    )
    found(tmp_path / "run", strategy=Darts(epochs=20, hidden_channels=8), budget="1h")
    assert told == [ready]


# One more candidate would leave too little for its best quarter and their better half, of three epochs each; or
# without a rung for the better half and the best quarter on a second, third and fourth seed.
@pytest.mark.parametrize(("rung", "rounds", "tried", "whole"), [(1, 2, 16, 4 + 2), (0, 3, 6, 6 + 3 + 2 * 2)])
def test_time_ends_a_first_round_so_that_its_best_are_still_trained(tmp_path, monkeypatch, rung, rounds, tried, whole):
    plan = Derivation(listed=1, best_of=32, rung=rung, rounds=rounds, epochs=3, patience=3, evidence=())
    monkeypatch.setattr(phases, "fit_derivation", lambda *_: [plan])

    def late(self: phases.Job, done: list[dict[str, Any]], epochs: float) -> bool:
        # An epoch a second, and 40 seconds.
        return bool(done) and 40 - sum(event["epochs"] for event in done) < epochs

    monkeypatch.setattr(phases.Job, "late", late)
    run = found(tmp_path / "run", derivation=plan, budget="1h")
    told = [event["event"] for event in events(run.folder)]
    assert (told.count("rung"), told.count("best_of")) == (tried if rung else 0, whole)


def test_what_workers_take_to_begin_is_no_pace_of_trainings(tmp_path, monkeypatch):
    plan = Derivation(listed=1, best_of=8, rounds=1, epochs=2, evidence=())
    monkeypatch.setattr(phases, "fit_derivation", lambda *_: [plan])
    monkeypatch.setattr(phases, "pace_of", lambda *_: None)
    now, begun = time.monotonic, 0.0

    def begin(crew: Crew) -> None:
        nonlocal begun
        begun = 1000.0

    monkeypatch.setattr(Crew, "begin", begin)
    monkeypatch.setattr(phases.time, "monotonic", lambda: now() + begun)
    # By that pace a second training would end after 2000 seconds.
    run = found(tmp_path / "run", derivation=plan, budget="1500s")
    assert sum(event["event"] == "best_of" for event in events(run.folder)) == 8
    assert run.journal.run()["seconds"]["derivation"] > 1000


def test_a_first_rung_without_any_time_leaves_the_choice_to_what_was_trained_before(tmp_path, monkeypatch):
    before = Derivation(listed=1, best_of=4, rounds=1, epochs=2, evidence=())
    plans = [before, replace(before, best_of=8, rung=2000, epochs=3000)]
    monkeypatch.setattr(phases, "fit_derivation", lambda *_: plans)
    monkeypatch.setattr(phases.Job, "late", lambda self, done, epochs: bool(done) and epochs > 1000)
    run = found(tmp_path / "run", derivation=before, budget="1h")
    told = [event for event in events(run.folder) if event["event"] in KINDS]
    assert [event["event"] for event in told] == ["best_of"] * 4
    assert dict(run.genotype.choices) == max(told, key=merit)["genotype"]


def test_time_that_a_small_derivation_leaves_goes_to_a_larger_one(tmp_path, monkeypatch):
    whole = Derivation(listed=12, steps=2, best_of=8, rounds=2, seeds=2, epochs=2)

    def small(
        derivation: Derivation, space: Space, room: float, each: float, ready: bool, steps: int
    ) -> list[Derivation]:
        return [replace(derivation, best_of=4, rounds=1, seeds=1, inherited=False), derivation]

    monkeypatch.setattr(phases, "fit_derivation", small)
    run = found(tmp_path / "run", derivation=whole, budget="60s")

    def trained(run: Run) -> list[tuple[str, str, int, bool]]:
        told = [event for event in events(run.folder) if event["event"] in KINDS]
        return [(event["event"], str(event["genotype"]), event["seed"], event["inherit"]) for event in told]

    keys = trained(run)
    assert len(set(keys)) == len(keys), "what the small one trained is not trained again"
    assert set(keys) >= set(trained(found(tmp_path / "whole", derivation=whole)))


def test_the_clock_goes_on_where_it_stood(start, tmp_path):
    folder = tmp_path / "run"
    process, _ = start(folder, "first", budget="60s")
    wait_for_lines(process, folder, EPOCHS - 1)
    process.kill()
    ended(process)
    kept = torch.load(folder / "state.pt", weights_only=True)["state"]
    assert kept["seconds"]["search"] >= 0.02 * kept["steps"]
    run = found(folder, budget="60s", resume=True)
    assert Journal(run.folder).run()["seconds"]["search"] > kept["seconds"]["search"]


@pytest.mark.parametrize(
    ("which", "budget", "message"),
    [
        ("first", "5 evaluations", "darts counts epochs; try '5 epochs'"),
        ("random", "5 epochs", "random counts evaluations; try '5 evaluations'"),
        ("first", "soon", "a budget got 'soon'"),
        ("first", -1, "a budget got -1"),
    ],
)
def test_budgets_that_do_not_fit_are_refused(tmp_path, which, budget, message):
    with pytest.raises(ValueError, match=message):
        found(tmp_path / "run", which, budget=budget)
    assert not (tmp_path / "run").exists()


# refusals


def test_a_finished_run_is_never_overwritten_and_read_again_by_resume(finished):
    which, run = finished
    with pytest.raises(ValueError, match=r"holds a finished run, .*--folder.*--resume"):
        found(run.folder, which)
    (run.folder / "report.html").unlink()
    written = (run.folder / "weights.pt").stat().st_mtime_ns
    again = found(run.folder, which, resume=True)
    assert (again.genotype, again.metric, again.status) == (run.genotype, run.metric, "done")
    assert (run.folder / "weights.pt").stat().st_mtime_ns == written
    assert (run.folder / "report.html").exists()
    for key, value in run.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value)


def test_a_finished_run_that_diverged_is_read_again(first, tmp_path):
    shutil.copytree(first.folder, tmp_path / "run")
    with Journal(tmp_path / "run") as journal:
        journal.append({**journal.events()[-1], "derived_metric": math.nan})
        journal.update(status="done")
    again = Run.read(journal, first.task, first.space)
    assert math.isnan(again.metric) and repr(again).startswith("Run(done, nan% on the architecture split")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 1}, "begun with seed 0 and is given 1 now"),
        ({"which": "second"}, "begun with strategy.order 1 and is given 2 now"),
        ({"which": "random"}, "begun with strategy"),
        ({"budget": "3 epochs"}, "begun with"),
        (
            {"derivation": Derivation(listed=6, steps=2, best_of=3, evidence=("depth",), epochs=3)},
            "begun with derivation.epochs 2 and is given 3",
        ),
        ({"data": graph(1)}, "begun on other data"),
    ],
    ids=str,
)
def test_a_run_goes_on_with_its_own_settings_only(first, settings, message):
    run = first
    with pytest.raises(ValueError, match=f"{message}.*--folder"):
        found(run.folder, **{"which": "first", "resume": True, **settings})


def test_a_run_goes_on_with_its_own_batches_only(first):
    task = Task.from_data(graph(), name="tiny", loader="random", batch_size=30)
    settings = {"derivation": DERIVATION, "evaluator": EVALUATOR, "folder": first.folder, "resume": True}
    with pytest.raises(ValueError, match=r"begun with task's loading.batch_size None and is given 30 now; .*--folder"):
        search(task, layered(max_depth=2), STRATEGIES["first"], progress=False, **settings)


def test_what_operations_leave_unread_stands_in_the_report(tmp_path):
    data = graph()
    data.edge_attr = torch.rand(200, 2)
    folder = found(tmp_path / "run", strategy=Random(evaluations=1, evaluator=EVALUATOR), data=data).folder
    (said,) = Journal(folder).run()["unread"]
    assert "edge_attr in the space 'layered' is read by gat, gin" in said
    assert html.escape(said).replace("&#x27;", "&#39;") in (folder / "report.html").read_text(encoding="utf-8")


def test_a_damaged_journal_is_not_resumed(tmp_path):
    class Aborting(Darts):
        def step(self, task, state):
            if state.epoch == 5:
                raise KeyboardInterrupt
            return super().step(task, state)

    with pytest.raises(KeyboardInterrupt):
        found(tmp_path, strategy=Aborting(epochs=EPOCHS, hidden_channels=8))
    file = tmp_path / EVENTS
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0].replace(b'"epoch":1', b'"epoch":2') + b"".join(lines[1:]))
    with pytest.raises(ValueError, match="was changed at or before line 1"):
        found(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cora",), r"data of type str; expected .*gnas\.load\('cora'\)"),
        ((graph(), "layered"), r"space='layered'; expected a Space object, try gnas\.space\.layered\(\)"),
        ((graph(), None, "darts"), r"strategy='darts'; expected a Strategy object, try gnas\.Darts\(\)"),
        ((graph(), None, Darts), "expected a Strategy object"),
        ((graph(), None, None, "best"), r"derivation='best'; expected a Derivation object"),
    ],
)
def test_names_and_other_objects_are_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        search(*arguments)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None, 2**31])
def test_a_seed_is_a_whole_number(seed, tmp_path):
    with pytest.raises(ValueError, match="expected a whole number from 0"):
        found(tmp_path / "run", seed=seed)


@pytest.mark.parametrize("wrong", [Limit("parameters", 5000), "parameters<=5k", None, ("parameters<=5k",)], ids=str)
def test_conditions_that_are_no_tuple_of_conditions_are_refused(wrong, tmp_path):
    with pytest.raises(TypeError, match=r"search got conditions=.*such as \(gnas\.Limit\('parameters', 50_000\),\)"):
        found(tmp_path / "run", conditions=wrong)


# a start that fails


class Refusing(Darts):
    def init(self, space, task, generator):
        raise ValueError("nothing for me")


class Stumbling(Darts):
    def step(self, task, state):
        raise FloatingPointError("the search diverged")


@pytest.mark.parametrize("strategy", [Refusing(), Stumbling(epochs=EPOCHS, hidden_channels=8)], ids=["init", "step"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_start_that_fails_leaves_no_run(strategy, resume, first, tmp_path):
    folder = tmp_path / "runs" / "run"
    with pytest.raises((ValueError, FloatingPointError), match=r"nothing for me|diverged"):
        found(folder, strategy=strategy, resume=resume)
    assert not folder.exists()
    again = found(folder, resume=resume)
    assert (folder / EVENTS).read_bytes() == (first.folder / EVENTS).read_bytes(), "nothing of it is left in a stream"
    assert again.status == "done"


def test_a_start_that_fails_leaves_a_folder_of_the_users(tmp_path):
    with pytest.raises(ValueError, match="nothing for me"):
        found(tmp_path, strategy=Refusing())
    assert tmp_path.exists() and not list(tmp_path.iterdir())


def test_what_fails_later_leaves_what_happened(tmp_path):
    class Late(Darts):
        def step(self, task, state):
            if state.epoch == 2:
                raise FloatingPointError("the search diverged")
            return super().step(task, state)

    with pytest.raises(FloatingPointError):
        found(tmp_path / "run", strategy=Late(epochs=EPOCHS, hidden_channels=8))
    assert len(events(tmp_path / "run")) == 2 and Journal(tmp_path / "run").run()["status"] == "running"


@pytest.mark.parametrize(
    "settings",
    [
        {"evaluator": TrainFromScratch(Recipe(hidden_channels=12))},
        {"strategy": Darts(hidden_channels=12)},
        {"strategy": Random(evaluator=TrainFromScratch(Recipe(hidden_channels=12)))},
    ],
    ids=["last training", "supernet", "candidates"],
)
def test_a_width_that_attention_can_not_have_is_refused_before_anything_runs(settings, tmp_path):
    ran = []

    class Watching(Task):
        def steps(self, *args):
            ran.append(args)
            return super().steps(*args)

    task = Watching.from_data(graph())
    with pytest.raises(ValueError, match="hidden_channels=12 for 8 attention heads; expected a multiple"):
        found(tmp_path / "run", data=task, name=None, **settings)
    assert not ran and not (tmp_path / "run").exists()


# what is shown


def test_where_there_is_no_terminal_a_few_lines_are_shown(tmp_path, capfd):
    run = found(tmp_path / "run", progress=None)
    shown = capfd.readouterr()
    assert shown.out == ""
    starts = [line.partition(":")[0] for line in shown.err.splitlines()]
    todo = [f"{finding.title} {finding.shown}" for finding in run.diagnostics if finding.action]
    assert todo, "alpha is undecided after eight epochs"
    drawn = "the architecture split has 20 nodes"
    assert starts[-5 - len(todo) :] == ["search", "shortlist", drawn, "derivation", "training", *todo]
    assert "\x1b" not in shown.err
    found(tmp_path / "silent", progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_search_that_ends_by_itself_says_why(tmp_path, capfd):
    random = Random(evaluations=9, evaluator=Scores())
    search(graph(), three_networks(), random, evaluator=EVALUATOR, folder=tmp_path / "run")
    (line,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("search: "))
    assert line.startswith("search: 3 evaluations in ") and "(no other network was found)" in line


def test_the_live_display_survives_a_whole_run(tmp_path, capfd):
    found(tmp_path / "run", progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "training: " in shown.err and "architecture" in shown.err


def test_workers_find_the_same(tmp_path, first):
    together = found(tmp_path / "run", workers=2)
    assert together.journal.events() == first.journal.events()
    assert together.journal.run()["workers"] == 2
