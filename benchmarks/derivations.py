"""How to choose among networks that differ by less than their seeds: ways to derive, replayed on a table.

    python -m benchmarks.derivations --data cora citeseer

The 144 networks of ``layered`` without projecting layers that aggregate by ``gcn``, ``sage_mean`` or ``gat`` are
trained on four seeds each. Their means, smoothed by a Gaussian process over the choices, are taken as the truth, and
each way to choose is replayed four hundred times against it, with the seeds' spread as noise. What it chose is given
by its true accuracy on the architecture split, and by that of the nodes that have no role in the public split; no test
node is read. Inherited weights are stood in for by the truth with an error of
``--inherited`` points, which networks share as far as they share pairs of options.

What was trained is kept in ``benchmarks/results/derivations``, a line each; ``--table`` prints the table from it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks import files

RESULTS = Path(__file__).parent / "results" / "derivations"
DATA = ("cora", "citeseer")
CHOICES: dict[str, tuple[Any, ...]] = {
    "depth": tuple(f"layer{i}" for i in range(1, 7)),
    "aggregate": ("gcn", "sage_mean", "gat"),
    "transforms": ("x", "mlp1"),
    "initial": (0.0, 0.1),
    "previous": (0.0, 0.5),
}
SEEDS = 4
FIRST_SEED = 5_000_000
REPLAYS = 400
Network = tuple[Any, ...]


def measure(data: str, root: str | None) -> None:
    """Train every network on every seed that the file lacks."""
    import torch

    import gnas
    from gnas import kernels
    from gnas.evaluate import TrainFromScratch, builder, seeded
    from gnas.recipe import Recipe
    from gnas.space import layered

    torch.set_num_threads(1)
    kernels.retain()
    task, space = gnas.Task.from_data(gnas.load(data, root=root), name=data), layered()
    roleless = torch.ones(task.num_nodes, dtype=torch.bool)
    for index in task.roles.values():
        roleless[index] = False
    train = TrainFromScratch(Recipe(), epochs=200, patience=40)
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"{data}.jsonl"
    known = {(tuple(row["network"]), row["seed"]) for row in _rows(data)}
    with target.open("a", encoding="utf-8") as file:
        for seed, network in product(range(SEEDS), product(*CHOICES.values())):
            if (network, seed) in known:
                continue
            genotype = space.genotype({**dict(zip(CHOICES, network, strict=True)), "transform": False})
            with seeded(FIRST_SEED + seed):
                model = builder(space.bind(genotype))(task, train.recipe_for(task))
                result = train.train(model, task)
            (whole,) = task.batches("architecture")
            with torch.no_grad():
                hits = (task.forward(model.eval(), whole).argmax(dim=1) == task.y)[roleless]
            row = {"network": network, "seed": seed, "architecture": result.metric_architecture}
            file.write(json.dumps({**row, "roleless": float(hits.float().mean())}) + "\n")
            file.flush()


def _rows(data: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{data}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


class Truth:
    """Smoothed accuracies of all networks in percent, and how much seeds differ."""

    def __init__(self, data: str) -> None:
        found: dict[Network, list[tuple[float, float]]] = {}
        for row in _rows(data):
            pair = (100 * row["architecture"], 100 * row["roleless"])
            found.setdefault(tuple(row["network"]), []).append(pair)
        self.networks = list(found)
        means = np.array([np.mean(values, axis=0) for values in found.values()])
        self.noise = float(np.sqrt(np.mean([np.var([a for a, _ in v], ddof=1) for v in found.values() if len(v) > 1])))
        counts = np.array([len(values) for values in found.values()])
        smooth = [self._smooth(means[:, i], counts) for i in range(2)]
        self.architecture, self.roleless = (dict(zip(self.networks, s, strict=True)) for s in smooth)

    def _smooth(self, means: Any, counts: Any) -> Any:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel

        features = np.array([_features(network) for network in self.networks])
        kernel = ConstantKernel(50.0, (1.0, 1e5)) * RBF(1.0)
        process = GaussianProcessRegressor(kernel, alpha=self.noise**2 / counts).fit(features, means - means.mean())
        return process.predict(features) + means.mean()


def _features(network: Network) -> list[float]:
    """One-hot for every choice, and the depth as a number."""
    hot = [float(option == chosen) for options, chosen in zip(CHOICES.values(), network) for option in options]
    return [*hot, (int(network[0][-1]) - 3.5) / 1.7]


class Laboratory:
    """Trains by looking up the truth and adding noise, and counts."""

    def __init__(self, truth: Truth, inherited: float, generator: random.Random) -> None:
        self.truth, self.inherited, self.generator = truth, inherited, generator
        self.known: dict[Network, list[float]] = {}

    def mean(self, network: Network, seeds: int) -> float:
        """Mean accuracy of a network over its first seeds."""
        values = self.known.setdefault(network, [])
        while len(values) < seeds:
            values.append(self.truth.architecture[network] + self.generator.gauss(0, self.truth.noise))
        return fmean(values[:seeds])

    def listed(self, count: int) -> list[Network]:
        """The best by inherited weights."""
        error: dict[Any, float] = {}
        opinion = {}
        for network, value in self.truth.architecture.items():
            # Networks that share two options are misjudged alike.
            pairs = list(combinations(enumerate(network), 2))
            for pair in pairs:
                error.setdefault(pair, self.generator.gauss(0, self.inherited / len(pairs) ** 0.5))
            opinion[network] = value + sum(error[pair] for pair in pairs)
        return sorted(opinion, key=lambda network: -opinion[network])[:count]

    def halved(self, count: int, rounds: int) -> Network:
        """The best by successive halving."""
        left = self.listed(count)
        for i in range(rounds):
            left.sort(key=lambda network: -self.mean(network, 2**i))
            left = left[: -(-len(left) // 2)] if i + 1 < rounds else left
        return left[0]

    def settled(self, network: Network, place: int, seeds: int) -> Network:
        """The best option of one choice, all of them on the same seeds; what stands in a tie is the first."""
        others = [(*network[:place], option, *network[place + 1 :]) for option in list(CHOICES.values())[place]]
        return max([network, *others], key=lambda other: self.mean(other, seeds))


def coordinates(lab: Laboratory) -> Network:
    """Eight networks once, the best three on three seeds; then every choice in turn, on three seeds."""
    three = sorted(lab.listed(8), key=lambda network: -lab.mean(network, 1))[:3]
    network = max(three, key=lambda network: lab.mean(network, 3))
    for place in range(len(CHOICES)):
        network = lab.settled(network, place, 3)
    return network


def luckiest(lab: Laboratory) -> Network:
    """The best of fifty random networks, trained once each."""
    drawn = [lab.generator.choice(lab.truth.networks) for _ in range(50)]
    return max(drawn, key=lambda network: lab.mean(network, 1))


def halved(count: int, rounds: int, *places: int) -> Callable[[Laboratory], Network]:
    """Successive halving, then some choices in turn, on three seeds."""

    def way(lab: Laboratory) -> Network:
        network = lab.halved(count, rounds)
        for place in places:
            network = lab.settled(network, place, 3)
        return network

    return way


WAYS: dict[str, Callable[[Laboratory], Network]] = {
    "best of 50 random ones, one seed": luckiest,
    "3 of 8 on three seeds, then choice by choice": coordinates,
    "halving 16, three rounds, then choice by choice": halved(16, 3, *range(len(CHOICES))),
    "halving 32, four rounds": halved(32, 4),
    "halving 32, four rounds, then the depth (default)": halved(32, 4, 0),
    "halving 32, four rounds, then choice by choice": halved(32, 4, *range(len(CHOICES))),
}


def table(data: str, inherited: float) -> str:
    """One data set's table as Markdown."""
    truth = Truth(data)
    lines = [
        f"### {data}, noise of a seed {truth.noise:.2f}, of inherited weights {inherited:.1f}",
        "",
        "| way | trainings | architecture split % | nodes without a role % |",
        "| --- | --- | --- | --- |",
    ]
    for name, way in WAYS.items():
        generator, rows = random.Random(0), []
        for _ in range(REPLAYS):
            lab = Laboratory(truth, inherited, generator)
            network = way(lab)
            rows.append((sum(map(len, lab.known.values())), truth.architecture[network], truth.roleless[network]))
        trainings, *cells = zip(*rows, strict=True)
        text = " | ".join(f"{np.mean(cell):.2f} ± {np.std(cell):.2f}" for cell in cells)
        lines.append(f"| {name} | {np.mean(trainings):.0f} | {text} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--inherited", type=float, nargs="+", default=[1.5, 3.0], help="error of inherited weights")
    args = parser.parse_args()
    for data in args.data:
        if not args.table:
            measure(data, args.root)
        for inherited in args.inherited:
            print(table(data, inherited), end="\n\n")


if __name__ == "__main__":
    main()
