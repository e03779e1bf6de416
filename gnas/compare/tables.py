"""An evaluation as a table for people: in the terminal and in Markdown."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from gnas.compare.statistics import BASELINE, FOUND, RANDOM, Evaluation, Row, probability
from gnas.scale import Scale


def table(evaluation: Evaluation) -> Table:
    """The evaluation as a table for the terminal: ``rich.print(table(evaluation))``. It fits 80 columns."""
    several, scale = "searches" in evaluation, Scale.of(evaluation["task"])
    heads = _heads(scale)
    shown = Table(
        title=escape(f"{evaluation['task']['name']}: {scale.titled}"),
        caption=escape(_caption(evaluation)),
        caption_justify="left",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("network", min_width=11, overflow="fold")
    for head in ("test", *(["± search"] if several else []), "arch.", "search gains", "p", "size", "s"):
        shown.add_column(head, justify="right", no_wrap=True)
    lines = _lines(evaluation)
    for i, (row, cells) in enumerate(lines):
        last_of_kind = i + 1 < len(lines) and lines[i + 1][0]["kind"] == BASELINE != row["kind"]
        size, architecture = _short(row["parameters"]), scale.number(row["architecture_mean"])
        spread = [cells["± of searches"]] if several else []
        texts = [cells[heads[0]], *spread, architecture, cells["search's gain"], cells["p"], size]
        style = "bold" if row["kind"] == FOUND else None
        shown.add_row(escape(row["name"]), *texts, cells["s / training"], style=style, end_section=last_of_kind)
    return shown


def markdown(evaluation: Evaluation) -> str:
    """The evaluation as a Markdown table with the verdict below it."""
    lines = _lines(evaluation)
    heads = list(lines[0][1])
    text = [f"| {' | '.join(heads)} |", "|".join(["", "---", *["---:"] * (len(heads) - 1), ""])]
    for row, cells in lines:
        bold = "**" if row["kind"] == FOUND else ""
        text.append(f"| {' | '.join(f'{bold}{cell}{bold}' if cell else '' for cell in cells.values())} |")
    return "\n".join([*text, "", *_caption(evaluation).splitlines()]) + "\n"


def _lines(evaluation: Evaluation) -> list[tuple[Row, dict[str, str]]]:
    """Rows and their cells by heading: the found network, random search, the others by the architecture split."""
    order, scale = {FOUND: 0, RANDOM: 1, BASELINE: 2}, Scale.of(evaluation["task"])
    test, architecture = _heads(scale)
    differences = {difference["against"]: difference for difference in evaluation["comparisons"]}
    lines = []
    for row in sorted(evaluation["rows"], key=lambda row: (order[row["kind"]], -scale.merit(row["architecture_mean"]))):
        difference = differences.get(row["name"])
        cells = {"network": row["name"], test: scale.spread(row["test_mean"], row["test_std"])}
        if "searches" in evaluation:
            cells["± of searches"] = "" if row["kind"] == BASELINE else scale.number(row["search_std"])
        cells[architecture] = scale.spread(row["architecture_mean"], row["architecture_std"])
        cells["search's gain"] = cells["p"] = ""
        if difference is not None:
            cells["search's gain"] = (
                f"{scale.number(difference['gain'], sign=True)} ± {scale.number(difference['std'])}"
            )
            cells["p"] = probability(difference["p"]).removeprefix("p ").removeprefix("= ")
        cells["parameters"] = f"{row['parameters']:,}"
        cells["s / training"] = f"{row['seconds']:.1f}"
        lines.append((row, cells))
    return lines


def _heads(scale: Scale) -> tuple[str, str]:
    """Headings of the test and of the architecture split; of an accuracy the unit says enough."""
    if scale.percent:
        return ("test %", "architecture %") if scale.name == "accuracy" else (f"test {scale.name} %", "architecture %")
    return f"test {scale.name}", "architecture"


def _caption(evaluation: Evaluation) -> str:
    text = str(evaluation["verdict"])
    text = f"{text[:1].upper()}{text[1:]}.\n"
    if "searches" in evaluation:
        text += f"Mean ± standard deviation over {len(evaluation['seeds'])} trainings of each of "
        return (
            f"{text}{evaluation['searches']} searches; tests over searches, Holm's correction for hand-made networks."
        )
    text += f"Mean ± standard deviation over {len(evaluation['seeds'])} trainings; tests over pairs of the same seed, "
    return f"{text}Holm's correction for hand-made networks."


def _short(count: int) -> str:
    """A number of parameters in at most five letters: ``910``, ``92k``, ``1.2M``."""
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.1f}M"
