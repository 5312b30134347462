"""What the KL term is for: the scales of q(z | x) over a training with it and one without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import Independent, Normal, kl_divergence

from pyro_vae.data import Dataset, load
from pyro_vae.inference import fit
from pyro_vae.inference.training.objectives import BetaELBO
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Binomial

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["divergence_of"]

_EPOCHS = 24


def divergence_of(seed: int) -> dict[str, Any]:
    """Two trainings on the handwritten digits, which differ in the weight of the KL alone.

    Parameters
    ----------
    seed
        Seed of the weights, the order of the data and the draws.

    Returns
    -------
    dict
        ``"with"`` (weight 1) and ``"without"`` (weight 0), each with ``sigma``, the mean scale
        of q(z | x) over data and units, and ``kl``, the mean KL(q(z | x) || p(z)) in nats,
        before training and after every epoch.
    """
    x = load("digits", binarisation="none", seed=seed).train
    return {"with": _recorded(x, 1.0, seed), "without": _recorded(x, 0.0, seed)}


def _recorded(x: Tensor, beta: float, seed: int) -> dict[str, list[float]]:
    # Without validation data fit keeps the last weights: the best ones, measured by the ELBO,
    # are not where a training without the KL goes.
    data = Dataset.from_tensors(x, kind="counts", maximum=16)
    model = VAE(x.shape[1:], 2, likelihood=Binomial(16), encoder=(64,), decoder=(64,), seed=seed)
    model.initialise(x)
    rows = [_spread(model, x)]
    for epoch in range(_EPOCHS):
        fit(
            model,
            data,
            BetaELBO(beta=beta),
            epochs=1,
            learning_rate=3e-3,
            seed=seed + epoch,
            compile="off",
            progress=False,
        )
        rows.append(_spread(model, x))
    return {"sigma": [sigma for sigma, _ in rows], "kl": [kl for _, kl in rows]}


def _spread(model: VAE, x: Tensor) -> tuple[float, float]:
    """Mean scale of q(z | x), and mean KL(q(z | x) || p(z))."""
    with torch.no_grad():
        q = model.posterior(x)
        prior = Independent(Normal(torch.zeros_like(q.mean), 1.0), 1)
        return float(q.stddev.double().mean()), float(kl_divergence(q, prior).double().mean())
