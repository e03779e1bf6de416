"""What a search shows while it runs, and how Ctrl-C reaches it.

There is a live display in a terminal, a few plain lines elsewhere, or nothing. All of it goes to stderr, so what a
command prints stays free for pipes.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gnas.scale import ACCURACY, Scale


def words(genotype: Mapping[str, Any]) -> str:
    """A genotype in one line: ``aggregate gcn gat, residual initial none, depth h2``.

    Options of choices that differ only in what follows the dot stand together, in the order of that number.
    """
    groups: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    for name, option in genotype.items():
        head, _, tail = name.partition(".")
        position = tuple(int(part) if part.isdigit() else 0 for part in tail.split("."))
        # By type: 1 and 0.0 equal True and False, and are numbers.
        named = option is None or isinstance(option, bool)
        text = {True: "yes", False: "no", None: "none"}[option] if named else str(option)
        groups.setdefault(head, []).append((position, text))
    return ", ".join(f"{head} {' '.join(option for _, option in sorted(group))}" for head, group in groups.items())


class Display:
    """Shows nothing. What follows shows more.

    A phase begins with :meth:`start`, goes on with :meth:`advance` and ends with :meth:`end`; :meth:`note` says
    something in between. ``scale`` says how metrics are read.
    """

    scale: Scale = ACCURACY

    def start(self, phase: str, total: float | None = None, done: float = 0.0, unit: str = "") -> None:
        """A phase begins.

        Args:
            phase: What it is called.
            total: How much there is to do, or None where nobody knows.
            done: How much of it a resumed run has already.
            unit: What is counted; ``"seconds"`` for a wall-clock budget.
        """

    def advance(self, event: Mapping[str, Any], done: float, total: float | None = None) -> None:
        """An event happened; ``done`` of the total is done."""

    def note(self, text: str) -> None:
        """Say something that stays."""

    def end(self, text: str) -> None:
        """The phase ended; ``text`` sums it up."""
        self.note(text)

    def interrupt(self) -> None:
        """Ctrl-C was pressed. Called from a signal handler, so it only sets what is shown next."""

    def close(self) -> None:
        """Nothing more follows."""


class Lines(Display):
    """Plain lines at the ends of phases, for log files and pipes."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def note(self, text: str) -> None:
        print(text, file=self.file, flush=True)


class Screen(Display):
    """A live display: how far, how long, losses, metrics and the best genotype so far."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self.row = self.bar.add_task("", visible=False, count="", left="")
        self.unit = ""
        self.event: Mapping[str, Any] = {}
        self.stopping = False
        self.began = (0.0, 0.0)
        self.live = Live(console=console, get_renderable=self._render, refresh_per_second=5, transient=True)

    def start(self, phase: str, total: float | None = None, done: float = 0.0, unit: str = "") -> None:
        self.event = {}
        self.began = (time.monotonic(), done)
        self.bar.remove_task(self.row)
        self.unit = unit
        self.row = self.bar.add_task(phase, total=total, count=self._count(done, total), left="")
        self.bar.update(self.row, completed=done)
        self.live.start()

    def advance(self, event: Mapping[str, Any], done: float, total: float | None = None) -> None:
        self.event = event
        left = ""
        known = total if total is not None else self.bar.tasks[0].total
        began, before = self.began
        if known and done > before:
            seconds = (time.monotonic() - began) / (done - before) * max(0.0, known - done)
            left = f"about {duration(seconds)} left"
        self.bar.update(self.row, completed=done, total=known, count=self._count(done, known), left=left)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def end(self, text: str) -> None:
        self.live.stop()
        self.note(text)

    def interrupt(self) -> None:
        self.stopping = True

    def close(self) -> None:
        self.live.stop()

    def _count(self, done: float, total: float | None) -> str:
        return f"{done:.0f}{'' if total is None else f'/{total:.0f}'} {self.unit}" if self.unit else ""

    def _render(self) -> Group:
        parts: list[Any] = [self.bar]
        table = Table.grid(padding=(0, 2))
        for label, text in facts(self.event, self.scale):
            table.add_row(Text(label, style="dim"), Text(text, overflow="ellipsis", no_wrap=True))
        parts.append(table)
        if self.stopping:
            parts.append(Text("stopping after this step; Ctrl-C again aborts", style="yellow"))
        return Group(*parts)


def facts(event: Mapping[str, Any], scale: Scale = ACCURACY) -> list[tuple[str, str]]:
    """What is worth showing of an event, as labels and texts."""

    def pair(key: str, text: Callable[[float], str]) -> str:
        both = [(role, event.get(f"{key}_{role}")) for role in ("weights", "architecture")]
        return "   ".join(f"{role} {text(value)}" for role, value in both if value is not None)

    rows = []
    if "epoch" in event:
        rows.append(("epoch", f"{event['epoch']}{' (warm-up)' if event.get('phase') == 'warmup' else ''}"))
    if event.get("event") == "candidate":
        rows.append(("candidate", str(event.get("index"))))
    if event.get("event") == "depth":
        start = "inherited weights" if event.get("inherit") else f"from scratch, seed {event.get('seed')}"
        rows.append(("depth", f"{event.get('depth')}, {start}"))
    for label, key, shown in (("loss", "loss", "{:.3f}".format), (scale.name, "metric", scale.text)):
        if text := pair(key, shown):
            rows.append((label, text))
    if event.get("best") is not None:
        rows.append(("best so far", scale.text(event["best"])))
    if event.get("entropy") is not None:
        rows.append(("undecided", f"{event['entropy']:.0%} of the largest entropy"))
    if event.get("skips") is not None:
        rows.append(("skips", f"in front at {event['skips']:.0%} of the choices that have one"))
    if event.get("eigenvalue") is not None:
        rows.append(("eigenvalue", f"{event['eigenvalue']:.3g}, the architecture's largest"))
    if event.get("genotype"):
        rows.append(("network", words(event["genotype"])))
    return rows


def duration(seconds: float) -> str:
    """A time in words: ``8 s``, ``2 min 5 s``, ``1 h 4 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def display(progress: bool | None, file: TextIO | None = None) -> Display:
    """The display that fits.

    Args:
        progress: False for none, True for the live one, None for the live one in a terminal and lines elsewhere.
        file: Where to; stderr if not given.
    """
    if progress is False:
        return Display()
    console = Console(file=file or sys.stderr, force_terminal=True if progress else None)
    return Screen(console) if console.is_terminal else Lines(console.file)  # type: ignore[arg-type]


class Interrupt:
    """Turns the first Ctrl-C into a request to stop after the present step; the second one aborts.

    Only where Python's own handler is in place, and in the main thread, where signals arrive.
    """

    def __init__(self, shown: Display) -> None:
        self.shown = shown
        self.requested = False
        self.old: Callable[[int, FrameType | None], Any] | int | None = None

    def __enter__(self) -> Interrupt:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self.old = signal.signal(signal.SIGINT, self.handle)
        return self

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self.shown.interrupt()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.old is not None:
            signal.signal(signal.SIGINT, self.old)
