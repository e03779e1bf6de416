"""The first projection of a network, which may read bag-of-words features as a sparse matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas import kernels
from gnas.ops.base import dropout


def sparse_dropout_linear(x: Tensor, linear: nn.Linear, p: float, training: bool) -> Tensor:
    """``linear(dropout(x))`` for dense or ``torch.sparse_csr`` features: [nodes, out_channels].

    Dropping stored entries is dropping entries, because the others are zero already.
    """
    if x.layout != torch.sparse_csr:
        return linear(dropout(x, p, training))  # type: ignore[no-any-return]
    values = dropout(x.values(), p, training)
    out = kernels.weighted_sum(kernels.structure_of(x), values, linear.weight.t().contiguous())
    return out if linear.bias is None else out + linear.bias
