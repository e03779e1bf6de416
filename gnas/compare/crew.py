"""Trainings side by side: each is independent of all others, so processes share them out.

On a small graph one thread is used best by one training; two processes of one thread do nearly twice as much as one
of two threads.
"""

from __future__ import annotations

import io
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from typing import TypeAlias

import torch

from gnas import kernels
from gnas.data import quiet_sparse
from gnas.evaluate import Result, TrainFromScratch, builder
from gnas.headed import hand_made
from gnas.metrics import Metric, find
from gnas.space import Space
from gnas.task import Loading, Task

Network: TypeAlias = str | Space
"""A hand-made network by name, or a bound space."""


@dataclass(frozen=True)
class Job:
    """One training."""

    network: Network
    evaluator: TrainFromScratch
    seed: int
    test: bool

    def run(self, task: Task) -> Result:
        """Train on the task."""
        build = hand_made(task)[self.network] if isinstance(self.network, str) else builder(self.network)
        # The weights are not kept: a comparison needs the numbers only.
        return replace(self.evaluator(build, task, self.seed, test=self.test), state={})


class Crew:
    """Runs jobs on one task, here or in ``workers`` processes, which start with the first job."""

    def __init__(self, task: Task, workers: int = 1) -> None:
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

    def run(self, jobs: Sequence[Job], tell: Callable[[Result], None]) -> list[Result]:
        """Results in the order of the jobs; each is told as it comes."""
        if self.workers == 1:
            results = []
            for job in jobs:
                results.append(job.run(self.task))
                tell(results[-1])
            return results
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.workers,
                # A forked process would inherit locks of torch's threads.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=_pack(self.task),
            )
        futures: list[Future[tuple[Result, int]]] = [self.pool.submit(_work, job) for job in jobs]
        for future in as_completed(futures):
            result, reads = future.result()
            self.task.test_reads += reads
            tell(result)
        return [future.result()[0] for future in futures]

    def close(self) -> None:
        """End the processes; jobs that have not begun are dropped."""
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


def _begin(packed: bytes, metric: Metric | None) -> None:
    # Ctrl-C is for the process that waits; it ends this one in an orderly way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    kernels.retain()
    _TASKS.append(_unpack(packed, metric))


def _work(job: Job) -> tuple[Result, int]:
    (task,) = _TASKS
    before = task.test_reads
    return job.run(task), task.test_reads - before
