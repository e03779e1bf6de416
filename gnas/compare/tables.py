"""An evaluation as a table for people: in the terminal and in Markdown."""

from __future__ import annotations

from rich.table import Table

from gnas.compare.statistics import BASELINE, FOUND, RANDOM, Evaluation, Row, percent, points, probability


def _cells(evaluation: Evaluation) -> tuple[list[str], list[tuple[Row, list[str]]]]:
    """Heads and rows of the table: the found network, random search, then the others by the architecture split."""
    order = {FOUND: 0, RANDOM: 1, BASELINE: 2}
    rows = sorted(evaluation["rows"], key=lambda row: (order[row["kind"]], -row["architecture_mean"]))
    differences = {difference["against"]: difference for difference in evaluation["comparisons"]}
    heads = ["network", "test %", "architecture %", "search's gain", "p", "parameters", "s / training"]
    if "searches" in evaluation:
        heads.insert(2, "± of searches")
    lines = []
    for row in rows:
        difference = differences.get(row["name"])
        cells = [
            row["name"],
            percent(row["test_mean"], row["test_std"]),
            percent(row["architecture_mean"], row["architecture_std"]),
            "" if difference is None else f"{points(difference['gain'], sign=True)} ± {points(difference['std'])}",
            "" if difference is None else probability(difference["p"]).removeprefix("p ").removeprefix("= "),
            f"{row['parameters']:,}",
            f"{row['seconds']:.1f}",
        ]
        if "searches" in evaluation:
            cells.insert(2, "" if row["kind"] == BASELINE else points(row["search_std"]))
        lines.append((row, cells))
    return heads, lines


def _caption(evaluation: Evaluation) -> str:
    text = str(evaluation["verdict"])
    count = len(evaluation["seeds"])
    text = f"{text[:1].upper()}{text[1:]}.\nMean ± standard deviation over {count} training seeds"
    if "searches" in evaluation:
        return f"{text} of {evaluation['searches']} searches; gains and p over searches (Holm)."
    return f"{text}; gains and p over pairs of the same seed (Holm)."


def table(evaluation: Evaluation) -> Table:
    """The evaluation as a table for the terminal: ``rich.print(table(evaluation))``."""
    heads, lines = _cells(evaluation)
    task = evaluation["task"]
    shown = Table(title=f"{task['name']}: accuracy", caption=_caption(evaluation), caption_justify="left")
    for head in heads:
        shown.add_column(head, justify="left" if head == "network" else "right", no_wrap=head != "network")
    for i, (row, cells) in enumerate(lines):
        last_of_kind = i + 1 == len(lines) or lines[i + 1][0]["kind"] == BASELINE != row["kind"]
        shown.add_row(*cells, style="bold" if row["kind"] == FOUND else None, end_section=last_of_kind)
    return shown


def markdown(evaluation: Evaluation) -> str:
    """The evaluation as a Markdown table with the verdict below it."""
    heads, lines = _cells(evaluation)
    text = [f"| {' | '.join(heads)} |", "|".join(["", "---", *["---:"] * (len(heads) - 1), ""])]
    for row, cells in lines:
        cells = [f"**{cell}**" if cell and row["kind"] == FOUND else cell for cell in cells]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join([*text, "", *_caption(evaluation).splitlines()]) + "\n"
