"""What stands beside the best networks of each table of NAS-Bench-Graph: whether anything near them gives them away.

    python -m benchmarks.neighbours
    python -m benchmarks.neighbours --table

A model of the networks learns from those that it has seen. The best network of a table is found by it if the networks
that differ from it in one choice are good as well; if they are not, its metric is an exception, or noise, and only luck
finds it. For the five best of each table: the rank of the best network that differs in one choice, and the median rank
of all that do. The truth of whole tables is read here, and nothing is chosen by it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import files
from gnas.space import Space
from gnas.strategy.features import encoder, everything
from gnas.tabular import Tabular

RESULTS = Path(__file__).parent / "results" / "neighbours"
TABLES = ("cora", "citeseer", "pubmed", "physics", "computers", "arxiv", "proteins")
BEST = 5


@functools.lru_cache(maxsize=1)
def networks(space: Space) -> tuple[Any, dict[Any, int], tuple[Any, ...]]:
    """The encoder, the place of each network among all, and the genotypes that stand for them."""
    genotypes, traces, _ = everything(space)
    return encoder(space), {trace: place for place, trace in enumerate(traces)}, genotypes


def measure(table: Tabular) -> dict[str, Any]:
    """The best networks of a table with the ranks of their neighbours."""
    space, truth = table.space(), table.table()
    encode, places, genotypes = networks(space)
    rows = [truth.row(space, genotype) for genotype in genotypes]
    ranks = {place: int(truth.ranks[row]) for place, row in enumerate(rows) if row is not None}
    found = []
    for place in sorted(ranks, key=lambda place: ranks[place])[:BEST]:
        near = {places[encode.trace(other)] for other in space.neighbours(genotypes[place])} - {place}
        beside = [ranks[other] for other in near if other in ranks]
        found.append({"rank": ranks[place], "best": min(beside), "median": median(beside), "neighbours": len(beside)})
    return {"data": table.data, "networks": len(truth.key), "rows": found, "versions": files.versions()}


def table() -> str:
    """The ranks as Markdown, from the result files."""
    results = sorted(files.every(RESULTS), key=lambda result: TABLES.index(result["data"]))
    heads = ["best", *(f"{place + 1}." for place in range(1, BEST))]
    lines = [f"| table | networks | {' | '.join(heads)} |", "| --- " * (BEST + 2) + "|"]
    for result in results:
        cells = [f"{row['best']:,} ({row['median']:,.0f})" for row in result["rows"]]
        lines.append(f"| {result['data']} | {result['networks']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    files.each(__doc__, RESULTS, TABLES, lambda name, root: measure(Tabular(name, root)), table)
