"""A step of a search as a CUDA graph: recorded once, then replayed without Python.

On a small graph a GPU is done with an operation before Python has launched the next. A recorded step is launched at
once; it does to the same tensors what it did when it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

WARM = 3
"""Runs before a step is recorded, in which what is made once is made."""


class Recorded:
    """A step that runs as it is at first, is then recorded, and from then on replayed.

    Args:
        step: Changes tensors in place, always the same ones, and asks nothing of the device.
        batch: What it reads.
    """

    def __init__(self, step: Callable[[], None], batch: Any) -> None:
        self.step, self.batch, self.runs = step, batch, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, batch: Any) -> None:
        """The step once more.

        Raises:
            ValueError: The batch is another than before.
        """
        if batch is not self.batch:
            raise ValueError(
                "got capture=True and batches that change from step to step; expected one whole graph, "
                "try capture=False, or a Task with loader='full'"
            )
        if self.graph is not None:
            self.graph.replay()
        elif self.runs < WARM:
            self._aside()
        else:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step()
            # Recording runs nothing.
            graph.replay()
            self.graph = graph
        self.runs += 1

    def _aside(self) -> None:
        # What is recorded afterwards must not wait for the stream that everybody uses.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.step()
        torch.cuda.current_stream().wait_stream(side)


def check_capture(settings: Any, changing: dict[str, bool]) -> None:
    """Refuse settings under which no two steps are alike.

    Args:
        settings: A strategy's, with its ``name``.
        changing: Names of settings, and whether each is set so.
    """
    found = [name for name, set_so in changing.items() if set_so]
    if found:
        told = ", ".join(f"{name}={getattr(settings, name)!r}" for name in found)
        raise ValueError(
            f"{settings.name} got capture=True and {told}; expected settings under which every step does the same: "
            "first order, Adam, a relaxation that computes every option and nothing that changes over the epochs; "
            "try capture=False"
        )


def refuse_capture(name: str, inner: Any) -> None:
    """Refuse an inner strategy whose steps are recorded, in a wrapper that closes options."""
    if getattr(inner, "capture", False):
        raise ValueError(
            f"{name} got an inner strategy with capture=True, whose recorded steps know one set of open options; "
            f"expected capture=False"
        )
