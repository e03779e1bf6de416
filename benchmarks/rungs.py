"""What a few epochs tell of a whole training, and what a first rung of them finds in the same time.

    python -m benchmarks.rungs
    python -m benchmarks.rungs --table

Starts of ``layered`` and networks drawn from it are trained on ogbg-molesol on two seeds, as a derivation's short
trainings are, with the metric on the architecture split after each epoch; no test item is read. The table replays ways
to choose one of them in a given time: one seed tells what is chosen, the other how good that is. A time is one of the
process, so other work on the machine does not count. Results are kept in ``benchmarks/results/rungs``.
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
DATA = "ogbg-molesol"
STARTS, DRAWS, DRAWN_BY, SEEDS = 8, 16, 5, (11, 12)
EPOCHS = (10, 20, 33, 60, 100)
RUNGS = (0, 10, 20, 33, 60)
SHARES = (4, 8, 16)
REPLAYS = 1000
NAMES = [f"start-{i}" for i in range(STARTS)] + [f"draw-{i}" for i in range(DRAWS)]
Curve = Mapping[str, list[float]]


def measure(name: str, root: str | None) -> dict[str, Any]:
    """A network's metric and the time after each epoch, for each seed."""
    import torch

    import gnas
    from gnas import kernels
    from gnas.space import for_level
    from gnas.usual import usual_space

    torch.set_num_threads(1)
    kernels.retain()
    task = gnas.Task.from_data(gnas.load(DATA, root=root), name=DATA)
    space = for_level(usual_space(task), task.level)
    kind, number = name.split("-")
    generator = random.Random(DRAWN_BY)
    drawn = [space.sample(generator) for _ in range(DRAWS)]
    genotype = space.genotype(space.starts[int(number)]) if kind == "start" else drawn[int(number)]
    curves = [curve(task, space.bind(genotype), seed) for seed in SEEDS]
    return {"name": name, "genotype": dict(genotype.choices), "curves": curves, "versions": files.versions()}


def curve(task: Any, bound: Any, seed: int) -> dict[str, list[float]]:
    """Seconds gone and the metric after each epoch of one short training."""
    import time

    from gnas.derive import Derivation
    from gnas.evaluate import TrainFromScratch, builder
    from gnas.recipe import recipes_of

    usual, seconds, metrics = Derivation(), [], []
    began, measured = time.process_time(), task.measure

    def noted(*given: Any) -> Any:
        found = measured(*given)
        seconds.append(time.process_time() - began)
        metrics.append(found["architecture"][1])
        return found

    task.measure = noted
    try:
        train = TrainFromScratch(recipes_of(task)[0], usual.epochs, usual.patience)
        result = train(builder(bound), task, seed)
    finally:
        del task.measure
    # The last one is of the best epoch, once more.
    return {"seconds": seconds[: result.epochs], "metrics": metrics[: result.epochs]}


def best(curve: Curve, epochs: int | None = None) -> float:
    """The best metric (an error) of the first epochs, or of all."""
    return min(curve["metrics"][:epochs])


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
    begun, drawn = ([row["curves"] for row in results if row["name"].startswith(kind)] for kind in ("start", "draw"))
    for _ in range(REPLAYS):
        shuffled = generator.sample(drawn, len(drawn))
        turns = zip_longest(begun, shuffled) if starts else zip(shuffled)
        yield [curves for turn in turns for curves in turn if curves is not None]


def table() -> str:
    """What epochs tell, and what is found in the time of so many trainings, as Markdown."""
    from scipy.stats import kendalltau

    results = files.every(RESULTS)
    results.sort(key=lambda row: NAMES.index(row["name"]))
    networks: list[list[Curve]] = [row["curves"] for row in results]
    pairs = [(one[seed], one[1 - seed]) for one in networks for seed in (0, 1)]
    whole = fmean(cost(here) for here, _ in pairs)
    lines = ["| epochs | share of the time | Kendall's tau with the other seed's whole training |", "| --- " * 3 + "|"]
    for epochs in (*EPOCHS, None):
        share = fmean(cost(here, epochs) for here, _ in pairs) / whole
        tau = fmean(
            kendalltau([best(one[s], epochs) for one in networks], [best(one[1 - s]) for one in networks])[0]
            for s in (0, 1)
        )
        lines.append(f"| {epochs or 'all'} | {share:.2f} | {tau:.2f} |")
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
