"""A small VQ-VAE with codes on a plane: nearest codes, straight-through gradients, p(z).

van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.data import load
from pyro_vae.inference import fit
from pyro_vae.lecture.packed import packed
from pyro_vae.lecture.panels.decoder_document import describe_layers
from pyro_vae.models import VQVAE
from pyro_vae.models.code_priors import AutoregressiveCodes
from pyro_vae.models.likelihoods import Binomial

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.data import Dataset

__all__ = ["codebook_of", "describe_codebook"]

_CODES, _EPOCHS = 24, 30
_POINTS, _IMAGES = 400, 12


def codebook_of(seed: int) -> dict[str, Any]:
    """Two VQ-VAEs of the digits with one code each, and a prior learned for each in turn.

    Parameters
    ----------
    seed
        Seed of the weights, the codes and the order of the data.

    Returns
    -------
    dict
        What ``describe_codebook`` gives of one whose codes start at the data, ``"data"``, and of
        one whose codes start at random and are never brought back, ``"random"``.
    """
    data = load("digits", binarisation="none", seed=seed)
    made = {}
    for start in ("data", "random"):
        model = digits_codebook(data.event_shape, seed)
        # `fit` starts the codes at the data of a model that has not been started.
        model.initialised = start == "random"
        fit(
            model,
            data,
            epochs=_EPOCHS,
            learning_rate=3e-3,
            seed=seed,
            compile="off",
            progress=False,
        )
        learned = model.with_prior(AutoregressiveCodes(width=8, layers=1, heads=1, seed=seed))
        fit(
            learned,
            data,
            epochs=20,
            learning_rate=3e-2,
            schedule="cosine",
            seed=seed,
            compile="off",
            progress=False,
        )
        made[start] = describe_codebook(learned, data)
    return made


def digits_codebook(event_shape: tuple[int, ...], seed: int) -> VQVAE:
    """One of ``_CODES`` codes on the plane for each image, with small networks.

    Parameters
    ----------
    event_shape
        Shape of an image of counts 0 to 16.
    seed
        Seed of the weights and of the codes.
    """
    return VQVAE(
        event_shape,
        num_codes=_CODES,
        code_dim=2,
        num_positions=1,
        likelihood=Binomial(16),
        encoder=(64,),
        decoder=(64,),
        activation="relu",
        revive_below=0.0,
        seed=seed,
    )


def describe_codebook(model: VQVAE, data: Dataset) -> dict[str, Any]:
    """Codes, encoder outputs, decoder, use and prior, ready for JSON.

    Parameters
    ----------
    model
        With one code of length two for each image, and an MLP with ReLU as decoder.
    data
        Images ``(height, width)``; the use is that of the training split.
    """
    model.eval()
    codes = torch.arange(model.codebook.num_codes).unsqueeze(-1)
    x = data.test[:_IMAGES]
    height, width = data.event_shape
    with torch.no_grad():
        return {
            "codes": packed(model.codebook.codes),
            "points": packed(model.code(data.train[:_POINTS])),
            "images": packed(x),
            "outputs": packed(model.code(x)),
            "usage": model.usage(data.train).tolist(),
            "logPrior": _log_prior(model, codes).tolist(),
            "layers": describe_layers(model.decoder),
            "total": 16,
            "height": height,
            "width": width,
        }


def _log_prior(model: VQVAE, codes: Tensor) -> Tensor:
    return model.prior().log_prob(codes).double()
