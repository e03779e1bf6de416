"""What limits on costs, and cost terms, save and what they cost: searches on Cora under each.

    python -m benchmarks.limits --seeds 0 1 2
    python -m benchmarks.limits --table

The same search, ``layered`` by first-order DARTS with the default derivation, without a limit, under limits on the
multiply-adds of a forward pass, and with these as a term of the architecture's loss. Each found network is trained five
times by the recipe of the search, and the test nodes are read at the end of each. Its costs are those of
:mod:`gnas.costs`; ``alpha`` is the network that the architecture weights alone speak for. Results are kept in
``benchmarks/results/limits``, and what is there is not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import files, measuring

RESULTS = Path(__file__).parent / "results" / "limits"
TRAININGS = range(100, 105)
WAYS: dict[str, dict[str, Any]] = {
    "none": {},
    "macs <= 7M": {"limit": "macs<=7M"},
    "macs <= 5.5M": {"limit": "macs<=5.5M"},
    "term, weight 0.1": {"weight": 0.1},
    "term, weight 1": {"weight": 1.0},
}


def measure(way: str, seed: int, root: str | None, runs: Path) -> None:
    """Search once, train what was found, and keep the row, unless it is there."""
    target = RESULTS / f"{list(WAYS).index(way)}-s{seed}.json"
    if target.exists():
        return
    import torch

    import gnas
    from gnas.evaluate import TrainFromScratch, builder
    from gnas.space import layered

    torch.set_num_threads(1)
    task, space = gnas.Task.from_data(gnas.load("cora", root=root), name="cora"), layered()
    settings = WAYS[way]
    term = gnas.CostTerm("macs", weight=settings["weight"]) if "weight" in settings else None
    limits = [gnas.Limit.parse(settings["limit"])] if "limit" in settings else []
    run = gnas.search(
        task, space, gnas.Darts(cost=term), seed=seed, folder=runs / target.stem, resume=True, conditions=limits
    )
    last = [event for event in run.journal.events() if event.get("event") == "epoch"][-1]
    networks = {"found": run.genotype, "alpha": space.genotype(last["genotype"])}
    train = TrainFromScratch()
    result = {
        "way": way,
        "seed": seed,
        "genotype": dict(run.genotype.choices),
        "alpha": dict(networks["alpha"].choices),
        "costs": {
            name: {cost: gnas.costs.cost(cost, space, each, task) for cost in gnas.costs.COSTS}
            for name, each in networks.items()
        },
        "test": [train(builder(space.bind(run.genotype)), task, s, test=True).test for s in TRAININGS],
        "seconds": run.journal.run()["seconds"],
        **measuring.about(1),
    }
    files.keep(target, result)
    print(f"{way}, seed {seed}: {result['costs']}, {fmean(result['test']):.3f}", flush=True)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{fmean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def table() -> str:
    """The ways side by side as Markdown: means over searches, test accuracy over all trainings."""
    lines = [
        "| limit | searches | test, accuracy in % | multiply-adds, M | of alpha's network | latency, ms | memory, MB |",
        "| --- " * 7 + "|",
    ]
    found = files.every(RESULTS)
    for way in WAYS:
        rows = [row for row in found if row["way"] == way]
        if not rows:
            continue
        tests = [100 * value for row in rows for value in row["test"]]
        costs = [row["costs"]["found"] for row in rows]
        cells = [
            way,
            str(len(rows)),
            _spread(tests, ".1f"),
            _spread([each["macs"] / 1e6 for each in costs], ".1f"),
            _spread([row["costs"]["alpha"]["macs"] / 1e6 for row in rows], ".1f"),
            _spread([each["latency"] for each in costs], ".2f"),
            _spread([each["memory"] / 1e6 for each in costs], ".1f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/limits"), help="folder of the searches")
    args = parser.parse_args()
    if not args.table:
        for seed in args.seeds:
            for way in WAYS:
                measure(way, seed, args.root, args.runs)
    print(table())


if __name__ == "__main__":
    main()
