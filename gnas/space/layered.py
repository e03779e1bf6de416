"""Layered: one aggregator a layer, skips and a layer aggregation, after SANE.

"Search to Aggregate NEighborhood for Graph Neural Network" (ICDE 2021) chooses an aggregator for each layer, which
layers are read, and how they are merged. Here a layer may also propagate without projecting (SGC, arXiv
1902.07153; APPNP, arXiv 1810.05997), so that the number of projections and the number of propagations are separate
choices; it may keep a part of its input or of the network's first state (GCNII, arXiv 2007.02133); and which
layer is read last, the depth, is a choice too.
"""

from __future__ import annotations

from collections.abc import Sequence

from gnas.space.program import Choice, Node, Space

AGGREGATORS = ("gcn", "sage_mean", "sage_max", "gat", "gin", "identity")
EXTENDED = ("gcn", "sage_mean", "sage_sum", "sage_max", "gat", "gatv2", "gin", "identity")
RESIDUALS = ("none", "previous", "initial")
JUMPS = ("last", "max", "concat")

SANE_AGGREGATORS = (
    "sage_sum",
    "sage_mean",
    "sage_max",
    "gcn",
    "gat",
    "gat_sym",
    "gat_cos",
    "gat_linear",
    "gat_gen_linear",
    "gin",
    "geniepath",
)


def layered(
    max_depth: int = 6,
    aggregators: Sequence[str] = AGGREGATORS,
    transforms: Sequence[bool] = (True, False),
    residuals: Sequence[str] = RESIDUALS,
    residual_weight: float = 0.1,
    jumps: Sequence[str] = ("last",),
    skips: bool = False,
    depth: bool = True,
    share: str = "site",
) -> Space:
    """One aggregator a layer.

    Layer i computes ``a_i = aggregate_i(h_{i-1})``, with or without a projection, and
    ``h_i = (1 - r) a_i + r z`` with z nothing, ``h_{i-1}`` or the network's first state. The result is ``h_d``, or
    a merge of ``h_d`` and the earlier layers.

    Args:
        max_depth: Number of layers.
        aggregators: Names of operations to choose from in each layer.
        transforms: Whether a layer projects: ``(True, False)`` leaves it open.
        residuals: Which of ``"none"``, ``"previous"`` and ``"initial"`` to choose from.
        residual_weight: The share r of the residual (0.1 in APPNP and GCNII).
        jumps: Ways to merge the layers: of ``"last"``, ``"max"``, ``"concat"`` and ``"lstm"``.
        skips: Whether each earlier layer's place in the merge is a choice; without it all are merged.
        depth: Whether the layer that is read last is a choice.
        share: ``"site"``, one projection for all candidates of a layer, or ``"none"``, each its own.
    """
    if max_depth < 1:
        raise ValueError(f"layered got max_depth={max_depth}; expected at least 1")
    _known("residuals", residuals, RESIDUALS)
    _known("jumps", jumps, (*JUMPS, "lstm"))
    if not 0 < residual_weight < 1:
        raise ValueError(f"layered got residual_weight={residual_weight}; expected a share between 0 and 1, try 0.1")
    program: list[Node] = []
    below = "x"
    for i in range(1, max_depth + 1):
        transform = Choice(f"transform.{i}", tuple(transforms)) if len(transforms) > 1 else transforms[0]
        conv = Node(f"conv{i}", Choice(f"aggregate.{i}", tuple(aggregators)), (below,), attrs={"transform": transform})
        program.append(conv)
        # The first layer's input is the first state, so "previous" and "initial" would be one option twice.
        sources = {"none": conv.name, "previous": below, "initial": "x"}
        options = tuple(dict.fromkeys(sources[residual] for residual in residuals))
        read = Choice(f"residual.{i}", options) if len(options) > 1 else options[0]
        program.append(Node(f"layer{i}", "lerp", (conv.name, read), attrs={"weight": residual_weight}))
        below = f"layer{i}"
    program += _readout(max_depth, jumps, skips, depth)
    return Space("layered", tuple(program), "out", share=share)


def sane(layers: int = 3) -> Space:
    """SANE's own space: 11 aggregators a layer, a skip for each layer, and three layer aggregations."""
    settings = {"transforms": (True,), "residuals": ("none",), "jumps": ("concat", "max", "lstm")}
    return layered(layers, SANE_AGGREGATORS, skips=True, depth=False, share="none", **settings)  # type: ignore[arg-type]


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


def _known(what: str, got: Sequence[str], known: Sequence[str]) -> None:
    for name in got:
        if name not in known:
            raise ValueError(f"layered got {name!r} among its {what}; expected some of {list(known)}")
    if not got:
        raise ValueError(f"layered got no {what}; expected some of {list(known)}")
