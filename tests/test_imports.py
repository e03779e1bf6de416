"""The rule of the house: a file imports only from the layers below its own, and what must load fast loads fast."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gnas

PACKAGE = Path(gnas.__file__).parent

# Top first: one name, one layer.
LAYERS = (
    "__main__",
    "cli",
    "tabulating",
    "search",
    "phases",
    "pace",
    "run",
    "testing",
    "citation",
    "compare",
    "strategy",
    "tabular",
    "derive",
    "shortlist",
    "crew",
    "zero_cost",
    "costs",
    "evaluate",
    "headed",
    "baselines",
    "fast",
    "supernet",
    "sites",
    "checkpointing",
    "onnx",
    "export",
    "model",
    "layerwise",
    "report",
    "pareto",
    "checkup",
    "record",
    "prose",
    "draw",
    "charts",
    "progress",
    "diagnosis",
    "budget",
    "journal",
    "conditions",
    "usual",
    "ops",
    "kernels",
    "space",
    "relaxation",
    "task",
    "making",
    "joining",
    "loading",
    "loaders",
    "links",
    "split",
    "targets",
    "intake",
    "metrics",
    "batch",
    "data",
    "graphs",
    "settling",
    "units",
    "scale",
    "recipe",
    "checks",
)
LEVEL = {name: level for level, name in enumerate(LAYERS)}

# What a layer may not import from outside, however deep in a function; journal's snapshots are the one exception
# that a fresh interpreter checks below.
FOREIGN = {
    "space": ("torch", "torch_geometric", "numpy"),
    "report": ("torch", "torch_geometric"),
    "record": ("torch", "torch_geometric"),
    "prose": ("torch", "torch_geometric"),
    "draw": ("torch", "torch_geometric"),
    "charts": ("torch", "torch_geometric"),
    "checkup": ("torch", "torch_geometric"),
    "diagnosis": ("torch", "torch_geometric"),
    "scale": ("torch", "torch_geometric"),
    "kernels": ("torch_geometric.nn",),
    "relaxation": ("torch_geometric",),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    """Name of the layer that a file belongs to: its module, or the folder that it lies in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever the import stands, as (line, dotted name)."""
    package = ["gnas", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def test_every_file_has_a_layer() -> None:
    unknown = sorted({layer(path) for path in FILES} - set(LEVEL) - {"__init__"})
    assert not unknown, f"{unknown} are in no layer: give each a place in LAYERS of {Path(__file__).name}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if layer(p) != "__init__"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_only_from_below(path: Path) -> None:
    own = layer(path)
    wrong = []
    for line, name in imported(path):
        parts = name.split(".")
        if parts[0] != "gnas" or name == "gnas.__version__":
            continue
        other = parts[1] if len(parts) > 1 else ""
        if other not in LEVEL:
            wrong.append(f"line {line} imports {name}; import it from the file that defines it")
        elif other != own and LEVEL[other] <= LEVEL[own]:
            wrong.append(f"line {line} imports gnas.{other}, which is not below {own}")
    for line, name in imported(path):
        if any(within(name, module) for module in FOREIGN.get(own, ())):
            wrong.append(f"line {line} imports {name}, which {own} must do without")
    assert not wrong, f"{path.relative_to(PACKAGE.parent)}: " + "; ".join(wrong)


def test_strategies_open_no_file_and_read_no_clock() -> None:
    wrong = []
    for path in FILES:
        if layer(path) != "strategy":
            continue
        for line, name in imported(path):
            if any(within(name, module) for module in ("time", "datetime", "pathlib", "os", "io", "shutil")):
                wrong.append(f"{path.name}:{line} imports {name}")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                wrong.append(f"{path.name}:{node.lineno} opens a file")
    assert not wrong, f"search() opens files and reads clocks, a strategy doesn't: {wrong}"


GUARD = """
import sys
def guard(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise AssertionError(f"the network was used: {event} {args}")
sys.addaudithook(guard)
"""


def fresh(code: str) -> str:
    """What ``code`` prints in a fresh interpreter where reaching for the network is an error."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", GUARD + code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAVY = ("torch", "torch_geometric", "numpy", "sklearn", "scipy", "ogb", "pandas")


@pytest.mark.parametrize("module", ["gnas", "gnas.space", "gnas.journal", "gnas.report", "gnas.cli"])
def test_imports_light(module: str) -> None:
    loaded = fresh(f"import {module}\nprint([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]", f"import {module} loads {loaded}; it should start without them"


def test_public_names_are_there_and_use_no_network() -> None:
    code = "import gnas\nfor name in gnas.__all__:\n    getattr(gnas, name)\nprint('ogb' in sys.modules)"
    # ogb asks the network for its newest version when it is imported, so it is imported where it is used.
    assert fresh(code) == "False"


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = gnas.no_such_name


def test_public_names_are_listed() -> None:
    assert set(gnas.__all__) <= set(dir(gnas))
