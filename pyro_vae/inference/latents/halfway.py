"""What lies half-way between two codes, where every true picture between the two is known.

The classic claim for the VAE is that half-way between the codes of a half and of a full moon it
has a three-quarter moon, and that the autoencoder has no moon at all. It can be tested where the
data are a family of which any member can be drawn: the nearest member says how far a decoded
picture is from all of them, and which it would be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError
from pyro_vae.inference.latents.reference import as_rows
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.protocols import Coder

__all__ = ["halfway_summary", "halfway_test", "nearest_member"]

#: Share of a model's reconstructions that are as near to the family as a mid-point must be.
_SHARE = 0.95
_CHUNK = 500


@verb
@takes_data("first", "second", supported=False)
def halfway_test(
    model: Coder,
    first: Tensor,
    second: Tensor,
    *,
    family: Any,
    state: Any,
    gain: tuple[float, float] = (1.0, 1.0),
    tolerance: float = 0.1,
) -> xr.Dataset:
    """Hold what is decoded half-way between the codes of pairs against a whole family of data.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode`` of data alone.
    first, second
        The data of each pair, ``(n, *event_shape)`` both, held out, and none in two pairs.
    family
        Every true datum, on a grid, ``(m, *event_shape)``.
    state
        The number of each, ``(m,)``, that should be half-way: the lit fraction of moons.
    gain
        Least and largest number that a member may be multiplied by, such as its brightness.
    tolerance
        How far from half-way the state of a mid-point may be.

    Returns
    -------
    Dataset
        ``{source}_distance``, root mean square per value to the nearest member, and
        ``{source}_state``, the state of that member, for the sources ``midpoint``, ``average``
        (of the pair, value by value) over ``pair``, and ``reconstruction`` (of first and second)
        over ``datum``; ``halfway``, the mean of the two states of a pair; and ``reached``:
        whether the mid-point is as near to the family as 19 in 20 of the model's own
        reconstructions, and within ``tolerance`` of half-way. A model that reconstructs badly
        reaches much: read the distances, too.

    Raises
    ------
    DataError
        If shapes do not agree, or there are fewer than two pairs.
    ValueError
        If the gain is no range of positive numbers.

    Examples
    --------
    >>> from pyro_vae import data, fit
    >>> from pyro_vae.models import PCA
    >>> moons = data.load("all-moon-phases")
    >>> pca = PCA((16, 16), 2)
    >>> result = fit(pca, moons, progress=False)
    >>> half, full = (moons.test[moons.labels["test"] == phase] for phase in (10, 30))
    >>> family, lit = data.every_moon()
    >>> found = halfway_test(pca, half, full, family=family, state=lit, gain=(0.8, 1.0))
    >>> float(found["reached"].mean()) < 0.1
    True
    """
    number = _checked(first, second, family, state, gain)
    with torch.no_grad():
        codes = model.code(first), model.code(second)
        images = {
            "midpoint": ("pair", model.decode((codes[0] + codes[1]) / 2)),
            "average": ("pair", (first + second) / 2),
            "reconstruction": ("datum", torch.cat([model.decode(part) for part in codes])),
        }
    known = as_rows(family)
    results = xr.Dataset(attrs={"gain": gain, "tolerance": tolerance})
    for source, (dimension, pictures) in images.items():
        distance, which = nearest_member(pictures, known, gain=gain)
        results[f"{source}_distance"] = (dimension, distance)
        results[f"{source}_state"] = (dimension, number[which])
    ends = [number[nearest_member(part, known, gain=gain)[1]] for part in (first, second)]
    results["halfway"] = ("pair", (ends[0] + ends[1]) / 2)
    near = float(np.quantile(results["reconstruction_distance"], _SHARE))
    right = abs(results["midpoint_state"] - results["halfway"]) <= tolerance
    results["reached"] = right & (results["midpoint_distance"] <= near)
    return results


def halfway_summary(results: xr.Dataset) -> pd.DataFrame:
    """Means over pairs, each with its standard error.

    Parameters
    ----------
    results
        What ``halfway_test`` returned.

    Returns
    -------
    DataFrame
        Columns ``mean`` and ``se``; rows ``midpoint distance``, ``average distance``,
        ``reconstruction distance``, ``midpoint state``, ``off half-way`` (the mean distance of
        that state from half-way) and ``reached``. The errors are of other pairs, for the same
        fitted model.
    """
    values = {
        f"{source} distance": results[f"{source}_distance"]
        for source in ("midpoint", "average", "reconstruction")
    }
    values["midpoint state"] = results["midpoint_state"]
    values["off half-way"] = abs(results["midpoint_state"] - results["halfway"])
    values["reached"] = results["reached"].astype(float)
    rows = {
        name: (float(of.mean()), float(of.std(ddof=1)) / math.sqrt(of.size))
        for name, of in values.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "se"])


def nearest_member(
    pictures: Any, family: Any, *, gain: tuple[float, float] = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square distance to the nearest member of a family, and which that is.

    Parameters
    ----------
    pictures, family
        Shapes ``(n, *event_shape)`` and ``(m, *event_shape)``.
    gain
        Range of a number that each member is multiplied by, the best for each picture.

    Returns
    -------
    tuple
        The distances and the numbers of the members, ``(n,)`` each.
    """
    rows, known = as_rows(pictures), as_rows(family)
    squares = (known**2).sum(1)
    distances, members = [], []
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        products = part @ known.T
        # A parabola in the gain, whose least value in a range is where its vertex is cut to.
        best = np.clip(products / np.maximum(squares, 1e-12), *gain)
        residual = (part**2).sum(1, keepdims=True) - 2 * best * products + best**2 * squares
        which = residual.argmin(1)
        members.append(which)
        least = residual[np.arange(len(part)), which]
        distances.append(np.sqrt(np.maximum(least, 0) / rows.shape[1]))
    return np.concatenate(distances), np.concatenate(members)


def _checked(
    first: Tensor,
    second: Tensor,
    family: Any,
    state: Any,
    gain: tuple[float, float],
) -> np.ndarray:
    """The states as an array, of arguments that agree."""
    if first.shape != second.shape or len(first) < 2:
        raise DataError(
            f"first and second got shapes {tuple(first.shape)} and {tuple(second.shape)}: give "
            "the two data of each pair, in the same order, and two pairs or more"
        )
    number = np.asarray(state, dtype=np.float64)
    if np.shape(family)[1:] != first.shape[1:] or number.shape != (len(family),):
        raise DataError(
            f"family and state got shapes {tuple(np.shape(family))} and "
            f"{tuple(np.shape(state))}: give data of shape {tuple(first.shape[1:])}, and one "
            "number for each"
        )
    if not 0 < gain[0] <= gain[1]:
        raise ValueError(f"gain got {gain}: give its least and its largest value, both positive")
    return number
