"""Pooling: aggregation, pooling, readout and merge for whole graphs, after PAS.

"Pooling Architecture Search for Graph Classification" (CIKM 2021) chooses an aggregator and a pooling in each layer,
a readout of the nodes after each, and how the readouts are merged. Poolings that keep nodes are offered; see
:mod:`gnas.ops.pooling` for how they are mixed, and for why ASAP and EdgePool are not among them. A virtual node before
each layer is a choice as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from gnas.checks import real, several, whole
from gnas.space.node import Choice, Node
from gnas.space.program import Space

AGGREGATORS = ("kept_gcn", "kept_mean", "kept_max", "kept_gat", "kept_gin", "identity")
POOLS = ("keep", "keep_topk", "keep_sag")
READOUTS = (
    "readout_mean",
    "readout_sum",
    "readout_max",
    "readout_attention",
    "readout_set2set",
    "readout_sort",
)
MERGES = ("sum", "max", "concat", "lstm")


def pooling(
    max_depth: int = 3,
    aggregators: Sequence[str] = AGGREGATORS,
    pools: Sequence[str] = POOLS,
    readouts: Sequence[str] = READOUTS,
    merges: Sequence[str] = MERGES,
    ratio: float = 0.5,
    virtual: bool = True,
    tie: bool = False,
) -> Space:
    """Layers of an aggregation and a pooling, each read out, and a merge of the readouts.

    Layer i computes ``c_i = aggregate_i(h_{i-1})`` among the nodes that are left, which ones of them it keeps, and
    ``r_i = readout_i(h_i)`` over these, where h_i is c_i times the score of the pooling. The result merges
    r_1, ..., r_L.

    Args:
        max_depth: Number of layers L.
        aggregators: Names of operations to choose from in each layer.
        pools: Of ``"keep"`` (none), ``"keep_topk"`` and ``"keep_sag"``.
        readouts: Names of readouts to choose from after each layer.
        merges: Of ``"sum"``, ``"max"``, ``"concat"`` and ``"lstm"``.
        ratio: Share of the nodes that a pooling keeps.
        virtual: Whether a virtual node is a choice.
        tie: Whether what a layer does is one choice for all layers.
    """
    max_depth = whole("pooling", "max_depth", max_depth, 1)
    ratio = real("pooling", "ratio", ratio, positive=True, most=1)
    named = {"aggregators": aggregators, "pools": pools, "readouts": readouts, "merges": merges}
    for key, names in named.items():
        if not several("pooling", key, names, "('sum', 'max')"):
            raise ValueError(f"pooling got no {key}; expected at least one")

    def choice(name: str, layer: int, options: Sequence[str]) -> str | Choice:
        return Choice(name if tie else f"{name}.{layer}", tuple(options)) if len(options) != 1 else options[0]

    program: list[Node] = []
    state, kept = "x", tuple[str, ...]()
    for i in range(1, max_depth + 1):
        if virtual:
            program.append(Node(f"virtual{i}", Choice("virtual", ("identity", "virtual_node")), (state, *kept)))
            state = f"virtual{i}"
        conv, keep, layer, read = f"conv{i}", f"keep{i}", f"layer{i}", f"readout{i}"
        program += [
            Node(conv, choice("aggregate", i, aggregators), (state, *kept), attrs={"transform": True}),
            Node(keep, choice("pool", i, pools), (conv, *kept), attrs={"ratio": ratio}),
            Node(layer, "gate", (conv, keep)),
            Node(read, choice("readout", i, readouts), (layer, keep), kind="graph"),
        ]
        state, kept = layer, (keep,)
    merge = Choice("merge", tuple(merges)) if len(merges) != 1 else merges[0]
    program.append(Node("out", merge, tuple(f"readout{i}" for i in range(1, max_depth + 1)), kind="graph"))
    return Space("pooling", tuple(program), "out", share="none")
