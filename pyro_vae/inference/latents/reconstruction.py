"""How well data come back from their codes: a number that every model with a code has.

It is no log p(x), and a better reconstruction is no better model of the data: a wider code
always reconstructs more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.inputs import count, encoder_side, run_program, take
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.protocols import Coder

__all__ = ["reconstruct", "reconstruction_error"]


@verb
@takes_data("x", supported=False)
def reconstruct(model: Coder, x: Inputs) -> Tensor:
    """Data decoded from their own codes, ``(n, *event_shape)``; no gradient.

    Parameters
    ----------
    model
        Module with ``code`` and ``decode``.
    x
        Data, or named tensors of such: the code hears all but an exposure.
    """
    given = {} if isinstance(x, torch.Tensor) else dict(x)
    given = {name: part for name, part in given.items() if name not in ("x", "observed")}
    with torch.no_grad():
        return model.decode(run_program(model.code, encoder_side(x)), **given)


@verb
@takes_data("x", supported=False)
def reconstruction_error(
    model: Coder, x: Inputs, *, scale: float = 1.0, chunk_size: int = 1024
) -> xr.Dataset:
    """Squared error of ``decode(code(x))`` per datum.

    Parameters
    ----------
    model
        Module with ``code`` and ``decode``, such as an autoencoder, a VAE or PCA.
    x
        Data ``(n, *event_shape)``, or named tensors of such.
    scale
        What x is multiplied by first: 1/16 brings counts up to 16 to the unit interval.
    chunk_size
        Data at a time; no effect on the result.

    Returns
    -------
    Dataset
        ``squared_error``, the mean over the D features of (scale (x_d - xhat_d))^2, dimension
        ``datum``; over those that are observed, where x comes with ``observed``, and NaN where
        none is.
    """
    errors = []
    for start in range(0, count(x), chunk_size):
        part = take(x, slice(start, start + chunk_size))
        data = part if isinstance(part, torch.Tensor) else part["x"]
        square = (scale * (data - reconstruct(model, part)).double()).square()
        if not isinstance(part, torch.Tensor) and "observed" in part:
            observed = part["observed"].flatten(1)
            of_row = square.flatten(1).where(observed, 0.0).sum(1) / observed.sum(1)
        else:
            of_row = square.flatten(1).mean(1)
        errors.append(of_row.cpu().numpy())
    results = xr.Dataset({"squared_error": ("datum", np.concatenate(errors))})
    results["squared_error"].attrs["units"] = "squared units of scale * x, mean over features"
    results.attrs["scale"] = scale
    return results
