"""The gap taken apart: three families of guides at a posterior of the shape of a banana.

Cremer, Li & Duvenaud (2018), arXiv 1801.03558.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pyro_vae.inference import evaluate, fit, quadrature
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.isolation import isolated
from pyro_vae.lecture.packed import packed
from pyro_vae.models import VAE
from pyro_vae.models.guides import FullCovarianceNormal, InverseAutoregressiveFlow, MeanFieldNormal
from pyro_vae.models.likelihoods import Normal

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.models.guides import Guide

__all__ = ["Bend", "banana_vae", "gap_of"]

#: The less x_2, the more the banana is bent; x_1 = 0 is the same for both its arms.
_DATA = [(0.0, -3.0), (0.0, -2.0), (0.0, -1.0), (0.0, 0.0), (0.0, 1.0)]
_SLOPE, _SCALE = 0.3, 0.3
_TRAINING, _PARTICLES, _SHOWN = 1500, 4000, 200


class Bend(nn.Module):
    """From z to the mean (0.3 z_1, z_2 - z_1^2) of x: known, with nothing to train."""

    def forward(self, z: Tensor) -> Tensor:
        """Means ``(..., 2)`` at z, ``(..., 2)``."""
        first, second = z.unbind(-1)
        return torch.stack([_SLOPE * first, second - first.square()], -1)


def banana_vae(guide: Guide, seed: int) -> VAE:
    """Z ~ N(0, I), x | z ~ Normal((0.3 z_1, z_2 - z_1^2), 0.3), with an encoder to be trained.

    Parameters
    ----------
    guide
        Family of q(z | x).
    seed
        Seed of the encoder's weights.
    """
    return VAE(
        (2,),
        2,
        likelihood=Normal(_SCALE),
        encoder=(48, 48),
        decoder=Bend(),
        guide=guide,
        seed=seed,
    )


def gap_of(seed: int) -> dict[str, Any]:
    """Encoders of three families trained on draws of the model, and the best guides of five data.

    Parameters
    ----------
    seed
        Seed of the data, the weights and the draws.

    Returns
    -------
    dict
        ``data``; their exact ``evidence``, log p(x), by quadrature; ``slope`` and ``scale`` of
        the model; and for each family under ``guides`` of ``best`` and ``amortised``: ``elbo``
        and ``error``, its standard error, in nats; ``z`` and ``logQ`` of some draws, packed from
        ``(data, draws, 2)`` and ``(data, draws)``.
    """
    families = {
        "mean_field": MeanFieldNormal(),
        "full": FullCovarianceNormal(),
        "flow": InverseAutoregressiveFlow(num_transforms=3, hidden=32, context_dim=8, seed=seed),
    }
    with isolated(seed):
        z = torch.randn(_TRAINING, 2)
        train = Bend()(z) + _SCALE * torch.randn(_TRAINING, 2)
    x = torch.tensor(_DATA)
    guides = {}
    for name, family in families.items():
        model = banana_vae(family, seed)
        fit(
            model,
            train,
            epochs=20,
            learning_rate=1e-2,
            schedule="cosine",
            seed=seed,
            compile="off",
            progress=False,
        )
        best = model.unamortised(x)
        fit_guide(best, x, steps=200, learning_rate=0.02, seed=seed)
        guides[name] = {"best": _bound(best, x, seed), "amortised": _bound(model, x, seed)}
    exact = quadrature(model.model, model.guide, x)
    return {
        "data": _DATA,
        "slope": _SLOPE,
        "scale": _SCALE,
        "evidence": exact["log_evidence"].values.tolist(),
        "guides": guides,
    }


def _bound(model: VAE, x: Tensor, seed: int) -> dict[str, Any]:
    """L_b of every datum with its error, and draws to be looked at."""
    found = evaluate((model.model, model.guide), x, _PARTICLES, iwae=(1,), seed=seed)
    with torch.no_grad(), isolated(seed):
        q = model.posterior(x)
        z = q.sample(torch.Size([_SHOWN]))
        log_q = q.log_prob(z)
    return {
        "elbo": found["elbo"].values.tolist(),
        "error": found["elbo_se"].values.tolist(),
        "z": packed(z.transpose(0, 1)),
        "logQ": packed(log_q.T),
    }
