"""Depth and width: what hidden layers of an autoencoder buy at one length of code.

The shallow autoencoder has none, and PCA is the best of those that are linear altogether; a wide
network has one layer of many units, a deep one several. All are trained alike, so that a chart of
their held-out error against their number of parameters says what either is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pyro_vae.inference import fit
from pyro_vae.inference.latents import reconstruction_error
from pyro_vae.models import PCA, Autoencoder
from pyro_vae.tour.stops import likelihood_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_vae.data import Dataset

__all__ = ["depth_and_width"]


def depth_and_width(
    data: Dataset,
    latent_dim: int = 8,
    *,
    depths: Sequence[int] = (1, 2, 3),
    widths: Sequence[int] = (16, 64, 256),
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 60,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
) -> pd.DataFrame:
    """Held-out reconstruction error of PCA and of autoencoders of several depths and widths.

    Parameters
    ----------
    data
        Binary data or counts.
    latent_dim
        Length of every code.
    depths, widths
        Numbers of hidden layers, of the encoder and as many of the decoder, and of units in each.
        The autoencoder without hidden layers is there always.
    seeds
        Seeds of first weights and of the order of the data.
    epochs, batch_size, learning_rate
        Training, with a cosine schedule, the same for all; see ``inference.fit``.

    Returns
    -------
    DataFrame
        One row a fit: ``model`` (``PCA``, or ``shallow``, ``1 hidden layer``, ...), ``width`` (0
        without hidden layers), ``parameters``, ``seed``, ``error`` (squared, per feature on the
        unit interval, mean over the test data) and ``training_error``. PCA has one fit.

    Raises
    ------
    DataError
        If the data are neither binary nor counts.
    """
    likelihood = likelihood_for(data)
    layers: list[tuple[str, int, tuple[int, ...]]] = [("shallow", 0, ())]
    layers += [
        (f"{depth} hidden layer{'s' * (depth > 1)}", width, (width,) * depth)
        for depth in depths
        for width in widths
    ]
    rows = []
    for name, width, hidden in [("PCA", 0, None), *layers]:
        for seed in seeds if hidden is not None else seeds[:1]:
            if hidden is None:
                model: PCA | Autoencoder = PCA(data.event_shape, latent_dim)
            else:
                model = Autoencoder(
                    data.event_shape,
                    latent_dim,
                    likelihood=likelihood,
                    encoder=hidden,
                    decoder=hidden,
                    seed=seed,
                )
            fit(
                model,
                data,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                schedule="cosine",
                seed=seed,
                progress=False,
            )
            errors = [
                reconstruction_error(model, x, scale=data.unit_scale)["squared_error"]
                for x in (data.test, data.train)
            ]
            rows.append(
                {
                    "model": name,
                    "width": width,
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "seed": seed,
                    "error": float(errors[0].mean()),
                    "training_error": float(errors[1].mean()),
                }
            )
    return pd.DataFrame(rows)
