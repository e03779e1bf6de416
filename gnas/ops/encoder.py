"""The first layer for integer codes, such as the kinds of atoms and bonds: OGB's AtomEncoder and BondEncoder.

The class imports torch only, because :mod:`gnas.export` prints it as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CategoryEncoder(nn.Module):
    """Sum of a learned vector for each column's code.

    Args:
        categories: Number of codes of each column of ``x``, [rows, columns]; codes begin at 0.
        channels: Channels of the result, [rows, channels].
    """

    def __init__(self, categories: list[int], channels: int) -> None:
        super().__init__()
        self.columns = nn.ModuleList(nn.Embedding(count, channels) for count in categories)
        for weight in self.columns.parameters():
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor) -> Tensor:
        codes = x.long().unbind(dim=1)
        return torch.stack([column(code) for column, code in zip(self.columns, codes, strict=True)]).sum(dim=0)


def encoder_of(channels: int, categories: Sequence[int] | None, hidden_channels: int) -> nn.Module:
    """The first layer of a network: linear, or for columns of codes a :class:`CategoryEncoder`."""
    if categories is None:
        return nn.Linear(channels, hidden_channels)
    return CategoryEncoder(list(categories), hidden_channels)
