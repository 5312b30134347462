"""Posterior collapse in closed form: linear decoders, some of which see pixels beside z.

Lucas, Tucker, Grosse & Norouzi (2019), "Don't blame the ELBO!", arXiv 1911.02469; Tipping &
Bishop (1999), "Probabilistic principal component analysis".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.data import load
from pyro_vae.models import PCA

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["collapse_of", "decoder_ratios"]

_UNITS = 16


def collapse_of(seed: int) -> dict[str, Any]:
    """Three decoders of the handwritten digits, by what each leaves for z to explain.

    Parameters
    ----------
    seed
        Seed of the split and of the noise that makes the counts continuous.

    Returns
    -------
    dict
        ``units``, and for ``"weak"`` (one noise scale, PCA's), ``"neighbours"`` (sees the pixels
        on the left and above) and ``"all"`` (sees all pixels before) what ``decoder_ratios``
        gives.
    """
    data = load("digits", values="dequantised", seed=seed)
    # In grey levels, as the digits of the other panels are.
    x = data.train * 17
    covariance = torch.cov(x.flatten(1).double().T, correction=0)
    pca = PCA(data.event_shape, _UNITS, seed=seed)
    pca.initialise(x)
    width = data.event_shape[1]

    def neighbours(pixel: int) -> list[int]:
        left = [pixel - 1] if pixel % width else []
        return left + ([pixel - width] if pixel >= width else [])

    noise = pca.variance().detach()
    spectrum = torch.linalg.eigvalsh(covariance / noise[0]).flip(0)
    return {
        "units": _UNITS,
        "decoders": {
            "weak": {"ratios": spectrum.tolist(), "logDet": float(noise.log().sum())},
            "neighbours": decoder_ratios(covariance, neighbours),
            "all": decoder_ratios(covariance, lambda pixel: list(range(pixel))),
        },
    }


def decoder_ratios(covariance: Tensor, seen: Callable[[int], list[int]]) -> dict[str, Any]:
    """What a linear decoder that sees other pixels leaves unexplained, without z.

    Pixel d is regressed on the pixels ``seen(d)``: x_d = a_d + sum_j A_dj x_j + s_d e_d. So
    x ~ Normal(b, Psi) with Psi = (I - A)^-1 diag(s^2) (I - A)^-T, and W z is added to that.

    Parameters
    ----------
    covariance
        Of the data, ``(D, D)``.
    seen
        From a pixel to the pixels before it that its mean may use.

    Returns
    -------
    dict
        ``ratios``, the eigenvalues of Psi^(-1/2) Cov Psi^(-1/2) from the largest on, and
        ``logDet`` = log |Psi|.
    """
    size = len(covariance)
    weights, variances = torch.zeros_like(covariance), covariance.diagonal().clone()
    for pixel in range(size):
        given = seen(pixel)
        if given:
            across = covariance[given, pixel]
            weights[pixel, given] = torch.linalg.solve(covariance[given][:, given], across)
            variances[pixel] -= weights[pixel, given] @ across
    whiten = (torch.eye(size).to(weights) - weights) / variances.sqrt().unsqueeze(-1)
    ratios = torch.linalg.eigvalsh(whiten @ covariance @ whiten.T).flip(0)
    return {"ratios": ratios.tolist(), "logDet": float(variances.log().sum())}
