"""Bench: the space of NAS-Bench-Graph, whose networks have all been trained.

"NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search" (Qin, Zhang, Wang, Zhang, Zhu; NeurIPS 2022 Datasets
and Benchmarks, arXiv 2206.09166). Four nodes, each with one operation and one input: the wiring says which earlier
node, or the raw input, each one reads. What no node reads is joined and goes to the output. With nine wirings (all
trees of four nodes, up to their numbering) and nine operations there are 9 * 9^4 = 59,049 genotypes.

The tables have a row for each of 26,206 networks, because their authors count many genotypes as one. The rule
(:func:`canonical`) brings a genotype to the form that has the row:

1. A node that skips is moved to the front, directly onto the raw input, when some node reads it, or when no other
   node reads what it reads, or when nobody reads it and all nodes between it and the raw input are skips. Its readers
   then read what it read, all others read what they did.
2. Nodes that can be swapped without changing the network stand in the order of their operations.

So a skip in front is a network with a node less, and a skip that stays behind is a residual to the output. Here that
form is what a genotype is bound to, hence what its digest names. Only the network of four skips has no row.

Departures from the paper, where a network is built for real: an encoder brings the features to the hidden channels
before the first node, and ReLU and dropout stand before a node's projection, as everywhere in gnas; joined states are
projected to the hidden channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from gnas.checks import several
from gnas.space.genotype import Genotype
from gnas.space.node import Choice, Node
from gnas.space.program import Space

WIRINGS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
"""What the four nodes read, by number: 0 is the raw input, 1 the first node."""
OPS = ("gat2", "gcn", "gin", "cheb", "sage_mean", "arma", "graph_conv", "linear", "skip")
"""Operations in the order of the tables: there gat, gcn, gin, cheb, sage, arma, graph, fc and skip."""
PROTEINS_OPS = ("gcn", "sage_mean", "arma", "linear", "skip")
"""Those that the table of proteins has."""

SKIP = OPS.index("skip")
# Positions that can be swapped, of nodes that read the same and are read by nobody.
TWINS = {"0000": (0, 1, 2, 3), "0001": (1, 2), "0011": (2, 3), "0111": (1, 2, 3), "0122": (2, 3)}
# Forms that moving a skip leads to and that are no wiring, with the order of nodes that makes them one.
RENUMBERED = {"0121": ("0112", (0, 1, 3, 2)), "0113": ("0112", (0, 2, 1, 3))}


def canonical(wiring: str, ops: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The form of a network that has a row in the tables.

    Args:
        wiring: One of :data:`WIRINGS`.
        ops: Numbers of the four nodes' operations in :data:`OPS`.
    """
    reads, labels = [int(read) for read in wiring], list(ops)
    for place in range(len(reads)):
        if labels[place] == SKIP and _moves(place, reads, labels):
            # Node k is read as k + 1. The one that moves is bypassed, then everything shifts by one.
            bypassed = [reads[place] if read == place + 1 else read for read in reads]
            shifted = [read + 1 if read <= place else read for read in bypassed]
            reads = [0, *shifted[:place], *shifted[place + 1 :]]
            labels = [SKIP, *labels[:place], *labels[place + 1 :]]
    form = "".join(map(str, reads))
    form, order = RENUMBERED.get(form, (form, range(len(reads))))
    labels = [labels[place] for place in order]
    if form == "0012" and (labels[1], labels[3]) < (labels[0], labels[2]):
        labels = [labels[1], labels[0], labels[3], labels[2]]
    twins = TWINS.get(form, ())
    for place, label in zip(twins, sorted(labels[place] for place in twins)):
        labels[place] = label
    return form, tuple(labels)


def _moves(place: int, reads: Sequence[int], labels: Sequence[int]) -> bool:
    """Whether a skip goes to the front."""
    if place + 1 in reads or reads.count(reads[place]) == 1:
        return True
    above = reads[place]
    while above and labels[above - 1] == SKIP:
        above = reads[above - 1]
    return above == 0


def key(wiring: str, ops: Sequence[int]) -> int:
    """Number of a network in the tables: that of the wiring, then the four operations', as one decimal number."""
    form, labels = canonical(wiring, ops)
    return int("".join(map(str, (WIRINGS.index(form), *labels))))


class Bench(Space):
    """A space whose genotypes are bound in the form that the tables of NAS-Bench-Graph have."""

    rule: ClassVar[str] = "bench"

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype that stands for its network."""
        named = dict(genotype.choices)
        if set(named) != {"wiring", *(f"op.{i}" for i in range(1, 5))}:
            return genotype
        wiring, ops = numbers(genotype)
        form, labels = canonical(wiring, ops)
        found = {"wiring": f"wiring{form}", **{f"op.{i}": OPS[label] for i, label in enumerate(labels, start=1)}}
        # A space that was narrowed may lack it.
        there = all(option in self.choices[name].options for name, option in found.items())
        return replace(genotype, choices=found) if there else genotype


def numbers(genotype: Genotype) -> tuple[str, tuple[int, ...]]:
    """Wiring and numbers of the operations of a genotype, as :func:`key` takes them."""
    wiring = str(genotype["wiring"]).removeprefix("wiring")
    return wiring, tuple(OPS.index(str(genotype[f"op.{i}"])) for i in range(1, 5))


def bench(ops: Sequence[str] = OPS) -> Bench:
    """The space of NAS-Bench-Graph.

    Nodes of two wirings that have the same place in the tree are one node: the space is a tree of prefixes, and
    ``wiring`` chooses which of nine ends is read.

    Args:
        ops: Operations to choose from, some of :data:`OPS`; the table of proteins has :data:`PROTEINS_OPS`.
    """
    unknown = [op for op in several("bench", "ops", ops, "('gcn', 'gat')") if op not in OPS]
    if unknown or not ops:
        raise ValueError(f"bench got the operations {list(ops)}; expected some of {list(OPS)}")
    program: dict[str, Node] = {}
    ends: list[Node] = []
    for wiring in WIRINGS:
        states = ["x"]
        for i, read in enumerate(map(int, wiring), start=1):
            name = f"node{wiring[:i]}"
            program[name] = Node(name, Choice(f"op.{i}", tuple(ops)), (states[read],))
            states.append(name)
        leaves = tuple(state for i, state in enumerate(states) if str(i) not in wiring)
        ends.append(Node(f"wiring{wiring}", "concat" if len(leaves) > 1 else "identity", leaves))
    out = Node("out", "identity", (Choice("wiring", tuple(end.name for end in ends)),))
    return Bench("bench", (*program.values(), *ends, out), "out", share="none")
