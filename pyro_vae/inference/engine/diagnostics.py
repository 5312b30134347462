"""Can the weights be trusted: effective sample size and Pareto k-hat, per datum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vae.inference.engine.smoothing import smoothed_weights

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ACTIVE_VARIANCE",
    "FEWEST_DRAWS",
    "KHAT_LIMIT",
    "active_directions",
    "active_units",
    "effective_sample_size",
    "pareto_khat",
    "pareto_smoothed",
]

#: A latent unit is active where its posterior mean varies more than this over the data.
ACTIVE_VARIANCE = 0.01

#: Above it importance sampling is unreliable (Vehtari et al., 2024, arXiv 1507.02646).
KHAT_LIMIT = 0.7

#: Data whose tails are fitted at once: a fit has an array of its nodes by its points.
_FITTED = 64

#: The tail fit needs at least five points beyond the cut at a fifth of the draws.
FEWEST_DRAWS = 25


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """ESS = (sum w)^2 / sum w^2 per datum, between 1 and K.

    Parameters
    ----------
    log_weights
        Shape ``(K, B)``, in nats.

    Returns
    -------
    Tensor
        Shape ``(B,)``. Far below K, a few particles carry the estimate of log p(x).
    """
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()


def pareto_khat(log_weights: Tensor) -> np.ndarray:
    """Pareto shape k-hat of each datum's weights (Vehtari et al., 2024, arXiv 1507.02646).

    Below 0.7 the estimate of log p(x) and its standard error can be relied on; above, the
    weights' variance is effectively infinite at this K: take more particles, a better guide,
    or an estimator other than importance sampling.

    Parameters
    ----------
    log_weights
        Shape ``(K, B)``, in nats.

    Returns
    -------
    ndarray
        Shape ``(B,)``; NaN where K < 25, or where the weights are equal to rounding (the guide
        is the posterior, and there is no tail to fit).
    """
    return pareto_smoothed(log_weights)[1]


def pareto_smoothed(log_weights: Tensor) -> tuple[Tensor, np.ndarray]:
    """Log-weights with the largest replaced by quantiles of a Pareto tail, and k-hat.

    Vehtari et al. (2024), arXiv 1507.02646. The variance falls, at the price of a small bias
    of unknown sign; no weight rises above the largest that was drawn.

    Parameters
    ----------
    log_weights
        Shape ``(K, B)``, in nats.

    Returns
    -------
    Tensor
        Shape ``(K, B)``, float64, not normalised; as given where k-hat is NaN.
    ndarray
        k-hat, as ``pareto_khat`` gives it.
    """
    columns = log_weights.detach().double().cpu().numpy().T
    smoothed, khat = columns.copy(), np.full(len(columns), math.nan)
    if columns.shape[1] >= FEWEST_DRAWS:
        spread = np.ptp(columns, axis=1)
        # Rounding in the evaluation of log p(x, z) - log q(z), not a tail.
        scale = np.abs(columns).max(axis=1) * np.finfo(np.float32).eps
        rows = np.flatnonzero(spread > 10 * scale)
        # A tail that spans all of float64 overflows in the fit, which then says so.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for some in np.split(rows, range(_FITTED, len(rows), _FITTED)):
                smoothed[some], khat[some] = smoothed_weights(columns[some])
    return torch.from_numpy(smoothed.T.copy()).to(log_weights.device), khat


def active_units(means: Tensor, threshold: float = ACTIVE_VARIANCE) -> int:
    """Number of latent units u with Var_x(E_q[z_u | x]) above a threshold.

    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, section 5.2. The other units have
    collapsed: their posterior is the prior, whatever the datum.

    Parameters
    ----------
    means
        Posterior means of the data, ``(n, L)``, n at least 2.
    threshold
        Variance above which a unit counts as active.
    """
    return int((means.double().var(0) > threshold).sum())


def active_directions(means: Tensor, threshold: float = ACTIVE_VARIANCE) -> int:
    """Number of eigenvalues of Cov_x(E_q[z | x]) above a threshold.

    ``active_units`` where a rotation of z changes nothing, as under a normal prior with a
    full-covariance guide: there the units may all vary, along few directions.

    Parameters
    ----------
    means, threshold
        As for ``active_units``.
    """
    covariance = torch.atleast_2d(torch.cov(means.double().T))
    return int((torch.linalg.eigvalsh(covariance) > threshold).sum())
