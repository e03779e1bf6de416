"""Several runs as one evaluation: what holds for the search and not only for one network that it found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from gnas.compare.statistics import (
    BASELINE,
    Difference,
    Evaluation,
    Row,
    compare,
    deviation,
    independent,
    paired,
    restored,
    spread,
    verdict,
)
from gnas.journal import Folder, Journal, folder_of
from gnas.record import evaluates
from gnas.scale import Scale
from gnas.space import Genotype

FORMAT = "gnas.evaluation"
VERSION = 1


def combine(folders: Sequence[Folder]) -> Evaluation:
    """One evaluation of several runs that differ in their search seed.

    Means and standard deviations are taken over all trainings; ``search_std`` is the standard deviation of the
    searches' means, which says how far one search differs from the next. The unit of the tests is a search: its mean
    is paired with that of the random search beside it, and the searches' means are compared with the trainings of a
    hand-made network by Welch's t-test. Three searches are few, so a p above 0.05 says little.

    Args:
        folders: At least two folders, or runs, with an ``evaluation.json`` on the same data and the same seeds.

    Returns:
        The same fields as :func:`evaluate` gives, with ``searches`` and ``folders`` besides.
    """
    if not isinstance(folders, (list, tuple)) or len(folders) < 2:
        raise ValueError(f"combine got {folders!r}; expected a list of the folders of at least two runs")
    paths = [folder_of(folder) for folder in folders]
    found = [read(path) for path in paths]
    _check_different(paths)
    first = found[0]
    if len(first["seeds"]) < 2:
        raise ValueError(
            f"{paths[0]} was evaluated with one seed; expected two or more, so that hand-made networks have a spread, "
            "try gnas evaluate --seeds 10"
        )
    for path, other in zip(paths, found):
        for what, get in (
            ("data", lambda e: e["task"]["digest"]),
            ("seeds", lambda e: e["seeds"]),
            ("settings", lambda e: e.get("settings")),
            ("rows", lambda e: [row["name"] for row in e["rows"]]),
        ):
            if get(other) != get(first):
                raise ValueError(
                    f"{path} was evaluated with other {what} than {paths[0]}; expected runs that differ in the "
                    "search seed only, evaluated alike"
                )
    rows = [_merge([evaluation["rows"][i] for evaluation in found]) for i in range(len(first["rows"]))]

    def test(ours: Row, theirs: Row) -> Difference:
        if theirs["kind"] == BASELINE:
            return independent(ours["searches"], theirs["test"])
        return paired(ours["searches"], theirs["searches"])

    scale = Scale.of(first["task"])
    differences = compare(rows, test, scale)
    return {
        **first,
        "rows": rows,
        "comparisons": differences,
        "verdict": verdict(rows, differences, f"over {len(found)} searches ", scale),
        "searches": len(found),
        "folders": [str(path) for path in paths],
    }


def _check_different(paths: Sequence[Path]) -> None:
    """Refuse a search that is counted twice: runs with the same seed, or the same folder."""
    seeds: dict[int, Path] = {}
    for path in paths:
        seed = Journal(path).run()["seed"]
        if seed in seeds:
            raise ValueError(
                f"{path} was searched with the seed {seed}, as {seeds[seed]} was; expected runs with different search "
                "seeds, each counted once"
            )
        seeds[seed] = path


def _merge(rows: Sequence[Row]) -> Row:
    """The same row of several evaluations. A hand-made network was trained alike in each, so its seeds count once."""
    first = rows[0]
    if first["kind"] == BASELINE:
        values = {key: [fmean(same) for same in zip(*(row[key] for row in rows))] for key in ("test", "architecture")}
        more: Row = {"recipe": first["recipe"]}
    else:
        values = {key: [value for row in rows for value in row[key]] for key in ("test", "architecture")}
        means = [row["test_mean"] for row in rows]
        same = all(row["recipe"] == first["recipe"] for row in rows)
        more = {"recipe": first["recipe"] if same else None, "searches": means, "search_std": deviation(means)}
    return {
        "name": first["name"],
        "kind": first["kind"],
        **spread("test", values["test"]),
        **spread("architecture", values["architecture"]),
        "parameters": round(fmean(row["parameters"] for row in rows)),
        "seconds": fmean(row["seconds"] for row in rows),
        "genotype": None,
        **more,
    }


def read(folder: Folder) -> Evaluation:
    """The ``evaluation.json`` of a run, checked to be one of the network that the run found."""
    journal = Journal(folder)
    path = journal.path("evaluation.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path} is not there; expected a run that was evaluated (gnas evaluate)") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); evaluate the run again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise ValueError(f"{path} is no evaluation that this gnas reads; evaluate the run again")
    journal.result("genotype.json")
    if not evaluates(content, journal.read("genotype.json", Genotype.from_json)):
        raise ValueError(
            f"{path} evaluates another network than the run found, which has gone on since; evaluate the run again "
            "(gnas evaluate)"
        )
    return {**content, **{part: [restored(row) for row in content[part]] for part in ("rows", "comparisons")}}
