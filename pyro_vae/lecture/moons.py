"""The moons that two panels share: models of them, and the true moon nearest to a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from pyro_vae.data import moon
from pyro_vae.data.moon_phases import half_and_full
from pyro_vae.inference import fit
from pyro_vae.inference.latents.halfway import nearest_member

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import VAE, Autoencoder

__all__ = ["GRID", "SIGMA", "Nearest", "halfway", "nearest_moon", "train"]

#: Lit fractions, radii and centres (either axis) of ``every_moon``, in pixels: first, last, how
#: many. The page draws them itself.
GRID = {"lit": (0.0, 1.0, 41), "radius": (5.0, 6.0, 6), "centre": (7.5, 8.5, 6)}
#: Minus the log-density of this normal is the summed squared error, up to a constant.
SIGMA = 0.5**0.5
#: Range of the brightness.
_BRIGHTNESS = (0.8, 1.0)


class Nearest(NamedTuple):
    """The true moon nearest to each picture.

    Attributes
    ----------
    distance
        Root mean square difference per pixel, ``(n,)``.
    lit
        Lit fraction of that moon, ``(n,)``.
    """

    distance: Tensor
    lit: Tensor


def nearest_moon(pictures: Tensor) -> Nearest:
    """Nearest of the true moons, each at the brightness that suits best.

    Parameters
    ----------
    pictures
        Shape ``(n, 16, 16)``.
    """
    # In double precision, as the page reckons; ``every_moon`` itself is in single.
    lit, radius, centre = (torch.linspace(*ends, dtype=torch.double) for ends in GRID.values())
    places = torch.cartesian_prod(centre, centre)
    moons = moon(lit[:, None, None], radius[:, None], places).flatten(0, 2)
    lit = lit.repeat_interleave(len(radius) * len(places))
    distance, which = nearest_member(pictures, moons, gain=_BRIGHTNESS)
    return Nearest(torch.from_numpy(distance), lit[which])


def halfway(model: VAE | Autoencoder, data: Dataset) -> Tensor:
    """What is decoded half-way between the codes of a half and of a full moon, ``(n, 16, 16)``.

    Parameters
    ----------
    model
        A fitted model.
    data
        ``MoonPhases``; each half moon of the test split is paired with one full moon.
    """
    half, full = half_and_full(data)
    with torch.no_grad():
        return model.decode((model.code(half) + model.code(full)) / 2)


def train(
    model: VAE | Autoencoder, data: Dataset, *, batch_size: int, learning_rate: float, seed: int
) -> None:
    """Fit a small model of moons in a second or two.

    Parameters
    ----------
    model, data
        What to fit, to what.
    batch_size, learning_rate
        As for ``fit``.
    seed
        Seed of the order of the data and of the draws.
    """
    fit(
        model,
        data,
        epochs=25,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        seed=seed,
        compile="graph",
        progress=False,
    )
