"""Would a deeper space have served? A found network of ``layered`` at the depths that its space had, and at more.

    python -m benchmarks.deeper
    python -m benchmarks.deeper --table

The network that the first first-order search of :mod:`benchmarks.citation` found is trained by the recipe of its row
with other numbers of layers, on seeds that no other table uses. Judged by the architecture split; no test node is read.
Results are kept in ``benchmarks/results/deeper``; what is there is not made again.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

from benchmarks import files
from benchmarks.citation import DATA
from benchmarks.citation import RESULTS as CITATION

RESULTS = Path(__file__).parent / "results" / "deeper"
DEPTHS = (2, 4, 6, 8, 10, 12)
SEEDS = range(100, 106)


def measure(data: str, root: str | None) -> None:
    """Train the network to every depth and by every seed that has no result yet."""
    import torch

    import gnas
    from gnas import kernels
    from gnas.evaluate import TrainFromScratch
    from gnas.recipe import Recipe
    from gnas.space import layered

    torch.set_num_threads(1)
    kernels.retain()
    task = gnas.Task.from_data(gnas.load(data, root=root), name=data)
    found = files.read(CITATION / f"{data}-layered-darts1-s0.json")
    row = next(row for row in found["rows"] if row["kind"] == "found")
    space, train = layered(max_depth=max(DEPTHS)), TrainFromScratch(Recipe(**row["recipe"]))
    path = RESULTS / f"{data}.json"
    kept = files.read(path) if path.exists() else {}
    for depth in DEPTHS:
        genotype = space.genotype({**row["genotype"], "depth": f"layer{depth}"})
        for seed in SEEDS:
            if f"{depth}, {seed}" in kept:
                continue
            result = train.evaluate(space, genotype, task, seed)
            versions = {"gnas": gnas.__version__, "torch": torch.__version__}
            kept[f"{depth}, {seed}"] = {"depth": depth, "seed": seed, "network": dict(genotype.choices)} | {
                "architecture": result.metric_architecture,
                "loss": result.loss_architecture,
                "versions": versions,
            }
            files.keep(path, kept)


def table(data: str) -> str:
    """Depths side by side as Markdown."""
    kept = files.read(RESULTS / f"{data}.json").values()
    lines = [f"| {data}: layers | trainings | architecture split % | loss there |", "| --- | --- | --- | --- |"]
    for depth in DEPTHS:
        rows = [row for row in kept if row["depth"] == depth]
        values, losses = [100 * row["architecture"] for row in rows], [row["loss"] for row in rows]
        lines.append(f"| {depth} | {len(rows)} | {fmean(values):.2f} ± {stdev(values):.2f} | {fmean(losses):.4f} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", default="pubmed", choices=DATA)
    args = parser.parse_args()
    if not args.table:
        measure(args.data, args.root)
    print(table(args.data))


if __name__ == "__main__":
    main()
