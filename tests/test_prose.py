"""The report's words and numbers."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from gnas import prose

SOURCE = """
class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return "a" if x.size(0) < 10**6 else x  # aggregate.1
"""


def test_certainty_tells_clear_from_coin_toss() -> None:
    assert prose.certainty([0.9, 0.1])[2] == "clear"
    assert prose.certainty([0.55, 0.45])[2] == "leaning"
    margin, entropy, word = prose.certainty([0.25, 0.25, 0.25, 0.25])
    assert (margin, word) == (0.0, "coin toss") and entropy == pytest.approx(1.0)
    assert prose.certainty([1.0, 0.0])[1] == 0.0


@pytest.mark.parametrize(
    ("values", "alone", "says"),
    [
        ({"supernet": 0.80}, 0.805, "less than a point"),
        ({"supernet": 0.85}, 0.80, "5.0 points better than the network cut out of it"),
        ({"supernet": 0.75}, 0.80, "Alone, the network is 5.0 points better"),
        ({"inherited weights": 0.70}, 0.80, "10.0 points worse than trained from scratch"),
        ({"inherited weights": 0.85}, 0.80, "a good start to train on from"),
        ({"inherited weights": 0.801}, 0.80, "fair judges"),
    ],
)
def test_the_gap_is_interpreted(values: dict[str, float], alone: float, says: str) -> None:
    assert says in prose.gap_sentences(values, alone)[0]


def test_source_is_highlighted_and_unchanged() -> None:
    marked = prose.highlight(SOURCE)
    assert '<span class="kw">class</span>' in marked and '<span class="com"># aggregate.1</span>' in marked
    assert html.unescape(re.sub("<[^>]+>", "", marked)) == SOURCE
    assert prose.highlight("def (") == "def (", "what isn't Python is shown as it is"


@pytest.mark.parametrize("name", ["runs/mine-s0", "a b", "$(touch x)`y`", 'it\'s "mine"'])
def test_a_shell_reads_a_quoted_folder_as_it_is(name: str) -> None:
    command = f"printf %s {prose.quoted(Path(name))}"
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout == name


@pytest.mark.parametrize(
    ("value", "text"), [(3072, "3\u202f072"), (10**6, "1.0 × 10⁶"), (48_000_000_000, "4.8 × 10¹⁰")]
)
def test_large_numbers(value: int, text: str) -> None:
    assert prose.large(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.0, ""), (6.25, "6.2 s"), (71.3, "1 min 11 s"), (4000, "1 h 6 min")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert prose.duration(seconds) == text
