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


def smoothed_weights(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-weights whose tails are replaced by quantiles of the Pareto laws fitted, and k-hat.

    Parameters
    ----------
    log_weights
        Those of each datum in a row, ``(B, K)``, in nats.

    Returns
    -------
    ndarray
        ``(B, K)``, not normalised; none is larger than the largest of its row was.
    ndarray
        k-hat, ``(B,)``; infinite where the tail has fewer than five points.
    """
    largest = log_weights.max(1, keepdims=True)
    relative = log_weights - largest
    draws = relative.shape[1]
    beyond = math.ceil(min(draws / 5, 3 * draws**0.5))
    cut = np.partition(relative, draws - beyond - 1, axis=1)[:, draws - beyond - 1, None]
    cut = np.maximum(cut, _SMALLEST)
    beyond_cut = relative > cut
    counts = beyond_cut.sum(1)
    khat = np.full(len(relative), math.inf)
    for count in np.unique(counts[counts >= _FEWEST_IN_TAIL]):
        rows = np.flatnonzero(counts == count)
        tail = np.nonzero(beyond_cut[rows])[1].reshape(-1, count)
        order = np.argsort(relative[rows[:, None], tail], axis=1)
        tail, start = np.take_along_axis(tail, order, 1), np.exp(cut[rows])
        exceedances = np.exp(relative[rows[:, None], tail]) - start
        khat[rows], scale = generalised_pareto(exceedances)
        ranks = np.arange(0.5, count) / count
        quantiles = _quantiles(ranks, khat[rows, None], scale[:, None])
        new = np.log(quantiles + start)
        finite = np.isfinite(khat[rows])
        new = np.where(new > 0, 0, new)[finite]
        relative[rows[finite, None], tail[finite]] = new
    return relative + largest, khat


def generalised_pareto(exceedances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale by Zhang & Stephens' empirical Bayes estimate, with a weak prior on shape.

    Parameters
    ----------
    exceedances
        How far the n points of each row are beyond its cut, ascending, positive, ``(B, n)``.

    Returns
    -------
    ndarray
        Shape k, ``(B,)``, drawn a little towards 1/2, as ten more points would.
    ndarray
        Scale sigma, ``(B,)``.
    """
    count = exceedances.shape[1]
    nodes = 30 + int(count**0.5)
    # Profile likelihood over a grid of -k / sigma, which is above -1 / largest.
    grid = 1 - np.sqrt(nodes / (np.arange(1, nodes + 1, dtype=float) - 0.5))
    grid = grid / (3 * exceedances[:, int(count / 4 + 0.5) - 1, None])
    grid = grid + 1 / exceedances[:, -1:]
    shapes = np.log1p(-grid[:, :, None] * exceedances[:, None, :]).mean(2)
    profile = count * (np.log(-(grid / shapes)) - shapes - 1)
    with np.errstate(over="ignore"):  # a node far from the best has no weight
        weights = 1 / np.exp(profile[:, None, :] - profile[:, :, None]).sum(2)
    weights = np.where(weights >= 10 * _EPSILON, weights, 0)
    weights /= weights.sum(1, keepdims=True)
    rate = (grid * weights).sum(1)
    shape = np.log1p(-rate[:, None] * exceedances).mean(1)
    scale = -shape / rate
    return (count * shape + 10 * 0.5) / (count + 10), scale


def _quantiles(ranks: np.ndarray, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Of the generalised Pareto law, at ranks between 0 and 1; NaN for a scale that is none."""
    exponential = np.log1p(-ranks)
    small = np.abs(shape) < _EPSILON
    curved = np.expm1(-shape * exponential) / np.where(small, 1.0, shape)
    return np.where(scale <= 0, np.nan, np.where(small, -exponential, curved) * scale)
