"""What a surrogate model sees of a network: counts of small pieces of its labelled graph, as one sparse vector.

All pieces are read from the program that a genotype is bound to (:class:`gnas.space.trace.Trace`), so equal networks
have equal features whatever the space calls its choices. The groups of pieces are

* ``count``: how often each operation occurs, with its attributes,
* ``pair`` and ``chain``: two and three operations in a row, ``x`` before the first and ``out`` after the last,
* ``tree``: a node with all that lies above it (the Weisfeiler-Lehman label after as many rounds as it has ancestors),
* ``above`` and ``below``: an operation with its distance from the input, and from the output,
* ``sibling``: two operations that read the same, or that both are read last,
* ``present``: which operations, and which two operations, occur at all,
* ``form``: the graph without its labels, as one piece,
* ``shape``: depth, number of nodes, of ends and of operations that read neighbours.

A group's counts are damped by a square root, and groups are scaled so that two random networks of the space have a mean
squared distance of one in each, then weighted by :data:`WEIGHTS`.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from gnas.ops import OPS
from gnas.space import Genotype, Space
from gnas.space.trace import Trace, Tracer

WEIGHTS = {
    "count": 0.08,
    "pair": 0.08,
    "chain": 0.25,
    "tree": 0.25,
    "above": 0.2,
    "below": 0.35,
    "shape": 0.2,
    "sibling": 0.05,
    "present": 0.07,
    "form": 0.15,
}
"""Weight of each group in the distance of two networks."""
PLAIN = ("count", "pair", "shape")
"""Groups that the linear part of a model reads."""
SHAPES = ("nodes", "ends", "depth", "shallow", "middle", "messages", "residuals")
COLUMNS = 2**20
SAMPLE = 400


def pieces(trace: Trace) -> dict[str, Counter[str]]:
    """The pieces of one network by group; what skips is passed through, and a last concatenation only marks ends."""
    labels, reads, ends, residuals = _plain(trace)
    children: list[list[int]] = [[] for _ in labels]
    above, trees = [0] * len(labels), list(labels)
    for i, inputs in enumerate(reads):
        for read in inputs:
            children[read].append(i)
        if inputs:
            above[i] = 1 + max(above[read] for read in inputs)
            trees[i] = _short(f"{labels[i]}({','.join(trees[read] for read in inputs)})")
    found: dict[str, Counter[str]] = {group: Counter() for group in WEIGHTS}
    inner = [i for i, inputs in enumerate(reads) if inputs]
    found["count"].update(labels[i] for i in inner)
    found["tree"].update(trees[i] for i in inner)
    found["tree"].update(f"{trees[end]}>out" for end in ends)
    found["above"].update(f"{labels[i]}@{above[i]}" for i in inner)
    for last, name in [*((i, labels[i]) for i in inner), *((len(labels), "out") for _ in ends[:1])]:
        for read in reads[last] if last < len(labels) else ends:
            found["pair"][f"{labels[read]}>{name}"] += 1
            found["chain"].update(f"{labels[first]}>{labels[read]}>{name}" for first in reads[read])
    found["below"].update(f"{labels[i]}^{distance}" for i, distance in _below(reads, ends) if reads[i])
    together = [*children, ends]
    for kind, group in enumerate(together):
        names = sorted(labels[i] for i in group)
        mark = "end " if kind == len(children) else ""
        found["sibling"].update(f"{mark}{a}|{b}" for a, b in itertools.combinations(names, 2))
    there = sorted({labels[i] for i in inner})
    found["present"].update(there)
    found["present"].update(f"{a}&{b}" for a, b in itertools.combinations(there, 2))
    forms: list[str] = []
    for inputs in reads:
        forms.append("(" + _short("".join(sorted(forms[read] for read in inputs))) + ")")
    found["form"][_short("".join(sorted(forms[end] for end in ends)))] += 1
    depths = [above[end] for end in ends]
    messages = sum(1 for i in inner if labels[i].split("(")[0] in MESSAGES)
    shape = (len(inner), len(ends), max(depths), min(depths), sum(depths) / len(depths), messages, residuals)
    found["shape"].update(dict(zip(SHAPES, shape)))
    return found


def _short(text: str) -> str:
    """The text, or a number for one that has grown long: in a deep network of many ways labels double at each step."""
    return text if len(text) < 200 else str(zlib.crc32(text.encode()))


MESSAGES = frozenset(name for name, op in OPS.items() if op.messages)


def _plain(trace: Trace) -> tuple[list[str], list[tuple[int, ...]], list[int], int]:
    """Labels and what each node reads, without skips; the ends; and how many ends skip."""
    labels: list[str] = []
    reads: list[tuple[int, ...]] = []
    places: list[int] = []
    last = trace.steps[trace.output]
    joined = last[0] == "concat"
    for place, (label, inputs) in enumerate(trace.steps):
        if joined and place == trace.output:
            break
        if label == "skip":
            places.append(places[inputs[0]])
            continue
        places.append(len(labels))
        labels.append(label)
        reads.append(tuple(places[read] for read in inputs))
    outputs = last[1] if joined else (trace.output,)
    residuals = sum(1 for place in outputs if joined and trace.steps[place][0] == "skip")
    return labels, reads, [places[place] for place in outputs], residuals


def _below(reads: Sequence[tuple[int, ...]], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each node with its distance to each output that it leads to, shortest ways, no distance twice."""
    found: list[set[int]] = [set() for _ in reads]
    for end in ends:
        found[end].add(0)
    for i in range(len(reads) - 1, -1, -1):
        for read in reads[i]:
            # A deep network of many ways has no more than the few nearest.
            found[read].update(distance + 1 for distance in sorted(found[i])[:4])
    for i, distances in enumerate(found):
        yield from ((i, distance) for distance in distances)


class Encoder:
    """Feature vectors of the genotypes of one space; what was encoded once is kept."""

    def __init__(self, space: Space) -> None:
        self.tracer = Tracer(space)
        self.traces: dict[Genotype, Trace] = {}
        self.vectors: dict[Trace, tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]] = {}
        self.columns: dict[tuple[str, str], int] = {}
        # The space's own scale: it doesn't depend on a run.
        generator = random.Random(0)
        sample = [pieces(self.trace(space.sample(generator))) for _ in range(SAMPLE)]
        self.centre = {name: float(np.mean([found["shape"][name] for found in sample])) for name in SHAPES}
        self.spread = {name: float(np.std([found["shape"][name] for found in sample])) or 1.0 for name in SHAPES}
        self.scale = {group: 1.0 / math.sqrt(self._distance(sample, group)) for group in WEIGHTS}

    def trace(self, genotype: Genotype) -> Trace:
        """The network of a genotype as a graph."""
        trace = self.traces.get(genotype)
        if trace is None:
            trace = self.traces[genotype] = self.tracer(genotype)
        return trace

    def _value(self, group: str, name: str, count: float) -> float:
        return (count - self.centre[name]) / self.spread[name] if group == "shape" else math.sqrt(count)

    def _distance(self, sample: Sequence[dict[str, Counter[str]]], group: str) -> float:
        total = 0.0
        for one, other in itertools.pairwise(sample):
            names = {*one[group], *other[group]}
            values = [self._value(group, n, one[group][n]) - self._value(group, n, other[group][n]) for n in names]
            total += sum(value * value for value in values)
        return total / (len(sample) - 1) or 1.0

    def _vector(self, trace: Trace) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
        known = self.vectors.get(trace)
        if known is not None:
            return known
        columns, values, plain = [], [], []
        for group, counts in pieces(trace).items():
            weight = math.sqrt(WEIGHTS[group] / sum(WEIGHTS.values())) * self.scale[group]
            for name, count in counts.items():
                column = self.columns.get((group, name))
                if column is None:
                    # A column doesn't depend on what was seen before, so a resumed run sums in the same order.
                    column = self.columns[group, name] = zlib.crc32(f"{group} {name}".encode()) % COLUMNS
                columns.append(column)
                values.append(weight * self._value(group, name, count))
                plain.append(group in PLAIN)
        order = np.argsort(columns, kind="stable")
        vector = (
            np.array(columns, dtype=np.int32)[order],
            np.array(values, dtype=np.float32)[order],
            np.array(plain)[order],
        )
        self.vectors[trace] = vector
        return vector

    def __call__(self, traces: Sequence[Trace]) -> Features:
        """The features of networks, a row each."""
        vectors = [self._vector(trace) for trace in traces]
        return Features.of([v[0] for v in vectors], [v[1] for v in vectors], [v[2] for v in vectors])


class Features:
    """Rows of features: all of them, and those that the linear part reads.

    Args:
        all: [networks, columns], sparse.
        plain: [networks, columns], sparse.
    """

    def __init__(self, all: Any, plain: Any) -> None:
        self.all, self.plain = all, plain
        self.squares = np.asarray(all.multiply(all).sum(axis=1), dtype=np.float32).ravel()

    @classmethod
    def of(cls, columns: Sequence[Any], values: Sequence[Any], plain: Sequence[Any]) -> Features:
        """From the entries of each row."""
        ends = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
        indices, data, mask = np.concatenate(columns), np.concatenate(values), np.concatenate(plain)
        shape = (len(columns), COLUMNS)
        both = scipy.sparse.csr_matrix((data, indices, ends), shape=shape)
        kept = np.concatenate([[0], np.cumsum(mask)])[ends]
        return cls(both, scipy.sparse.csr_matrix((data[mask], indices[mask], kept), shape=shape))

    def __len__(self) -> int:
        return int(self.all.shape[0])

    def __getitem__(self, rows: Any) -> Features:
        return Features(self.all[rows], self.plain[rows])

    def compare(self, other: Features) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Squared distances, and products of the plain features, each [networks, others]."""
        product = (self.all @ other.all.T).toarray()
        distance = np.maximum(self.squares[:, None] + other.squares[None] - 2 * product, 0)
        return distance, (self.plain @ other.plain.T).toarray()


@functools.lru_cache(maxsize=4)
def encoder(space: Space) -> Encoder:
    """The encoder of a space, one for all searches in it."""
    return Encoder(space)


@functools.lru_cache(maxsize=2)
def everything(space: Space) -> tuple[tuple[Genotype, ...], tuple[Trace, ...], Features]:
    """Every network of a space once: the genotype that stands for it, its trace and its features."""
    encode, found = encoder(space), dict[Trace, Genotype]()
    seen: set[Genotype] = set()
    names, digest = list(space.choices), space.digest()
    for options in itertools.product(*(choice.options for choice in space.choices.values())):
        genotype = space.canonical(Genotype(space.name, digest, dict(zip(names, options))))
        if genotype not in seen:
            seen.add(genotype)
            # What is kept for each genotype would be a second copy of the space.
            found.setdefault(encode.tracer(genotype), genotype)
    traces = tuple(found)
    return tuple(found.values()), traces, encode(traces)
