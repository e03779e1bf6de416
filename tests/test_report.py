"""The page of a run: what is on it, what is left out, and that it needs nothing from outside."""

from __future__ import annotations

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

from gnas import charts, draw, prose, report
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
        best = {name: c.options[max(range(len(c.options)), key=weights[name].__getitem__)] for name, c in space.choices.items()}
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
    """Evidence for the depth, a few competitors, and the result."""
    events: list[dict[str, Any]] = []
    choices = dict(found.choices)
    depths = space.choices["depth"].options if "depth" in space.choices else ()
    for index, option in enumerate(depths):
        for seed in (0, 1):
            for inherit in (False, True):
                accuracy = 0.81 - 0.012 * (index - depths.index(found["depth"])) ** 2 - 0.02 * inherit + rng.gauss(0, 0.006)
                genotype = {**choices, "depth": option}
                events.append({"event": "depth", "depth": option, "genotype": genotype, "seed": seed, "inherit": inherit})
                events[-1].update(metric_architecture=accuracy, loss_architecture=0.7, epochs=60)
    rivals = [choices]
    for name in list(choices)[:4]:
        other = next(option for option in space.choices[name].options if option != choices[name])
        rivals.append({**choices, name: other})
    for rank, genotype in enumerate(rivals):
        for seed in (0, 1, 2):
            accuracy = 0.812 - 0.004 * rank + rng.gauss(0, 0.004)
            events.append({"event": "best_of", "genotype": genotype, "seed": seed, "inherit": False})
            events[-1].update(metric_architecture=accuracy, loss_architecture=0.7, epochs=60)
    events.append({"event": "derived", "genotype": choices, "confidence": {}, "supernet_metric": 0.798})
    events[-1].update(derived_metric=0.8154, inherited_metric=0.771)
    return events


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
    comparisons = [{"against": "random search (layered)", "gain": 0.008, "std": 0.003, "p": 0.02}]
    comparisons.append({"against": "APPNP", "gain": 0.004, "std": 0.004, "p": 0.21})
    head = {"format": "gnas.evaluation", "version": 1, "task": "cora", "seeds": list(range(10)), "rows": rows}
    verdict = "the search gained 0.8 ± 0.3 over random search, p = 0.02"
    return {**head, "verdict": verdict, "comparisons": comparisons, "versions": {"gnas": "0.1.0"}}


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
    "derivation": {"inputs": 1, "best_of": 5, "depth_seeds": 2, "epochs": 60},
    "recipe": {"hidden_channels": 64, "dropout": 0.8, "lr": 0.01, "weight_decay": 0.001},
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
    "seconds": {"search": 71.3, "derivation": 48.0},
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
        events.append({**event, "metric_architecture": accuracy, "loss_architecture": 0.8, "parameters": 90_000, "best": best})
    return events
