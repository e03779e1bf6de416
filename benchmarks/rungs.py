"""What a few epochs tell of a whole training, and what a first rung of them finds in the same time.

    python -m benchmarks.rungs
    python -m benchmarks.rungs --table

Starts of ``layered`` and networks drawn from it are trained on ogbg-molesol on two seeds and on a fold of MUTAG on
four, as a derivation's short trainings are (on MUTAG each seed draws both roles anew), with the metric on the
architecture split after each epoch; no test item is read. The first table says how well so many epochs order networks.
The second replays ways to choose one of ogbg-molesol's in a given time: one seed tells what is chosen, the other how
good that is. A time is one of the process, so other work on the machine does not count. Results are kept in
``benchmarks/results/rungs``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import files
from gnas.budget import survivors

RESULTS = Path(__file__).parent / "results" / "rungs"
MOLECULES, FEW = "ogbg-molesol", "mutag"
SPLITS = {MOLECULES: None, FEW: 5}
SEEDS = {MOLECULES: (11, 12), FEW: (11, 12, 13, 14)}
# Four with normalisation, APPNP with three aggregators, and SGC.
STARTS = (0, 1, 2, 3, 4, 7, 10, 5)
DRAWS, DRAWN_BY = 16, 5
EPOCHS = (10, 20, 33, 60, 100)
RUNGS = (0, 10, 20, 33, 60)
SHARES = (4, 8, 16)
REPLAYS = 1000
KINDS = [f"start-{i}" for i in range(len(STARTS))] + [f"draw-{i}" for i in range(DRAWS)]
NAMES = [f"{data}-{kind}" for data in SPLITS for kind in KINDS]
Curve = Mapping[str, list[float]]


def measure(name: str, root: str | None) -> dict[str, Any]:
    """A network's error and the time after each epoch, for each seed."""
    import torch

    import gnas
    from gnas import kernels
    from gnas.pace import steps_of_epoch
    from gnas.space import for_level
    from gnas.usual import usual_space

    torch.set_num_threads(1)
    kernels.retain()
    data, kind, number = name.rsplit("-", 2)
    task = gnas.Task.from_data(gnas.load(data, root, SPLITS[data]), name=data)
    space = for_level(usual_space(task), task.level)
    generator = random.Random(DRAWN_BY)
    drawn = [space.sample(generator) for _ in range(DRAWS)]
    genotype = space.genotype(space.starts[STARTS[int(number)]]) if kind == "start" else drawn[int(number)]
    curves = [curve(task, space.bind(genotype), seed) for seed in SEEDS[data]]
    found = {"name": name, "data": data, "steps": steps_of_epoch(task), "genotype": dict(genotype.choices)}
    return {**found, "curves": curves, "versions": files.versions()}


def curve(task: Any, bound: Any, seed: int) -> dict[str, list[float]]:
    """Seconds gone and the error (the metric, or what it lacks to one) after each epoch of one short training."""
    import time

    from gnas.derive import Derivation
    from gnas.evaluate import TrainFromScratch, builder
    from gnas.recipe import recipes_of

    usual, seconds, errors = Derivation(), [], []
    task = task.redrawn(seed) if usual.redraws(task) else task
    began, measured = time.process_time(), task.measure

    def noted(*given: Any) -> Any:
        found = measured(*given)
        seconds.append(time.process_time() - began)
        metric = found["architecture"][1]
        errors.append(1 - metric if task.higher_is_better else metric)
        return found

    task.measure = noted
    try:
        train = TrainFromScratch(recipes_of(task)[0], usual.epochs, usual.patience)
        result = train(builder(bound), task, seed)
    finally:
        del task.measure
    # The last one is of the best epoch, once more.
    return {"seconds": seconds[: result.epochs], "errors": errors[: result.epochs]}


def best(curve: Curve, epochs: int | None = None) -> float:
    """The least error of the first epochs, or of all."""
    return min(curve["errors"][:epochs])


def cost(curve: Curve, epochs: int | None = None) -> float:
    """Seconds of the first epochs, or of all."""
    return curve["seconds"][:epochs][-1]


def chosen(order: list[list[Curve]], seed: int, rung: int, room: float) -> float:
    """What one gets in some seconds: of networks tried one after another the best's error by the other seed.

    With a rung, that of the best of a quarter of them, and one more is tried as long as there is time for that.
    """
    tried: list[list[Curve]] = []
    for network in order:
        after = [*tried, network]
        time = sum(cost(one[seed], rung or None) for one in after)
        if rung:
            time += survivors(len(after)) * fmean(cost(one[seed]) for one in after)
        if tried and time > room:
            break
        tried = after
    if rung:
        tried = sorted(tried, key=lambda one: best(one[seed], rung))[: survivors(len(tried))]
    return best(min(tried, key=lambda one: best(one[seed]))[1 - seed])


def orders(results: list[dict[str, Any]], starts: bool) -> Iterator[list[list[Curve]]]:
    """Draws in a random order, and the starts in turns with them."""
    generator = random.Random(0)
    begun, drawn = ([row["curves"] for row in results if f"-{kind}-" in row["name"]] for kind in ("start", "draw"))
    for _ in range(REPLAYS):
        shuffled = generator.sample(drawn, len(drawn))
        turns = zip_longest(begun, shuffled) if starts else zip(shuffled)
        yield [curves for turn in turns for curves in turn if curves is not None]


def telling(data: str, results: list[dict[str, Any]]) -> list[str]:
    """Rows of a data set: what epochs of one seed tell of whole trainings on the others."""
    from scipy.stats import kendalltau

    networks: list[list[Curve]] = [row["curves"] for row in results]
    whole = fmean(cost(one) for network in networks for one in network)
    seeds, lines = range(len(SEEDS[data])), []
    truths = [[fmean(best(one[other]) for other in seeds if other != seed) for one in networks] for seed in seeds]
    for epochs in (*EPOCHS, None):
        share = fmean(cost(one, epochs) for network in networks for one in network) / whole
        tau = fmean(kendalltau([best(one[s], epochs) for one in networks], truths[s])[0] for s in seeds)
        steps = f"{epochs * results[0]['steps']:,}" if epochs else ""
        lines.append(f"| {data} | {epochs or 'all'} | {steps} | {share:.2f} | {tau:.2f} |")
    return lines


def table() -> str:
    """What epochs tell, and what is found in the time of so many trainings, as Markdown."""
    every = sorted(files.every(RESULTS), key=lambda row: NAMES.index(row["name"]))
    head = ["data", "epochs", "steps", "share of the time", "Kendall's tau with whole trainings on other seeds"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for data in SPLITS:
        if own := [row for row in every if row["data"] == data]:
            lines += telling(data, own)
    results = [row for row in every if row["data"] == MOLECULES]
    whole = fmean(cost(one) for row in results for one in row["curves"])
    head = ["candidates", "first rung", *(f"RMSE in the time of {count} trainings" for count in SHARES)]
    lines += ["", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for starts in (False, True):
        for rung in RUNGS:
            found = [
                fmean(chosen(order, i % 2, rung, count * whole) for i, order in enumerate(orders(results, starts)))
                for count in SHARES
            ]
            figures = " | ".join(f"{value:.3f}" for value in found)
            who = "starts and draws in turns" if starts else "draws"
            lines.append(f"| {who} | {f'{rung} epochs' if rung else 'none'} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    files.each(__doc__, RESULTS, NAMES, measure, table)
