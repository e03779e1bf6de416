"""The page of a run: what is on it, what is left out, and that it needs nothing from outside."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gnas import draw, report
from gnas.journal import Journal
from gnas.space import Choice, Genotype, Node, Space, gap, layered


def epochs(space: Space, aim: Genotype, rng: random.Random, count: int = 40, warm: int = 8) -> list[dict[str, Any]]:
    """Events of a one-shot search whose alphas drift, some sites more than others, towards one genotype."""
    pull = {name: rng.choice((0.2, 0.6, 1.2, 2.5)) for name in space.choices}
    drift = {name: [rng.gauss(0, 0.35) for _ in choice.options] for name, choice in space.choices.items()}
    events = []
    for epoch in range(count):
        on = max(0.0, (epoch - warm) / (count - warm))
        weights = {}
        for name, choice in space.choices.items():
            logits = [on * d for d in drift[name]]
            logits[choice.index(aim[name])] += on * (0.02 if name == "depth" else pull[name])
            total = sum(math.exp(z) for z in logits)
            weights[name] = [math.exp(z) / total for z in logits]
        entropy = [-sum(w * math.log(w) for w in row) / math.log(len(row)) for row in weights.values()]
        rise = 1 - math.exp(-epoch / 9)
        best = {
            name: c.options[max(range(len(c.options)), key=weights[name].__getitem__)]
            for name, c in space.choices.items()
        }
        events.append(
            {
                "event": "epoch",
                "epoch": epoch,
                "phase": "warmup" if epoch < warm else "search",
                "loss_weights": 1.95 - 1.6 * rise + rng.gauss(0, 0.02),
                "loss_architecture": 1.95 - 1.1 * rise + rng.gauss(0, 0.02),
                "metric_weights": 0.14 + 0.84 * rise + rng.gauss(0, 0.005),
                "metric_architecture": 0.14 + 0.66 * rise + rng.gauss(0, 0.008),
                "weights": weights,
                "entropy": sum(entropy) / len(entropy),
                "genotype": best,
            }
        )
    return events


def derivation(space: Space, found: Genotype, rng: random.Random) -> list[dict[str, Any]]:
    """The best of n, evidence for the depth and for further choices, and the result."""
    choices = dict(found.choices)
    events: list[dict[str, Any]] = []

    def measured(kind: str, genotype: dict[str, Any], seed: int, inherit: bool, accuracy: float) -> None:
        depth = space.choices["depth"].index(genotype["depth"]) + 1 if "depth" in space.choices else 0
        event = {"event": kind, "depth": depth, "genotype": genotype, "seed": seed, "inherit": inherit}
        events.append({**event, "metric_architecture": accuracy, "loss_architecture": 0.7, "epochs": 60})

    settled = [name for name in META["derivation"]["evidence"] if name in choices]
    # What alpha proposed: other options than the found ones wherever there is evidence.
    proposed = dict(choices)
    for name in settled:
        proposed[name] = next(option for option in space.choices[name].options if option != choices[name])
    rivals = [dict(proposed)]
    for name in [name for name in choices if name not in settled][:4]:
        rivals.append({**proposed, name: next(o for o in space.choices[name].options if o != choices[name])})
    for rank, genotype in enumerate(rivals):
        for seed in (0, 1) if rank < 3 else (0,):
            measured("best_of", genotype, seed, False, 0.802 - 0.006 * rank + rng.gauss(0, 0.002))
    for name in settled:
        options = space.choices[name].options
        for index, option in enumerate(options):
            accuracy = 0.81 - 0.012 * (index - options.index(choices[name])) ** 2
            kind = "depth" if name == "depth" else "evidence"
            for seed in (0, 1):
                measured(kind, {**proposed, name: option}, seed, False, accuracy + rng.gauss(0, 0.003))
            if name == "depth":
                measured(kind, {**proposed, name: option}, 0, True, accuracy - 0.02 + rng.gauss(0, 0.006))
        proposed[name] = choices[name]
    result = {"event": "derived", "genotype": choices, "confidence": {}, "supernet_metric": 0.798}
    return [*events, {**result, "derived_metric": 0.8154, "inherited_metric": 0.771}]


def evaluation() -> dict[str, Any]:
    """A table of comparison."""
    rng = random.Random(5)
    rows = []
    for name, kind, mean, parameters in (
        ("found (layered, darts)", "found", 0.836, 96_519),
        ("random search (layered)", "random search", 0.828, 104_300),
        ("APPNP", "baseline", 0.832, 92_231),
        ("GCN", "baseline", 0.819, 92_231),
        ("GAT", "baseline", 0.825, 93_004),
        ("MLP", "baseline", 0.594, 92_231),
    ):
        test = [mean + rng.gauss(0, 0.005) for _ in range(10)]
        middle = sum(test) / 10
        spread = math.sqrt(sum((t - middle) ** 2 for t in test) / 9)
        row = {"name": name, "kind": kind, "test_mean": middle, "test_std": spread, "test": test}
        row.update(architecture_mean=middle - 0.02, architecture_std=0.004, parameters=parameters, seconds=8.4)
        rows.append({**row, "recipe": {"hidden_channels": 64, "dropout": 0.8, "lr": 0.01}, "genotype": None})
    comparisons = [
        {"against": "random search (layered)", "kind": "random search", "gain": 0.008, "std": 0.003, "p": 0.02},
        {"against": "APPNP", "kind": "baseline", "gain": 0.004, "std": 0.004, "p": 0.21, "p_raw": 0.04},
    ]
    settings = {"seeds": list(range(10)), "recipes": [{"lr": 0.01}, {"lr": 0.02}], "training": {"epochs": 300}}
    head = {"format": "gnas.evaluation", "version": 1, "task": {"name": "cora"}, "seeds": list(range(10)), "rows": rows}
    verdict = "the search gained 0.8 ± 0.3 over random search, p = 0.02; no gain beyond noise over APPNP"
    return {**head, "verdict": verdict, "comparisons": comparisons, "settings": settings, "versions": {}}


SOURCE = '''"""Found by gnas."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv


class Net(nn.Module):
    """Two layers."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.8) -> None:
        super().__init__()
        self.a1 = GCNConv(in_channels, 64)  # aggregate.1
        self.a2 = GATConv(64, out_channels, heads=1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.a2(self.a1(x, edge_index).relu(), edge_index) if x.size(0) < 10**6 else x
'''

META: dict[str, Any] = {
    "space": {"name": "layered", "digest": "0f3c", "settings": {"max_depth": 5}},
    "strategy": {"name": "darts", "order": 1, "epochs": 40, "arch_lr": 0.01},
    "derivation": {
        "inputs": 1,
        "best_of": 5,
        "seeds": 2,
        "evidence": ["depth", "transform", "initial"],
        "epochs": 60,
    },
    "recipe": {"hidden_channels": 64, "dropout": 0.8, "lr": 0.01, "weight_decay": 0.001},
    "evaluator": {"recipe": {"hidden_channels": 64, "dropout": 0.8}, "epochs": 300, "patience": 60},
    "task": {
        "name": "cora",
        "nodes": 2708,
        "edges": 10556,
        "features": 1433,
        "classes": 7,
        "split": {"weights": 140, "architecture": 500, "test": 1000},
        "notes": ["rows of the features have unit L2 norm"],
    },
    "data": {"name": "cora", "root": None},
    "seed": 0,
    "budget": "40 epochs",
    "versions": {"gnas": "0.1.0", "torch": "2.13.0", "torch_geometric": "2.8.1", "python": "3.11"},
    "device": "cpu",
    "threads": 2,
    "seconds": {"search": 71.3, "derivation": 48.0, "training": 6.2},
}


def make_run(
    folder: Path,
    space: Space,
    *,
    seed: int = 0,
    strategy: str = "darts",
    stop: str = "",
    evaluated: bool = True,
    aim: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder of a run that never happened.

    Args:
        folder: A new folder.
        space: What was searched.
        seed: Draws the run.
        strategy: "darts" or "random".
        stop: "" for a whole run, "search" for one interrupted in its search, "start" for one without an event.
        evaluated: Whether there is an evaluation.
        aim: Options that the search is to find.
    """
    rng = random.Random(seed)
    found = space.sample(rng).replace(**dict(aim or {}))
    with Journal(folder) as journal:
        meta = {**META, "space": {**META["space"], "name": space.name}}
        if strategy == "random":
            meta["strategy"] = {"name": "random", "evaluations": 60}
        journal.create(meta)
        journal.write("space.json", space.to_json())
        events = candidates(space, found, rng) if strategy == "random" else epochs(space, found, rng)
        if stop == "":
            events += derivation(space, found, rng) if strategy != "random" else []
            journal.write("genotype.json", found.to_json())
            journal.write("model.py", SOURCE)
            if strategy == "random":
                last = {"supernet_metric": None, "inherited_metric": None, "derived_metric": 0.8154, "confidence": {}}
                events.append({"event": "derived", "genotype": dict(found.choices), **last})
        for event in [] if stop == "start" else events:
            journal.append(event)
        if evaluated and not stop:
            journal.write("evaluation.json", json.dumps(evaluation()))
        journal.update(status="interrupted" if stop else "done")
    return folder


def candidates(space: Space, found: Genotype, rng: random.Random) -> list[dict[str, Any]]:
    """Events of a random search; the genotype that is to be found comes somewhere in the middle."""
    events: list[dict[str, Any]] = []
    best = 0.0
    for index in range(60):
        genotype = found if index == 37 else space.sample(rng)
        accuracy = 0.8154 if index == 37 else min(0.81, 0.73 + rng.gauss(0, 0.05))
        best = max(best, accuracy)
        event = {"event": "candidate", "index": index, "genotype": dict(genotype.choices), "epochs": 90}
        events.append(
            {**event, "metric_architecture": accuracy, "loss_architecture": 0.8, "parameters": 90_000, "best": best}
        )
    return events


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run of each sort, with its page."""
    root = tmp_path_factory.mktemp("runs")
    found = {"depth": "layer4"}
    made = {
        "layered": make_run(root / "layered", layered(), seed=3, aim=found),
        "gap": make_run(root / "gap", gap(), seed=4, aim={"depth": "layer2"}),
        "random": make_run(root / "random", layered(), seed=5, strategy="random", evaluated=False),
        "shallow": make_run(root / "shallow", layered(2, depth=False), seed=6, evaluated=False),
        "interrupted": make_run(root / "interrupted", layered(), seed=7, stop="search"),
        "start": make_run(root / "start", layered(), stop="start"),
    }
    for folder in made.values():
        assert report.write(folder) == folder / "report.html"
    return made


def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what the tests ask of a page: sections, links and text; tags must be closed in order."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.scripts = 0
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not any(name.startswith("on") for name in given), f"{tag} has a handler: {given}"
        if tag == "section":
            self.sections.append(str(given["id"]))
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


WHOLE = ["network", "comparison", "depth", "certainty", "derivation", "diagnostics", "alphas", "training"]
WHOLE += ["settings", "source"]
SECTIONS = {
    "layered": WHOLE,
    "gap": WHOLE,
    "shallow": [name for name in WHOLE if name != "depth"],
    "random": ["network", "comparison", "candidates", "front", "certainty", "settings", "source"],
    "interrupted": ["network", "comparison", "certainty", "diagnostics", "alphas", "training", "settings", "source"],
    "start": ["network", "comparison", "settings", "source"],
}


@pytest.mark.parametrize("name", SECTIONS)
def test_sections_are_there_or_left_out(runs: dict[str, Path], name: str) -> None:
    assert Page(page(runs[name])).sections == SECTIONS[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_page_needs_nothing_else(runs: dict[str, Path], name: str) -> None:
    text = page(runs[name])
    found = Page(text)
    assert all(address.startswith("#") for address in found.addresses), found.addresses
    assert {address[1:] for address in found.addresses} <= set(re.findall(r'id="([^"]+)"', text))
    assert "@import" not in text and "url(http" not in text and "<link" not in text
    assert found.scripts == (runs[name] / "model.py").exists()


@pytest.mark.parametrize("name", SECTIONS)
def test_drawings_are_xml_with_a_title(runs: dict[str, Path], name: str) -> None:
    for drawing in re.findall(r"<svg.*?</svg>", page(runs[name]), re.DOTALL):
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label") or root.get("aria-hidden")
        assert not re.search(r"\b(nan|inf)\b", drawing)


@pytest.mark.parametrize("name", ["layered", "gap", "random", "shallow"])
def test_drawing_has_each_operation_once(runs: dict[str, Path], name: str) -> None:
    run = report.load(runs[name])
    assert run.genotype is not None
    bound = run.space.bind(run.genotype)
    root = ElementTree.fromstring(draw.network(run.space, run.genotype))
    rows = [(g.get("class"), g.get("data-node"), g.get("data-op")) for g in root.iter("{http://www.w3.org/2000/svg}g")]
    read = sorted((node, op) for style, node, op in rows if "unread" not in str(style))
    assert read == sorted((node.name, str(node.op)) for node in bound.nodes)


def test_headline_says_what_was_found(runs: dict[str, Path]) -> None:
    text = Page(page(runs["layered"])).text
    assert "cora searched in layered with darts, order 1" in text
    assert "2 708 nodes" in text and "4 of 6" in text
    assert "The search gained 0.8 ± 0.3 over random search, p = 0.02; no gain beyond noise over APPNP." in text
    assert "test accuracy, mean ± standard deviation of 10 training seeds" in text


def test_without_evaluation_it_says_how_to_get_one(runs: dict[str, Path]) -> None:
    text = Page(page(runs["shallow"])).text
    assert f"gnas evaluate {runs['shallow']}" in text and "test split is unread" in text


def test_interrupted_and_empty_runs_say_so(runs: dict[str, Path]) -> None:
    text = Page(page(runs["interrupted"])).text
    assert "This run was interrupted: the network below is the best so far" in text
    assert "gnas export" in text
    assert "no network yet" in Page(page(runs["start"])).text


def test_found_row_is_marked_and_rows_are_ordered(runs: dict[str, Path]) -> None:
    run = report.load(runs["layered"])
    table = report.evaluation(run)
    assert table is not None
    assert [row["name"] for row in table["rows"] if row["found"]] == ["found (layered, darts)"]
    means = [float(row["test"].split()[0]) for row in table["rows"]]
    assert len(means) == 6 and means == sorted(means, reverse=True)
    assert table["corrected"] and "Holm" in page(runs["layered"])


def test_candidates_that_the_space_named_are_counted(runs: dict[str, Path]) -> None:
    run = report.load(runs["layered"])
    other, candidate = dict(run.genotype.choices), run.scores("best_of")[0][0]  # type: ignore[union-attr]
    for starts, count in (((), 0), ((candidate,), 1), ((candidate, {**other, "depth": "layer1"}), 1)):
        named = dataclasses.replace(run, space=dataclasses.replace(run.space, starts=starts))
        best = report.best_of(named)
        assert best is not None and best["starts"] == count


def test_a_first_rung_is_told_of_or_shown_where_it_decided(runs: dict[str, Path]) -> None:
    run = report.load(runs["layered"])
    best = report.best_of(run)
    assert best is not None and best["rung"] == 0
    rung = [{**event, "event": "rung", "seed": 0, "epochs": 10} for event in run.of("best_of") if not event["seed"]]
    told = report.best_of(dataclasses.replace(run, events={**run.events, "rung": rung}))
    assert told == {**best, "rung": 4}, "its values are of fewer epochs, and stay out of the table"
    alone = {"rung": rung, "derived": run.of("derived")}
    decided = report.best_of(dataclasses.replace(run, events=alone))
    assert decided is not None and len(decided["rows"]) == 4 and decided["rung"] == 0


def test_derivation_shows_what_was_measured(runs: dict[str, Path]) -> None:
    run = report.load(runs["layered"])
    best, measured, sites = report.best_of(run), report.measured(run), report.sites(run)
    assert best is not None and sites is not None and run.genotype is not None
    assert [row["best"] for row in best["rows"]] == [True, False, False, False]
    assert [row["seeds"] for row in best["rows"]] == [2, 2, 2, 1] and best["halved"]
    assert best["starts"] == 0
    assert "depth = layer4" in best["later"] and len(best["later"]) == 3
    assert [site["site"] for site in measured] == ["transform", "initial"]
    for site, options in zip(measured, (["yes", "no"], ["none", "0.1"]), strict=True):
        assert [row["option"] for row in site["rows"]] == options
        chosen = [row["option"] for row in site["rows"] if row["chosen"]]
        option = run.genotype[site["site"]]
        assert chosen == [options[run.space.choices[site["site"]].index(option)]]
    words = {row["site"]: row["word"] for row in sites["rows"]}
    assert words["depth"] == words["transform"] == "measured" != words["aggregate"]
    assert "3 were settled by training every option" in sites["sentence"]


def test_depth_curve_marks_the_chosen_depth(runs: dict[str, Path]) -> None:
    depth = report.depth(report.load(runs["layered"]))
    assert depth is not None
    assert depth["sentences"][0].startswith("Depth 4 was chosen: trained from scratch it reaches ")
    assert depth["wide"].count("from scratch, ") == 6 and depth["wide"].count("inherited, ") == 6
    assert "4 was chosen" in depth["wide"]
    assert depth["wide"].count("weight for ") == 6


def test_every_site_of_gap_has_a_row_and_a_panel(runs: dict[str, Path]) -> None:
    run = report.load(runs["gap"])
    sites, alphas = report.sites(run), report.alphas(run)
    assert sites is not None and alphas is not None
    assert len(sites["rows"]) == sum(len(group["panels"]) for group in alphas) == 37
    assert [group["name"] for group in alphas] == ["filter_in", "aggregate", "filter_out", "depth"]
    assert not all(row["read"] for row in sites["rows"])


def residuals(depth: int = 3) -> Space:
    """Layers that choose what is added to them."""
    nodes = []
    for i in range(1, depth + 1):
        before = f"layer{i - 1}" if i > 1 else "x"
        read = Choice(f"residual.{i}", tuple(dict.fromkeys((f"conv{i}", before, "x"))))
        nodes += [
            Node(f"conv{i}", "gcn", (before,)),
            Node(f"layer{i}", "lerp", (f"conv{i}", read), attrs={"weight": 0.1}),
        ]
    return Space("residuals", tuple(nodes), f"layer{depth}")


def test_an_option_has_one_name_and_one_colour_in_every_layer(tmp_path: Path) -> None:
    run = report.load(make_run(tmp_path / "run", residuals()))
    assert run.labels["residual.3"] == ["none", "layer2", "x"]
    (group,) = report.alphas(run) or []
    assert [label for label, _ in group["legend"]] == ["none", "x", "layer i−1"]


HOSTILE = '<script>alert("1")</script>&\x07'


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    op = Choice(HOSTILE, (HOSTILE, "gcn", "</svg><img src=x onerror=alert(1)>"))
    nodes = (Node("a", op, ("x",), attrs={HOSTILE: HOSTILE}), Node("b", "sum", ("a", "x")))
    space = Space(HOSTILE, (*nodes, Node("out", "identity", (Choice("depth", ("a", "b")),))), "out")
    folder = make_run(tmp_path / "run", space, seed=1, aim={HOSTILE: HOSTILE, "depth": "b"})
    (folder / "model.py").write_text(f"name = '''{HOSTILE}'''\n", encoding="utf-8")
    table = evaluation()
    table["verdict"] = table["rows"][0]["name"] = HOSTILE
    (folder / "evaluation.json").write_text(json.dumps(table), encoding="utf-8")
    with Journal(folder) as journal:
        journal.update(
            status="done",
            task={"name": HOSTILE, "nodes": HOSTILE, "notes": [HOSTILE]},
            strategy={"name": HOSTILE, HOSTILE: [HOSTILE]},
        )
    text = report.write(folder).read_text(encoding="utf-8")
    assert Page(text).scripts == 1 and "<img" not in text and "<script>alert" not in text
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_missing_numbers_leave_a_dash(tmp_path: Path) -> None:
    space = layered(2, aggregators=("gcn", "gat"))
    folder = make_run(tmp_path / "run", space, evaluated=False)
    with Journal(folder) as journal:
        broken = epochs(space, space.sample(random.Random(0)), random.Random(0), count=2, warm=0)[-1]
        broken.update(loss_weights=math.nan, loss_architecture=math.inf, metric_architecture=None, entropy=math.nan)
        journal.append(broken)
        journal.update(status="interrupted")
    table = evaluation()
    table["rows"][1].update(test_mean=None, test_std=None, test=[], parameters=None, seconds=None)
    table["comparisons"][0].update(p=None)
    (folder / "evaluation.json").write_text(json.dumps(table), encoding="utf-8")
    assert "–" in Page(report.write(folder).read_text(encoding="utf-8")).text


def test_page_is_the_same_every_time(runs: dict[str, Path]) -> None:
    before = page(runs["layered"])
    report.write(runs["layered"])
    assert page(runs["layered"]) == before


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("space.json", "{", r"run.space\.json can't be read"),
        ("genotype.json", "{}", r"run.genotype\.json can't be read"),
        ("evaluation.json", "{", "evaluate the run again"),
        ("evaluation.json", '{"format": "other"}', "evaluate the run again"),
        ("run.json", "[]", "run"),
        ("model.py", b"\xff\xfe", "damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, text: str | bytes, says: str) -> None:
    folder = make_run(tmp_path / "run", layered(1, aggregators=("gcn", "gat")))
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=says):
        report.write(folder)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no run"):
        report.write(tmp_path)
    with Journal(tmp_path / "begun") as journal:
        journal.create(META)
    with pytest.raises(ValueError, match="nothing to draw yet"):
        report.write(tmp_path / "begun")


def test_an_edited_journal_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", layered(1, aggregators=("gcn", "gat")))
    events = folder / "events.jsonl"
    events.write_text(events.read_text(encoding="utf-8").replace('"epoch":3', '"epoch":4', 1), encoding="utf-8")
    with pytest.raises(ValueError, match="was changed"):
        report.write(folder)


def test_starts_without_torch(runs: dict[str, Path]) -> None:
    code = f"""
import sys
from gnas import report
report.write({str(runs["layered"])!r})
print([name for name in ("torch", "torch_geometric", "numpy", "scipy", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
