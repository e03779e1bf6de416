"""Compile every Triton program for a GPU, without one: what the interpreter accepts, the compiler may refuse.

Run by test_triton.py in a process of its own, where the interpreter is off; its arguments are types.
"""

from __future__ import annotations

import sys
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gnas.kernels.programs import attention, mixture, rows, sums

INTEGERS = {"chunks", "rows", "pointer", "column", "order", "channels", "heads", "width"}
SUMMED = {"partial", "peak", "scale", "inner", "tops", "highs", "lows", "moments", "tallies"}
STATISTICS, MIXTURE, BACKWARD = range(3)
GIVEN, GAT, GATV2 = range(3)


def build(program: Any, dtype: str, **flags: object) -> None:
    """Compile one program down to the GPU's own code."""
    summed = "fp64" if dtype == "fp64" else "fp32"
    flags = {"ACC": getattr(tl, f"float{summed[2:]}"), "CHUNK": 256, "BLOCK_E": 8, "BLOCK_C": 64, **flags}
    signature = {}
    for name in program.arg_names:
        if name in flags:
            signature[name] = "constexpr"
        elif name in INTEGERS:
            signature[name] = "i32"
        elif name in ("pattern", "hubs"):
            signature[name] = "*i32"
        else:
            signature[name] = "*" + (summed if name in SUMMED or name.endswith("_parts") else dtype)
    constants = {name: flags[name] for name, kind in signature.items() if kind == "constexpr"}
    options = {"num_warps": 1, "enable_fp_fusion": True}
    built = triton.compile(ASTSource(program, signature, constants), GPUTarget("cuda", 90, 32), options)
    assert built.asm["cubin"]
    print(program.__name__, dtype)


for dtype in sys.argv[1:]:
    for hubs in (True, False):
        build(sums.weighted_sum, dtype, VALUES=hubs, ORDERED=hubs, HUBS=hubs)
        build(sums.inner_product, dtype, HUBS=hubs)
        build(mixture.spread, dtype, KINDS=127 if hubs else 112, SUMS=hubs, MIXED=hubs, HUBS=hubs)
        build(attention.weigh, dtype, BACK=hubs, HUBS=hubs)
        build(attention.products, dtype, HUBS=hubs)
        for mode in (STATISTICS, MIXTURE, BACKWARD):
            mixed = mode != STATISTICS
            flags = {"KINDS": 127 if mixed else 112, "MODE": mode, "MIXED": mixed, "TALLY": mixed}
            build(mixture.gather, dtype, HUBS=hubs, **flags)
            if hubs:
                build(mixture.merge, dtype, **flags)
        for logit, wide in ((GIVEN, 1), (GAT, 16), (GATV2, 16)):
            build(attention.attend, dtype, LOGIT=logit, SLOPE=0.2, BLOCK_W=wide, HUBS=hubs)
            if hubs:
                build(attention.merge, dtype, LOGIT=logit, BLOCK_H=4, BLOCK_W=wide)
            for by_columns in (True, False) if logit != GIVEN else ():
                build(
                    attention.attend_back, dtype, LOGIT=logit, SLOPE=0.2, BY_COLUMNS=by_columns, BLOCK_W=wide, HUBS=hubs
                )
    build(rows.fold, dtype, BLOCK=64)
