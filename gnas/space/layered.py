"""Layered: one aggregator a layer, skips and a layer aggregation, after SANE.

"Search to Aggregate NEighborhood for Graph Neural Network" (ICDE 2021) chooses an aggregator for each layer, which
layers are read, and how they are merged. Here a layer may also propagate without projecting (SGC, arXiv
1902.07153; APPNP, arXiv 1810.05997), so that the number of projections and the number of propagations are separate
choices; it may keep a part of its input or of the network's first state (GCNII, arXiv 2007.02133); and which
layer is read last, the depth, is a choice too. By default what a layer does is one choice for all layers, as in
nearly every hand-made network: with a hundred labels, alphas can tell a few such choices apart, not six times as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from gnas.checks import several, whole
from gnas.space.node import Choice, Node, Value
from gnas.space.program import Space

AGGREGATORS = ("gcn", "sage_mean", "sage_max", "gat", "gin", "identity")
EXTENDED = ("gcn", "sage_mean", "sage_sum", "sage_max", "gat", "gatv2", "gin", "identity")
MESSAGES = ("gatv2", "gin", "gen_softmax", "gen_power", "pna_conv")
"""Aggregators that read edge features where there are some, besides ``gat``."""
NORMS = ("identity", "batch_norm", "layer_norm", "graph_norm", "pair_norm")
JUMPS = ("last", "max", "concat", "lstm")
TIES = ("aggregate", "transform", "previous", "initial")

STARTING = ("gcn", "sage_mean", "gat")
KNOWN: tuple[tuple[dict[str, Value], int], ...] = (
    ({"transforms": "mlp1", "transform": False, "initial": 0.1, "previous": 0.0}, 10),
    ({"transforms": "x", "transform": False, "initial": 0.0, "previous": 0.0}, 2),
    ({"transforms": "x", "transform": True, "initial": 0.0, "previous": 0.0}, 2),
)
"""Starts for each of :data:`STARTING`, with their depth: APPNP, SGC, and two projecting layers as in GCN and GAT."""

NORMED = ("gcn", "sage_mean", "gat", "gin")
STACKED: dict[str, Value] = {
    "transforms": "x",
    "transform": True,
    "initial": 0.0,
    "previous": 0.5,
    "norm": "batch_norm",
}
"""A start for each of :data:`NORMED` where normalisation is a choice: four layers with residuals, as in the benchmark
of Dwivedi and others (arXiv 2003.00982)."""


def layered(
    max_depth: int = 6,
    aggregators: Sequence[str] = AGGREGATORS,
    transforms: int = 2,
    transform: Sequence[bool] = (True, False),
    previous: Sequence[float] = (0.0, 0.5),
    initial: Sequence[float] = (0.0, 0.1),
    jumps: Sequence[str] = ("last",),
    skips: bool = False,
    depth: bool = True,
    tie: Sequence[str] = TIES,
    share: str = "site",
    norms: Sequence[str] = ("identity",),
) -> Space:
    """One aggregator a layer.

    The first state h_0 is a perceptron of t layers, of which the encoder is the first; for t = 0 it is the encoder
    alone, which is linear. Layer i computes
    ``a_i = aggregate_i(h_{i-1})``, with or without a projection of its own, then keeps a share p of what it read and
    a share q of the first state: ``h_i = (1 - q) ((1 - p) a_i + p h_{i-1}) + q h_0``. The result is ``h_d``, or a
    merge of ``h_d`` and the earlier layers. So SGC and APPNP are points of it (APPNP's ten propagations with
    ``max_depth=10``), GCN and GAT between two linear layers, and with the options of :func:`gnas.space.sane` SANE's
    networks. Of GCNII it has the initial residual, not the identity map.

    Args:
        max_depth: Number of layers.
        aggregators: Names of operations to choose from in each layer.
        transforms: Largest number t of layers of the perceptron before the first aggregation; t is a choice.
        transform: Whether a layer projects, too: ``(True, False)`` leaves it open.
        previous: Shares p to choose from; 0.0 is none.
        initial: Shares q to choose from (0.1 in APPNP and GCNII); 0.0 is none.
        jumps: Ways to merge the layers: of ``"last"``, ``"max"``, ``"concat"`` and ``"lstm"``.
        skips: Whether each earlier layer's place in the merge is a choice; without it all are merged.
        depth: Whether the layer that is read last is a choice.
        tie: Which of ``"aggregate"``, ``"transform"``, ``"previous"`` and ``"initial"`` are one choice for all
            layers; SANE ties none.
        share: ``"site"``, one projection for all candidates of a layer, or ``"none"``, each its own.
        norms: Normalisations of a_i to choose from, one for all layers: some of :data:`NORMS`, of which ``"identity"``
            is none. Deep networks of graphs differ by it.
    """
    max_depth = whole("layered", "max_depth", max_depth, 1)
    transforms = whole("layered", "transforms", transforms, 0)
    aggregators = several("layered", "aggregators", aggregators, "('gcn', 'gat')")
    if not aggregators:
        raise ValueError("layered got no aggregators; expected at least one, such as ('gcn', 'gat')")
    transform = several("layered", "transform", transform, "(True, False)")
    _known("jumps", jumps, JUMPS)
    _known("tie", tie or TIES, TIES)
    _known("norms", norms, NORMS)
    for name, shares in (("previous", previous), ("initial", initial)):
        shares = several("layered", name, shares, "(0.0, 0.1)")
        if not shares or any(isinstance(share, str) or not 0 <= share < 1 for share in shares):
            raise ValueError(
                f"layered got {name}={shares!r}; expected shares of at least 0 and below 1, try (0.0, 0.1)"
            )

    def choice(name: str, layer: int, options: Sequence[Value]) -> Choice:
        return Choice(name if name in tie else f"{name}.{layer}", tuple(options))

    firsts = ("x", *(f"mlp{t}" for t in range(1, transforms + 1)))
    program: list[Node] = []
    for t, (read, mlp) in enumerate(pairwise(firsts), start=1):
        if t > 1:
            program.append(Node(f"linear{t}", "identity", (read,), attrs={"transform": True}))
        program.append(Node(mlp, "relu", (f"linear{t}" if t > 1 else read,)))
    first = "x"
    if transforms:
        first = "first"
        program.append(Node(first, "identity", (Choice("transforms", firsts),)))
    below = first
    for i in range(1, max_depth + 1):
        projects = _settle(choice("transform", i, transform))
        conv, mixed, layer = f"conv{i}", f"mix{i}", f"layer{i}"
        program.append(Node(conv, choice("aggregate", i, aggregators), (below,), attrs={"transform": projects}))
        if tuple(norms) != ("identity",):
            op = _settle(Choice("norm", tuple(norms)))
            program.append(Node(f"norm{i}", op if isinstance(op, Choice) else str(op), (conv,)))
            conv = f"norm{i}"
        program += [
            Node(mixed, "lerp", (conv, below), attrs={"weight": _settle(choice("previous", i, previous))}),
            Node(layer, "lerp", (mixed, first), attrs={"weight": _settle(choice("initial", i, initial))}),
        ]
        below = layer
    program += _readout(max_depth, jumps, skips, depth)
    space = Space("layered", tuple(program), "out", share=share)
    return replace(space, starts=_starts(space))


def _starts(space: Space) -> tuple[dict[str, Value], ...]:
    """What people would try first, as far as the space has it: see :data:`KNOWN`."""
    # The first few are all that is tried where time is short: they differ in more than the aggregator.
    tried = [(aggregate, known, depth) for aggregate in STARTING for known, depth in KNOWN]
    if "norm" in space.choices:
        # First, because where normalisation is a choice the others are what is tried second.
        tried = [(aggregate, STACKED, 4) for aggregate in NORMED] + tried
    found: list[dict[str, Value]] = []
    for aggregate, known, depth in tried:
        start: dict[str, Value] = {}
        for choice in space.choices.values():
            # The last depth that there is, where there are fewer.
            deep = choice.options[min(depth, len(choice.options)) - 1]
            wanted: dict[str, Value] = {"aggregate": aggregate, "depth": deep, **known}
            start[choice.name] = wanted.get(choice.name.split(".")[0], choice.options[0])
        if all(option in space.choices[name].options for name, option in start.items()) and start not in found:
            found.append(start)
    return tuple(found)


def _settle(choice: Choice) -> Value | Choice:
    return choice if len(choice.options) > 1 else choice.options[0]


def _readout(max_depth: int, jumps: Sequence[str], skips: bool, depth: bool) -> list[Node]:
    program: list[Node] = []
    layers = [f"layer{i}" for i in range(1, max_depth + 1)]
    ends = layers
    if tuple(jumps) != ("last",):
        ops = tuple("identity" if jump == "last" else jump for jump in jumps)
        op = Choice("jump", ops) if len(ops) > 1 else ops[0]
        merged = layers
        if skips:
            # With a choice of depth the layer at that depth is always read, so the deepest has no switch.
            switched = range(1, max_depth + (0 if depth else 1))
            merged = [f"skip{i}" for i in switched]
            program += [Node(f"skip{i}", Choice(f"skip.{i}", ("identity", "zero")), (f"layer{i}",)) for i in switched]
        first = 1 if depth else max_depth
        ends = [f"jump{d}" for d in range(first, max_depth + 1)]
        for d, end in zip(range(first, max_depth + 1), ends, strict=True):
            reads = (layers[d - 1], *merged[: d - 1]) if depth else tuple(merged)
            program.append(Node(end, op, reads))
    read = Choice("depth", tuple(ends)) if depth and len(ends) > 1 else ends[-1]
    return [*program, Node("out", "identity", (read,))]


def _known(key: str, got: Sequence[str], known: Sequence[str]) -> None:
    for name in several("layered", key, got, f"({known[0]!r},)"):
        if name not in known:
            raise ValueError(f"layered got {name!r} among {key}; expected some of {list(known)}")
    if not got:
        raise ValueError(f"layered got no {key}; expected some of {list(known)}")
