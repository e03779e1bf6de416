"""What zero-cost scores know of the truth: their rank correlation with the tables of NAS-Bench-Graph.

    python -m benchmarks.zero_cost --data cora

Three hundred networks of the space ``bench``, drawn at random, are built for real on the data set with the public split
and scored untrained; the table says how good each is when trained. Scores read the features, the graph and the labels
of the role ``weights``. Printed are the rank correlations with the table's test and validation metric, what is left
when a filter has refused the worst, and whether the scores help the model of :class:`gnas.Surrogate` to predict.

What was scored is kept in ``benchmarks/results/zero_cost``, a file for every 25 networks; called again, the command
makes what is missing. ``--table`` prints the tables from the files.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, spearmanr

RESULTS = Path(__file__).parent / "results" / "zero_cost"
DATA = ("cora", "citeseer", "pubmed")
NETWORKS, PART = 300, 25
RESAMPLES = 1000
MEAN = "mean of ranks"
TRUTHS = ("test", "valid")

Vector = NDArray[np.float64]
Record = dict[str, Any]


def drawn(data: str, root: str | None) -> list[dict[str, Any]]:
    """Networks that the table has, no two alike, always the same: their choices and metrics."""
    import gnas

    table = gnas.Tabular(data, root)
    space, generator, found = table.space(), random.Random(0), dict[Any, Record]()
    while len(found) < NETWORKS:
        genotype = space.canonical(space.sample(generator))
        row = table.table().row(space, genotype)
        if row is not None and genotype not in found:
            metrics = {"test": float(table.table().test[row]), "valid": float(table.table().valid[row])}
            found[genotype] = {"choices": dict(genotype.choices), **metrics}
    return list(found.values())


def measure(data: str, root: str | None) -> None:
    """Score each network that is in no result file yet."""
    import torch
    from torch_geometric.data import Data

    import gnas
    from benchmarks import measuring
    from gnas.zero_cost import SCORES, score

    torch.set_num_threads(1)
    graph = gnas.load(data, root=root)
    assert isinstance(graph, Data)
    task, space = gnas.Task.from_data(graph, name=data), gnas.Tabular(data, root).space()
    networks = drawn(data, root)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for part in range(0, NETWORKS, PART):
        target = RESULTS / f"{data}-{part:03d}.json"
        if target.exists():
            continue
        for record in networks[part : part + PART]:
            genotype = space.genotype(record["choices"])
            record["scores"], record["seconds"] = {}, {}
            for name in SCORES:
                began = time.perf_counter()
                record["scores"][name] = score(name, space, genotype, task)
                record["seconds"][name] = round(time.perf_counter() - began, 4)
        content = {"data": data, "networks": networks[part : part + PART], **measuring.about(1)}
        target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{target.name}", flush=True)


def read(data: str) -> tuple[list[Record], dict[str, Vector], dict[str, Vector]]:
    """The networks, the columns of scores and those of metrics."""
    files = sorted(RESULTS.glob(f"{data}-*.json"))
    networks = [record for path in files for record in json.loads(path.read_text(encoding="utf-8"))["networks"]]
    scores = {name: np.array([record["scores"][name] for record in networks]) for name in networks[0]["scores"]}
    # What can't be scored comes last.
    scores = {name: np.where(np.isnan(column), -np.inf, column) for name, column in scores.items()}
    scores[MEAN] = np.mean([rankdata(column) for column in scores.values()], axis=0)
    truths = {name: np.array([record[name] for record in networks]) for name in TRUTHS}
    return networks, scores, truths


def spread(statistic: Callable[[NDArray[np.int64]], float], count: int) -> tuple[float, float]:
    """A statistic of all networks, and its standard deviation over resamples with replacement."""
    generator = np.random.default_rng(0)
    found = [statistic(generator.integers(count, size=count)) for _ in range(RESAMPLES)]
    return statistic(np.arange(count)), float(np.std(found))


def correlations(data: str) -> str:
    """The table of rank correlations as Markdown."""
    networks, scores, truths = read(data)
    lines = [
        f"| score | Spearman, {TRUTHS[0]} | Kendall, {TRUTHS[0]} | Spearman, {TRUTHS[1]} | Kendall, {TRUTHS[1]} | s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, column in scores.items():
        cells = []
        for truth in TRUTHS:
            for measured in (spearmanr, kendalltau):

                def statistic(rows: NDArray[np.int64], measured: Any = measured, truth: str = truth) -> float:
                    return float(measured(column[rows], truths[truth][rows]).statistic)  # noqa: B023

                cells.append("{:.2f} ± {:.2f}".format(*spread(statistic, len(networks))))
        seconds = [record["seconds"].get(name) for record in networks]
        cells.append("" if name == MEAN else f"{np.median(seconds):.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["cora"], choices=DATA)
    parser.add_argument("--root", default=None, help="folder of raw data; GNAS_DATA if not given")
    parser.add_argument("--table", action="store_true", help="print the tables from the result files")
    args = parser.parse_args()
    for data in args.data:
        if not args.table:
            measure(data, args.root)
        print(f"### {data}\n\n{correlations(data)}")


if __name__ == "__main__":
    main()
