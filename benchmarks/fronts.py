"""Fronts of accuracy and cost on the tables of NAS-Bench-Graph, where the true front is known.

    python -m benchmarks.fronts
    python -m benchmarks.fronts --table

Strategies that search for several objectives, and random search, look up 300 networks of each table with one cost
beside the validation metric: the number of parameters, or the latency that the tables' authors measured. What the found
front covers is its hypervolume over that of the true one, both between the true front's ends (its cheapest and its best
network): 1 is the true front. Results are kept in ``benchmarks/results/fronts``, a file for each table and
strategy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import files

RESULTS = Path(__file__).parent / "results" / "fronts"
DATA = ("cora", "citeseer", "pubmed", "physics", "computers", "arxiv", "proteins")
COSTS = ("parameters", "latency")
STRATEGIES = ("random", "nsga2", "nsga2:population=20", "tpe")
AT = (100, 300)


def front(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of points (cost, loss) those that no other dominates, the cheapest first."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    best = np.minimum.accumulate(np.concatenate([[np.inf], ordered[:-1, 1]]))
    return ordered[ordered[:, 1] < best]


def covered(points: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Area between a front and the corner of the true front's ends, over that of the true front."""
    corner = np.array([true[-1, 0], true[0, 1]])

    def area(own: NDArray[np.float64]) -> float:
        inside = np.clip(own, true[[0, -1], [0, 1]], corner)
        steps = np.append(inside[1:, 0], corner[0]) - inside[:, 0]
        return float((steps * (corner[1] - inside[:, 1])).sum())

    return area(front(points)) / area(true)


def measure(data: str, label: str, args: Any) -> None:
    """One strategy on one table, for each cost."""
    target = RESULTS / f"{data}-{label.replace(':', '-').replace('=', '-')}.json"
    if target.exists():
        return
    import torch

    from gnas.strategy import STRATEGIES as KINDS
    from gnas.strategy import BlackBox, labels
    from gnas.tabular import Tabular

    tabular = Tabular(data, args.root)
    table, space, task = tabular.table(), tabular.space(), tabular.task()
    rows = []
    for cost in COSTS:
        prices = {"parameters": 1e6 * table.parameters, "latency": 1e3 * table.latency}[cost]
        true = front(np.stack([prices, -table.valid], axis=1))
        name, settings = labels.split(label)
        fixed = {"evaluations": max(AT), "evaluator": tabular, "objectives": (cost,)}
        strategy = labels.make(KINDS[name], settings, fixed)
        assert isinstance(strategy, BlackBox)
        found: dict[int, list[float]] = {count: [] for count in AT}
        for seed in range(args.seeds):
            state = strategy.init(space, task, torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
            while not strategy.done(state):
                strategy.step(task, state)  # type: ignore[arg-type]
            seen = np.array([(trial.costs[cost], -trial.metric) for trial in state.trials])
            for count in AT:
                found[count].append(covered(seen[:count], true))
        rows.append({"cost": cost, "networks": len(true), "covered": found})
    files.keep(target, {"data": data, "strategy": label, "rows": rows, "versions": files.versions()})
    print(f"{data}, {label}: done", flush=True)


def table() -> str:
    """Medians and quartiles as Markdown."""
    head = [f"covered after {count}" for count in AT]
    lines = [f"| table | cost | true front | strategy | seeds | {' | '.join(head)} |", "| --- " * (5 + len(AT)) + "|"]
    found = [
        (result["data"], row["cost"], result["strategy"], row)
        for result in files.every(RESULTS)
        for row in result["rows"]
    ]
    for data, cost, label, row in sorted(
        found, key=lambda each: (DATA.index(each[0]), each[1], STRATEGIES.index(each[2]))
    ):
        cells = [_spread(row["covered"][str(count)]) for count in AT]
        start = [data, cost, f"{row['networks']} networks", label, str(len(row["covered"][str(AT[0])]))]
        lines.append(f"| {' | '.join([*start, *cells])} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    low, middle, high = quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    for label in args.strategies:
        for data in args.data:
            measure(data, label, args)


if __name__ == "__main__":
    main()
