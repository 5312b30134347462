"""Can the weights be trusted: effective sample size and Pareto k-hat, per datum."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

with warnings.catch_warnings():
    # ArviZ announces its own next major version at import.
    warnings.simplefilter("ignore", FutureWarning)
    import arviz as az

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["KHAT_LIMIT", "effective_sample_size", "pareto_khat"]

#: Above it importance sampling is unreliable (Vehtari et al., 2024, arXiv 1507.02646).
KHAT_LIMIT = 0.7

#: The tail fit needs at least five points beyond the cut at a fifth of the draws.
_FEWEST_DRAWS = 25


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
    columns = log_weights.detach().double().cpu().numpy().T
    khat = np.full(len(columns), math.nan)
    if columns.shape[1] < _FEWEST_DRAWS:
        return khat
    spread = np.ptp(columns, axis=1)
    # Rounding in the evaluation of log p(x, z) - log q(z), not a tail.
    scale = np.abs(columns).max(axis=1) * np.finfo(np.float32).eps
    for row in np.flatnonzero(spread > 10 * scale):
        khat[row] = float(az.psislw(columns[row])[1])
    return khat
