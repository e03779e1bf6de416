"""A Gaussian process over networks, small enough to be fitted before every question, and what it expects to gain.

    k(a, b) = l <a, b> + v (1 + r) exp(-r),   r = sqrt(3 s) |a - b|

the sum of a linear kernel over a few counts and a Matérn kernel (nu = 3/2) over all features, with noise of variance n.
The four numbers l, v, s, n are those that make the data likeliest, times a log-normal prior that keeps a dozen points
from saying too much (maximum a posteriori; Rasmussen and Williams, "Gaussian Processes for Machine Learning", chapter
5). scikit-learn's regressor would compute every kernel anew at each step; here distances are handed over, and the
gradient needs one inverse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr

Array = NDArray[np.floating]

PRIOR = (1.2, 0.7, 1.0, 0.3)
"""Centre of the prior: linear part, amplitude, inverse squared length, noise; the targets have variance one."""
SPREAD = 1.0
BOUNDS = (-7.0, 3.0)
JITTER = 1e-4


@dataclass(frozen=True)
class Kernel:
    """The covariance, as a function of squared distances and products.

    Args:
        logs: Logarithms of the linear part, the amplitude, the inverse squared length and the noise.
    """

    logs: tuple[float, float, float, float] = tuple(map(math.log, PRIOR))  # type: ignore[assignment]

    @property
    def noise(self) -> float:
        """Variance of the noise."""
        return math.exp(self.logs[3]) + JITTER

    def __call__(self, distances: Array, products: Array) -> Array:
        """Covariances in the shape and precision of the distances."""
        linear, amplitude, scale = (distances.dtype.type(math.exp(log)) for log in self.logs[:3])
        root = np.sqrt(distances * (3 * scale))
        covariance = np.exp(-root)
        root += 1
        covariance *= root
        covariance *= amplitude
        covariance += linear * products
        return covariance

    def fitted(self, distances: Array, products: Array, targets: Array, steps: int = 12) -> Kernel:
        """The likeliest kernel for targets of mean zero, searched from this one.

        Args:
            distances: Squared distances, [points, points].
            products: Products of the plain features, [points, points].
            targets: [points].
            steps: At most so many steps of L-BFGS.
        """
        prior, diagonal = np.log(PRIOR), np.diag_indices(len(targets))

        def loss(logs: Array) -> tuple[float, Array]:
            linear, amplitude, scale, noise = np.exp(logs)
            root = np.sqrt(3 * scale * distances)
            decay = amplitude * np.exp(-root)
            matern, slope = (1 + root) * decay, -0.5 * root * root * decay
            covariance = linear * products + matern
            covariance[diagonal] += noise + JITTER
            factor = np.linalg.cholesky(covariance)
            inverse = scipy.linalg.cho_solve((factor, True), np.eye(len(targets)))
            weights = inverse @ targets
            rest = inverse - np.outer(weights, weights)
            away = (logs - prior) / SPREAD
            value = 0.5 * targets @ weights + np.log(factor[diagonal]).sum() + 0.5 * away @ away
            parts = [(rest * part).sum() for part in (linear * products, matern, slope)]
            return float(value), 0.5 * np.array([*parts, noise * np.trace(rest)]) + away / SPREAD

        found = minimize(
            loss, np.array(self.logs), jac=True, method="L-BFGS-B", bounds=[BOUNDS] * 4, options={"maxiter": steps}
        )
        linear, amplitude, scale, noise = map(float, found.x)
        return Kernel((linear, amplitude, scale, noise))


class Posterior:
    """What a kernel makes of data.

    Args:
        kernel: The covariance.
        distances: Squared distances of the points that are known, [points, points].
        products: Products of their plain features, [points, points].
        targets: Their values, of mean zero, [points].
    """

    def __init__(self, kernel: Kernel, distances: Array, products: Array, targets: Array) -> None:
        self.kernel = kernel
        covariance = kernel(distances, products)
        covariance[np.diag_indices(len(targets))] += kernel.noise
        self.factor = np.linalg.cholesky(covariance)
        self.targets = targets
        self.weights = scipy.linalg.cho_solve((self.factor, True), targets)
        self.known = targets - kernel.noise * self.weights
        """Means at the points that are known: their targets without the noise."""

    @property
    def left_out(self) -> Array:
        """Means at the points that are known, each from all the others."""
        inverse = scipy.linalg.cho_solve((self.factor, True), np.eye(len(self.targets)))
        return np.asarray(self.targets - self.weights / np.diag(inverse))

    def covariance(self, own: Array, across: Array) -> Array:
        """Covariance of new points, [new, new], from their prior one and that with the known, [new, points]."""
        half = scipy.linalg.solve_triangular(self.factor, across.T, lower=True)
        return np.asarray(own - half.T @ half)


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E[max(f - best, 0)] for normal f of these means and standard deviations, elementwise."""
    u = (mean - best) / deviation
    return np.asarray(deviation * (u * ndtr(u) + np.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)))
