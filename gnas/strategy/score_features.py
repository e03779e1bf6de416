"""Zero-cost scores as features of a surrogate model, beside the pieces of the networks' graphs.

A score's own scale says nothing (synflow grows with depth by powers), so a network's feature is the normal score of its
place among the trials: the quantile z of the normal distribution at the share of trials that score worse. With w the
weight and K scores, squared distances and products of :mod:`gnas.strategy.features` become

    d'(a, b) = d(a, b) + w / (2 K) sum_k (z_k(a) - z_k(b))^2        p'(a, b) = p(a, b) + w / K sum_k z_k(a) z_k(b)

so that two random networks are w farther apart than by their pieces, whose mean distance is one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from gnas.strategy.gaussian import Array

Matrix = NDArray[np.float64]


def places(values: Matrix, trials: Matrix) -> Matrix:
    """Normal scores of values among those of the trials, each score for itself.

    Args:
        values: [networks, scores]; what is no number comes last.
        trials: [trials, scores].
    """
    columns = []
    for column, known in zip(_ordered(values).T, np.sort(_ordered(trials), axis=0).T, strict=True):
        below = (np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")) / 2
        columns.append(ndtri((below + 0.5) / (len(known) + 1)))
    return np.stack(columns, axis=1)


def widened(compared: tuple[Array, Array], ours: Matrix, theirs: Matrix, weight: float) -> tuple[Matrix, Matrix]:
    """Distances and products, [ours, theirs] each, with the scores' share.

    Args:
        compared: Squared distances and products by the pieces.
        ours: Normal scores of the rows, [ours, scores].
        theirs: Those of the columns, [theirs, scores].
        weight: What the scores count, where all pieces count one.
    """
    distances, products = (part.astype(float) for part in compared)
    apart = np.square(ours[:, None] - theirs[None]).mean(axis=2)
    return distances + 0.5 * weight * apart, products + weight * (ours @ theirs.T) / ours.shape[1]


def _ordered(values: Matrix) -> Matrix:
    return np.where(np.isfinite(values), values, -np.inf)
