"""The table of black-box strategies on NAS-Bench-Graph: ``python -m benchmarks.strategies RESULTS.jsonl``.

Reads what ``gnas bench strategies --output RESULTS.jsonl`` wrote, keeps medians and quartiles with versions and machine
in ``benchmarks/results/strategies.json``, and prints the rows for the README.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import measuring
from gnas import tabulating

RESULTS = Path(__file__).parent / "results" / "strategies.json"


def main() -> None:
    """Summarise a file of records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=Path, help="what gnas bench strategies wrote")
    arguments = parser.parse_args()
    records = list(tabulating.read(arguments.records).values())
    longest = max(len(record["ranks"]) for record in records)
    at = [count for count in tabulating.SHOWN if count <= longest]
    rows = tabulating.summary(records, at)
    content = {"rows": rows, **measuring.about(1)}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("| table | strategy | seeds |", " | ".join(f"rank at {count}" for count in at), "| test x100 at the end |")
    print("|---" * (len(at) + 4) + "|")
    for data, label in dict.fromkeys((row["data"], row["strategy"]) for row in rows):
        own = [row for row in rows if (row["data"], row["strategy"]) == (data, label)]
        cells = [f"{row['rank'][1]:g} ({row['rank'][0]:g}-{row['rank'][2]:g})" for row in own]
        print(f"| {data} | {label} | {own[0]['seeds']} |", " | ".join(cells), f"| {100 * own[-1]['mean_test']:.1f} |")


if __name__ == "__main__":
    main()
