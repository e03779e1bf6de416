"""PC-DARTS: a part of the channels goes through the mixed operation (Xu and others, arXiv 1907.05737)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas.strategy.checks import check_partial
from gnas.strategy.differentiable import Differentiable
from gnas.strategy.one_shot import OneShotState


@dataclass(frozen=True, kw_only=True)
class PcDarts(Differentiable):
    r"""Mix the operations on one of ``partial`` channels, drawn for each site and step; the others pass by.

    .. math::
        f(x; S) = S \odot \sum_k \mathrm{softmax}(\alpha)_k \, o_k(S \odot x) + (1 - S) \odot x

    with a mask S over the channels. An operation's own parameters matter less in a part of the channels, so an option
    without any has less of an advantage while they are untrained.

    Where it departs from the paper, and why:

    * The matrices have all channels, and a step trains the block of them that joins those that were drawn. So the found
      network inherits whole weights, which the derivation compares networks by, and the supernet is measured as it will
      be built. A site whose candidates share a projection (``share="site"``) computes that block alone, with whole
      heads of attention, which saves time and memory; others compute all channels and are masked, which saves none.
    * Its edge normalisation, a second softmax over the edges into a node, is left out: here which inputs are read is a
      choice with a softmax of its own, or whether an edge is ``zero``.
    * It warms up for 15 of 50 epochs; here for the fifth that is usual, and for ``warmup`` where that is given. Its
      learning rate of alpha, 6e-4 for hundreds of steps an epoch, is 3e-2 for the one step of a full graph.

    Args:
        partial: One over the share of the channels (4).
        epochs, warmup, arch_lr, arch_weight_decay, cost, hidden_channels, dropout, drop_inputs, checkpoint, optimizer,
            lr, weight_decay, momentum, power, grad_clip: See :class:`~gnas.strategy.differentiable.Differentiable`.
    """

    name: ClassVar[str] = "pc_darts"

    partial: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_partial(self)

    def prepare(self, state: OneShotState) -> None:
        super().prepare(state)
        state.supernet.partial = self.partial
