"""Does a model draw what it remembers? Its draws, and fresh data, beside the training data.

The test of Meehan, Chaudhuri and Dasgupta (2020), arXiv 2004.05675: distances from draws to the
nearest training datum are ranked among those from held-out data. Draws of a model that copies lie
nearer to the training data than fresh data do; those of a model that is right are spread alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError
from pyro_vae.inference.latents.holes import nearest_distance
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MemoryTest", "memory_test"]


class MemoryTest(NamedTuple):
    """How near draws and held-out data lie to the training data.

    Attributes
    ----------
    nearer
        Share of pairs (draw, held-out datum) of which the draw is the nearer to the training
        data, ties by half: 1/2 without memory, 1 for copies.
    z
        Its distance from 1/2 in standard errors: above 3, the model copies; below -3, its draws
        lie outside the data.
    p_value
        Probability of as large a share or a larger one without memory (Mann and Whitney, 1947).
    draw_distance, fresh_distance
        Mean distance to the nearest training datum, root mean square per value.
    """

    nearer: float
    z: float
    p_value: float
    draw_distance: float
    fresh_distance: float


@verb
@takes_data("draws", "train", "fresh")
def memory_test(draws: Tensor, train: Tensor, fresh: Tensor, *, scale: float = 1.0) -> MemoryTest:
    """Whether draws lie nearer to the training data than held-out data do.

    Parameters
    ----------
    draws
        Data drawn from a model, ``(n, *event_shape)``: draws of x, not means of p(x | z), which
        lack the noise of data and lie near to everything.
    train
        The data it was trained on.
    fresh
        Data of the same kind that it was not trained on, nor chosen by.
    scale
        What all are multiplied by first: 1/16 brings counts up to 16 to the unit interval.

    Returns
    -------
    MemoryTest
        The share of draws that lie nearer, and its z.

    Raises
    ------
    DataError
        If the shapes differ, or there are fewer than two of a kind.
    """
    shapes = [tuple(part.shape[1:]) for part in (draws, train, fresh)]
    sizes = [len(part) for part in (draws, train, fresh)]
    if len(set(shapes)) > 1 or min(sizes) < 2:
        raise DataError(
            f"draws, train and fresh got {sizes[0]}, {sizes[1]} and {sizes[2]} data of shapes "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}: give two or more of each, of one shape"
        )
    known = scale * train.double()
    ours = nearest_distance(scale * draws.double(), known)
    theirs = nearest_distance(scale * fresh.double(), known)
    found = stats.mannwhitneyu(theirs, ours, alternative="greater", method="asymptotic")
    pairs = len(ours) * len(theirs)
    nearer = float(found.statistic) / pairs
    spread = math.sqrt(_variance(ours, theirs))
    z = 0.0 if spread == 0 else (nearer - 0.5) * pairs / spread
    return MemoryTest(nearer, z, float(found.pvalue), float(ours.mean()), float(theirs.mean()))


def _variance(a: np.ndarray, b: np.ndarray) -> float:
    """Variance of U without memory, corrected for ties of t values."""
    # n m / 12 (N + 1 - sum (t^3 - t) / (N (N - 1)))
    total = len(a) + len(b)
    _, ties = np.unique(np.concatenate([a, b]), return_counts=True)
    correction = float((ties**3.0 - ties).sum()) / (total * (total - 1))
    return len(a) * len(b) / 12 * (total + 1 - correction)
