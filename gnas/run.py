"""What a search hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnas.diagnosis import Finding
from gnas.journal import Journal
from gnas.model import GraphModel
from gnas.progress import words
from gnas.prose import finite
from gnas.space import Genotype, Space
from gnas.task import Task


@dataclass(frozen=True)
class Run:
    """What a search hands over; all of it also lies in the run's folder.

    Args:
        journal: The folder, with settings and events.
        task: The data as the search saw it.
        space: What was searched.
        genotype: What was found.
        model: The found network, trained from scratch, in evaluation mode.
        status: ``"done"``, or ``"interrupted"`` if Ctrl-C ended it early.
        metric: Metric of the model on the architecture split.
        diagnostics: What the run's events tell about its search, each with what to do: :mod:`gnas.diagnosis`.
    """

    journal: Journal
    task: Task
    space: Space
    genotype: Genotype
    model: GraphModel
    status: str
    metric: float
    diagnostics: tuple[Finding, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self.journal.folder

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.journal.path("report.html")

    def __repr__(self) -> str:
        return (
            f"Run({self.status}, {self.task.metric.text(self.metric)} on the architecture split, "
            f"{words(dict(self.genotype.choices))}, folder={str(self.folder)!r})"
        )

    @classmethod
    def read(cls, journal: Journal, task: Task, space: Space) -> Run:
        """The run as its folder has it, for one that has come to its end."""
        genotype = journal.read("genotype.json", Genotype.from_json)
        model = GraphModel.from_run(journal.folder).to(task.device)
        metric = finite(journal.events()[-1]["derived_metric"])
        told = tuple(Finding(**finding) for finding in journal.run().get("diagnostics") or ())
        return cls(journal, task, space, genotype, model, "done", metric, told)
