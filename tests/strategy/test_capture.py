"""A recorded search step: it asks nothing of the device, and a search of recorded steps is the search of plain ones.

What a GPU does is played here: recording a step leaves everything as it was, and a replay does what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data

from gnas import kernels
from gnas.relaxation import Gumbel, MaxW, Sigmoid, Softmax
from gnas.space import gap, layered
from gnas.space.transform import Keep
from gnas.strategy import Darts, DrNas, FewShot, Progressive
from gnas.strategy.one_shot import ROLES, OneShotState
from gnas.strategy.stabilisers import Perturbation, Selection
from gnas.task import Task

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "bincount", "_unique2", "equal")
"""Operators whose result a host waits for, or whose argument it sends."""


def small_task(kind: str = "classification") -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    edge_index = torch.randint(40, (2, 120), generator=generator)
    y = {"classification": (x[:, 0] > 0).long(), "multilabel": (x[:, :3] > 0).float(), "regression": x[:, :2] + 1}[kind]
    if kind != "classification":
        y[::7, 0] = torch.nan
    return Task.from_data(Data(x=x, edge_index=edge_index, y=y), kind=kind)


class Waiting(TorchDispatchMode):
    """Collects what a host would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        masked = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if masked or name in WAITING:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collects what a host would wait for, also where no operator is called for it."""
    with monkeypatch.context() as patch, Waiting() as waiting:
        for name in ("tolist", "item", "__bool__", "__float__", "__int__", "numpy"):
            own = getattr(Tensor, name)

            def told(self: Tensor, *args: Any, own: Any = own, name: str = name) -> Any:
                waiting.found.append(name)
                return own(self, *args)

            patch.setattr(Tensor, name, told)
        yield waiting.found


@pytest.mark.parametrize("space", [layered(max_depth=3), gap(max_depth=1)], ids=["layered", "gap"])
@pytest.mark.parametrize(
    "relaxation, kind",
    [(Softmax(), "classification"), (Sigmoid(), "multilabel"), (MaxW(), "regression")],
    ids=["softmax, classes", "sigmoid, labels", "maxw, numbers"],
)
def test_a_step_asks_nothing_of_the_device(
    space: Any, relaxation: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, strategy = small_task(kind), Darts(epochs=5, hidden_channels=8, relaxation=relaxation)
    torch.manual_seed(0)
    state = strategy.init(space, task, torch.default_generator)
    state.supernet.train()
    (batches,) = task.steps(torch.default_generator, ROLES)
    with kernels.use("reference"):
        for watched in (False, False, True):
            # On a GPU Adam counts its steps there; that counter is not what is asked about.
            monkeypatch.setattr(state.weight_optimizer, "step", lambda: None)
            monkeypatch.setattr(state.arch_optimizer, "step", lambda: None)
            with watching(monkeypatch) if watched else nullcontext([]) as found:
                strategy.update_weights(task, state, batches)
                strategy.update_architecture(task, state, batches)
    assert found == []


def test_what_is_watched_for_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    task, strategy = small_task(), DrNas(epochs=5, hidden_channels=8)
    state = strategy.init(layered(max_depth=2), task, torch.default_generator)
    (batches,) = task.steps(torch.default_generator, ROLES)
    with watching(monkeypatch) as found:
        strategy.update_weights(task, state, batches)
        torch.ones(()).item()
    assert {"tolist", "item"} <= set(found)


class Played:
    """What :class:`torch.cuda.CUDAGraph` does, with steps that are run again."""

    def __init__(self) -> None:
        self.step: Callable[[], None] | None = None

    def replay(self) -> None:
        assert self.step is not None
        self.step()


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[OneShotState], None]:
    """Plays a GPU for a state's steps."""
    states: list[OneShotState] = []

    @contextmanager
    def graph(recording: Played) -> Iterator[None]:
        (state,) = states
        before, random = io_of(state), torch.get_rng_state()
        yield
        for now, was in zip(io_of(state, copied=False), before, strict=True):
            now.data.copy_(was)
        torch.set_rng_state(random)
        (recording.step,) = [r.step for r in state.recorded.values() if r.graph is None and r.runs == 3]

    def io_of(state: OneShotState, copied: bool = True) -> list[Tensor]:
        optimizers = [state.weight_optimizer, state.arch_optimizer]
        counts = [t for o in optimizers if o is not None for own in o.state.values() for t in own.values()]
        every = [*state.supernet.state_dict(keep_vars=True).values(), *counts]
        return [t.detach().clone() if copied else t for t in every]

    class Stream:
        def wait_stream(self, other: Any) -> None:
            assert isinstance(other, Stream)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Played)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    return states.append


def test_recorded_steps_are_the_search(played: Callable[[OneShotState], None], monkeypatch: pytest.MonkeyPatch) -> None:
    task, found = small_task(), []
    for capture in (False, True):
        strategy = Darts(epochs=12, warmup=2, hidden_channels=8, capture=capture)
        torch.manual_seed(0)
        with monkeypatch.context() as patch:
            # A task on a GPU, as far as this can tell.
            patch.setattr(Darts, "init", super(Darts, strategy).init.__func__)  # type: ignore[attr-defined]
            state = strategy.init(layered(max_depth=2), task, torch.default_generator)
        if capture:
            played(state)
        found.append([strategy.step(task, state) for _ in range(12)])
        graphs = {what: recorded.graph is not None for what, recorded in state.recorded.items()}
        assert graphs == ({"architecture": True, "weights": True} if capture else {})
    assert found[0] == found[1]
    # What is loaded has other tensors than those that were recorded.
    state.load_state_dict(state.state_dict())
    assert state.recorded == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"order": 2},
        {"optimizer": "sgd"},
        {"relaxation": Gumbel()},
        {"auxiliary": 1.0},
        {"beta": 50.0},
        {"selection": Selection()},
        {"perturbation": Perturbation()},
        {"checkpoint": True},
    ],
)
def test_steps_that_differ_are_not_recorded(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=f"capture=True and {name}=.*expected settings under which every step"):
        Darts(capture=True, **settings)


@pytest.mark.parametrize("wrap", [lambda d: Progressive(inner=d, transforms=(Keep(0.5),)), lambda d: FewShot(inner=d)])
def test_wrappers_that_close_options_refuse_recorded_steps(wrap: Callable[[Darts], object]) -> None:
    with pytest.raises(ValueError, match="capture=True, whose recorded steps know one set of open options"):
        wrap(Darts(capture=True))


def test_recording_needs_a_gpu_and_one_whole_graph(played: Callable[[OneShotState], None]) -> None:
    task, strategy = small_task(), Darts(epochs=5, hidden_channels=8, capture=True)
    with pytest.raises(ValueError, match="capture=True and a task on cpu; expected a GPU"):
        strategy.init(layered(max_depth=2), task, torch.default_generator)
    parts = Task.from_data(
        Data(x=task.x, edge_index=task.edge_index, y=task.y), loader="random", parts=4, features="none"
    )
    state = Darts(epochs=5, hidden_channels=8).init(layered(max_depth=2), parts, torch.default_generator)
    with pytest.raises(ValueError, match="batches that change from step to step"):
        for batches in parts.steps(torch.default_generator, ROLES):
            strategy.update_weights(parts, state, batches)
