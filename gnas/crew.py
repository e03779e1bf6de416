"""Trainings side by side: each is independent of all others, so processes share them out.

On a small graph one thread is used best by one training; two processes of one thread do nearly twice as much as one
of two threads.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, fields, replace
from typing import TypeAlias

import torch
from torch import Tensor

from gnas import kernels
from gnas.checks import whole
from gnas.data import quiet_sparse
from gnas.evaluate import Result, TrainFromScratch, builder, seeded
from gnas.headed import hand_made
from gnas.loading import Loading
from gnas.metrics import Metric, find
from gnas.space import Space
from gnas.task import Task

Network: TypeAlias = str | Space
"""A hand-made network by name, or a bound space."""


@dataclass(frozen=True)
class Training:
    """One training, from scratch or from a state that is handed over.

    Args:
        network: What is trained.
        evaluator: How.
        seed: Of everything that is drawn in it.
        test: Whether the test role is read in the end.
        state: What to start from.
        redraw: Seed of another draw of the roles to train on and to judge by, see :meth:`gnas.Task.redrawn`.
    """

    network: Network
    evaluator: TrainFromScratch
    seed: int
    test: bool = False
    state: Mapping[str, Tensor] | None = None
    redraw: int | None = None

    def run(self, task: Task) -> Result:
        """Train on the task."""
        if self.redraw is not None:
            return replace(self, redraw=None).run(task.redrawn(self.redraw))
        build = hand_made(task)[self.network] if isinstance(self.network, str) else builder(self.network)
        if self.state is None:
            result = self.evaluator(build, task, self.seed, test=self.test)
        else:
            with seeded(self.seed):
                model = build(task, self.evaluator.recipe_for(task))
            model.load_state_dict(self.state)
            with seeded(self.seed):
                result = self.evaluator.train(model, task, test=self.test)
        # The weights are not kept: a comparison needs the numbers only.
        return replace(result, state={})


class Crew:
    """Trains on one task, here or in ``workers`` processes, which start with the first training if not before."""

    def __init__(self, task: Task, workers: int = 1) -> None:
        workers = whole("a crew", "workers", workers, 1)
        if workers > 1 and task.device.type != "cpu":
            raise ValueError(f"got workers={workers} and a task on {task.device}; expected workers=1 there")
        function = task.metric.function
        if workers > 1 and task.metric.key is None and "<" in getattr(function, "__qualname__", ""):
            raise ValueError(
                f"got workers={workers} and the metric {task.metric.name!r}, a function within a function, which other "
                "processes can't import; expected one that a module defines, or workers=1"
            )
        self.task = task
        self.workers = workers
        self.pool: ProcessPoolExecutor | None = None

    def each(self, trainings: Sequence[Training]) -> Generator[Result, None, None]:
        """Results in the order of the trainings, as they come. Closed early, it drops those that have not begun."""
        if self.workers == 1:
            for training in trainings:
                yield training.run(self.task)
            return
        futures = [self._started().submit(_work, training) for training in trainings]
        try:
            for future in futures:
                result, reads = future.result()
                self.task.test_reads += reads
                yield result
        finally:
            for future in futures:
                future.cancel()

    def begin(self) -> None:
        """Start the processes now, and wait until they can train: they import what they need, and read the task."""
        if self.workers > 1:
            wait([self._started().submit(_nothing) for _ in range(self.workers)])

    def _started(self) -> ProcessPoolExecutor:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.workers,
                # A forked process would inherit locks of torch's threads.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=_pack(self.task),
            )
        return self.pool

    def close(self) -> None:
        """End the processes; trainings that have not begun are dropped."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None


def _pack(task: Task) -> tuple[bytes, Metric | None]:
    """A task's tensors and plain values as bytes; beside them a metric of the user's own, which has no name."""
    file = io.BytesIO()
    values = {entry.name: getattr(task, entry.name) for entry in fields(task) if entry.init}
    torch.save({**values, "metric": task.metric.key, "loading": asdict(task.loading)}, file)
    return file.getvalue(), task.metric if task.metric.key is None else None


def _unpack(packed: bytes, metric: Metric | None) -> Task:
    with quiet_sparse():
        values = torch.load(io.BytesIO(packed), weights_only=True)
    metric = metric or find(values["metric"])
    return Task(**{**values, "metric": metric, "loading": Loading(**values["loading"])})


_TASKS: list[Task] = []  # in a worker: the one task, unpacked once


def begin_worker() -> None:
    """What every process that works for another begins with: one thread, and an end when the other ends."""
    # Ctrl-C is for the process that waits; it ends this one in an orderly way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    torch.set_num_threads(1)


def _begin(packed: bytes, metric: Metric | None) -> None:
    begin_worker()
    kernels.retain()
    _TASKS.append(_unpack(packed, metric))


def _follow() -> None:
    """End this process when the one that waits is killed, which cannot say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _nothing() -> None:
    """What a process can do as soon as it has begun."""


def _work(training: Training) -> tuple[Result, int]:
    (task,) = _TASKS
    before = task.test_reads
    return training.run(task), task.test_reads - before
