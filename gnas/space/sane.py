"""SANE: an aggregator for each layer, which layers are read, and how they are merged, as published.

"Search to Aggregate NEighborhood for Graph Neural Network" (Zhao, Yao and Tu, ICDE 2021, arXiv 2104.06608). A point is

    h_i = aggregate_i(h_{i-1}),   z = merge(s_1 h_1, ..., s_L h_L),   s_i in {0, 1}

with 11 aggregators, three ways to merge (concatenation, maximum, LSTM attention as in JK-Nets) and L = 3 layers:
11^3 * 2^3 * 3 networks. Written as :func:`gnas.space.layered` with these options alone.
"""

from __future__ import annotations

from dataclasses import replace

from gnas.checks import whole
from gnas.space.layered import layered
from gnas.space.program import Space

AGGREGATORS = (
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


def sane(layers: int = 3) -> Space:
    """SANE's own space: 11 aggregators a layer, a skip for each layer, and three layer aggregations (ICDE 2021).

    Args:
        layers: Number of layers; it is fixed, and no choice.

    Raises:
        ValueError: The number of layers is no whole number from 1 on.
    """
    space = layered(
        whole("sane", "layers", layers, 1),
        AGGREGATORS,
        transforms=0,
        transform=(True,),
        previous=(0.0,),
        initial=(0.0,),
        jumps=("concat", "max", "lstm"),
        skips=True,
        depth=False,
        tie=(),
        share="none",
    )
    return replace(space, name="sane")
