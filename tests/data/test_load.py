"""Names: which there are, which are refused, and what a name costs before it is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gnas.data import FAMILIES, NAMES, known, load

DOCS = Path(__file__).parent.parent.parent / "docs" / "data.md"


def test_names() -> None:
    assert NAMES[:4] == ("digits", "cora", "citeseer", "pubmed")
    assert len(set(NAMES)) == len(NAMES) and all(name == name.lower() for name in NAMES)
    wanted = (
        "computers photo physics cs minesweeper roman-empire amazon-ratings questions tolokers cornell texas "
        "wisconsin actor chameleon_filtered squirrel_filtered mutag proteins enzymes imdb-binary zinc aqsol pattern "
        "cluster mnist cifar10 ogbn-arxiv ogbn-products ogbn-proteins ogbg-molhiv ogbg-molesol ogbg-mollipo "
        "ogbg-molbbbp ogbg-moltox21"
    )
    assert not set(wanted.split()) - set(NAMES)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Cora", "cora"),
        ("OGBG-molHIV", "ogbg-molhiv"),
        ("ogbn-unheard-of", "ogbn-unheard-of"),
        ("TU:NCI1", "tu:NCI1"),
        ("graph.pt", None),
        ("cora/", None),
    ],
)
def test_what_counts_as_a_name(given: str, name: str | None) -> None:
    assert known(given) == name


@pytest.mark.parametrize(("wrong", "near"), [("coar", "'cora'"), ("Pubmd", "'pubmed'"), ("digit", "'digits'")])
def test_an_unknown_name_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"'{wrong}' is neither .*did you mean .*{near}"):
        load(wrong)


def test_a_name_like_none_and_a_missing_file_are_refused_with_all_names(tmp_path: Path) -> None:
    for wrong in ("qqqqqq", str(tmp_path / "graph.pt")):
        with pytest.raises(
            ValueError, match=r"neither a known data set nor an existing file.*; expected one of \['dig"
        ):
            load(wrong)
    with pytest.raises(TypeError, match="named by 3 of type int"):
        load(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [True, 0.5, [0]])
def test_a_split_is_a_number_or_a_path(wrong: object) -> None:
    with pytest.raises(TypeError, match="got split=.* expected a number, or the path"):
        load("digits", split=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_data_that_cannot_be_had_says_what_to_put_where(name: str, cache: Path) -> None:
    with pytest.raises(ValueError) as caught:
        load(name)
    assert re.search(
        r"could not be downloaded \(.*no route to host.*\) and is in neither of --root \(not set\) and GNAS_DATA \(not "
        r"set\); set one of them to a folder that holds \w+.* with \S+",
        str(caught.value),
    )
    assert not [path for path in cache.rglob("*") if path.is_file()], "nothing half-made stays behind"


def test_the_page_has_every_name_in_its_table() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    written = set(re.findall(r"`([^`]+)`", " ".join(row.split("|")[1] for row in rows)))
    assert not set(NAMES) - written, f"docs/data.md says nothing of {sorted(set(NAMES) - written)}"


def test_every_family_says_what_it_is_in_a_sentence() -> None:
    for family in FAMILIES:
        first = (family.__doc__ or "").split("\n\n")[0]
        assert first.rstrip().endswith(".") and len(first) < 240, family.__name__
