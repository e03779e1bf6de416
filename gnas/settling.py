"""Batch normalisations that have caught up with the network.

BatchNorm evaluates by running averages, which move by a tenth each step. Where an epoch is one step, on one whole
graph, they are epochs behind the states, so early stopping, a search's curves and a derivation would judge networks
that are no longer there. All that is trained on is at hand, so its own statistics are taken instead: precise BatchNorm
(Wu and Johnson, arXiv 2105.07576), here at no cost, as the pass that measures takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def averaged(network: nn.Module) -> Iterator[None]:
    """Within, batch normalisations of a network that trains begin anew, and keep the mean of what they see."""
    with _momentum(network, None) as norms:
        for norm in norms:
            norm.reset_running_stats()
        yield


@contextmanager
def settled(network: nn.Module) -> Iterator[None]:
    """Within, batch normalisations of a network that evaluates go by what they see, and keep its statistics."""
    with _momentum(network, 1.0) as norms:
        for norm in norms:
            norm.train()
        try:
            yield
        finally:
            for norm in norms:
                norm.eval()


@contextmanager
def _momentum(network: nn.Module, value: float | None) -> Iterator[list[_BatchNorm]]:
    """Within, batch normalisations have another momentum; None is the mean of all that they see."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = value
    try:
        yield norms
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
