"""ELBO, IWAE_K, log p(x) and the gap from one tensor of log-weights: numeric core, no traces.

Every function takes log-weights of shape ``(K, B)`` in nats and returns estimates per datum,
shape ``(B,)``, each with its Monte Carlo standard error. Reductions go over particles first;
any weight per datum, such as N / B, belongs outside the log-sum-exp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Estimate", "elbo_of", "gap_of", "iwae_of", "log_evidence_of", "mean_of"]


class Estimate(NamedTuple):
    """An estimate per datum.

    Attributes
    ----------
    value
        Shape ``(B,)``.
    standard_error
        Monte Carlo standard error, shape ``(B,)``; NaN where one draw cannot tell.
    """

    value: Tensor
    standard_error: Tensor


def mean_of(draws: Tensor) -> Estimate:
    """Mean over particles of ``(K, B)``, with standard error sd / sqrt(K)."""
    count = len(draws)
    if count == 1:
        return Estimate(draws[0], torch.full_like(draws[0], math.nan))
    return Estimate(draws.mean(0), draws.std(0) / math.sqrt(count))


def elbo_of(log_weights: Tensor) -> Estimate:
    """ELBO = E_q[log w], a lower bound on log p(x)."""
    return mean_of(log_weights)


def iwae_of(log_weights: Tensor, num_particles: int) -> Estimate:
    """IWAE_k = E[log (1/k) sum_j w_j], a lower bound that rises with k to log p(x).

    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519. The K weights are cut into
    floor(K / k) groups of k, an unbiased estimate of the bound; a remainder is left out. With
    k = 1 it is ``elbo_of`` to the bit.

    Parameters
    ----------
    log_weights
        Shape ``(K, B)``.
    num_particles
        The k of the bound, from 1 to K.

    Raises
    ------
    ValueError
        If k is not between 1 and K.
    """
    total = len(log_weights)
    k = num_particles
    if not 1 <= k <= total:
        raise ValueError(
            f"num_particles got {k}: IWAE_k needs 1 <= k <= {total}, the number of weights "
            "that were drawn; draw more or ask for less"
        )
    if k == 1:
        return elbo_of(log_weights)
    groups = total // k
    if groups == 1:
        return log_evidence_of(log_weights[:k])
    grouped = log_weights[: groups * k].reshape(groups, k, -1)
    return mean_of(grouped.logsumexp(1) - math.log(k))


def log_evidence_of(log_weights: Tensor) -> Estimate:
    """Importance-sampled log p(x) = log (1/K) sum_k w_k.

    In expectation a lower bound, low by about Var(w) / (2 K E[w]^2). Its standard error is
    the delta method's, sd(w) / (sqrt(K) mean(w)); it means little where the Pareto k-hat of
    the weights is above 0.7.
    """
    count = len(log_weights)
    value = log_weights.logsumexp(0) - math.log(count)
    if count == 1:
        return Estimate(value, torch.full_like(value, math.nan))
    ratio = torch.exp(log_weights - value)  # w_k / mean(w), whose mean is 1
    return Estimate(value, ratio.std(0) / math.sqrt(count))


def gap_of(log_weights: Tensor) -> Estimate:
    """Gap log p(x) - ELBO = KL(q(z|x) || p(z|x)), both from the same weights.

    log mean(w) - mean(log w) is never negative. The standard error is that of the difference,
    by the delta method: sd(w / mean(w) - log w) / sqrt(K).
    """
    count = len(log_weights)
    evidence = log_evidence_of(log_weights).value
    value = evidence - log_weights.mean(0)
    if count == 1:
        return Estimate(value, torch.full_like(value, math.nan))
    influence = torch.exp(log_weights - evidence) - log_weights
    return Estimate(value, influence.std(0) / math.sqrt(count))
