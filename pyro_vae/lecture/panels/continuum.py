"""Mixtures of more and more components on a curve, and the VAE: one for every z."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyro_vae.data import Dataset
from pyro_vae.inference import fit
from pyro_vae.lecture.packed import packed
from pyro_vae.lecture.panels.decoder_document import describe_layers
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Normal

__all__ = ["continuum_of", "curve_data"]

#: Numbers of components; the continuum comes after them.
COMPONENTS = (1, 2, 8, 64)
#: Of the data around their curve.
_NOISE = 0.12
_LEAST_SCALE = 0.02


def continuum_of(seed: int, *, epochs: int = 240) -> dict[str, Any]:
    """Fitted mixtures and a fitted VAE of the same 2-D data, with the same likelihood.

    The VAE is trained on the IWAE bound of 8 draws (Burda et al., 2016, arXiv 1509.00519).

    Parameters
    ----------
    seed
        Seed of the data, the weights and the draws.
    epochs
        Passes over the data of the VAE; a mixture takes half of them.
    """
    data = curve_data(seed)
    mixtures = []
    for count in COMPONENTS:
        mixture = MixtureModel(count, Normal("shared", min_scale=_LEAST_SCALE), (2,))
        mixture.initialise(data.train, seed=seed)
        _fit(mixture, data, max(1, epochs // 2), seed)
        mixtures.append(_described(mixture))
    vae = VAE(
        (2,),
        1,
        likelihood=Normal("shared", min_scale=_LEAST_SCALE),
        encoder=(32, 32),
        decoder=(32, 32),
        activation="tanh",
        seed=seed,
    )
    _fit(vae, data, epochs, seed)
    return {
        "train": packed(data.train),
        "test": packed(data.test),
        "mixtures": mixtures,
        "vae": {
            "layers": describe_layers(vae.decoder),
            "scale": _scale(vae.likelihood),
            "parameters": sum(p.numel() for p in vae.decoder.parameters()) + 1,
        },
    }


def curve_data(seed: int, size: int = 300) -> Dataset:
    """Points around one and a half waves of a sine, 2 per point; as many to test as to train."""
    generator = torch.Generator().manual_seed(seed)
    splits = []
    for _ in range(3):
        along = 2 * torch.rand(size, generator=generator) - 1
        curve = torch.stack([1.6 * along, torch.sin(1.5 * math.pi * along)], dim=1)
        splits.append(curve + _NOISE * torch.randn(size, 2, generator=generator))
    return Dataset.from_tensors(*splits, name="curve", kind="real")


def _fit(model: MixtureModel | VAE, data: Dataset, epochs: int, seed: int) -> None:
    # The ELBO alone rests for long where z tells left from right and no more.
    settings: dict[str, Any] = {
        "objective": "iwae(num_particles=8)",
        "batch_size": 100,
        "learning_rate": 1e-2,
        "compile": "graph",
    }
    if isinstance(model, MixtureModel):
        # Its objective is exact: no noise but that of batches, so all data at once and long steps.
        settings = {"batch_size": len(data.train), "learning_rate": 0.1, "compile": "off"}
    fit(model, data, epochs=epochs, schedule="cosine", seed=seed, progress=False, **settings)


def _described(mixture: MixtureModel) -> dict[str, Any]:
    with torch.no_grad():
        weights = mixture.logits.softmax(-1)
        means = mixture.component_means()
    count = len(weights)
    return {
        "weights": packed(weights),
        "means": packed(means.reshape(count, 2)),
        "scale": _scale(mixture.likelihood),
        "parameters": 3 * count,
    }


def _scale(likelihood: Any) -> float:
    """The one scale of all components, or of all z."""
    return float(likelihood.sigma(torch.zeros(2)).detach().reshape(-1)[0])
