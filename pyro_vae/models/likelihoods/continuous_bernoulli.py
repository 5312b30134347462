"""Continuous Bernoulli likelihood for grey levels, by logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods.base import Likelihood

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["ContinuousBernoulli"]

# Bernoulli numbers B_2n / (2n (2n)!): below |u| = 1 the first omitted term of the log-normaliser
# is under 1e-12, and that of the mean under 2e-11.
_SERIES = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000)


def _log_density(x: Tensor, u: Tensor) -> Tensor:
    """Log-density u x - A(u), A(u) = log((e^u - 1) / u), with a right gradient at every u."""
    near = u.abs() < 1
    # u / 2 + log(sinh(u / 2) / (u / 2)), in powers of u^2.
    inner = torch.where(near, u, 0.0)
    square = inner.square()
    series = torch.zeros_like(square)
    for coefficient in reversed(_SERIES):
        series = square * (coefficient + series)
    outer = torch.where(near, 1.0, u.abs())
    # u x - max(u, 0) without their cancellation: minus |u| times the distance from the end.
    distance = torch.where(u > 0, 1 - x, x)
    direct = outer.log() - torch.log(-torch.expm1(-outer)) - u.abs() * distance
    return torch.where(near, inner * (x - 0.5) - series, direct)


def _mean(u: Tensor) -> Tensor:
    """A'(u) = 1 / (1 - e^-u) - 1 / u, the mean."""
    near = u.abs() < 1
    inner = torch.where(near, u, 0.0)
    square = inner.square()
    series = torch.zeros_like(square)
    for power, coefficient in reversed(list(enumerate(_SERIES, 1))):
        series = 2 * power * coefficient + square * series
    outer = torch.where(near, 1.0, u)
    return torch.where(near, 0.5 + inner * series, -1 / torch.expm1(-outer) - 1 / outer)


class _ContinuousBernoulli(dist.ContinuousBernoulli):
    """PyTorch's by logits u, with its normaliser, mean and quantiles done anew.

    PyTorch's takes differences of near logarithms of p and 1 - p: in float32 its gradient has
    no right digit just outside |p - 1/2| = 0.001, and p is cut off at 1 - 10^-7, so that beyond
    |u| = 16 neither the normaliser nor the mean moves. Its ``cdf``, ``variance`` and ``entropy``
    are left as they are.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density u x - A(u)."""
        return _log_density(value, self.logits)

    @property
    def mean(self) -> Tensor:
        """A'(u)."""
        return _mean(self.logits)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantile log(1 + p (e^u - 1)) / u, for p of a shape that broadcasts."""
        u, p = torch.broadcast_tensors(self.logits, value)
        # On the side u < 0, of which the other is the mirror image: no exponential overflows.
        near = u.abs() < 1e-3
        side = torch.where(near, -1.0, -u.abs())
        mirrored = torch.where(u > 0, 1 - p, p)
        below = torch.log1p(mirrored * torch.expm1(side)) / side
        first_order = p + 0.5 * u * p * (1 - p)
        quantile = torch.where(u > 0, 1 - below, below)
        return torch.where(near, first_order, quantile).clamp(0.0, 1.0)


@final
class ContinuousBernoulli(Likelihood):
    """Density exp(u x) / int_0^1 exp(u x) dx on [0, 1], u = eta_d(z), independent over d.

    For grey levels, which the Bernoulli mass p^x (1 - p)^(1 - x) scores without integrating
    to one; this is that mass with its normaliser (Loaiza-Ganem & Cunningham, 2019,
    arXiv 1907.06845). The mean is not sigmoid(u). The density is unbounded at 0 and 1 as |u|
    grows: a pixel that is 0 in every image has log-density log |u|.
    """

    measure = "lebesgue"
    support = "numbers from 0 to 1"
    remedy = "Divide by the largest value, or take the normal likelihood."
    kinds = ("unit-interval",)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One logit per feature."""
        return math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given logits ``(..., D)``."""
        (logits,) = self._split(eta, 1)
        member = _ContinuousBernoulli(logits=logits, validate_args=False)
        return member.to_event(len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is from 0 to 1."""
        return (x >= 0) & (x <= 1)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Logit whose mean is that of the data, with a half added at 0 and at 1, by bisection."""
        flat = x.flatten(1).double()
        mean = (flat.sum(0) + 0.5) / (len(x) + 1)
        # |u| < 1 / min(mean, 1 - mean), since the mean is near -1 / u for u far below 0.
        high = 1 / torch.minimum(mean, 1 - mean)
        low = -high
        for _ in range(60):
            middle = 0.5 * (low + high)
            left = _mean(middle) < mean
            low, high = torch.where(left, middle, low), torch.where(left, high, middle)
        return low.to(x)

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return "x_d | z ~ ContinuousBernoulli(logit eta_d(z))"
