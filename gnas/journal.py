"""A run's folder: what happened, written so that a run killed at any moment can go on.

A :class:`Journal` owns these files:

* ``run.json``: settings, data, versions and the status of the run; replaced as a whole, never half written,
* ``events.jsonl``: one JSON object a line, appended and flushed to the disk event by event. Each line ends with a
  checksum of itself and of all lines before it, so a lost or edited line is noticed,
* ``state.pt``: the last snapshot of the search, with the length and checksum of ``events.jsonl`` at that moment.

Going on from a snapshot cuts ``events.jsonl`` back to that length; the events that follow are made again, the same
ones, because no event holds a clock value. Reading needs the standard library only: torch is imported where a
snapshot is written or read.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

FORMAT = "gnas.run"
VERSION = 1
STATUSES = ("running", "done", "interrupted")
SETTINGS = ("space", "strategy", "derivation", "evaluator", "seed", "budget")
"""Fields of ``run.json`` in which a run and its continuation agree."""
RUN, EVENTS, STATE = "run.json", "events.jsonl", "state.pt"
_START = hashlib.sha256(b"gnas.events 1").hexdigest()[:16]
_TENSORS = ("torch", "torch.nn.parameter")
_RESTORE = "restore it from a copy, or search again into another folder"
_LINE = re.compile(rb'(\{.*),"check":"([0-9a-f]{16})"\}\n', re.DOTALL)


class InFolder(Protocol):
    """What lies in a folder and says in which, such as the :class:`gnas.Run` that a search hands over."""

    @property
    def folder(self) -> Path: ...


T = TypeVar("T")

Folder: TypeAlias = str | os.PathLike[str] | InFolder
"""A run's folder: its path, or the run that a search handed over."""


def folder_of(given: Folder) -> Path:
    """The path of a run's folder.

    Raises:
        TypeError: It is neither a path nor a run.
    """
    path = getattr(given, "folder", given)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"got {given!r} of type {type(given).__name__} as a run's folder; expected its path, such as 'runs/mine', "
            "or the run that gnas.search handed over"
        )
    return Path(path)


class Journal:
    """The folder of one run.

    Reading (:meth:`run`, :meth:`events`) takes no lock and may happen while the run goes on. The first write takes
    the folder for this process until :meth:`close`; a second process is refused.

    Args:
        folder: Where the run lies. It is made by :meth:`create`.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder_of(folder)
        self._file: int | None = None
        self._offset = 0
        self._count = 0
        self._check = _START
        self._made = False

    def __repr__(self) -> str:
        return f"Journal({str(self.folder)!r})"

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, name: str) -> Path:
        """Where a file of the run lies."""
        return self.folder / name

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.path(RUN).is_file()

    # reading

    def result(self, name: str) -> Path:
        """Where a file of the run's result lies, such as ``genotype.json``.

        Raises:
            ValueError: The run has not come to its end (it may have an older result, if it was interrupted and went
                on), or the file is lost.
        """
        ended = self.run()["status"] != "running"
        if not (ended and self.path(name).is_file()):
            reason = "it is lost" if ended else "the search has not ended; go on with it by resume=True (--resume)"
            raise ValueError(f"{self.folder} has no {name}: {reason}")
        return self.path(name)

    def read(self, name: str, build: Callable[[str], T]) -> T:
        """What is built of a text file of the run, such as ``space.json`` by ``Space.from_json``.

        Raises:
            ValueError: The file is missing or damaged.
        """
        try:
            return build(self.path(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{self.path(name)} is missing; {_RESTORE}") from None
        except ValueError as error:
            raise ValueError(f"{self.path(name)} can't be read: {error}; {_RESTORE}") from None

    def run(self) -> dict[str, Any]:
        """The content of ``run.json``: settings, data, versions, status."""
        try:
            content = json.loads(self.path(RUN).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(
                f"{self.folder} is no run: it has no {RUN}; expected the folder that a search wrote (gnas search says "
                "which in its last line)"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path(RUN)} is damaged ({error}); {_RESTORE}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"{self.path(RUN)} doesn't describe a run; expected the format {FORMAT!r} in it")
        if content.get("version") != VERSION:
            raise ValueError(
                f"{self.path(RUN)} has version {content.get('version')!r} and this gnas reads version {VERSION}; "
                "install the gnas that wrote it, or search again"
            )
        return content

    def events(self) -> list[dict[str, Any]]:
        """All events in order, each checked; a lost, cut or edited line is a :class:`ValueError`."""
        events, _ = self._read()
        return events

    def _read(self) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
        """Events, and after each of them the length of the file so far and the checksum."""
        try:
            content = self.path(EVENTS).read_bytes()
        except FileNotFoundError:
            content = b""
        events: list[dict[str, Any]] = []
        marks: list[tuple[int, str]] = []
        offset, check = 0, _START
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            if not line.endswith(b"\n"):
                killed = self.exists and self.run().get("status") == "running"
                advice = "resume the search, which goes back to its last snapshot" if killed else _RESTORE
                raise ValueError(f"{self.path(EVENTS)} ends in the middle of line {number}; {advice}")
            event, check = self._parse(line, number, check)
            offset += len(line)
            events.append(event)
            marks.append((offset, check))
        self._compare(marks)
        return events, marks

    def _parse(self, line: bytes, number: int, before: str) -> tuple[dict[str, Any], str]:
        match = _LINE.fullmatch(line)
        if match is None or match[2].decode() != _chain(before, match[1]):
            raise ValueError(
                f"{self.path(EVENTS)} was changed at or before line {number}: its checksum doesn't fit; {_RESTORE}"
            )
        return json.loads(match[1] + b"}"), match[2].decode()

    def _compare(self, marks: list[tuple[int, str]]) -> None:
        """Whole lines lost from the end leave the checksums right; run.json tells how many there were."""
        if not self.exists:
            return
        run = self.run()
        told = run.get("journal") or {"events": 0, "check": _START}
        count = told["events"]
        ended = run.get("status") != "running"
        if len(marks) < count or (ended and len(marks) > count):
            raise ValueError(f"{self.path(EVENTS)} has {len(marks)} lines and {RUN} tells of {count}; {_RESTORE}")
        if count and marks[count - 1][1] != told["check"]:
            raise ValueError(
                f"{self.path(EVENTS)} belongs to another run than {self.path(RUN)}; "
                "restore both from one copy, or search again into another folder"
            )

    def refuse(self) -> None:
        """Raise what is to be said where a new run was to begin in this folder."""
        status = self.run()["status"]
        if status == "done":
            raise ValueError(
                f"{self.folder} holds a finished run, which is never overwritten; search into another folder "
                "(--folder), or read this one again with resume=True (--resume)"
            )
        raise ValueError(
            f"{self.folder} holds a run that is {'still going on or was killed' if status == 'running' else status}; "
            "go on with it by resume=True (--resume), or search into another folder (--folder)"
        )

    def compare(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on with a run that was begun with other settings or on other data.

        Args:
            settings: What ``run.json`` would hold if the run began now.
        """
        run = self.run()
        for key in SETTINGS:
            if difference := _difference(key, run.get(key), settings.get(key)):
                raise ValueError(
                    f"{self.folder} was begun with {difference}; give the settings it was begun with, "
                    "or search into another folder (--folder)"
                )
        old, new = run["task"], settings["task"]
        if difference := _difference("task's loading", old.get("loading", {}), new.get("loading", {})):
            raise ValueError(
                f"{self.folder} was begun with {difference}; make batches as it was begun, or search into another "
                "folder (--folder)"
            )
        if old["digest"] != new["digest"]:
            raise ValueError(
                f"{self.folder} was begun on other data ({old['name']!r}, {old['digest'][:12]}) than is given now "
                f"({new['name']!r}, {new['digest'][:12]}); give the same data, or search into another folder (--folder)"
            )

    # writing

    def create(self, run: Mapping[str, Any]) -> None:
        """Begin a run: make the folder, take it for this process and write ``run.json``.

        Args:
            run: Settings and all else that is known at the start; format, version and status are added.
        """
        if self.exists:
            raise ValueError(f"{self.folder} already holds a run; expected a new folder")
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise ValueError(
                f"{there} is a file; expected a folder, or the name of one that is to be made, for the run in "
                f"{self.folder}"
            )
        # An events.jsonl without a line is what a run leaves that was killed before it wrote run.json.
        ours = {EVENTS, RUN + ".tmp"}
        other = sorted(path.name for path in self.folder.glob("*") if path.name not in ours)
        if other or (self.path(EVENTS).exists() and self.path(EVENTS).stat().st_size):
            raise ValueError(
                f"{self.folder} holds other files ({', '.join(other[:3]) or EVENTS}) and no run; "
                "expected an empty or a new folder"
            )
        self._made = not self.folder.exists()
        self.lock()
        if self.exists:
            raise ValueError(f"{self.folder} already holds a run, begun by another process just now; try another")
        try:
            self._replace_run({"format": FORMAT, "version": VERSION, "status": "running", **run})
        except UnicodeEncodeError as error:
            self.withdraw()
            raise ValueError(
                "what is to be written of the run has a name that is not UTF-8 (it has "
                f"{error.object[error.start : error.end]!r}); expected text, try to rename the file of the data"
            ) from None

    def withdraw(self) -> None:
        """Take back a run that :meth:`create` began just now and that failed before its first event.

        There would be nothing to go on with, and the folder could not be begun anew.
        """
        if not self._count:
            self.close()
            for name in (RUN, RUN + ".tmp", EVENTS):
                self.path(name).unlink(missing_ok=True)
            if self._made and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def lock(self) -> None:
        """Take the folder for this process; refused with a :class:`ValueError` while another process has it.

        The lock lies on ``events.jsonl`` and ends with the process, however that ends. Windows has no such lock,
        so there nothing stops a second process.
        """
        if self._file is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path(EVENTS), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise ValueError(
                    f"{self.folder} is in use by another search that is still going on; "
                    "wait until it ends, or search into another folder"
                ) from None
        self._file = file

    def close(self) -> None:
        """Give the folder back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._offset, self._count, self._check = 0, 0, _START

    def append(self, event: Mapping[str, Any]) -> None:
        """Write one event and see it onto the disk. Numbers that JSON lacks (NaN, infinities) become null."""
        file = self._writable()
        if not isinstance(event.get("event"), str):
            raise ValueError(f"an event got the name {event.get('event')!r}; expected a string under the key 'event'")
        try:
            text = json.dumps(as_json(event), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except TypeError as error:
            raise TypeError(f"the event {event['event']!r} can't be written ({error}); expected plain values") from None
        body = text[:-1].encode()
        check = _chain(self._check, body)
        line = body + f',"check":"{check}"}}\n'.encode()
        # One write call, so that a reader beside us sees a whole line or none.
        written = os.write(file, line)
        while written < len(line):
            written += os.write(file, line[written:])
        os.fsync(file)
        self._offset += len(line)
        self._count += 1
        self._check = check

    def _writable(self) -> int:
        if self._file is None:
            self.lock()
            _, marks = self._read()
            if marks:
                (self._offset, self._check), self._count = marks[-1], len(marks)
        assert self._file is not None
        return self._file

    def update(self, **fields: Any) -> None:
        """Replace fields of ``run.json``, and note there how far ``events.jsonl`` has come."""
        self._writable()
        status = fields.get("status", "running")
        if status not in STATUSES:
            raise ValueError(f"a run got the status {status!r}; expected one of {list(STATUSES)}")
        self._replace_run({**self.run(), **fields, "journal": {"events": self._count, "check": self._check}})

    def _replace_run(self, content: Mapping[str, Any]) -> None:
        self.write(RUN, json.dumps(as_json(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write a text file of the run: all of it, or the old one stays. Returns its path."""
        temporary = self.path(name + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        _publish(temporary, self.path(name))
        return self.path(name)

    def save(self, name: str, state: Mapping[str, Any]) -> Path:
        """Write tensors and plain values, such as trained weights, in the same way. Returns the path."""
        import torch

        _check_plain(state, name)
        temporary = self.path(name + ".tmp")
        torch.save(dict(state), temporary)
        _publish(temporary, self.path(name))
        return self.path(name)

    def load(self, name: str) -> dict[str, Any]:
        """Read what :meth:`save` wrote, onto the CPU; nothing that is loaded can run code."""
        import torch

        path = self.path(name)
        if not path.exists():
            raise ValueError(f"{path} is missing; {_RESTORE}")
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
            # Torch's own sentences advise to load it without the care that keeps code from running.
            raise ValueError(f"{path} is damaged ({type(error).__name__}); {_RESTORE}") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds a {type(content).__name__} where a dictionary was; {_RESTORE}")
        return content

    # snapshots

    def snapshot(self, state: Mapping[str, Any], *, closed: bool = False) -> None:
        """Keep what the search needs to go on from here.

        Args:
            state: Tensors and plain values in dictionaries and lists; anything else could not be read back safely.
            closed: The state won't change any more. Events after a closed snapshot don't depend on one another
                and survive a resume; those after an open one are made again.
        """
        self._writable()
        mark = {"offset": self._offset, "events": self._count, "check": self._check, "closed": closed}
        self.save(STATE, {"format": "gnas.state", "version": VERSION, **mark, "state": dict(state)})
        # After the snapshot, never before: run.json must not promise events that a resume would cut off.
        self.update()

    def restore(self, until: str | None = None) -> dict[str, Any] | None:
        """Go back to the last snapshot: returns its state, or None if there was none yet.

        ``events.jsonl`` is cut back to where it was then. If the snapshot was closed, the whole lines after it
        stay, and only one that was cut off in the middle goes.

        Args:
            until: Of the lines after a closed snapshot, the first event of this name goes, and all after it.
        """
        self.lock()
        content = self._load_state()
        offset, count, check, closed = 0, 0, _START, False
        if content is not None:
            offset, count, check = content["offset"], content["events"], content["check"]
            closed = content["closed"]
        lines = self.path(EVENTS).read_bytes().splitlines(keepends=True)
        if len(lines) < count or sum(map(len, lines[:count])) != offset:
            raise ValueError(
                f"{self.path(EVENTS)} was cut or changed since the last snapshot: its first {count} lines had {offset} "
                f"bytes and have {sum(map(len, lines[:count]))}; {_RESTORE}"
            )
        self._offset, self._count, self._check = 0, 0, _START
        for number, line in enumerate(lines if closed else lines[:count], start=1):
            if number > count and not line.endswith(b"\n"):
                break
            event, after = self._parse(line, number, self._check)
            if number > count and event.get("event") == until:
                break
            self._check, self._count = after, number
            self._offset += len(line)
            if number == count and self._check != check:
                raise ValueError(
                    f"{self.path(STATE)} and {self.path(EVENTS)} belong to two runs; "
                    "restore both from one copy, or search again into another folder"
                )
        # First run.json promises less, then there is less: at no moment is the journal shorter than was promised.
        self.update(status="running")
        os.truncate(self.path(EVENTS), self._offset)
        return None if content is None else content["state"]

    def _load_state(self) -> dict[str, Any] | None:
        path = self.path(STATE)
        told = (self.run().get("journal") or {}).get("events", 0)
        if not path.exists() and not told:
            return None
        content = self.load(STATE)
        if content.get("format") != "gnas.state" or content.get("version") != VERSION:
            raise ValueError(f"{path} is no snapshot that this gnas reads; search again into another folder")
        return content


def _chain(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:16]


def _difference(where: str, old: Any, new: Any) -> str:
    """The first difference of two settings in words, or nothing."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if found := _difference(f"{where}.{key}", old.get(key), new.get(key)):
                return found
        return ""
    return "" if old == new else f"{where} {old!r} and is given {new!r} now"


def as_json(value: Any) -> Any:
    """The same value with None for the numbers that JSON lacks (NaN, infinities)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(inner) for inner in value]
    return value


def _check_plain(value: Any, where: str) -> None:
    """Refuse now what ``torch.load(weights_only=True)`` would refuse when it is needed."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_plain(inner, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            _check_plain(inner, f"{where}[{i}]")
    elif type(value) not in (str, int, float, bool, bytes, type(None)) and type(value).__module__ not in _TENSORS:
        raise TypeError(
            f"{where} is of type {type(value).__name__}; expected tensors and plain values in "
            "dictionaries and lists (try its state_dict(), or float(...) of a number)"
        )


def _publish(temporary: Path, path: Path) -> None:
    """Put a finished file in the place of the old one, safely even if the machine stops."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
