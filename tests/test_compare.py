"""The comparison: one protocol for all, the test nodes read once a training, statistics by hand, honest sentences."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch_geometric.data import Data

from gnas import compare, crew, record, report
from gnas.baselines import BASELINES
from gnas.compare.rows import FIRST_TUNING_SEED
from gnas.compare.statistics import independent, paired, probability, spread
from gnas.crew import Crew, Training
from gnas.evaluate import Result, TrainFromScratch, builder
from gnas.journal import Journal
from gnas.model import GraphModel
from gnas.recipe import Recipe
from gnas.scale import Scale
from gnas.space import Space, layered
from gnas.task import Task

RECIPES = (Recipe(hidden_channels=8), Recipe(hidden_channels=8, dropout=0.5))
CALLS: list[tuple[str, Recipe, int, bool]] = []


def graph(seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    part = torch.arange(30) % 3
    return Data(
        x=torch.rand(30, 5, generator=generator),
        edge_index=torch.randint(30, (2, 60), generator=generator),
        y=torch.randint(3, (30,), generator=generator).clamp(max=2).scatter(0, torch.tensor([0, 3, 6]), 2),
        train_mask=part == 0,
        val_mask=part == 1,
        test_mask=part == 2,
    )


def score(network: str, recipe: Recipe, seed: int) -> float:
    """What the fake training reports: dropout 0.5 is the better recipe, and seeds differ."""
    level = {"GraphModel": 0.8, "GCN": 0.7, "APPNP": 0.75}.get(network, 0.6)
    return level + (0.01 if recipe.dropout == 0.5 else 0.0) + 0.001 * (seed % 7)


@dataclass(frozen=True)
class Fake(TrainFromScratch):
    """Builds the network and makes up its accuracy."""

    def __call__(self, build: Any, task: Task, seed: int, *, test: bool = False) -> Result:
        recipe = self.recipe_for(task)
        model: nn.Module = build(task, recipe)
        network = type(model).__name__
        CALLS.append((network, recipe, seed, test))
        value = score(network, recipe, seed)
        if test:
            task.test(model)
        return Result(value, 1 - value, self.epochs, 0.5, 100, value - 0.02 if test else None, {})


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    CALLS.clear()
    yield


def space() -> Space:
    return layered(max_depth=2, aggregators=("gcn", "sage_mean"))


def make_run(folder: Path, *, seed: int = 0, strategy: str = "darts", saved: bool = True, seconds: float = 0.0) -> Path:
    """A finished run without a search."""
    import random

    data = graph()
    task = Task.from_data(data, name="tiny")
    path = folder.parent / "tiny.pt"
    if saved and not path.exists():
        torch.save(data, path)
    searched = space()
    genotype = searched.sample(random.Random(seed))
    with Journal(folder) as journal:
        journal.create(
            {
                "space": {"name": searched.name, "digest": searched.digest()},
                "strategy": {"name": strategy},
                "recipe": {"hidden_channels": 8, "dropout": 0.8, "lr": 0.01, "weight_decay": 1e-3},
                "task": {**task.describe(), "digest": task.digest()},
                "data": {"name": None, "path": str(path) if saved else None, "root": None},
                "seed": seed,
                "seconds": {"search": seconds, "derivation": 0.0, "training": 5.0},
            }
        )
        journal.append({"event": "derived", "genotype": dict(genotype.choices)})
        journal.write("space.json", searched.to_json())
        journal.write("genotype.json", genotype.to_json())
        journal.update(status="done")
    return folder


def evaluate(folder: Path, **settings: Any) -> compare.statistics.Evaluation:
    given = {"seeds": 4, "tuning_seeds": 2, "recipes": RECIPES, "evaluator": Fake(), **settings}
    return compare.evaluate(folder, **given)


# the protocol


def test_one_protocol_for_all(tmp_path: Path) -> None:
    found = evaluate(make_run(tmp_path / "run"))
    assert found == json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (found["format"], found["version"], found["seeds"]) == ("gnas.evaluation", 1, [0, 1, 2, 3])
    names = [row["name"] for row in found["rows"]]
    assert names == ["found (layered, darts)", "random search (layered)", *BASELINES]
    assert [row["kind"] for row in found["rows"]] == ["found", "random search", *["baseline"] * len(BASELINES)]
    for row in found["rows"]:
        assert row["recipe"]["dropout"] == 0.5
        assert len(row["test"]) == len(row["architecture"]) == 4
        assert row["tuning"][1] == pytest.approx(row["tuning"][0] + 0.01)
        assert row["seconds"] == 0.5 and row["parameters"] == 100
    first = found["rows"][0]
    assert first["test_mean"] == pytest.approx(0.81 - 0.02 + 0.0015)
    assert first["test_std"] == pytest.approx(0.001 * math.sqrt(5 / 3))
    assert set(first["genotype"]) == set(space().choices)
    assert found["rows"][1]["search"]["evaluations"] == 1


def test_test_nodes_are_read_once_a_training_and_never_in_tuning(tmp_path: Path) -> None:
    task = Task.from_data(graph(), name="tiny")
    found = evaluate(make_run(tmp_path / "run"), data=task)
    tuning = [call for call in CALLS if call[2] in (FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1)]
    reporting = [call for call in CALLS if call[2] < 4]
    assert task.test_reads == 4 * len(found["rows"]) == len(reporting)
    assert all(test for *_, test in reporting) and not any(test for *_, test in tuning)
    # The same budget for every network: two seeds for each recipe. One more is random search's only candidate.
    assert len(tuning) == 2 * 2 * len(found["rows"]) and len(CALLS) == len(tuning) + len(reporting) + 1
    for name in ("GCN", "MLP", "SGC"):
        assert sum(call[0] == name for call in CALLS) == 2 * 2 + 4


def test_random_search_lasts_as_long_as_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=iter(range(100)).__next__)  # each candidate takes a second
    monkeypatch.setattr("gnas.compare.rows.time", clock)
    found = evaluate(make_run(tmp_path / "run", seconds=3.5), baselines=[])
    row = found["rows"][1]
    assert row["search"] == {"seconds": 4, "evaluations": 4}
    candidates = [call for call in CALLS if 4 <= call[2] < FIRST_TUNING_SEED or call[2] >= FIRST_TUNING_SEED + 2]
    assert len(candidates) == row["search"]["evaluations"] and not any(test for *_, test in candidates)
    # Candidates are trained with the recipe of the search.
    assert {recipe for _, recipe, *_ in candidates} == {Recipe(hidden_channels=8, lr=0.01)}


def test_a_broken_evaluation_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run")
    whole = Fake.__call__

    def breaks(self: Fake, build: Any, task: Task, seed: int, *, test: bool = False) -> Result:
        result = whole(self, build, task, seed, test=test)
        if CALLS[-1][0] == "GIN":
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Fake, "__call__", breaks)
    with pytest.raises(KeyboardInterrupt):
        evaluate(folder)
    assert not (folder / "evaluation.json").exists()
    monkeypatch.setattr(Fake, "__call__", whole)
    CALLS.clear()
    found = evaluate(folder)
    assert {call[0] for call in CALLS} == {"GIN", "APPNP", "SGC", "GCNII", "MLP"}
    CALLS.clear()
    assert evaluate(folder) == found and not CALLS
    evaluate(folder, seeds=5, baselines=["GCN"], random=False)
    assert {call[0] for call in CALLS} == {"GraphModel", "GCN"}


def test_rows_are_taken_over_from_other_runs(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a", seed=0), make_run(tmp_path / "b", seed=1)
    one = evaluate(first)
    CALLS.clear()
    two = evaluate(second, reuse=[first])
    assert {call[0] for call in CALLS} == {"GraphModel"}
    assert one["rows"][2:] == two["rows"][2:]
    assert one["rows"][0]["genotype"] != two["rows"][0]["genotype"]


@pytest.mark.slow
def test_workers_give_the_same(tmp_path: Path) -> None:
    evaluator = TrainFromScratch(epochs=5)
    task = Task.from_data(graph(), name="tiny")
    searched = space()
    bound = searched.bind(searched.genotype({name: choice.options[0] for name, choice in searched.choices.items()}))
    trainings = [Training(network, evaluator, seed, True) for network in ("GCN", bound) for seed in (0, 1)]
    state = builder(bound)(task, evaluator.recipe_for(task)).state_dict()
    trainings.append(Training(bound, evaluator, 0, state=state))
    together = Crew(task, workers=2)
    try:
        results = list(together.each(trainings))
    finally:
        together.close()
    assert task.test_reads == 4
    alone = Crew(Task.from_data(graph(), name="tiny")).each(trainings)
    assert [replace(result, seconds=0) for result in results] == [replace(result, seconds=0) for result in alone]


def test_real_training(tmp_path: Path) -> None:
    found = evaluate(
        make_run(tmp_path / "run"),
        evaluator=TrainFromScratch(epochs=3),
        seeds=2,
        tuning_seeds=1,
        baselines=["gcn", "MLP"],
    )
    assert [row["name"] for row in found["rows"][2:]] == ["GCN", "MLP"]
    assert all(0 <= value <= 1 for row in found["rows"] for value in row["test"])


def test_numpys_seeds_are_seeds(tmp_path: Path) -> None:
    found = evaluate(make_run(tmp_path / "run"), seeds=np.arange(2), baselines=[], random=False)
    assert found["seeds"] == [0, 1]
    assert evaluate(tmp_path / "run", seeds=np.int64(2), baselines=[], random=False) == found


# what is refused


def test_wrong_input_is_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="is no run"):
        compare.evaluate(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="did you mean 'GATv2' or 'GAT'"):
        evaluate(folder, baselines=["gat2"])
    for wrong in (0, [], [1, 1], [-1], [FIRST_TUNING_SEED], True, None, "3", 2.5, [0.5]):
        with pytest.raises(ValueError, match=r"evaluate got seeds=.*; expected a number of seeds, or different"):
            evaluate(folder, seeds=wrong)
    with pytest.raises(ValueError, match="tuning_seeds=0"):
        evaluate(folder, tuning_seeds=0)
    with pytest.raises(ValueError, match="no recipes"):
        evaluate(folder, recipes=())
    for recipes in (Recipe(), ["fast"]):
        with pytest.raises(TypeError, match=r"evaluate got recipes=.*such as \(gnas\.Recipe\("):
            evaluate(folder, recipes=recipes)
    for reuse in (str(folder), folder, None, 3):
        with pytest.raises(TypeError, match=r"evaluate got reuse=.*expected a list of runs' folders"):
            evaluate(folder, reuse=reuse)
    with pytest.raises(TypeError, match=r"got 3 of type int as a run's folder"):
        evaluate(folder, reuse=[3])
    with pytest.raises(FileNotFoundError, match="nowhere is no run"):
        evaluate(folder, reuse=[tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="the data are not those"):
        evaluate(folder, data=graph(seed=1))
    parts = Task.from_data(graph(), loader="random", batch_size=20)
    with pytest.raises(ValueError, match=r"makes batches with \{'loader': 'random', .* searched with the whole graph"):
        evaluate(folder, data=parts)
    (folder / "genotype.json").unlink()
    with pytest.raises(ValueError, match=r"has no genotype\.json: it is lost"):
        evaluate(folder)
    assert not CALLS


def test_data_in_memory_must_be_given(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", saved=False)
    with pytest.raises(ValueError, match="given in memory"):
        evaluate(folder)
    assert evaluate(folder, data=graph(), baselines=[], random=False)["rows"][0]["test"]


def test_an_edited_journal_and_a_foreign_genotype_are_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    kept = (folder / "genotype.json").read_text()
    other = layered(max_depth=3, aggregators=("gcn", "sage_mean"))
    choices = {name: choice.options[0] for name, choice in other.choices.items()}
    (folder / "genotype.json").write_text(other.genotype(choices).to_json())
    with pytest.raises(ValueError, match="genotype of space"):
        evaluate(folder)
    (folder / "genotype.json").write_text(kept)
    events = folder / "events.jsonl"
    events.write_text(events.read_text().replace("derived", "deprived"))
    with pytest.raises(ValueError, match="was changed"):
        evaluate(folder)


def test_a_run_that_went_on_is_not_evaluated_by_what_it_had_found_before(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    evaluate(folder, baselines=["GCN"], random=False)
    with Journal(folder) as journal:
        journal.update(status="running")
    for take in (evaluate, compare.read, GraphModel.from_run):
        with pytest.raises(ValueError, match=r"the search has not ended; go on with it by resume=True \(--resume\)"):
            take(folder)
    assert not record.load(folder).final and record.load(folder).evaluation is None
    found = space().genotype(dict(record.load(folder).genotype.choices))  # type: ignore[union-attr]
    other = next(iter(space().neighbours(found)))
    with Journal(folder) as journal:
        journal.write("genotype.json", other.to_json())
        journal.update(status="done")
    with pytest.raises(ValueError, match="evaluates another network than the run found, .*evaluate the run again"):
        compare.read(folder)
    assert record.load(folder).final and record.load(folder).evaluation is None
    again = evaluate(folder, baselines=["GCN"], random=False)
    assert compare.read(folder) == again == record.load(folder).evaluation


def test_a_damaged_row_is_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    evaluate(folder, baselines=["GCN"], random=False)
    (folder / "evaluation" / "gcn.json").write_text("{")
    with pytest.raises(ValueError, match=r"gcn\.json is damaged"):
        evaluate(folder, baselines=["GCN"], random=False)
    (folder / "evaluation" / "gcn.json").write_text("[]")
    with pytest.raises(ValueError, match=r"gcn\.json is no row"):
        evaluate(folder, baselines=["GCN"], random=False)


# statistics


def test_paired_by_hand() -> None:
    found = compare.paired([3.0, 4.0, 8.0], [1.0, 3.0, 5.0])
    # Differences 2, 1, 3: mean 2, standard deviation 1, t = 2 sqrt(3) with two degrees of freedom, for which
    # P(|T| > t) = 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert (found.gain, found.std) == (2.0, 1.0)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert compare.paired([1.0, 3.0, 5.0], [3.0, 4.0, 8.0]).gain == -2.0


def test_paired_without_spread() -> None:
    assert compare.paired([0.5, 0.6], [0.5, 0.6]) == compare.Difference(0.0, 0.0, 1.0)
    assert compare.paired([0.9] * 10, [0.8] * 10).p == pytest.approx(2 / 2**10)
    assert compare.paired([0.9], [0.8]).p == 1.0
    assert compare.paired([0.3 + 0.1 * i for i in range(5)], [0.2 + 0.1 * i for i in range(5)]).p == 2 / 2**5
    # As float32, three equal steps of 0.001 differ in the eighth digit.
    ours, theirs = (torch.tensor(values).tolist() for values in ([0.913, 0.914, 0.935], [0.912, 0.913, 0.934]))
    assert compare.paired(ours, theirs).p == 2 / 2**3
    with pytest.raises(ValueError, match="expected pairs"):
        compare.paired([1.0], [1.0, 2.0])


def test_independent_by_hand() -> None:
    # Two samples of two with variances 2 and 2: t = 3 / sqrt(2), two degrees of freedom.
    found = compare.independent([4.0, 6.0], [1.0, 3.0])
    t = 3 / math.sqrt(2)
    assert found.gain == 3.0 and found.std == pytest.approx(2.0)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert compare.independent([0.5, 0.5], [0.5, 0.5]).p == 1.0
    with pytest.raises(ValueError, match="at least two"):
        compare.independent([1.0], [1.0, 2.0])


def test_a_training_that_diverged_leaves_nothing_to_compare() -> None:
    assert math.isnan(compare.statistics.deviation([0.5, math.inf])) and math.isnan(
        spread("test", [1.0, math.nan])["test_std"]
    )
    for test in (paired, independent):
        found = test([0.5, 0.6, 0.7], [0.1, math.nan, 0.2])
        assert math.isnan(found.gain) and found.p == 1.0
    rows = [row("found", "found", [0.8, 0.9, 0.7], 0.9), row("GCN", "baseline", [0.7, math.nan, 0.7], 0.8)]
    rows.append(row("GIN", "baseline", [0.1, 0.22, 0.05], 0.7))
    differences = compare.statistics.compare(rows)
    assert differences[1]["p"] < 0.05
    said = compare.statistics.verdict(rows, differences)
    assert said.startswith("nothing to say of GCN") and said.endswith("a training diverged")


@pytest.mark.filterwarnings("ignore:Precision loss")
def test_an_evaluation_with_a_training_that_diverged_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Fake.__call__

    def diverging(self: Fake, build: Any, task: Task, seed: int, *, test: bool = False) -> Result:
        result = whole(self, build, task, seed, test=test)
        return replace(result, test=math.nan, metric_architecture=math.nan) if CALLS[-1][0] == "GCN" else result

    monkeypatch.setattr(Fake, "__call__", diverging)
    folders = [make_run(tmp_path / f"run{i}", seed=i) for i in range(2)]
    for folder in folders:
        made = evaluate(folder, baselines=["GCN", "APPNP"])

        def refused(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        stored = json.loads((folder / "evaluation.json").read_text(), parse_constant=refused)
        assert stored["rows"][2]["test"] == [None] * 4 and stored["comparisons"][1]["gain"] is None
        CALLS.clear()
        for found in (compare.read(folder), evaluate(folder, baselines=["GCN", "APPNP"])):
            assert str(found) == str(made) and not CALLS, "NaN is not equal to itself, its text is"
        assert "nan" in compare.markdown(compare.read(folder)) and compare.table(made).row_count == 4
        report.write(folder)
    assert math.isnan(compare.combine(folders)["rows"][2]["test_mean"])


def test_small_errors_are_compared_as_large_ones_are() -> None:
    ours, theirs = [2e-7, 2.2e-7, 1.9e-7, 2.1e-7], [8e-7, 8.3e-7, 7.9e-7, 8.2e-7]
    small = paired(ours, theirs)
    large = paired([1e9 * value for value in ours], [1e9 * value for value in theirs])
    assert small.p == pytest.approx(large.p) and small.p < 0.001


def test_holm_by_hand() -> None:
    assert compare.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert compare.holm([0.9, 0.6]) == [1.0, 1.0]
    assert compare.holm([]) == []


def row(name: str, kind: str, test: list[float], architecture: float) -> dict[str, Any]:
    return {"name": name, "kind": kind, "test": test, "architecture_mean": architecture}


def test_baselines_are_corrected_and_random_search_is_not() -> None:
    rows = [row("found", "found", [0.83, 0.84, 0.88], 0.8), row("rs", "random search", [0.81, 0.83, 0.85], 0.8)]
    rows += [row(f"b{i}", "baseline", [0.81, 0.83, 0.85], 0.7) for i in range(3)]
    differences = compare.compare(rows)
    raw = differences[0]["p_raw"]
    assert differences[0]["p"] == raw == pytest.approx(differences[1]["p_raw"])
    assert [d["p"] for d in differences[1:]] == pytest.approx([3 * raw] * 3)


def sentence(ours: list[float], *others: dict[str, Any]) -> str:
    rows = [row("found (gap, darts)", "found", ours, 0.8), *others]
    return compare.verdict(rows, compare.compare(rows))


def test_verdict_both_ways() -> None:
    high, low = [0.841, 0.845, 0.838, 0.842], [0.833, 0.836, 0.832, 0.832]
    noise = [0.85, 0.83, 0.835, 0.849]
    gained = sentence(high, row("random search (gap)", "random search", low, 0.8))
    assert gained == "the search gained 0.8 ± 0.2 over random search, p = 0.002"
    lost = sentence(low, row("random search (gap)", "random search", high, 0.8))
    assert lost == "the search lost 0.8 ± 0.2 against random search, p = 0.002"
    none = sentence(high, row("random search (gap)", "random search", noise, 0.8))
    assert none == "no gain beyond noise over random search (0.1 ± 1.1, p = 0.93)"
    behind = sentence(noise, row("random search (gap)", "random search", high, 0.8))
    assert behind == "no gain over random search (-0.1 ± 1.1, p = 0.93)"
    assert sentence(high) == "the found network was compared with nothing"


def test_verdict_names_the_baseline_that_the_architecture_split_chose() -> None:
    # GAT is better on the test nodes, which nobody may look at to choose.
    others = [row("APPNP", "baseline", [0.80, 0.81, 0.79], 0.79), row("GAT", "baseline", [0.9, 0.91, 0.9], 0.78)]
    said = sentence([0.83, 0.842, 0.829], *others)
    assert said.startswith("the search gained 3.4 ± 0.5 over APPNP, the best hand-made network on the")
    assert "GAT" not in said
    alone = sentence([0.83, 0.842, 0.829], others[0])
    assert alone.startswith("the search gained 3.4 ± 0.5 over APPNP, p = 0.0")


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.41, "p = 0.41"),
        (0.02, "p = 0.02"),
        (0.0042, "p = 0.004"),
        (1e-5, "p < 0.001"),
        (0.046, "p = 0.046"),
        (0.0499, "p < 0.05"),
        (0.0501, "p = 0.05"),
        (1.0, "p = 1.00"),
    ],
)
def test_probability(p: float, text: str) -> None:
    assert probability(p) == text


# several runs


def test_combine(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / f"run{i}", seed=i) for i in range(3)]
    for i, folder in enumerate(folders):
        evaluation = evaluate(folder, baselines=["GCN", "APPNP"], reuse=folders[:i])
        ours = evaluation["rows"][0]
        ours["test"] = [value + 0.01 * i for value in ours["test"]]
        ours["test_mean"] += 0.01 * i
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    found = compare.combine(folders)
    ours, random, gcn, _ = found["rows"]
    base = 0.81 - 0.02 + 0.0015
    assert len(ours["test"]) == 12 and len(gcn["test"]) == 4
    assert ours["test_mean"] == pytest.approx(base + 0.01)
    assert ours["searches"] == pytest.approx([base, base + 0.01, base + 0.02])
    assert ours["search_std"] == pytest.approx(0.01) and random["search_std"] == pytest.approx(0.0)
    # Gains of 0, 1 and 2 points over random search: t = sqrt(3) with two degrees of freedom.
    against = found["comparisons"][0]
    assert against["gain"] == pytest.approx(0.01) and against["std"] == pytest.approx(0.01)
    assert against["p"] == pytest.approx(1 - math.sqrt(3 / 5))
    assert found["verdict"].startswith("over 3 searches no gain beyond noise over random search (1.0 ± 1.0, p = 0.23)")
    assert "of searches" in compare.markdown(found)


def test_combine_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", strategy="random")
    with pytest.raises(ValueError, match="at least two"):
        compare.combine([a])
    with pytest.raises(FileNotFoundError, match="gnas evaluate"):
        compare.combine([a, b])
    evaluate(a, baselines=[], random=False)
    evaluate(b, baselines=[], random=False)
    with pytest.raises(ValueError, match=r"b was searched with the seed 0, as .*a was; expected runs with different"):
        compare.combine([a, b])
    c = make_run(tmp_path / "c", seed=1)
    evaluate(c, random=False)
    with pytest.raises(ValueError, match="other rows"):
        compare.combine([a, c])
    once = [make_run(tmp_path / name, seed=seed) for name, seed in (("d", 2), ("e", 3))]
    for folder in once:
        evaluate(folder, seeds=1, baselines=[], random=False)
    with pytest.raises(ValueError, match="evaluated with one seed; expected two or more"):
        compare.combine(once)
    (c / "evaluation.json").write_text('{"format": "something"}')
    with pytest.raises(ValueError, match="no evaluation"):
        compare.combine([a, c])


# shown


def test_table_and_markdown(tmp_path: Path) -> None:
    found = evaluate(make_run(tmp_path / "run"))
    console = Console(width=80, record=True, file=(tmp_path / "out").open("w"))
    console.print(compare.table(found))
    text = console.export_text()
    for expected in ("found (layered", "GCNII", "79.2 ± 0.1", "+10.0 ± 0.0"):
        assert expected in text
    assert "…" not in text
    # Hand-made networks stand in the order of the architecture split.
    assert text.index("APPNP") < text.index("GCN ") < text.index("MLP")
    for brackets in ("data[old]", "[/b]"):
        other = {**found, "task": {**found["task"], "name": brackets}, "verdict": f"nothing over {brackets}"}
        other["rows"] = [{**one, "name": f"{one['name']} {brackets}"} for one in found["rows"]]
        console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
        console.print(compare.table(other))
        assert console.export_text().count(brackets) == len(other["rows"]) + 2, "no markup is read in names"
    lines = compare.markdown(found).splitlines()
    assert lines[0].startswith("| network | test % |") and len(lines) == 2 + 11 + 1 + 2
    assert lines[2].startswith("| **found (layered, darts)** | **79.2 ± 0.1** |")
    assert len({line.count("|") for line in lines[:13]}) == 1


def largest_error(output: torch.Tensor, y: torch.Tensor) -> float:
    return float((output - y).abs().max())


def test_a_task_comes_whole_to_other_processes() -> None:
    graphs = [Data(x=torch.randn(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.randn(1)) for _ in range(9)]
    linked = Data(x=torch.randn(30, 2), edge_index=torch.randint(30, (2, 60)))
    tasks = (
        Task.from_data(graphs, metric="rmse", batch_size=2),
        Task.from_data(graphs, metric=largest_error, higher_is_better=False),
        Task.from_data(linked, level="link", parts=2),
        Task.from_data(graph(), loader="random", parts=3),
    )
    for task in tasks:
        packed, metric = crew._pack(task)
        other = crew._unpack(packed, copy.deepcopy(metric))
        assert other.describe() == task.describe() and other.digest() == task.digest()
        assert other.metric == task.metric
        steps = [list(one.steps(torch.Generator().manual_seed(0))) for one in (task, other)]
        assert len(steps[0]) == len(steps[1])
        assert all(torch.equal(a["weights"].x, b["weights"].x) for a, b in zip(*steps, strict=True))
    local = Task.from_data(graphs, metric=lambda output, y: 0.0, higher_is_better=True)
    with pytest.raises(ValueError, match="a function within a function"):
        crew.Crew(local, workers=2)


def test_of_errors_a_gain_is_a_smaller_one() -> None:
    error = Scale("mae", False, False)
    ours, theirs = [0.41, 0.42, 0.40, 0.41], [0.51, 0.53, 0.50, 0.52]
    rows = [
        row("found (gap, darts)", "found", ours, 0.4),
        row("GCN", "baseline", theirs, 0.5),
        row("GIN", "baseline", theirs, 0.6),
    ]
    differences = compare.compare(rows, scale=error)
    assert [d["gain"] for d in differences] == pytest.approx([0.105, 0.105])
    said = compare.verdict(rows, differences, scale=error)
    assert said.startswith("the search gained 0.105 ± 0.006 over GCN, the best hand-made network on the")
    worse = [row("found (gap, darts)", "found", theirs, 0.5), row("GCN", "baseline", ours, 0.4)]
    lost = compare.verdict(worse, compare.compare(worse, scale=error), scale=error)
    assert lost.startswith("the search lost 0.105 ± 0.006 against GCN, p")
