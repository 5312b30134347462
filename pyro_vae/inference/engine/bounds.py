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

__all__ = [
    "Estimate",
    "elbo_of",
    "gap_of",
    "iwae_of",
    "jackknife_of",
    "log_evidence_of",
    "mean_of",
    "renyi_of",
]


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


def jackknife_of(log_weights: Tensor) -> Estimate:
    """Log p(x) with the first-order bias of log mean(w) taken off by the jackknife.

    J = K L_K - (K - 1) mean_i L_(-i), where L_(-i) is the estimate without particle i (Nowozin,
    2018, "Debiasing evidence approximations: on importance-weighted autoencoders and jackknife
    variational inference"). The bias falls from order 1 / K to 1 / K^2, and its sign is no
    longer known: this is not a bound. Where one weight carries the sum, the correction is as
    large as what it corrects. The standard error is the jackknife's own.
    """
    count = len(log_weights)
    total = log_weights.logsumexp(0)
    if count == 1:
        return Estimate(total, torch.full_like(total, math.nan))
    without = total + torch.log1p(-torch.exp(log_weights - total))
    # Without the largest the difference cancels: sum the others afresh.
    largest = log_weights.argmax(0, keepdim=True)
    others = log_weights.scatter(0, largest, -math.inf).logsumexp(0, keepdim=True)
    without = without.scatter(0, largest, others) - math.log(count - 1)
    mean = without.mean(0)
    value = count * (total - math.log(count)) - (count - 1) * mean
    error = ((count - 1) / count * ((without - mean) ** 2).sum(0)).sqrt()
    return Estimate(value, error)


def renyi_of(log_weights: Tensor, alpha: float) -> Estimate:
    """Variational Renyi bound L_a = log E_q[w^(1 - a)] / (1 - a).

    Li & Turner (2016), arXiv 1602.02311. It falls as a rises: log p(x) at 0, the ELBO at 1; a
    lower bound for a > 0, an upper bound for a < 0, and at a = -1 the chi upper bound CUBO_2 =
    log E_q[w^2] / 2 (Dieng et al., 2017, arXiv 1611.00328). The estimate is low for a < 1 in
    expectation, so for a < 0 it may stay below log p(x) while the particles are few.
    """
    if alpha == 1:
        return elbo_of(log_weights)
    value, error = log_evidence_of((1 - alpha) * log_weights)
    return Estimate(value / (1 - alpha), error / abs(1 - alpha))


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
