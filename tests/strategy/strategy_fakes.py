"""A tiny space, task and supernet: enough for a strategy, without graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gnas.relaxation import Relaxation, Softmax
from gnas.space import Choice, Genotype, Node, Space
from gnas.space.transform import restrict
from gnas.strategy import Darts, OneShot

FUNCTIONS = {"tanh": torch.tanh, "sin": torch.sin, "identity": lambda h: h}


def tiny_space() -> Space:
    """Two layers, each with a choice of function, and a choice of which one is read."""
    names = tuple(FUNCTIONS)
    nodes = (
        Node("h1", Choice("function.1", names), ("x",)),
        Node("h2", Choice("function.2", names), ("h1",)),
        Node("out", "identity", (Choice("depth", ("h1", "h2")),)),
    )
    return Space("tiny", nodes, "out")


class TinyTask:
    """Thirty rows in two classes; notes which role was read for what, and holds the test role shut."""

    in_channels, out_channels, higher_is_better, few_labels, words = 5, 2, True, True, True
    device = torch.device("cpu")
    inputs: ClassVar[dict[str, Any]] = {}

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(30, 5, generator=generator)
        self.y = (self.x[:, 0] * self.x[:, 1] > 0).long()
        self.nodes = {"weights": torch.arange(0, 15), "architecture": torch.arange(15, 25)}
        self.read: list[tuple[str, str]] = []

    def steps(
        self, generator: torch.Generator, roles: Sequence[str] = ("weights", "architecture")
    ) -> Iterator[dict[str, Tensor]]:
        yield dict.fromkeys(roles, self.x)

    def forward(self, model: Any, batch: Tensor) -> Tensor:
        output: Tensor = model(batch)
        return output

    def _index(self, role: str, what: str) -> Tensor:
        self.read.append((what, role))
        if role not in self.nodes:
            raise AssertionError(f"a strategy read the role {role!r}")
        return self.nodes[role]

    def loss(self, output: Tensor, batch: Tensor, role: str) -> Tensor:
        index = self._index(role, "loss")
        return nn.functional.cross_entropy(output[index], self.y[index])

    def metric(self, output: Tensor, role: str) -> float:
        index = self._index(role, "metric")
        return float((output[index].argmax(1) == self.y[index]).double().mean())

    @torch.no_grad()
    def measure(self, model: Any, roles: Sequence[str] = ("weights", "architecture")) -> dict[str, tuple[float, float]]:
        output = self.forward(model.eval(), self.x)
        return {role: (float(self.loss(output, self.x, role)), self.metric(output, role)) for role in roles}

    def test(self, model: Any) -> float:
        raise AssertionError("a strategy read the test role")


class TinySupernet(nn.Module):
    """Runs :func:`tiny_space`; ``scale`` is a running statistic that moves while training."""

    units = None

    scale: Tensor

    def __init__(self, space: Space, task: TinyTask, dropout: float, relaxation: Relaxation | None = None) -> None:
        super().__init__()
        self.space = space
        self.relaxation = relaxation or Softmax()
        self.auxiliary = 0.0
        self.partial = 1
        self.fixed: Genotype | None = None
        self.given: Mapping[str, Tensor] | None = None
        for name, choice in space.choices.items():
            self.register_buffer("open_" + name.replace(".", "__"), torch.ones(len(choice.options), dtype=torch.bool))
        self.layers = nn.ModuleList([nn.Linear(task.in_channels, 8), nn.Linear(8, 8)])
        self.decoder = nn.Linear(8, task.out_channels)
        self.decoding = True
        self.alphas = nn.ParameterDict(
            {
                name.replace(".", "__"): nn.Parameter(1e-3 * torch.randn(len(choice.options)))
                for name, choice in space.choices.items()
            }
        )
        self.dropout = dropout
        self.frozen = False
        self.register_buffer("scale", torch.ones(()))

    def alpha(self, name: str) -> nn.Parameter:
        return self.alphas[name.replace(".", "__")]

    def mix(self, name: str) -> Tensor:
        alpha = self.alpha(name)
        if self.fixed is not None:
            return one_hot(torch.tensor(self.space.choices[name].index(self.fixed[name])), len(alpha)).to(alpha)
        kept = self.kept(name)
        if self.given is not None:
            weights = self.given[name]
        else:
            weights = self.relaxation(alpha[kept], torch.default_generator if self.training else None)
        return torch.zeros_like(alpha).scatter(0, kept, weights)

    def kept(self, name: str) -> Tensor:
        return getattr(self, "open_" + name.replace(".", "__")).nonzero().flatten()

    def forward(self, x: Tensor) -> Tensor:
        outputs, h = [], x
        for i, layer in enumerate(self.layers, start=1):
            h = nn.functional.dropout(layer(h), self.dropout, self.training)
            mix = self.mix(f"function.{i}")
            mixed = torch.stack([w * function(h) for w, function in zip(mix, FUNCTIONS.values(), strict=True)]).sum(0)
            h = mixed + self.auxiliary * h
            outputs.append(h)
        if self.training and not self.frozen:
            self.scale.mul_(0.9).add_(0.1 * h.detach().square().mean())
        mix = self.mix("depth")
        state = (mix[0] * outputs[0] + mix[1] * outputs[1]) / self.scale.sqrt()
        return self.decoder(state) if self.decoding else state

    @contextmanager
    def undecoded(self) -> Iterator[None]:
        self.decoding = False
        try:
            yield
        finally:
            self.decoding = True

    @contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        self.frozen = True
        try:
            yield
        finally:
            self.frozen = False

    @contextmanager
    def without_dropout(self) -> Iterator[None]:
        before, self.dropout = self.dropout, 0.0
        try:
            yield
        finally:
            self.dropout = before

    def arch_parameters(self) -> list[nn.Parameter]:
        return list(self.alphas.values())

    def weight_parameters(self) -> list[nn.Parameter]:
        return [p for name, p in self.named_parameters() if not name.startswith("alphas.")]

    def arch_weights(self) -> dict[str, Tensor]:
        own = getattr(self.relaxation, "probabilities", None) or self.relaxation
        found = {}
        for name in self.space.choices:
            alpha, kept = self.alpha(name).detach(), self.kept(name)
            found[name] = torch.zeros_like(alpha).scatter(0, kept, own(alpha[kept]))
        return found

    def open_alphas(self) -> dict[str, Tensor]:
        return {name: self.alpha(name)[self.kept(name)] for name in self.space.choices}

    @contextmanager
    def weighted(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        self.given = weights
        try:
            yield
        finally:
            self.given = None

    def set_arch(self, genotype: Genotype | None) -> None:
        self.fixed = genotype

    def narrow(self, space: Space) -> None:
        for name, choice in self.space.choices.items():
            kept = [choice.index(option) for option in space.choices[name].options]
            mask = getattr(self, "open_" + name.replace(".", "__"))
            mask.fill_(False)
            mask[kept] = True

    def narrowed(self) -> Space:
        choices = self.space.choices
        return restrict(self.space, {n: [choices[n].options[i] for i in self.kept(n).tolist()] for n in choices})


def tiny(kind: type[OneShot]) -> type[Any]:
    """A one-shot strategy on the tiny supernet."""

    def build(self: Any, space: Space, task: TinyTask) -> TinySupernet:
        return TinySupernet(space, task, self.regularisation(task).dropout, self.relaxation_at(0))

    return type(f"Tiny{kind.__name__}", (kind,), {"build": build})


class TinyDarts(Darts):
    """DARTS on the tiny supernet."""

    def build(self, space: Space, task: TinyTask) -> TinySupernet:  # type: ignore[override]
        return TinySupernet(space, task, self.regularisation(task).dropout, self.relaxation)


def batches_of(task: Any) -> dict[str, Any]:
    """The batches of the one step that an epoch on a whole graph has."""
    (batches,) = task.steps(torch.default_generator)
    return dict(batches)
