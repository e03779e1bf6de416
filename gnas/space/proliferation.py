"""Proliferation: a space whose states divide, stage by stage, until it has all of them.

"Automatic Relation-aware Graph Network Proliferation" (Cai and others, ARGNP, CVPR 2022, arXiv 2205.15678): network
division and differentiation take turns. A search begins with few states a cell. Then each state divides in two: the
first keeps what the search chose for it, the second reads the same inputs, and the first, by operations that are open
again. So no stage has more than a few open operations for each new state: their number grows with that of the states,
where that of all pairs of states grows with its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gnas.checks import check_count
from gnas.space.discretise import edges
from gnas.space.node import Choice, Value
from gnas.space.program import Space
from gnas.space.transform import Weights, ranked, restrict

ZERO = "zero"


@dataclass(frozen=True)
class State:
    """A sum of switchable edges: for each state of its cell that it may read, and for what lies outside, the choice.

    Args:
        name: The sum.
        place: Its place in the cell, from 0.
        reads: Pairs of a place in the cell, -1 for what lies outside, and the choice of the edge from there.
    """

    name: str
    place: int
    reads: tuple[tuple[int, Choice], ...]


@dataclass(frozen=True)
class Proliferate:
    r"""Let the states at every ``stride``-th place of each cell live; those that lived before divide.

    A cell is a chain of sums of which each may read the earlier ones, such as the node states and the edge states of a
    layer of ``relational``. With k divisions the strides are :math:`2^k, ..., 2, 1`, the first of them at the start:
    ``Progressive(inner, start=(Proliferate(4),), transforms=(Proliferate(2), Proliferate(1)))``, or :func:`argnp`.

    .. math::
        s_i = \sum_{j \in R_i} o_{ij}(s_j) \;\to\; s_i^1 = \sum_{j \in R_i} o^*_{ij}(s_j^2), \quad
        s_i^2 = \sum_{j \in R_i} \bar o_{ij}(s_j^2) + \bar o_i(s_i^1)

    with :math:`o^*` what was chosen, :math:`\bar o` what is open, and for a state outside of the cell itself.

    Where it departs from the paper, and why: the paper searches each stage with a new supernet; here one supernet runs
    through all of it and keeps its weights, as :class:`gnas.strategy.Progressive` does. A state without a place for a
    second one stays as it is. Edge and node states divide in their own cells, which have the same places.

    Args:
        stride: From one living state to the next; 1 lets all live.
        inputs: Edges of a sum that are kept when it divides, the strongest; ``None`` keeps all.
    """

    stride: int = 1
    inputs: int | None = 1

    def __post_init__(self) -> None:
        check_count(self, "stride", 1)
        if self.inputs is not None:
            check_count(self, "inputs", 1)

    def __call__(self, space: Space, weights: Weights, full: Space) -> Space:
        options: dict[str, Sequence[Value]] = {}
        for cell in cells(full):
            alive = [state for state in cell if _open(state, space)]
            if len(alive) > len(range(0, len(cell), self.stride)):
                options |= self.begin(cell)
            else:
                for state in alive:
                    options |= self.divide(cell, state, space, weights, full)
        return restrict(full, {**{n: choice.options for n, choice in space.choices.items()}, **options})

    def begin(self, cell: Sequence[State]) -> dict[str, Sequence[Value]]:
        """The states that live at first, which may read each other; the rest is silent."""
        found: dict[str, Sequence[Value]] = {}
        for state in cell:
            for source, choice in state.reads:
                lives = not state.place % self.stride and (source < 0 or not source % self.stride)
                found[choice.name] = choice.options if lives else [ZERO]
        return found

    def divide(
        self, cell: Sequence[State], state: State, space: Space, weights: Weights, full: Space
    ) -> dict[str, Sequence[Value]]:
        """The options of a state and of the one that splits off it."""
        second = state.place + self.stride
        if second >= len(cell) or _open(cell[second], space):
            return {}
        kept = self.chosen(state, space, weights, full)
        # What was read of a state is read of its second half.
        moved = {(source + self.stride if source >= 0 else source): op for source, op in kept.items()}
        found: dict[str, Sequence[Value]] = {c.name: [moved.get(source, ZERO)] for source, c in state.reads}
        for source, choice in cell[second].reads:
            found[choice.name] = choice.options if source in moved or source == state.place else [ZERO]
        return found

    def chosen(self, state: State, space: Space, weights: Weights, full: Space) -> dict[int, Value]:
        """The strongest operation of each edge that is kept, by where the edge comes from."""
        best: list[tuple[float, int, Value]] = []
        for source, choice in state.reads:
            live = [option for option in ranked(space.choices[choice.name], weights, full) if option != ZERO]
            if live:
                best.append((-weights[choice.name][choice.index(live[0])], source, live[0]))
        best.sort(key=lambda edge: edge[:2])
        return {source: op for _, source, op in best[: self.inputs]}


def cells(space: Space) -> list[list[State]]:
    """The chains of sums of switchable edges of which each may read the earlier ones.

    Raises:
        ValueError: If the space has none with two states or more.
    """
    nodes, sums = {node.name: node for node in space.nodes}, edges(space)
    found: list[list[State]] = []
    home: dict[str, list[State]] = {}
    for name, choices in sums.items():
        names = {choice.name for choice in choices}
        terms = [nodes[str(term)] for term in nodes[name].inputs]
        sources = [
            (str(term.inputs[0]), term.op) for term in terms if isinstance(term.op, Choice) and term.op.name in names
        ]
        cell = next((home[source] for source, _ in sources if source in home), [])
        own = {state.name: state.place for state in cell}
        reads = tuple((own.get(source, -1), choice) for source, choice in sources)
        cell.append(State(name, len(cell), reads))
        if len(cell) == 1:
            found.append(cell)
        home[name] = cell
    if not any(len(cell) > 1 for cell in found):
        raise ValueError(
            f"space {space.name!r} has no cell of two states or more that could divide; expected sums of switchable "
            "edges that read each other, try gnas.relational(steps=4)"
        )
    return found


def _open(state: State, space: Space) -> bool:
    return any(option != ZERO for _, choice in state.reads for option in space.choices[choice.name].options)
