"""The default commands as a newcomer runs them: their time by the clock, and the table that they end with.

    python -m benchmarks.default
    python -m benchmarks.default --table

``gnas search NAME`` and ``gnas evaluate RUN``, each in a process of its own, with every core, on a machine that should
do nothing else. The result lies in ``benchmarks/results/default``; what is there is not made again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import files, measuring

RESULTS = Path(__file__).parent / "results" / "default"


def measure(data: str, root: str | None, runs: Path) -> None:
    """Search and evaluate, unless the result is there."""
    target = RESULTS / f"{data}.json"
    if target.exists():
        return
    found, run = [] if root is None else ["--root", root], runs / data
    # What a broken-off call left is begun anew: a resumed search would have no time by the clock.
    shutil.rmtree(run, ignore_errors=True)
    seconds = {
        "search": clocked("search", data, "--folder", str(run), *found),
        "evaluate": clocked("evaluate", str(run), *found),
    }
    row = {"data": data, "seconds by the clock": seconds, "cores": os.cpu_count()}
    row |= {"seconds": files.read(run / "run.json")["seconds"], "evaluation": files.read(run / "evaluation.json")}
    files.keep(target, row | measuring.about(os.cpu_count() or 1))


def clocked(*arguments: str) -> float:
    """Seconds of a gnas command."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gnas", *arguments], check=True)
    return round(time.perf_counter() - began, 1)


def table(data: str) -> str:
    """The times and the rows as Markdown."""
    kept = files.read(RESULTS / f"{data}.json")
    seconds, evaluation = kept["seconds by the clock"], kept["evaluation"]
    lines = ["| network | test % | architecture split % |", "| --- | --- | --- |"]
    for row in evaluation["rows"]:
        mean, spread, chosen = (100 * row[key] for key in ("test_mean", "test_std", "architecture_mean"))
        lines.append(f"| {row['name']} | {mean:.1f} ± {spread:.1f} | {chosen:.1f} |")
    told = (
        f"{data}: `gnas search` {seconds['search']:.0f} s, `gnas evaluate` {seconds['evaluate']:.0f} s by the clock, "
    )
    return "\n".join([*lines, "", f"{told}{kept['cores']} cores; {evaluation['verdict']}."])


def main() -> None:
    """The command line."""
    parser = files.parser(__doc__)
    parser.add_argument("--data", default="cora", help="a data set's name")
    parser.add_argument("--runs", type=Path, default=Path("runs/default"), help="folder of the run")
    args = parser.parse_args()
    if not args.table:
        measure(args.data, args.root, args.runs)
    print(table(args.data))


if __name__ == "__main__":
    main()
