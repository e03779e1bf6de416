"""What sharing projections does to a search: rank agreement of supernet and stand-alone accuracy, and what is derived.

    python -m benchmarks.sharing --data cora citeseer

Fifty genotypes of ``layered`` are drawn. Each is trained from scratch on three seeds: the truth. Then, for
``share="site"`` (one projection for all candidates of a site) and ``share="none"`` (each its own) and three seeds, a
supernet is searched with default settings and judges the same fifty twice: with the weights of the mixture, and after
the 400 single-path steps that a derivation's shortlist takes. Kendall's tau compares with the truth. At last the whole
search runs in both, and what it derives is trained on ten seeds. All accuracies are those of the architecture split;
no test node is read. What was measured is kept in ``benchmarks/results/sharing``; ``--table`` prints it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from benchmarks import files

if TYPE_CHECKING:
    from gnas.space import Genotype, Space
    from gnas.task import Task

RESULTS = Path(__file__).parent / "results" / "sharing"
DATA = ("cora", "citeseer", "pubmed")
SHARES = ("site", "none")
GENOTYPES = 50
TRUTH_SEEDS = (0, 1, 2)
FINAL_SEEDS = tuple(range(10))
STEPS = 200


def drawn() -> tuple[Space, list[Genotype]]:
    """The space, and fifty genotypes that bind to fifty networks."""
    from gnas.space import layered

    space, generator = layered(), random.Random(0)
    found: dict[str, Genotype] = {}
    while len(found) < GENOTYPES:
        genotype = space.sample(generator)
        found.setdefault(space.bind(genotype).digest(), genotype)
    return space, list(found.values())


def once(name: str, compute: Callable[..., dict[str, Any]], *arguments: Any) -> Any:
    """What ``compute(*arguments)`` gave, from its file, or computed and written there."""
    target = RESULTS / f"{name}.json"
    if not target.exists():
        result = compute(*arguments)
        files.keep(target, {**result, "versions": files.versions()})
        print(f"{name}: {result}"[:160], flush=True)
    return files.read(target)


def truth(task: Task, space: Space, genotype: Genotype) -> dict[str, Any]:
    """Accuracy of one genotype from scratch, a number for each seed."""
    from gnas.evaluate import TrainFromScratch, builder

    evaluator = TrainFromScratch()
    build = builder(space.bind(genotype))
    return {"metrics": [evaluator(build, task, seed).metric_architecture for seed in TRUTH_SEEDS]}


def agreement(task: Task, genotypes: list[Genotype], known: list[float], share: str, seed: int) -> dict[str, Any]:
    """Kendall's tau between the truth and a supernet's opinion, before and after single-path training."""
    import torch
    from scipy.stats import kendalltau

    from gnas import Darts
    from gnas.recipe import Recipe
    from gnas.shortlist import shortlist
    from gnas.space import layered

    strategy, space = Darts(), layered(share=share)
    genotypes = [space.genotype(dict(genotype.choices)) for genotype in genotypes]
    torch.manual_seed(seed)
    state = strategy.init(space, task, torch.default_generator)
    began = time.perf_counter()
    while not strategy.done(state):
        strategy.step(task, state)
    seconds = time.perf_counter() - began
    net = state.supernet.eval()
    mixed = []
    for genotype in genotypes:
        net.set_arch(genotype)
        mixed.append(task.measure(net, ("architecture",))["architecture"][1])
    net.set_arch(None)
    single = dict(shortlist(net, task, genotypes, len(genotypes), Recipe(), STEPS, seed))
    return {
        "mixture": float(kendalltau(known, mixed).statistic),
        "single_path": float(kendalltau(known, [single[genotype] for genotype in genotypes]).statistic),
        "search_seconds": seconds,
    }


def derived(task: Task, folder: Path, share: str, seed: int) -> dict[str, Any]:
    """Accuracy on ten seeds of what a default search derives."""
    import gnas
    from gnas.evaluate import TrainFromScratch, builder
    from gnas.space import layered

    space = layered(share=share)
    run = gnas.search(task, space, seed=seed, folder=folder, resume=True, progress=False)
    build, evaluator = builder(space.bind(run.genotype)), TrainFromScratch()
    return {
        "genotype": dict(run.genotype.choices),
        "metrics": [evaluator(build, task, final).metric_architecture for final in FINAL_SEEDS],
        "seconds": run.journal.run()["seconds"],
    }


def measure(data: str, args: argparse.Namespace) -> None:
    """Everything about one data set that has no result yet."""
    import torch

    import gnas

    torch.set_num_threads(1)
    task = gnas.Task.from_data(gnas.load(data, root=args.root), name=data)
    space, genotypes = drawn()
    known = [
        fmean(once(f"{data}-truth-{i}", truth, task, space, genotype)["metrics"])
        for i, genotype in enumerate(genotypes)
    ]
    for seed in args.seeds:
        for share in SHARES:
            once(f"{data}-tau-{share}-s{seed}", agreement, task, genotypes, known, share, seed)
            folder = args.runs / f"{data}-{share}-s{seed}"
            once(f"{data}-derived-{share}-s{seed}", derived, task, folder, share, seed)


def table() -> str:
    """The results as Markdown."""
    lines = [
        "| data | share | searches | tau, mixture's weights | tau, single-path weights | derived % | search s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data in DATA:
        for share in SHARES:
            taus = files.every(RESULTS, f"{data}-tau-{share}-s*.json")
            ends = files.every(RESULTS, f"{data}-derived-{share}-s*.json")
            if not taus or not ends:
                continue
            mixture, single = ([tau[key] for tau in taus] for key in ("mixture", "single_path"))
            metrics = [100 * metric for end in ends for metric in end["metrics"]]
            seconds = fmean(tau["search_seconds"] for tau in taus)
            lines.append(
                f"| {data} | {share} | {len(taus)} | {_spread(mixture, 2)} | {_spread(single, 2)} | "
                f"{_spread(metrics, 1)} | {seconds:.0f} |"
            )
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    return f"{fmean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="search seeds")
    parser.add_argument("--runs", type=Path, default=Path("runs/sharing"), help="folder of the runs")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    for data in args.data:
        measure(data, args)


if __name__ == "__main__":
    main()
