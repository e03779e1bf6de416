"""Every block of code in README.md, CONTRIBUTING.md and docs/ runs as it stands there."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import gnas

HOUSE = Path(__file__).parent.parent
PAGES = [HOUSE / "README.md", HOUSE / "CONTRIBUTING.md", *sorted((HOUSE / "docs").glob("*.md"))]

# What a page may tell a reader to type besides gnas; what it does is for .ci/run, or needs a network, to show.
ELSEWHERE = ("make", "pip install", "git clone", "cd", "export", ".venv/bin/", "source", "python benchmarks/")


def blocks(language: str) -> list[tuple[Path, int, str]]:
    """Fenced blocks of one language, as (page, line, code)."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            found.append((page, text.count("\n", 0, match.start()) + 2, match[1]))
    return found


def named(block: tuple[Path, int, str]) -> str:
    return f"{block[0].name}:{block[1]}"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one, as for a reader who tries a block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HOUSE))
    return tmp_path


def timed(block: tuple[Path, int, str]) -> object:
    """A block as a parameter; one that searches takes its time."""
    return pytest.param(block, id=named(block), marks=[pytest.mark.slow] if "search(" in block[2] else [])


@pytest.mark.parametrize("block", [timed(block) for block in blocks("python")])
def test_python(block: tuple[Path, int, str], elsewhere: Path) -> None:
    page, line, code = block
    # Blank lines first, so that a traceback names the page's own line.
    script = elsewhere / f"{page.stem}.py"
    script.write_text("\n" * (line - 1) + code, encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")


def commands(code: str) -> list[str]:
    """The lines of a shell block that call gnas; any other line must be one that a page may have."""
    lines = [line.partition("  #")[0].strip() for line in code.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    strange = [line for line in lines if not line.startswith(("gnas ", *ELSEWHERE))]
    assert not strange, f"nothing runs the lines {strange}"
    return [line for line in lines if line.startswith("gnas ")]


def test_shell_blocks_are_known() -> None:
    for _, _, code in blocks("bash"):
        commands(code)


@pytest.mark.slow
def test_shell(elsewhere: Path) -> None:
    """The commands of all pages on the embedded graph, page after page; one that several pages have runs once."""
    wanted = dict.fromkeys(line for _, _, code in blocks("bash") for line in commands(code))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line in wanted:
        done = subprocess.run(
            ["bash", "-c", line],
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=3000,
        )
        assert done.returncode == 0, f"{line!r} ended with {done.returncode}\n{done.stdout}{done.stderr}"


def test_the_page_of_the_api_names_every_public_name() -> None:
    text = (HOUSE / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [name for name in gnas.__all__ if f"`{name}" not in text]
    assert not missing, f"docs/api.md says nothing of {missing}"


def test_every_name_on_the_page_of_the_api_is_there() -> None:
    text = (HOUSE / "docs" / "api.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([A-Za-z_][\w.]*)", cell)]
    assert len(names) > 50
    for name in names:
        module, _, last = f"gnas.{name.removeprefix('gnas.')}".rpartition(".")
        try:
            found: object = importlib.import_module(module)
        except ModuleNotFoundError:  # a method: the module's class, then its own
            module, _, kind = module.rpartition(".")
            found = getattr(importlib.import_module(module), kind)
        assert hasattr(found, last), f"docs/api.md names {name}, which is not there"


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken, f"links without a file: {broken}"
