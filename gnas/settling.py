"""Batch normalisations that have caught up with the network.

BatchNorm evaluates by running averages, which move by a tenth each step. Where an epoch is one step, on one whole
graph, they are epochs behind the states, so early stopping, a search's curves and a derivation would judge networks
that are no longer there. All that is trained on is at hand, so its own statistics are taken instead: precise BatchNorm
(Wu and Johnson, arXiv 2105.07576), here at no cost, as the pass that measures takes them.

Over batches, running averages serve a network that is trained for long, and PyG's users expect no others. A supernet's
are those of mixtures, or of all paths together, that it no longer is. So it gets the mean over some batches that it
would be trained on, as single path one-shot does for each path that it measures (Guo and others, arXiv 1904.00420).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def averaged(network: nn.Module) -> Iterator[None]:
    """Within, batch normalisations begin anew, go by what they see, and keep the mean of it."""
    with _seeing(network, None) as norms:
        for norm in norms:
            norm.reset_running_stats()
        yield


@contextmanager
def settled(network: nn.Module) -> Iterator[None]:
    """Within, batch normalisations go by what they see, and keep the statistics of the last of it."""
    with _seeing(network, 1.0):
        yield


def normalises(network: nn.Module) -> bool:
    """Whether a network has batch normalisations that evaluate by running averages."""
    return any(_norms(network))


def _norms(network: nn.Module) -> Iterator[_BatchNorm]:
    return (m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats)


@contextmanager
def _seeing(network: nn.Module, momentum: float | None) -> Iterator[list[_BatchNorm]]:
    """Within, batch normalisations train with another momentum; None is the mean of all that they see."""
    norms = list(_norms(network))
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.momentum = momentum
        norm.train()
    try:
        yield norms
    finally:
        for norm, (own, training) in zip(norms, before, strict=True):
            norm.momentum = own
            norm.train(training)
