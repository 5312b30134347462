"""How sharp pictures are, to see by how much the pictures that a model makes are blurred.

The measure is the energy of the discrete Laplacian beside the variance of the picture (after the
"variance of the Laplacian" of Pech-Pacheco et al., 2000, which contrast would move). A mean over
pictures that differ in where an edge is has a soft edge, and a lower sharpness than each of them.
A draw from p(x | z) has the noise of single pixels, which counts as sharp: compare like with like.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_vae.conversion import as_inputs
from pyro_vae.errors import DataError
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["compare_sharpness", "sharpness"]

#: The four neighbours of a pixel, less four times itself.
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


@verb
def sharpness(pictures: Any) -> Tensor:
    """Energy of the Laplacian of each picture, relative to the picture's own variance.

    Parameters
    ----------
    pictures
        Pictures ``(n, height, width)`` or ``(n, channels, height, width)``, any scale.

    Returns
    -------
    Tensor
        Shape ``(n,)``, float64, no unit: about 20 for independent pixels, near 0 for a slope; NaN
        for a picture of one grey.

    Raises
    ------
    DataError
        If the data are no pictures of three by three pixels or more.

    Examples
    --------
    >>> noise = torch.randn(500, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> bool((sharpness(noise).mean() - 20).abs() < 0.5)
    True
    """
    pictures = as_inputs(pictures, name="pictures")
    if pictures.dim() not in (3, 4) or min(pictures.shape[-2:]) < 3:
        raise DataError(
            f"pictures got shape {tuple(pictures.shape)}: give three by three pixels or more, "
            "(n, height, width) or (n, channels, height, width)"
        )
    planes = pictures.double().reshape(-1, 1, *pictures.shape[-2:])
    kernel = planes.new_tensor(_LAPLACIAN).reshape(1, 1, 3, 3)
    energy = torch.nn.functional.conv2d(planes, kernel).square().flatten(1).mean(1)
    variance = planes.flatten(1).var(1, correction=0)
    of_image = (len(pictures), -1)
    total = variance.reshape(of_image).sum(1)
    # A picture of one grey has no edge to be sharp, and 0 / 0.
    return torch.where(total > 0, energy.reshape(of_image).sum(1) / total, torch.nan)


@verb
def compare_sharpness(pictures: Mapping[str, Any], *, reference: str = "data") -> pd.DataFrame:
    """Mean sharpness of several kinds of pictures, beside that of the data.

    Parameters
    ----------
    pictures
        Pictures by name: data, reconstructions, decoded draws.
    reference
        The name of those that the others are held against.

    Returns
    -------
    DataFrame
        One row a kind: ``sharpness`` and its standard error ``se`` over pictures, ``share``, the
        mean as a share of the reference's, and its standard error ``share_se``, which takes the
        two kinds as independent.

    Raises
    ------
    DataError
        If the reference is not among them, or a kind has fewer than two pictures that are not of
        one grey.
    """
    if reference not in pictures:
        raise DataError(
            f"reference got {reference!r}: it must be one of {', '.join(map(repr, pictures))}"
        )
    found = {name: _mean(sharpness(of).numpy(), name) for name, of in pictures.items()}
    base, base_se = found[reference]
    rows = {}
    for name, (mean, error) in found.items():
        share = mean / base
        # The error of a ratio, to first order.
        relative = math.hypot(error / mean, base_se / base) if name != reference else 0.0
        rows[name] = {
            "sharpness": mean,
            "se": error,
            "share": share,
            "share_se": share * relative,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _mean(values: np.ndarray, name: str) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if len(values) < 2:
        raise DataError(f"pictures[{name!r}] has fewer than two pictures that are not of one grey")
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
