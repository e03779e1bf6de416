"""The collapse of DARTS on a graph, what shows it and what prevents it: one result file for each search.

    python -m benchmarks.collapse --seeds 0 1 2
    python -m benchmarks.collapse --table --picture docs/collapse.svg

The space is a chain of four layers, each a graph convolution or a skip, on Cora with its public split; the supernet is
trained as DARTS trains its own, without dropout and with a weight decay of 3e-4. While a search goes on, the network
that its alphas speak for is trained from scratch every ten epochs and judged on the architecture split; the one at the
end is trained on five seeds and tested. Nothing is chosen by these trainings. What random networks of the space reach
is the row ``random``. Rows lie in ``benchmarks/results/collapse``; what is there is not made again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

import gnas
from benchmarks import files, measuring
from gnas import kernels
from gnas.evaluate import TrainFromScratch, builder
from gnas.recipe import Recipe
from gnas.relaxation import MaxW, Sigmoid
from gnas.space import Choice, Genotype, Node, Space
from gnas.strategy import Darts, EigenvalueStop, Perturbation, Selection
from gnas.task import Task

RESULTS = Path(__file__).parent / "results" / "collapse"
DATA = "cora"
OPS = ("identity", "gcn", "sage_mean", "sage_max", "gat")
PLAIN: dict[str, Any] = {"epochs": 120, "warmup": 10, "dropout": 0.0, "weight_decay": 3e-4}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"eigenvalue": 2},
    "stop=EigenvalueStop()": {"stop": EigenvalueStop()},
    "auxiliary=1.0": {"auxiliary": 1.0},
    "selection=Selection()": {"selection": Selection()},
    "relaxation=Sigmoid(), zero_one=10.0": {"relaxation": Sigmoid(), "zero_one": 10.0},
    "relaxation=MaxW()": {"relaxation": MaxW()},
    "perturbation=Perturbation()": {"perturbation": Perturbation()},
    "beta=50.0": {"beta": 50.0},
    "dropout=0.6": {"dropout": 0.6},
}
EVERY = 10
TRAIN = TrainFromScratch(Recipe(dropout=0.5), epochs=200, patience=40)
FIRST_SEED = 6_000_000
FINAL, DRAWN = 5, 30


def chain(layers: int = 4, ops: Sequence[str] = OPS) -> Space:
    """Layers one after another, each a convolution with weights of its own, or a skip without any."""
    program, below = [], "x"
    for i in range(1, layers + 1):
        program.append(Node(f"layer{i}", Choice(f"op.{i}", tuple(ops)), (below,)))
        below = f"layer{i}"
    return Space("chain", tuple(program), below, share="none")


def search(task: Task, name: str, seed: int) -> dict[str, Any]:
    """One search: its curve, what it would have handed over on the way, and what its last network reaches."""
    space, strategy = chain(), Darts(**{**PLAIN, **SETTINGS[name]})
    torch.manual_seed(seed)
    state = strategy.init(space, task, torch.default_generator)
    curve, derived, seconds, known = [], [], 0.0, dict[str, float]()
    while not strategy.done(state):
        began = time.perf_counter()
        event = strategy.step(task, state)
        seconds += time.perf_counter() - began
        keys = ("epoch", "skips", "entropy", "eigenvalue", "loss_weights", "metric_architecture")
        curve.append({key: event[key] for key in keys if key in event})
        if state.epoch % EVERY == 0 or strategy.done(state):
            genotype = strategy.derive(task, state)
            network = space.bind(genotype).digest()
            if network not in known:
                known[network] = TRAIN.evaluate(space, genotype, task, FIRST_SEED + seed).metric_architecture
            ops = [str(option) for option in dict(genotype.choices).values()]
            derived.append({"epoch": state.epoch, "ops": ops, "architecture": known[network]})
    final = trained(task, space, strategy.derive(task, state), range(FINAL))
    return {"curve": curve, "derived": derived, "seconds": seconds, **final}


def trained(task: Task, space: Space, genotype: Genotype, seeds: Sequence[int]) -> dict[str, list[float]]:
    """A network's accuracies over training seeds."""
    results = [TRAIN(builder(space.bind(genotype)), task, FIRST_SEED + 1000 + seed, test=True) for seed in seeds]
    return {
        "architecture": [result.metric_architecture for result in results],
        "test": [result.test for result in results if result.test is not None],
    }


def drawn(task: Task) -> dict[str, Any]:
    """What random networks of the space reach, one training each."""
    space, generator = chain(), random.Random(0)
    rows = [trained(task, space, space.sample(generator), [i]) for i in range(DRAWN)]
    return {key: [row[key][0] for row in rows] for key in ("architecture", "test")}


def measure(names: Sequence[str], seeds: Sequence[int], root: str | None) -> None:
    """Make every row that isn't there."""
    torch.set_num_threads(1)
    about = measuring.about(1, kernels.retain())
    task = Task.from_data(gnas.load(DATA, root=root), name=DATA)
    jobs = [(name, seed) for seed in seeds for name in names]
    for name, seed in [("random", 0), *jobs]:
        target = path(name, seed)
        if target.exists():
            continue
        row = drawn(task) if name == "random" else search(task, name, seed)
        content = {"name": name, "seed": seed, **row, **about}
        files.keep(target, content, indent=None)
        print(f"{name}, seed {seed}: {100 * fmean(row['test']):.1f} % of the test nodes", flush=True)


def path(name: str, seed: int) -> Path:
    """Where a row lies."""
    words = "".join(c if c.isalnum() else " " for c in name.lower()).split()
    return RESULTS / f"{'-'.join(words)}-s{seed}.json"


def rows() -> dict[str, list[dict[str, Any]]]:
    """The rows that there are, by name of the setting."""
    read = files.every(RESULTS)
    return {name: own for name in ("random", *SETTINGS) if (own := [row for row in read if row["name"] == name])}


def table() -> str:
    """All rows as Markdown."""
    lines = [
        "| setting of `Darts` | searches | skips at the end | best on the way, architecture split % "
        "| at the end, architecture split % | at the end, test % | epochs |",
        "|---" * 7 + "|",
    ]
    for name, own in rows().items():
        test = [100 * value for row in own for value in row["test"]]
        spread = f"{fmean(test):.1f} ± {stdev(test):.1f}"
        if name == "random":
            last = 100 * fmean(own[0]["architecture"])
            best = 100 * max(own[0]["architecture"])
            lines.append(f"| {DRAWN} random networks | | | {best:.1f} | {last:.1f} | {spread} | |")
            continue
        skips = fmean(row["curve"][-1]["skips"] for row in own)
        best = 100 * fmean(max(point["architecture"] for point in row["derived"]) for row in own)
        last = 100 * fmean(row["derived"][-1]["architecture"] for row in own)
        epochs = ", ".join(dict.fromkeys(str(row["curve"][-1]["epoch"]) for row in own))
        called = "none" if name == "plain" else f"`{name}`"
        lines.append(f"| {called} | {len(own)} | {skips:.2f} | {best:.1f} | {last:.1f} | {spread} | {epochs} |")
    return "\n".join(lines)


def picture(target: Path) -> None:
    """Draw the plain search beside those that hold, over the epochs."""
    from matplotlib import pyplot
    from matplotlib.axes import Axes

    found, (width, height) = rows(), (11, 3.4)
    figure, axes = pyplot.subplots(1, 3, figsize=(width, height), layout="constrained")
    known: list[Axes] = list(axes)
    # What the others are compared with lies above them.
    plain: dict[str, Any] = {"color": "black", "linewidth": 2.4, "zorder": 3}
    for row in found.get("plain", ()):
        points = [(p["epoch"], p["eigenvalue"]) for p in row["curve"] if "eigenvalue" in p]
        known[2].plot(*zip(*points), color="black", linewidth=1.2)
    for i, (name, own) in enumerate((name, own) for name, own in found.items() if name != "random"):
        style = plain if name == "plain" else {"color": f"C{i}", "linewidth": 1.2}
        label = "plain Darts" if name == "plain" else name
        known[0].plot(*_mean(own, "derived", "architecture", 100), label=label, **style)
        known[1].plot(*_mean(own, "curve", "skips", 1), **style)
    titles = ("derived network, architecture split %", "share of skips", "largest eigenvalue, plain Darts")
    for axis, title in zip(known, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch of the search")
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def _mean(own: Sequence[dict[str, Any]], where: str, key: str, factor: float) -> tuple[list[int], list[float]]:
    """The mean over searches at the epochs that all of them have; one that stopped stays where it was."""
    every = sorted({point["epoch"] for row in own for point in row[where]})
    means = []
    for epoch in every:
        values = [[p[key] for p in row[where] if p["epoch"] <= epoch] for row in own]
        means.append(factor * fmean(given[-1] if given else own[i][where][0][key] for i, given in enumerate(values)))
    return every, means


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="search seeds")
    parser.add_argument("--picture", type=Path, default=None, help="draw them; needs matplotlib")
    args = parser.parse_args()
    if args.table or args.picture:
        print(table())
        if args.picture:
            picture(args.picture)
        return
    measure(args.settings, args.seeds, args.root)


if __name__ == "__main__":
    main()
