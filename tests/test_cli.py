"""The command line: names become objects, mistakes become one sentence and exit code 2."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from typer.testing import CliRunner

from gnas.cli import app
from gnas.costs import Limit
from gnas.journal import EVENTS, Journal
from gnas.space import gap, layered
from gnas.strategy import Darts, Random
from gnas.task import Task


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """What is said on stderr about a mistake; checks that it is one sentence, with exit code 2."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("gnas: ")
    return result.stderr


# A test run that was started in the background ignores Ctrl-C, and so would what it starts.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from gnas.cli import main
main()
"""


@contextlib.contextmanager
def process(*arguments: object, code: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """``python -m gnas``, or the code given, in a process of its own that ends with the block."""
    command = [sys.executable, *(["-m", "gnas"] if code is None else ["-c", code]), *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=env, start_new_session=True, **pipes) as running:
        try:
            yield running
        finally:
            running.kill()


def graph(**changes: Any) -> Data:
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for i, key in enumerate(("train_mask", "val_mask", "test_mask")):
        masks[key] = torch.arange(60) // 20 == i
    given = {
        "x": torch.randn(60, 4, generator=generator),
        "edge_index": torch.randint(60, (2, 150), generator=generator),
        "y": torch.arange(60) % 3,
    }
    return Data(**{**given, **masks, **changes})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save(graph(), tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What gnas.search.search is called with, in its place."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def search(*arguments: Any, **settings: Any) -> SimpleNamespace:
        calls.append((arguments, settings))
        return SimpleNamespace(folder=Path("runs/here"), report=Path("runs/here/report.html"), status="done")

    import gnas.search  # noqa: F401 - gnas.search may also be the function of that name

    monkeypatch.setattr(sys.modules["gnas.search"], "search", search)
    return calls


# names become objects


def test_search_without_options_is_the_python_call_without_arguments(searched, saved):
    result = call("search", saved)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "report: runs/here/report.html"
    (data, space, strategy), settings = searched[0]
    assert isinstance(data, Task) and (data.num_nodes, data.name) == (60, "mine")
    assert space.digest() == layered().digest()
    assert strategy == Darts()
    assert settings == {
        "budget": None,
        "seed": 0,
        "folder": None,
        "resume": False,
        "progress": None,
        "workers": min(os.cpu_count() or 1, 8),
        "conditions": (),
        "source": {"name": None, "path": str(saved), "root": None, "split": None},
    }


def test_a_split_is_named_by_its_number_or_by_a_file(searched, tmp_path):
    masks = {}
    for i, key in enumerate(("train_mask", "val_mask", "test_mask")):
        masks[key] = torch.stack([torch.arange(60) // 20 == i, torch.arange(60) % 3 == i], dim=1)
    torch.save(graph(**masks), tmp_path / "many.pt")
    assert call("search", tmp_path / "many.pt", "--split", "1").exit_code == 0
    (data, *_), settings = searched[0]
    assert data.name == "many-1" and data.roles["weights"].tolist() == list(range(0, 60, 3))
    assert settings["source"]["split"] == "1"

    own = tmp_path / "own.csv"
    roles = ("train", "val", "test")
    own.write_text("index,split\n" + "".join(f"{i},{roles[i % 3]}\n" for i in range(60)), encoding="utf-8")
    torch.save(graph(), tmp_path / "one.pt")
    assert call("search", tmp_path / "one.pt", "--split", own).exit_code == 0
    (data, *_), settings = searched[1]
    assert data.name == "one" and data.roles["test"].tolist() == list(range(2, 60, 3))
    assert settings["source"]["split"] == str(own)


def test_whole_numbers_are_classes_unless_told_otherwise(searched, saved):
    refused = call("search", saved, "--metric", "mae")
    assert refused.exit_code == 2 and "--kind regression" in refused.output
    assert call("search", saved, "--kind", "regression").exit_code == 0
    assert (searched[0][0][0].kind, searched[0][0][0].metric.name) == ("regression", "mae")


def test_options_become_objects(searched, tmp_path):
    options = "--space GAP --max-depth 2 --strategy darts --order 2 --budget 2min --seed 7 --resume --quiet --workers 3"
    options += " --constraint parameters<=50k --constraint latency<=5ms"
    result = call("search", "Digits", *options.split(), "--folder", tmp_path / "run", "--root", tmp_path)
    assert result.exit_code == 0, result.output
    (data, space, strategy), settings = searched[0]
    assert data.num_nodes == 1797
    assert space.digest() == gap(max_depth=2).digest()
    assert strategy == Darts(order=2)
    assert settings == {
        "budget": "2min",
        "seed": 7,
        "folder": tmp_path / "run",
        "resume": True,
        "progress": False,
        "workers": 3,
        "conditions": (Limit("parameters", 50_000), Limit("latency", 5)),
        "source": {"name": "digits", "path": None, "root": str(tmp_path), "split": None},
    }
    assert call("search", "digits", "--strategy", "random").exit_code == 0
    assert searched[1][0][2] == Random()
    assert call("search", "digits", "--strategy", "random", "--objective", "macs").exit_code == 0
    assert searched[2][0][2] == Random(objectives=("macs",))
    refused = call("search", "digits", "--objective", "macs")
    assert refused.exit_code == 2 and "which searches for the metric alone" in refused.output
    refused = call("search", "digits", "--constraint", "size<=3")
    assert refused.exit_code == 2 and "expected a cost of ['parameters'" in refused.output


def test_an_interrupted_search_has_an_exit_code_of_its_own(searched, saved, monkeypatch):
    def interrupted(*arguments: Any, **settings: Any) -> SimpleNamespace:
        return SimpleNamespace(folder=Path("r"), report=Path("r/report.html"), status="interrupted")

    monkeypatch.setattr(sys.modules["gnas.search"], "search", interrupted)
    result = call("search", saved)
    assert result.exit_code == 130
    assert "--resume" in result.stderr


def test_a_missing_extra_is_one_sentence(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = call("search", saved, "--strategy", "tpe")
    assert result.exit_code == 2 and "gnas[optuna]" in result.stderr and "Traceback" not in result.output


def test_evaluate_prints_the_table(monkeypatch, tmp_path):
    from rich.table import Table

    from gnas import compare, report

    with Journal(tmp_path) as journal:
        journal.create({})
        journal.update(status="done")
    table = Table("network", "accuracy")
    table.add_row("found (layered, darts)", "83.0 ± 0.5")
    calls = []

    def evaluate(folder: Path, **settings: Any) -> dict[str, Any]:
        calls.append((folder, settings["seeds"]))
        return {"verdict": "no gain beyond noise"}

    monkeypatch.setattr(compare, "evaluate", evaluate)
    monkeypatch.setattr(compare, "table", lambda result: table)
    monkeypatch.setattr(report, "write", lambda folder: Path(folder) / "report.html")
    result = call("evaluate", tmp_path, "--seeds", 3)
    assert result.exit_code == 0, result.output
    assert calls == [(tmp_path, 3)]
    assert "83.0 ± 0.5" in result.stdout


# mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--space layerd", "got the space 'layerd'; expected one of ['bench', 'gap', 'layered'"),
        ("--space layerd", "did you mean 'layered'?"),
        ("--strategy dart", "did you mean 'darts' or 'pc_darts'?"),
        ("--strategy random --order 2", "which has none"),
        ("--order 3", "darts got order=3"),
        ("--budget soon", "a budget got 'soon'"),
        ("--budget -1", "a budget got '-1'"),
        ("--budget '5 evaluations'", "darts counts epochs"),
        ("--seed -1", "seed=-1"),
        ("--space sane --max-depth 2", "whose depth is fixed"),
    ],
)
def test_wrong_options(saved, options, said, tmp_path):
    import shlex

    assert said in refused("search", saved, "--folder", tmp_path / "run", *shlex.split(options))
    assert not (tmp_path / "run").exists()


def mask(*nodes: int) -> torch.Tensor:
    chosen = torch.zeros(60, dtype=torch.bool)
    chosen[list(nodes)] = True
    return chosen


@pytest.mark.parametrize(
    "changes",
    [
        {"edge_index": torch.tensor([[0], [60]])},
        {"train_mask": mask()},
        {"val_mask": mask(0, 1)},
        {"x": torch.full((60, 4), float("nan"))},
        {"y": (torch.arange(60) % 3).float()},
        {"y": torch.arange(60) % 3 - 1},
        {"x": torch.zeros(0, 4), "y": torch.zeros(0, dtype=torch.long), "edge_index": torch.zeros(2, 0).long()},
    ],
    ids=["edge out of range", "empty mask", "overlapping masks", "NaN", "float labels", "label range", "empty graph"],
)
def test_wrong_data(changes, tmp_path):
    torch.save(graph(**changes), tmp_path / "wrong.pt")
    refused("search", tmp_path / "wrong.pt", "--folder", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_data(tmp_path):
    assert "did you mean 'cora'" in refused("search", "coral")
    (tmp_path / "text.pt").write_text("no graph")
    refused("search", tmp_path / "text.pt")


@pytest.mark.parametrize("command", ["evaluate", "export", "report"])
def test_what_is_no_run(command, tmp_path):
    assert "is no run: it has no run.json" in refused(command, tmp_path / "nowhere")
    (tmp_path / "run.json").write_text("{")
    assert "run.json is damaged" in refused(command, tmp_path)


def test_a_run_that_has_not_ended_cannot_be_exported(tmp_path):
    with Journal(tmp_path) as journal:
        journal.create({})
        journal.write("model.py", "of what an interrupted search had found by then\n")
        assert "has not ended; go on with it by resume=True (--resume)" in refused("export", tmp_path)
        journal.path("model.py").unlink()
        journal.update(status="done")
    assert "is lost" in refused("export", tmp_path)


def test_an_error_of_gnas_itself_keeps_its_traceback(searched, saved, monkeypatch):
    def broken(*arguments: Any, **settings: Any) -> None:
        torch.ones(2) @ torch.ones(3)

    monkeypatch.setattr(sys.modules["gnas.search"], "search", broken)
    assert isinstance(call("search", saved).exception, RuntimeError)

    def foreign(*arguments: Any, **settings: Any) -> None:
        torch.nn.Dropout(2.0)  # torch's own ValueError

    monkeypatch.setattr(sys.modules["gnas.search"], "search", foreign)
    assert isinstance(call("search", saved).exception, ValueError)


# export


def test_export_prints_or_writes_the_source(tmp_path):
    with Journal(tmp_path / "run") as journal:
        journal.create({})
        journal.write("model.py", "import torch\n")
        journal.update(status="done")
    assert call("export", tmp_path / "run").stdout == "import torch\n"
    result = call("export", tmp_path / "run", "--output", tmp_path / "net.py")
    assert result.stdout.split() == [str(tmp_path / "net.py")]
    assert (tmp_path / "net.py").read_text() == "import torch\n"
    assert "is not overwritten" in refused("export", tmp_path / "run", "--output", tmp_path / "net.py")
    assert "there is no folder" in refused("export", tmp_path / "run", "--output", tmp_path / "nowhere" / "net.py")


# help, version, speed


def test_help_has_examples():
    assert "gnas search digits" in call("--help").stdout
    for command in ("search", "evaluate", "export", "report"):
        text = call(command, "--help").stdout
        assert f"gnas {command} " in text and "Example" in text


def test_the_version_is_the_packages():
    from gnas import __version__

    assert call("--version").stdout == f"gnas {__version__}\n"


LIGHT = """
import sys
from gnas.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules)
"""


def light(*arguments: object) -> str:
    command = [sys.executable, "-c", LIGHT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_help_and_export_do_without_torch(tmp_path):
    with Journal(tmp_path) as journal:
        journal.create({})
        journal.write("model.py", "import torch\n")
        journal.update(status="done")
    assert light("search", "--help") == "False"
    assert light("export", tmp_path) == "False"


# whole runs


def test_a_whole_run_from_the_shell(saved, tmp_path):
    settings = ["--budget", "3 epochs", "--max-depth", 1, "--threads", 1, "--folder", tmp_path / "run"]
    with process("search", saved, *settings) as running:
        out, err = running.communicate(timeout=600)
    assert running.returncode == 0, err
    assert out.splitlines()[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    assert (tmp_path / "run" / "report.html").is_file()
    assert "\x1b" not in err, "no display where there is no terminal"
    phases = [line.partition(":")[0] for line in err.splitlines()]
    first = phases.index("search")
    drawn = "the architecture split has 20 nodes"
    assert phases[first : first + 5] == ["search", "shortlist", drawn, "derivation", "training"]
    assert Journal(tmp_path / "run").run()["data"]["path"] == str(saved)

    assert "holds a finished run" in refused("search", saved, *settings)
    assert "begun with seed 0" in refused("search", saved, *settings, "--resume", "--seed", 1)
    assert call("search", saved, *settings, "--resume").exit_code == 0

    (tmp_path / "run" / "report.html").unlink()
    assert light("report", tmp_path / "run") == "False"
    assert (tmp_path / "run" / "report.html").is_file()
    assert "class " in call("export", tmp_path / "run").stdout
    pytest.importorskip("onnxscript", reason="the extra gnas[onnx] is not installed")
    written = tmp_path / "network.onnx"
    assert call("export", tmp_path / "run", "--onnx", written).stdout == f"{written}\n" and written.is_file()
    assert "expected one of them" in refused("export", tmp_path / "run", "--onnx", written, "--output", written)

    file = tmp_path / "run" / EVENTS
    content = file.read_bytes()
    for damaged in (content[:-10], content.replace(b'"epoch":2', b'"epoch":5')):
        file.write_bytes(damaged)
        assert str(file) in refused("report", tmp_path / "run")
        assert str(file) in refused("search", saved, *settings, "--resume")


def test_ctrl_c_ends_cleanly(saved, tmp_path):
    settings = ["--budget", "100000 epochs", "--max-depth", 1, "--folder", tmp_path / "run"]
    with process("search", saved, *settings, code=INTERRUPTIBLE) as running:
        file = tmp_path / "run" / EVENTS
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (file.exists() and file.read_bytes().count(b"\n") > 3):
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=600)
    assert running.returncode == 130, err
    assert out.splitlines()[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    assert "Traceback" not in err
    assert Journal(tmp_path / "run").run()["status"] == "interrupted"
    assert (tmp_path / "run" / "report.html").is_file()
