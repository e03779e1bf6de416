"""Result files: a row is written as a whole, so that one which is there is whole, and read back for the tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def keep(path: Path, content: Mapping[str, Any], indent: int | None = 1) -> None:
    """Write a result file, in folders that are made where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> Row:
    """What :func:`keep` wrote."""
    content: Row = json.loads(path.read_text(encoding="utf-8"))
    return content


def every(folder: Path, pattern: str = "*.json") -> list[Row]:
    """All result files of a pattern, by name."""
    return [read(path) for path in sorted(folder.glob(pattern))]


def versions() -> dict[str, str]:
    """Versions of what measures."""
    import torch
    import torch_geometric

    import gnas

    return {"gnas": gnas.__version__, "torch": torch.__version__, "torch_geometric": torch_geometric.__version__}


def parser(description: str | None, root: bool = True) -> argparse.ArgumentParser:
    """A command line that can print what was kept instead of measuring, and by ``root`` finds raw data."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if root:
        made.add_argument("--root", default=None, help="folder of raw data; GNAS_DATA if not given")
    made.add_argument("--table", action="store_true", help="print the tables from the result files, measure nothing")
    return made


def each(
    description: str | None,
    folder: Path,
    names: Iterable[str],
    measure: Callable[[str, str | None], Mapping[str, Any]],
    table: Callable[[], str],
) -> None:
    """The command line of a benchmark that has one file for each name: those that are missing are measured.

    Args:
        description: What the command line says of itself.
        folder: Where the files lie.
        names: What is measured.
        measure: Of a name, and of the folder of raw data, what the file holds.
        table: What ``--table`` prints.
    """
    args = parser(description).parse_args()
    if args.table:
        print(table())
        return
    for name in names:
        target = folder / f"{name}.json"
        if not target.exists():
            keep(target, measure(name, args.root))
            print(f"{name}: done", flush=True)
