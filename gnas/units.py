"""Numbers to predict, in the units of their labels: networks learn standardised ones and answer in the labels' own.

With mean m and standard deviation s of each label column, a network's last layer gives z and the network gives
s z + m. A fresh network then starts at the mean of the labels with errors of their size, whatever their units are. Mean
and deviation are those of the weights split alone, and part of the network: its state dict, its source and its ONNX
file have them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Scales = tuple[list[float], list[float]]
"""Mean and standard deviation of each label column."""


class Units(nn.Module):
    """Standardised numbers [items, labels] in the units of the labels: z * deviation + mean in each column.

    Args:
        mean: Mean of each column.
        deviation: Standard deviation of each column.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, z: Tensor) -> Tensor:
        return z * self.deviation + self.mean

    def scales(self) -> tuple[list[float], list[float]]:
        """What it was made with."""
        return self.mean.tolist(), self.deviation.tolist()


class InUnits(nn.Module):
    """A network whose answers are brought into the labels' units.

    Args:
        network: Any network that gives [items, labels].
        scales: Mean and standard deviation of each label column.
    """

    def __init__(self, network: nn.Module, scales: Scales) -> None:
        super().__init__()
        self.network, self.units = network, Units(*scales)

    def forward(self, *inputs: Tensor | None, **more: Tensor | None) -> Tensor:
        return self.units(self.network(*inputs, **more))


def answering(network: nn.Module, scales: Scales | None) -> nn.Module:
    """The network, in the units of labels where these are numbers."""
    return network if scales is None else InUnits(network, scales)


def scales_of(y: Tensor) -> Scales:
    """Mean and standard deviation of each column of labels [items, labels], NaN where one is missing.

    A column without two different labels has the deviation 1, and one without any label the mean 0.
    """
    mean, deviation = [], []
    for column in y.t().double():
        known = column[~column.isnan()]
        spread = float(known.std(correction=0)) if known.numel() else 0.0
        mean.append(float(known.mean()) if known.numel() else 0.0)
        deviation.append(spread if spread > 1e-12 * (1 + abs(mean[-1])) else 1.0)
    return mean, deviation
