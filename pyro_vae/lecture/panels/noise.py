"""Codes that are discs: autoencoders of moons, with noise of several widths on the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist

from pyro_vae.data import load
from pyro_vae.lecture.moons import SIGMA, halfway, nearest_moon, train
from pyro_vae.lecture.packed import mean_of, packed
from pyro_vae.models import Autoencoder, PoorMansVAE
from pyro_vae.models.likelihoods import Normal

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.data import Dataset

__all__ = ["noise_of"]

WIDTHS = (0.0, 0.1, 0.2, 0.4, 0.8)
#: Codes that are drawn, and points on either side of the grid on which their cover is counted.
_CODES, _GRID = 240, 80


def noise_of(seed: int) -> dict[str, Any]:
    """What the page needs of five autoencoders trained here, ready for JSON.

    A noise of width w on a code z that is charged ||z||^2 / 2 is unit noise on z / w, charged
    w^2 times half its squared norm: the poor man's VAE with that weight. Codes are given in
    units of z.

    Parameters
    ----------
    seed
        Seed of the moons, of the networks' weights and of the training.
    """
    data = load("moon-phases", seed=seed)
    labels = data.labels["test"][:_CODES]  # type: ignore[index]
    return {
        "grid": _GRID,
        "labels": labels.tolist(),
        "models": [_described(_trained(data, width, seed), data, width) for width in WIDTHS],
    }


def _trained(data: Dataset, width: float, seed: int) -> Autoencoder:
    settings: dict[str, Any] = {
        "likelihood": Normal(SIGMA),
        "encoder": (64, 64),
        "decoder": (64, 64),
        "seed": seed,
    }
    model = (
        PoorMansVAE(data.event_shape, 2, penalty="half-squared-norm", weight=width**2, **settings)
        if width
        else Autoencoder(data.event_shape, 2, **settings)
    )
    train(model, data, batch_size=100, learning_rate=4e-3, seed=seed)
    return model


def _described(model: Autoencoder, data: Dataset, width: float) -> dict[str, Any]:
    with torch.no_grad():
        codes = model.code(data.test)
        back = model.decode(codes) - data.test
    scaled = codes[:_CODES] * (width or 1.0)
    return {
        "width": width,
        "codes": packed(scaled),
        "covered": covered(scaled, width),
        "reconstruction": mean_of(back.square().flatten(1).mean(1).sqrt()),
        "halfway": mean_of(nearest_moon(halfway(model, data)).distance),
    }


def covered(codes: Tensor, width: float) -> float:
    """Share of the codes' convex hull within ``width`` of a code, counted on a grid.

    Parameters
    ----------
    codes
        Shape ``(n, 2)``.
    width
        Radius of a code's disc.
    """
    points = codes.double().numpy()
    low, high = points.min(0), points.max(0)
    steps = (np.arange(_GRID) + 0.5) / _GRID
    places = np.stack(np.meshgrid(*(low + np.outer(steps, high - low)).T), -1).reshape(-1, 2)
    inside = places[Delaunay(points).find_simplex(places) >= 0]
    return float((cdist(inside, points).min(1) <= width).mean())
