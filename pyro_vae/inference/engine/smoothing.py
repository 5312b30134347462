"""Pareto-smoothed importance sampling: the tail of one datum's weights, fitted and replaced.

Written out here, since ArviZ 1.x cuts the tail otherwise than ArviZ 0.23 and has it in another
place: k-hat is one number, whichever is installed, and none of them is needed.

| Pareto smoothed importance sampling (Vehtari et al., 2024), arXiv 1507.02646
| A new and efficient estimation method for the generalized Pareto distribution (Zhang & Stephens,
  2009), doi 10.1198/tech.2009.08017
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["generalised_pareto", "smoothed_weights"]

#: Fewer points than these are no tail, and k-hat is infinite.
_FEWEST_IN_TAIL = 5
#: A weight that float64 cannot hold is in no tail.
_SMALLEST = math.log(np.finfo(np.float64).tiny)
_EPSILON = float(np.finfo(np.float64).eps)


def smoothed_weights(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Log-weights whose tail is replaced by quantiles of the Pareto law fitted to it, and k-hat.

    Parameters
    ----------
    log_weights
        Those of one datum, ``(K,)``, in nats.

    Returns
    -------
    ndarray
        ``(K,)``, not normalised, in the order given; none is larger than the largest was.
    float
        k-hat; infinite where the tail has fewer than five points.
    """
    largest = log_weights.max()
    relative = log_weights - largest
    draws = len(relative)
    beyond = math.ceil(min(draws / 5, 3 * draws**0.5))
    cut = max(np.sort(relative)[-beyond - 1], _SMALLEST)
    (tail,) = np.nonzero(relative > cut)
    if len(tail) < _FEWEST_IN_TAIL:
        return relative + largest, math.inf
    ascending = tail[np.argsort(relative[tail])]
    khat, scale = generalised_pareto(np.exp(relative[ascending]) - np.exp(cut))
    if math.isfinite(khat):
        ranks = np.arange(0.5, len(tail)) / len(tail)
        relative[ascending] = np.log(_quantiles(ranks, khat, scale) + np.exp(cut))
        relative[relative > 0] = 0
    return relative + largest, khat


def generalised_pareto(exceedances: np.ndarray) -> tuple[float, float]:
    """Shape and scale by Zhang & Stephens' empirical Bayes estimate, with a weak prior on shape.

    Parameters
    ----------
    exceedances
        How far the points are beyond the cut, ascending, positive.

    Returns
    -------
    float
        Shape k, drawn a little towards 1/2, as ten more points would.
    float
        Scale sigma.
    """
    count = len(exceedances)
    nodes = 30 + int(count**0.5)
    # Profile likelihood over a grid of -k / sigma, which is above -1 / largest.
    grid = 1 - np.sqrt(nodes / (np.arange(1, nodes + 1, dtype=float) - 0.5))
    grid /= 3 * exceedances[int(count / 4 + 0.5) - 1]
    grid += 1 / exceedances[-1]
    shapes = np.log1p(-grid[:, None] * exceedances).mean(axis=1)
    profile = count * (np.log(-(grid / shapes)) - shapes - 1)
    with np.errstate(over="ignore"):  # a node far from the best has no weight
        weights = 1 / np.exp(profile - profile[:, None]).sum(axis=1)
    kept = weights >= 10 * _EPSILON
    weights = weights[kept] / weights[kept].sum()
    rate = np.sum(grid[kept] * weights)
    shape = np.log1p(-rate * exceedances).mean()
    scale = -shape / rate
    return float((count * shape + 10 * 0.5) / (count + 10)), float(scale)


def _quantiles(ranks: np.ndarray, shape: float, scale: float) -> np.ndarray:
    """Of the generalised Pareto law, at ranks between 0 and 1."""
    if scale <= 0:
        return np.full_like(ranks, np.nan)
    exponential = np.log1p(-ranks)
    if abs(shape) < _EPSILON:
        return -exponential * scale
    return np.expm1(-shape * exponential) / shape * scale
