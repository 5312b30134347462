"""Poisson likelihood for counts without a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pyro.distributions as dist

from pyro_vae.models.likelihoods.counts import Counts
from pyro_vae.models.log_gamma import log_factorial_remainder, log_ratio

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Poisson"]


class _Poisson(dist.Poisson):
    """Pyro's, with a log-mass that is right for large counts."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass in deviance form."""
        # Where x is 0, so is x times any logarithm.
        difference = value - self.rate
        fit = value * log_ratio(value.clamp_min(1.0), self.rate, difference) - difference
        return -log_factorial_remainder(value) - fit


@final
class Poisson(Counts):
    """x_d | z ~ Poisson(mu_d(z)), independent over the features d.

    For counts of events: words, photons, cases. Given z the variance is the mean; where it is
    larger, take ``NegativeBinomial``.

    Parameters
    ----------
    exposure
        Whether the mean is e mu_d(z), with an exposure e > 0 for each datum (time at risk,
        length of a text) that is given with the data.
    min_mean
        Lower bound of the rate: mu = min_mean + softplus(.).

    Raises
    ------
    ValueError
        If ``min_mean`` is not positive.
    """

    def __init__(self, exposure: bool = False, min_mean: float = 1e-6) -> None:
        super().__init__(exposure, min_mean)

    def forward(self, eta: Tensor, exposure: Tensor | None = None) -> TorchDistribution:
        """Distribution of x given raw rates ``(..., D)`` and exposures ``(...)``, as ``(B,)``.

        Raises
        ------
        DataError
            If an exposure is missing, unwanted, not positive or of a wrong shape.
        """
        (raw,) = self._split(eta, 1)
        poisson = _Poisson(self._mean(raw, exposure), validate_args=False)
        return poisson.to_event(len(self.event_shape))

    def moment_eta(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Mean of the counts; a left-out exposure ``(n,)`` is taken to be one."""
        mean, _ = self._moments(x, exposure)
        return self.mu.invert(mean)

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return f"x_d | z ~ Poisson({self._mean_symbol()})"
