"""Narrower and wider spaces: functions from a space, and what is known of its options, to a space.

All keep the program and its choices, and change which options a choice has, so that a genotype of the narrower space
names a genotype of the wider one, and one supernet can run both (:meth:`gnas.GraphSupernet.narrow`). A choice that is
settled keeps its one option.

A :class:`Transform` is called with the space as it is, the weights of its own options (all of them, by the full space),
and the full space. :class:`gnas.strategy.Progressive` applies some, one after another, during a search.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gnas.checks import check_count, check_number, check_tuple
from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space

Weights = Mapping[str, Sequence[float]]


class Transform(Protocol):
    """The next space of a progressive search; a frozen dataclass."""

    def __call__(self, space: Space, weights: Weights, full: Space, /) -> Space: ...


def restrict(space: Space, options: Mapping[str, Sequence[Value]]) -> Space:
    """The space with these options alone, in the space's order; choices that aren't named stay as they are.

    Raises:
        ValueError: If there is no such choice or option, or none is left.
    """
    kept: dict[str, Choice] = {}
    for name, some in options.items():
        if name not in space.choices:
            raise ValueError(f"space {space.name!r} has no choice {name!r}; expected some of {list(space.choices)}")
        choice = space.choices[name]
        if not some:
            raise ValueError(f"choice {name!r} got no options to keep; expected some of {list(choice.options)}")
        order = sorted({choice.index(option) for option in some})
        kept[name] = Choice(name, tuple(choice.options[i] for i in order))

    def place(value: Any) -> Any:
        return kept.get(value.name, value) if isinstance(value, Choice) else value

    nodes = tuple(
        Node(
            node.name,
            place(node.op),
            tuple(place(read) for read in node.inputs),
            node.kind,
            {key: place(value) for key, value in node.settings.items()},
        )
        for node in space.nodes
    )
    starts = tuple(
        start
        for start in space.starts
        if all(any(_same(start[name], option) for option in choice.options) for name, choice in kept.items())
    )
    return replace(space, nodes=nodes, starts=starts)


@dataclass(frozen=True)
class Keep:
    """Keep the strongest options of each choice (P-DARTS, arXiv 1904.12760, its search space approximation).

    Args:
        share: Of the options that a choice has in the full space, rounded up; at least one stays.
        most: How many choices of an operation may still have ``identity`` in front afterwards; of those beyond, the
            least sure lose it, as in P-DARTS, which allows two skips a cell. ``None`` sets no limit.
        spared: Choices that are left alone.
    """

    share: float = 0.5
    most: int | None = None
    spared: tuple[str, ...] = ("depth",)

    def __post_init__(self) -> None:
        check_number(self, "share", positive=True, most=1)
        check_tuple(self, "spared", "('depth',)")
        if self.most is not None:
            check_count(self, "most", 0)

    def __call__(self, space: Space, weights: Weights, full: Space) -> Space:
        order = {n: ranked(choice, weights, full) for n, choice in space.choices.items() if n not in self.spared}
        counts = {n: max(1, math.ceil(self.share * len(full.choices[n].options) - 1e-9)) for n in order}
        left = {name: best[: counts[name]] for name, best in order.items()}
        if self.most is not None:
            skips = [name for name in _chosen_ops(space) if name in left and left[name][0] == "identity"]
            index = {name: full.choices[name].index("identity") for name in skips}
            # What has no other option keeps it, and counts first.
            surest = sorted(skips, key=lambda name: (len(order[name]) > 1, -weights[name][index[name]]))
            for name in surest[self.most :]:
                left[name] = left[name][1:] or order[name][1:2] or left[name]
        return restrict(space, left)


@dataclass(frozen=True)
class Reach:
    """Open a choice up to an option (P-DARTS' growing depth): its first options in the full space, and no more.

    What was closed among these on the way, as :class:`~gnas.strategy.gold_nas.GoldNas` does it, opens again.

    Args:
        share: Of the options of the full space, rounded up.
        choice: Which choice; a space without it stays as it is.
    """

    share: float = 1.0
    choice: str = "depth"

    def __post_init__(self) -> None:
        check_number(self, "share", positive=True, most=1)

    def __call__(self, space: Space, weights: Weights, full: Space) -> Space:
        if self.choice not in full.choices:
            return space
        options = full.choices[self.choice].options
        count = max(1, math.ceil(self.share * len(options) - 1e-9))
        now = {name: choice.options for name, choice in space.choices.items()}
        return restrict(full, {**now, self.choice: options[:count]})


@dataclass(frozen=True)
class Decide:
    """Settle the choices that are surest (SGAS, arXiv 1912.00195): each keeps its strongest option.

    As there, the sureness of a choice is the product of two numbers, each scaled to lie between 0 and 1 over the
    choices that are open: its importance, the weight of all that isn't ``zero``, and its certainty, one minus the
    entropy of that over the largest possible.

    Args:
        share: Of all choices of the full space, rounded up, that are settled at once; SGAS settles one.
        spared: Choices that are left alone.
    """

    share: float = 0.25
    spared: tuple[str, ...] = ("depth",)

    def __post_init__(self) -> None:
        check_number(self, "share", positive=True, most=1)
        check_tuple(self, "spared", "('depth',)")

    def __call__(self, space: Space, weights: Weights, full: Space) -> Space:
        free = [n for n, choice in space.choices.items() if len(choice.options) > 1 and n not in self.spared]
        total = sum(len(c.options) > 1 and n not in self.spared for n, c in full.choices.items())
        count = math.ceil(self.share * total - 1e-9)
        sure = sureness(space, weights, full, free)
        chosen = sorted(free, key=lambda name: -sure[name])[:count]
        return restrict(space, {n: [self._strongest(space.choices[n], weights, full)] for n in chosen})

    @staticmethod
    def _strongest(choice: Choice, weights: Weights, full: Space) -> Value:
        order = ranked(choice, weights, full)
        return next((option for option in order if option != "zero"), order[0])


def sureness(space: Space, weights: Weights, full: Space, names: Sequence[str]) -> dict[str, float]:
    """SGAS' first criterion: importance times certainty, each scaled to the range from 0 to 1 over ``names``."""
    importance, certainty = {}, {}
    for name in names:
        options, own = space.choices[name].options, full.choices[name]
        given = {option: float(weights[name][own.index(option)]) for option in options}
        total = math.fsum(given.values()) or 1.0
        live = [w / total for option, w in given.items() if option != "zero"]
        importance[name] = math.fsum(live)
        whole = math.fsum(live) or 1.0
        spread = -math.fsum(w / whole * math.log(w / whole) for w in live if w > 0)
        certainty[name] = 1 - spread / math.log(len(live)) if len(live) > 1 else 1.0
    scaled = [_scaled(importance), _scaled(certainty)]
    return {name: scaled[0][name] * scaled[1][name] for name in names}


def ranked(choice: Choice, weights: Weights, full: Space) -> list[Value]:
    """The options of a choice, the strongest first, among equals in their order."""
    own = full.choices[choice.name]
    return sorted(choice.options, key=lambda option: -weights[choice.name][own.index(option)])


def _scaled(values: Mapping[str, float]) -> dict[str, float]:
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    # Values that differ by rounding alone are equal.
    spread = high - low if high - low > 1e-9 else 0.0
    return {name: (value - low) / spread if spread else 1.0 for name, value in values.items()}


def _chosen_ops(space: Space) -> list[str]:
    return list(dict.fromkeys(node.op.name for node in space.nodes if isinstance(node.op, Choice)))


def _same(a: Value, b: Value) -> bool:
    return type(a) is type(b) and a == b
