"""Citations: everything that can be searched with has a paper, and the text is BibTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import gnas
from gnas.citation import ENTRIES, NUMBERS, PAPERS, SETTINGS, SPACE_PAPERS, citation
from gnas.costs import CostTerm
from gnas.relaxation import BinaryGates, Dirichlet, Gumbel, MaxW, Sigmoid, Softmax
from gnas.space import SPACES, Choice, Genotype, Node, Space, for_level
from gnas.strategy import (
    STRATEGIES,
    BlackBox,
    BlackBoxState,
    Darts,
    DrNas,
    EigenvalueStop,
    Evolution,
    FewShot,
    Gdas,
    Perturbation,
    Random,
    Selection,
    Surrogate,
)
from gnas.zero_cost import Fisher, ZeroCost

ENTRY = re.compile(r"@(\w+)\{(\w+),\n((?:  \w+ += \{.*\},\n)+)\}\n")


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Fields of each entry by key; every character of the text belongs to one."""
    entries, rest = {}, text
    while rest:
        match = ENTRY.match(rest)
        assert match, f"no BibTeX: {rest[:200]}"
        fields = dict(re.findall(r"^  (\w+) += \{(.*)\},$", match[3], re.MULTILINE))
        assert match[2] not in entries and match[3].count("{") == match[3].count("}")
        entries[match[2]] = {"kind": match[1], **fields}
        rest = rest[match.end() :].removeprefix("\n")
    return entries


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_has_a_paper(name: str) -> None:
    text = citation(name)
    assert text == citation(STRATEGIES[name]) and parsed(text)


@pytest.mark.parametrize("name", list(SPACES))
def test_every_space_has_a_paper(name: str) -> None:
    # A special case carries the name of the space that it is one of.
    assert set(parsed(citation(space=name))) <= set(parsed(citation(space=SPACES[name]())))
    assert set(parsed(citation("random", name))) == {"li2019random", *parsed(citation(space=name))}


@pytest.mark.parametrize("key", list(ENTRIES))
def test_entries_are_complete_and_well_formed(key: str) -> None:
    kind, fields = ENTRIES[key]
    where = {"inproceedings": "booktitle", "article": "journal", "misc": "eprint"}[kind]
    assert {"author", "title", "year", where} <= set(fields)
    assert re.fullmatch(r"(19|20)\d\d", fields["year"]) and fields["year"] in key
    surname = fields["author"].split(" and ")[0].split()[-1].lower()
    assert key.startswith(surname)
    if "eprint" in fields:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", fields["eprint"])
        # Nothing appears at a conference before it is written.
        assert 2000 + int(fields["eprint"][:2]) <= int(fields["year"])


def test_every_key_that_is_named_is_there_and_none_is_idle() -> None:
    named = {key for table in (PAPERS, SETTINGS, NUMBERS, SPACE_PAPERS) for keys in table.values() for key in keys}
    assert named == set(ENTRIES)


def test_what_a_strategy_is_set_to_counts() -> None:
    plain = parsed(citation(Darts(relaxation=Softmax())))
    assert set(plain) == {"liu2019darts"}
    assert set(parsed(citation(Darts(relaxation=Gumbel())))) == {"liu2019darts", "xie2019snas", "dong2019gdas"}

    @dataclass(frozen=True, kw_only=True)
    class Around(Random):
        inner: Any = Evolution()  # noqa: RUF009

    assert set(parsed(citation(Around()))) == {"li2019random", "real2019regularized"}


@pytest.mark.parametrize(
    ("strategy", "arxiv"),
    [
        (Darts(stop=EigenvalueStop()), "1909.09656"),
        (Darts(eigenvalue=2), "1909.09656"),
        (DrNas(partial=4), "1907.05737"),
        (Darts(selection=Selection()), "2108.04392"),
        (Darts(auxiliary=1.0), "2009.01027"),
        (Darts(beta=50.0), "2203.01665"),
        (Darts(relaxation=Sigmoid(), zero_one=10.0), "1911.12126"),
        (Darts(relaxation=MaxW()), "1903.09900"),
        (Darts(relaxation=Dirichlet()), "2006.10355"),
        (Darts(relaxation=BinaryGates()), "1812.00332"),
        (Darts(perturbation=Perturbation()), "2002.05283"),
        (Darts(optimizer="sgd", power=10.0), "1903.09900"),
        (Darts(cost=CostTerm("parameters")), "1812.03443"),
        (FewShot(inner=Gdas(cost=CostTerm("parameters"))), "1812.03443"),
    ],
    ids=repr,
)
def test_every_stabiliser_is_cited_where_it_is_on(strategy: Any, arxiv: str) -> None:
    assert arxiv in {fields.get("eprint") for fields in parsed(citation(strategy)).values()}
    assert arxiv not in {fields.get("eprint") for fields in parsed(citation(Darts())).values()}


def test_a_class_of_ones_own_has_the_papers_of_what_it_derives_from() -> None:
    class Mine(Evolution):
        name: ClassVar[str] = "mine"

    assert citation(Mine()) == citation("evolution") == citation(Mine)


def test_the_level_of_a_space_makes_no_difference() -> None:
    assert citation(space=for_level(gnas.layered(), "graph")) == citation(space="layered")


def test_it_is_public() -> None:
    assert gnas.citation("darts", "gap") == citation("darts", "gap")
    assert set(parsed(gnas.citation("darts", "gap"))) == {"liu2019darts", "cai2021gnasmp"}


def test_what_has_no_paper_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(BlackBox):
        name: ClassVar[str] = "own"

        def propose(self, state: BlackBoxState) -> Genotype | None:
            return None

    space = Space("mine", (Node("a", Choice("op", ("gcn", "gat")), ("x",)),), "a")
    for arguments, message in [
        (("annealing",), "got the strategy 'annealing'; expected one of"),
        ((Own(),), "knows no paper of Own"),
        ((None, space), "knows no paper of the space 'mine'"),
        ((), "neither a strategy nor a space"),
    ]:
        with pytest.raises(ValueError, match=message):
            citation(*arguments)  # type: ignore[arg-type]


def test_scores_are_cited_wherever_they_are_set() -> None:
    assert "mellor2021neural" in parsed(citation(Random(evaluator=ZeroCost("overlap"))))
    found = parsed(citation(Surrogate(scores=("synflow", Fisher()))))
    assert {"tanaka2020synflow", "turner2020blockswap"} <= set(found)
    assert "tanaka2020synflow" not in parsed(citation(Surrogate()))
