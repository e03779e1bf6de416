"""The space that a task is searched in where its settings are not given."""

from __future__ import annotations

from typing import Any

from gnas.recipe import Labelled
from gnas.space import SPACES, Space

NORMS = ("identity", "batch_norm")
"""The normalisations that ``layered`` leaves open, unless labels are few."""


def usual_space(task: Labelled, name: str = "layered", **settings: Any) -> Space:
    """A space by its name.

    ``layered`` also asks whether its layers normalise, but not where labels are few: then it is one question too many,
    and networks are as shallow as those of the papers, which do without.

    Args:
        task: What is to be searched.
        name: One of :data:`gnas.space.SPACES`.
        **settings: Of the space; what is given here is not changed.
    """
    if name == "layered" and not task.few_labels:
        settings = {"norms": NORMS, **settings}
    return SPACES[name](**settings)
