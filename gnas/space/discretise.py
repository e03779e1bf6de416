"""From weights of options to genotypes: which bound program do they speak for most?"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space
from gnas.space.reading import read_choices

Weights = Mapping[str, Sequence[float]]
"""Weights of the options by name of choice, as :meth:`gnas.GraphSupernet.arch_weights` gives them."""

Assignment = dict[str, Value]


def most_probable(space: Space, weights: Weights, inputs: int | None = 1) -> Iterator[Genotype]:
    """Genotypes, the most probable first, under independent choices with probabilities ``weights``.

    Choices that a network doesn't read are at their strongest options, so that each network comes once and not once
    for every setting of what it leaves out.

    A sum of switchable edges keeps its ``inputs`` strongest, each by its strongest operation that is not
    ``zero``; the other edges are ``zero``. GNAS-MP keeps one, DARTS two, ``None`` keeps every edge.

    An option that weighs exactly nothing beside others that weigh something was closed by the search, and is in no
    genotype. A sum with fewer edges that are open keeps those, and one without any is all ``zero``.

    Args:
        space: The space that was searched.
        weights: Weight of each option by name of choice; any non-negative numbers.
        inputs: Edges that a sum keeps.
    """
    if inputs is not None and inputs < 1:
        raise ValueError(f"inputs got {inputs}; expected at least 1, or None to keep every edge of a sum")
    for name, choice in space.choices.items():
        if len(weights.get(name, ())) != len(choice.options):
            got = len(weights.get(name, ()))
            raise ValueError(
                f"choice {name!r} of space {space.name!r} got {got} weights for {len(choice.options)} options; "
                f"expected one each for {list(choice.options)}, try the arch_weights() of a supernet of this space"
            )
    groups = [sorted(group, key=lambda item: -item[0]) for group in _groups(space, weights, inputs)]
    start = (0,) * len(groups)
    heap = [(-math.fsum(group[0][0] for group in groups), start)]
    seen = {start}
    while heap:
        _, place = heapq.heappop(heap)
        chosen: Assignment = {}
        for group, i in zip(groups, place, strict=True):
            chosen |= group[i][1]
        genotype = Genotype(space.name, space.digest(), chosen)
        names = read_choices(space, genotype)
        read = [not names.isdisjoint(group[0][1]) for group in groups]
        if any(i and not used for i, used in zip(place, read, strict=True)):
            # The same network with the strongest options here has come before.
            continue
        yield genotype
        for g, i in enumerate(place):
            after = (*place[:g], i + 1, *place[g + 1 :])
            if read[g] and i + 1 < len(groups[g]) and after not in seen:
                seen.add(after)
                heapq.heappush(heap, (-math.fsum(group[j][0] for group, j in zip(groups, after, strict=True)), after))


def discretise(space: Space, weights: Weights, inputs: int | None = 1) -> Genotype:
    """The most probable genotype (:func:`most_probable`)."""
    return next(most_probable(space, weights, inputs))


def drawn(space: Space, weights: Weights, inputs: int | None, count: int) -> Iterator[Genotype]:
    """Genotypes drawn under independent choices, the same ones each time; others follow the rules of the most probable.

    A quarter of them each has the probabilities ``weights``, their square roots, their fourth roots, and all options
    that are open alike. The largest of log weights with Gumbel noise is a draw from the weights.
    """
    generator = random.Random(0)

    def noisy(weight: float, power: float) -> float:
        # What weighs nothing was closed, and stays so.
        return weight and math.exp(power * _log(weight) - math.log(generator.expovariate(1.0)))

    for power in (1.0, 0.5, 0.25, 0.0):
        for _ in range(-(-count // 4)):
            yield discretise(space, {n: [noisy(w, power) for w in values] for n, values in weights.items()}, inputs)


def edges(space: Space) -> dict[str, list[Choice]]:
    """Switchable edges by the sum that they end in.

    An edge is a node whose operation may be ``zero`` or something else, by a choice of its own, and that is read by
    that sum alone.
    """
    users: dict[str, int] = {}
    for node in space.nodes:
        for name in {choice.name for choice in node.choices}:
            users[name] = users.get(name, 0) + 1
    readers: dict[str, list[Node]] = {}
    for node in space.nodes:
        for name in node.reads():
            readers.setdefault(name, []).append(node)
    found: dict[str, list[Choice]] = {}
    for node in space.nodes:
        op, reading = node.op, readers.get(node.name, [])
        if not isinstance(op, Choice) or "zero" not in op.options or len(op.options) < 2:
            continue
        if users[op.name] == 1 and [reader.op for reader in reading] == ["sum"]:
            found.setdefault(reading[0].name, []).append(op)
    return found


def _log(weight: float) -> float:
    return math.log(max(weight, 1e-300))


def _groups(space: Space, weights: Weights, inputs: int | None) -> Iterator[list[tuple[float, Assignment]]]:
    switched = edges(space)
    grouped = {choice.name for choices in switched.values() for choice in choices}
    for name, choice in space.choices.items():
        if name not in grouped:
            yield [(_log(weight), {name: option}) for option, weight in opened(choice, weights)]
    for members in switched.values():
        choices = [choice for choice in members if _live(choice, weights)]
        for choice in members:
            if choice not in choices:
                yield [(0.0, {choice.name: "zero"})]
        if inputs is None or inputs >= len(choices):
            for choice in choices:
                yield _live(choice, weights)
            continue
        group: list[tuple[float, Assignment]] = []
        for some in combinations(choices, inputs):
            rest: Assignment = {choice.name: "zero" for choice in choices if choice not in some}
            for combination in product(*(_live(choice, weights) for choice in some)):
                assignment = dict(rest)
                for _, part in combination:
                    assignment |= part
                group.append((math.fsum(log for log, _ in combination), assignment))
        yield group


def _live(choice: Choice, weights: Weights) -> list[tuple[float, Assignment]]:
    pairs = opened(choice, weights)
    return [(_log(weight), {choice.name: option}) for option, weight in pairs if option != "zero"]


def opened(choice: Choice, weights: Weights) -> list[tuple[Value, float]]:
    """The options of a choice that are open, with their weights: those that weigh something, or all if none does."""
    pairs = list(zip(choice.options, weights[choice.name], strict=True))
    return [pair for pair in pairs if pair[1] > 0] or pairs


def confidence(space: Space, weights: Weights) -> dict[str, dict[str, float]]:
    """How sure each choice is: the lead of its strongest option, and its entropy over that of equal weights."""
    sure: dict[str, dict[str, float]] = {}
    for name, choice in space.choices.items():
        if len(choice.options) < 2:
            continue
        total = math.fsum(weights[name]) or 1.0
        shares = sorted((w / total for w in weights[name]), reverse=True)
        entropy = -math.fsum(p * math.log(p) for p in shares if p > 0) / math.log(len(shares))
        sure[name] = {"margin": shares[0] - shares[1], "entropy": entropy}
    return sure
