"""The run folder: chained lines, snapshots, locks; damage is noticed and said in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gnas.journal import EVENTS, RUN, STATE, Journal
from gnas.space import Space, layered


def begun(folder: Path, events: int = 0) -> Journal:
    journal = Journal(folder)
    journal.create({"seed": 0})
    for i in range(events):
        journal.append({"event": "epoch", "epoch": i, "loss": 1 / (i + 1)})
    return journal


def test_events_are_read_as_they_were_written(tmp_path):
    with begun(tmp_path / "run") as journal:
        written = [
            {"event": "epoch", "epoch": 0, "loss": 0.1 + 0.2, "genotype": {"depth": "h2", "aggregate.0": "gcn"}},
            {"event": "epoch", "epoch": 1, "loss": 1e-300, "text": 'quotes " and ,"check":"0123456789abcdef"}'},
            {"event": "epoch", "epoch": 2, "loss": None, "name": "größer", "check": 3},
        ]
        for event in written:
            journal.append(event)
        assert Journal(tmp_path / "run").events() == written, "reading needs no lock"
    assert Journal(tmp_path / "run").events() == written
    for line in (tmp_path / "run" / EVENTS).read_text().splitlines():
        assert isinstance(json.loads(line), dict), "each line is JSON by itself"


def test_numbers_that_json_lacks_become_null(tmp_path):
    with begun(tmp_path) as journal:
        journal.append({"event": "candidate", "loss": float("nan"), "list": [float("inf"), 1.0]})
        assert journal.events() == [{"event": "candidate", "loss": None, "list": [None, 1.0]}]


def test_what_is_no_event_is_refused(tmp_path):
    with begun(tmp_path) as journal:
        with pytest.raises(ValueError, match="expected a string under the key 'event'"):
            journal.append({"epoch": 1})
        with pytest.raises(TypeError, match=r"'epoch' can't be written .*Tensor"):
            journal.append({"event": "epoch", "loss": torch.ones(())})
        assert journal.events() == []


def test_appending_goes_on_after_reopening(tmp_path):
    with begun(tmp_path / "a", 3):
        pass
    with Journal(tmp_path / "a") as journal:
        journal.append({"event": "epoch", "epoch": 3, "loss": 0.25})
    with begun(tmp_path / "b", 4):
        pass
    assert (tmp_path / "a" / EVENTS).read_bytes() == (tmp_path / "b" / EVENTS).read_bytes()


def ends_early(content: bytes) -> bytes:
    return content[:-5]


def loses_a_line(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[:1] + lines[2:])


def loses_the_last_line(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:-1])


def is_edited(content: bytes) -> bytes:
    return content.replace(b'"epoch":1', b'"epoch":7')


def swaps_lines(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([lines[1], lines[0], *lines[2:]])


def gains_a_line(content: bytes) -> bytes:
    return content + b'{"event":"epoch"}\n'


def is_emptied(content: bytes) -> bytes:
    return b""


DAMAGE = [ends_early, loses_a_line, loses_the_last_line, is_edited, swaps_lines, gains_a_line, is_emptied]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("status", ["running", "done"])
def test_a_damaged_journal_is_noticed(tmp_path, damage, status):
    with begun(tmp_path, 4) as journal:
        journal.update(status=status)
    file = tmp_path / EVENTS
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError) as caught:
        Journal(tmp_path).events()
    assert str(file) in str(caught.value)
    assert "restore it from a copy" in str(caught.value) or "resume the search" in str(caught.value)
    with pytest.raises(ValueError):
        Journal(tmp_path).append({"event": "epoch"})


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_journal_damaged_before_its_snapshot_is_not_resumed(tmp_path, damage):
    with begun(tmp_path, 4) as journal:
        journal.snapshot({"step": 4}, closed=True)
    file = tmp_path / EVENTS
    file.write_bytes(damage(file.read_bytes()))
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match="restore it from a copy"):
        journal.restore()


def test_a_journal_of_another_run_is_noticed(tmp_path):
    for name, start in (("a", 0), ("b", 5)):
        with begun(tmp_path / name) as journal:
            journal.append({"event": "epoch", "epoch": start})
            journal.snapshot({})
    (tmp_path / "a" / EVENTS).write_bytes((tmp_path / "b" / EVENTS).read_bytes())
    with pytest.raises(ValueError, match="belongs to another run"):
        Journal(tmp_path / "a").events()
    with Journal(tmp_path / "a") as journal, pytest.raises(ValueError, match="belong to two runs"):
        journal.restore()


def test_restoring_an_open_snapshot_cuts_the_journal_back(tmp_path):
    with begun(tmp_path, 2) as journal:
        journal.snapshot({"weights": torch.arange(3.0), "nested": {"list": [1, 2.5, None, "x", True]}})
        expected = (tmp_path / EVENTS).read_bytes()
        journal.append({"event": "epoch", "epoch": 2})
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"event":"ep')
    with Journal(tmp_path) as journal:
        state = journal.restore()
        assert state is not None
        assert torch.equal(state["weights"], torch.arange(3.0))
        assert state["nested"] == {"list": [1, 2.5, None, "x", True]}
        assert (tmp_path / EVENTS).read_bytes() == expected
        journal.append({"event": "epoch", "epoch": 2})
        assert [event["epoch"] for event in journal.events()] == [0, 1, 2]


def test_restoring_a_closed_snapshot_keeps_the_whole_lines_after_it(tmp_path):
    with begun(tmp_path, 2) as journal:
        journal.snapshot({}, closed=True)
        journal.append({"event": "depth", "seed": 0})
        journal.append({"event": "depth", "seed": 1})
        journal.append({"event": "derived"})
        journal.update(status="interrupted")
    with Journal(tmp_path) as journal:
        assert journal.restore() == {}
        assert len(journal.events()) == 5
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"event":"ep')
    with Journal(tmp_path) as journal:
        journal.restore(until="derived")
        assert [event["event"] for event in journal.events()] == ["epoch", "epoch", "depth", "depth"]
        assert journal.run()["status"] == "running"


def test_without_a_snapshot_a_run_begins_again(tmp_path):
    with begun(tmp_path, 2):
        pass
    with Journal(tmp_path) as journal:
        assert journal.restore() is None
        assert journal.events() == []


def test_a_lost_or_damaged_snapshot_is_said(tmp_path):
    with begun(tmp_path, 2) as journal:
        journal.snapshot({"weights": torch.ones(100)})
    content = (tmp_path / STATE).read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"no snapshot"):
        (tmp_path / STATE).write_bytes(damaged)
        with Journal(tmp_path) as journal, pytest.raises(ValueError, match=r"state\.pt is damaged .*restore it"):
            journal.restore()
    (tmp_path / STATE).unlink()
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match=r"state\.pt is missing"):
        journal.restore()
    torch.save(torch.ones(2), tmp_path / STATE)
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match=r"state\.pt holds a Tensor"):
        journal.restore()
    torch.save({"format": "other"}, tmp_path / STATE)
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match=r"is no snapshot that this gnas reads"):
        journal.restore()


def test_a_snapshot_holds_plain_values_only(tmp_path):
    with begun(tmp_path) as journal:
        with pytest.raises(TypeError, match=r"state'\]\['a'\]\[1\] is of type \w*Path"):
            journal.snapshot({"a": [1, tmp_path]})
        journal.snapshot(torch.nn.Linear(2, 2).state_dict())
        journal.snapshot({"parameter": torch.nn.Parameter(torch.ones(2))})
        assert journal.restore() is not None


OTHER_PROCESS = """
import sys
from gnas.journal import Journal
assert "torch" not in sys.modules
try:
    Journal(sys.argv[1]).lock()
except ValueError as error:
    print(error)
"""


def test_a_second_process_is_refused(tmp_path):
    def other() -> str:
        command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with begun(tmp_path, 1):
        assert "is in use by another search" in other()
        with pytest.raises(ValueError, match="is in use by another search"):
            Journal(tmp_path).append({"event": "epoch"})
    assert other() == ""


def test_a_folder_with_other_content_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds other files \(thesis.tex\)"):
        begun(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        begun(tmp_path / "thesis.tex")
    with pytest.raises(
        ValueError, match=r"thesis\.tex is a file; expected a folder, .* for the run in .*thesis\.tex.x.y"
    ):
        begun(tmp_path / "thesis.tex" / "x" / "y")
    with begun(tmp_path / "run"), pytest.raises(ValueError, match="already holds a run"):
        begun(tmp_path / "run")


def test_a_name_that_is_no_text_leaves_no_run(tmp_path):
    with (
        Journal(tmp_path / "run") as journal,
        pytest.raises(ValueError, match=r"has a name that is not UTF-8 .*rename"),
    ):
        journal.create({"data": {"path": os.fsdecode(b"caf\xe9.pt")}})
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_of_the_result_is_named(tmp_path):
    with begun(tmp_path) as journal:
        with pytest.raises(ValueError, match=r"space\.json is missing; restore it from a copy"):
            journal.read("space.json", Space.from_json)
        journal.write("space.json", layered(1).to_json()[:-9])
        with pytest.raises(
            ValueError, match=r"space\.json can't be read: the space is not JSON .*; restore it from a copy"
        ):
            journal.read("space.json", Space.from_json)
        journal.path("space.json").write_bytes(b"\xff")
        with pytest.raises(ValueError, match=r"space\.json can't be read: .*codec.*; restore it from a copy"):
            journal.read("space.json", Space.from_json)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is no run: it has no run\.json"):
        Journal(tmp_path / "nowhere").run()
    for text, message in (
        ("{", "is damaged"),
        ("[]", "doesn't describe a run"),
        ('{"format": "other"}', "doesn't describe a run"),
        ('{"format": "gnas.run", "version": 99}', "has version 99"),
    ):
        (tmp_path / RUN).write_text(text)
        with pytest.raises(ValueError, match=message):
            Journal(tmp_path).run()


def test_run_json_is_replaced_as_a_whole(tmp_path):
    with begun(tmp_path, 1) as journal:
        journal.update(status="done", seconds={"search": 1.5})
        with pytest.raises(ValueError, match="expected one of"):
            journal.update(status="finished")
    run = Journal(tmp_path).run()
    assert (run["seed"], run["status"], run["seconds"]) == (0, "done", {"search": 1.5})
    assert run["journal"]["events"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [EVENTS, RUN]
