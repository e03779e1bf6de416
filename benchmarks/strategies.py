"""The tables of black-box strategies on NAS-Bench-Graph, from what ``gnas bench strategies --output FILE`` wrote.

    gnas bench strategies --data cora,pubmed --strategies random,surrogate --seeds 50 --output ranks.jsonl
    python -m benchmarks.strategies ranks.jsonl
    python -m benchmarks.strategies --table

The first call of this module keeps medians, quartiles and means with versions and machine in
``benchmarks/results/strategies``, in a file called as the one it reads; ``--table`` prints what is kept there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import files, measuring
from gnas import tabulating

RESULTS = Path(__file__).parent / "results" / "strategies"
AT = (50, 100, 150, 200, 300, 1000)
Record = dict[str, Any]


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Ranks and tests of each strategy on each table, and what its rule for the last word gains over the best seen."""
    longest = max(len(record["ranks"]) for record in records)
    rows = tabulating.summary(records, [count for count in AT if count <= longest])
    for row in rows:
        own = [r for r in records if (r["data"], r["strategy"]) == (row["data"], row["strategy"])]
        key = str(row["evaluations"])
        gains = [r["tests"][key] - r["observed"][key] for r in own if key in r["tests"]]
        row["gain"] = fmean(gains) if gains else None
        row["gain_error"] = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else None
        row["seconds"] = fmean(r["seconds"] for r in own)
    return {"rows": rows, **measuring.about(1)}


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: ranks by validation, then test metrics with and without the rule."""
    at = sorted({row["evaluations"] for row in rows})
    lines = ["| table | strategy | seeds | " + " | ".join(f"rank at {count}" for count in at) + " | s |"]
    lines.append("| --- " * (len(at) + 4) + "|")
    pairs = list(dict.fromkeys((row["data"], row["strategy"]) for row in rows))
    shown_ranks: set[str] = set()
    for data, strategy in pairs:
        own = [row for row in rows if (row["data"], row["strategy"]) == (data, strategy)]
        # A setting of the last word doesn't change what is asked.
        ranks = f"{data} {strategy.partition(':')[0]} {[row['rank'] for row in own]}"
        if ranks in shown_ranks:
            continue
        shown_ranks.add(ranks)
        cells = [f"{row['rank'][1]:g} ({row['rank'][0]:g}-{row['rank'][2]:g})" for row in own]
        cells += [""] * (len(at) - len(own))
        lines.append(f"| {data} | {strategy} | {own[0]['seeds']} | {' | '.join(cells)} | {own[0]['seconds']:.1f} |")
    shown = [count for count in at if count >= 100]
    lines += ["", "| test x100 | " + " | ".join(f"after {count}" for count in shown) + " | rule's gain at the end |"]
    lines.append("| --- " * (len(shown) + 2) + "|")
    for data, strategy in pairs:
        own = [row for row in rows if (row["data"], row["strategy"]) == (data, strategy)]
        tests = {row["evaluations"]: f"{100 * row['mean_test']:.2f}" for row in own if row["mean_test"] is not None}
        last, gain = own[-1], ""
        if last["gain"]:
            gain = f"{100 * last['gain']:+.2f} ± {100 * (last['gain_error'] or 0):.2f}"
        lines.append(f"| {data}, {strategy} | {' | '.join(tests.get(count, '') for count in shown)} | {gain} |")
    for strategy in dict.fromkeys(strategy for _, strategy in pairs):
        means = []
        for count in shown:
            own = [r for r in rows if (r["strategy"], r["evaluations"]) == (strategy, count)]
            means.append(f"{100 * fmean(row['mean_test'] for row in own):.2f}" if own else "")
        lines.append(f"| mean, {strategy} | {' | '.join(means)} | |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__, root=False)
    parser.add_argument("records", nargs="*", type=Path, help="what gnas bench strategies wrote")
    arguments = parser.parse_args()
    for path in arguments.records:
        content = summarise(list(tabulating.read(path).values()))
        files.keep(RESULTS / f"{path.stem}.json", content)
    kept = (
        sorted(RESULTS.glob("*.json")) if arguments.table else [RESULTS / f"{p.stem}.json" for p in arguments.records]
    )
    for path in kept:
        print(f"### {path.stem}\n\n{tables(files.read(path)['rows'])}\n")


if __name__ == "__main__":
    main()
