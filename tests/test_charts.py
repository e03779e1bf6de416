"""The report's charts: round ticks, readable labels, nothing that isn't a number."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from gnas import charts
from gnas.charts import Series


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1]),
        (0.0, 7.0, [0, 2, 4, 6]),
        (3.0, 3.0, [3.0]),
        (-1.0, 1.0, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_labels_at_the_ends_do_not_touch() -> None:
    series = [Series(f"line {i}", [(0.0, 0.5), (1.0, 0.5 + i / 1000)], i) for i in range(8)]
    root = ElementTree.fromstring(charts.lines(series, "Eight lines that end in one place"))
    ends = [t for t in root.iter("{http://www.w3.org/2000/svg}text") if str(t.get("class")).startswith("end")]
    heights = sorted(float(str(text.get("y"))) for text in ends)
    assert len(heights) == 8
    assert all(low + 13 <= high for low, high in pairwise(heights))
    assert heights[0] > 0 and heights[-1] < 230


def test_a_line_is_interrupted_where_there_is_no_number() -> None:
    line = Series("loss", [(0.0, 1.0), (1.0, 0.9), (2.0, math.nan), (3.0, 0.5), (4.0, 0.4)])
    path = re.findall(r'class="line[^"]*" d="([^"]+)"', charts.lines([line], "A loss with a hole"))
    assert len(path) == 1 and path[0].count("M") == 2


def test_more_series_than_hues_are_dashed() -> None:
    assert charts.hue(7) == "s7" and charts.hue(8) == "s0 dash" and charts.hue(17) == "s1 dot"


@pytest.mark.parametrize("values", [[], [math.nan], [0.5], [0.1, 0.9], [2.0]])
def test_a_strip_takes_any_values(values: list[float]) -> None:
    ElementTree.fromstring(charts.strip(values, (0.0, 1.0), "", "Accuracies"))


def test_charts_without_points_are_drawn_empty() -> None:
    for drawing in (
        charts.lines([], "Nothing"),
        charts.lines([Series("loss", [])], "Nothing"),
        charts.candidates([], [], "Nothing"),
        charts.panel([], "Nothing", top=1.0),
        charts.bars([], "Nothing"),
        charts.evidence(["1"], [], [], None, "Nothing"),
    ):
        ElementTree.fromstring(drawing)
