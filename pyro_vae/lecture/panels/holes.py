"""Between the codes of a half and of a full moon, in an autoencoder and in a VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.data import load
from pyro_vae.data.moon_phases import half_and_full
from pyro_vae.lecture.moons import GRID, SIGMA, halfway, nearest_moon, train
from pyro_vae.lecture.packed import mean_of, packed
from pyro_vae.lecture.panels.decoder_document import describe_network
from pyro_vae.models import VAE, Autoencoder
from pyro_vae.models.likelihoods import Normal

if TYPE_CHECKING:
    from pyro_vae.data import Dataset

__all__ = ["holes_of"]

#: Pairs that can be looked at.
_SHOWN = 8


def holes_of(seed: int) -> dict[str, Any]:
    """What the page needs of the two models, trained here alike, ready for JSON.

    Parameters
    ----------
    seed
        Seed of the moons, of the networks' weights and of the training.
    """
    data = load("moon-phases", seed=seed)
    half, full = (moons[:_SHOWN] for moons in half_and_full(data))
    return {
        "grid": GRID,
        "half": packed(half),
        "full": packed(full),
        "models": {
            name: _described(_trained(kind, data, seed), data)
            for name, kind in {"autoencoder": Autoencoder, "vae": VAE}.items()
        },
    }


def _trained(kind: type[Autoencoder] | type[VAE], data: Dataset, seed: int) -> Autoencoder | VAE:
    model = kind(
        data.event_shape,
        2,
        likelihood=Normal(SIGMA),
        encoder=(128, 64),
        decoder=(64, 128),
        seed=seed,
    )
    train(model, data, batch_size=64, learning_rate=2e-3, seed=seed)
    return model


def _described(model: Autoencoder | VAE, data: Dataset) -> dict[str, Any]:
    """Its decoder, the codes of the pairs shown, and distances half-way of all pairs."""
    half, full = (moons[:_SHOWN] for moons in half_and_full(data))
    found = nearest_moon(halfway(model, data))
    with torch.no_grad():
        codes = [packed(model.code(moons)) for moons in (half, full)]
    between = (found.lit > 0.6) & (found.lit < 0.9)
    return {
        "decoder": describe_network(model),
        "codes": codes,
        "halfway": found.distance[:_SHOWN].tolist(),
        **mean_of(found.distance),
        "gibbous": float(between.double().mean()),
    }
