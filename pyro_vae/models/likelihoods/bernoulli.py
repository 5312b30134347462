"""Bernoulli likelihood for binary data, by logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods.base import Likelihood
from pyro_vae.models.likelihoods.trials import log_mass_of_trials

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Bernoulli"]


class _Bernoulli(dist.Bernoulli):
    """Pyro's by logits, with a log-mass that is exact and evaluates fast."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, float64."""
        return log_mass_of_trials(value, self.logits, 1)


class _Independent(dist.Independent):
    """Bernoullis side by side, their log-masses added up in float64."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum of the log-masses, float64."""
        return log_mass_of_trials(value, self.base_dist.logits, 1, self.reinterpreted_batch_ndims)


@final
class Bernoulli(Likelihood):
    """x_d | z ~ Bernoulli(sigmoid(eta_d(z))), independent over the features d.

    For yes/no data: binarised pixels, presence and absence. Grey levels are not in its
    support: p^x (1 - p)^(1 - x) does not integrate to one over [0, 1].
    """

    measure = "counting"
    support = "0 and 1 only"
    remedy = (
        "Binarise grey levels (binarisation='stochastic' in data.load), or take the normal or "
        "binomial likelihood."
    )
    kinds = ("binary",)
    exact_as_given = True

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One logit per feature."""
        return math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given logits ``(..., D)``."""
        (logits,) = self._split(eta, 1)
        # The data are checked once, in `check`; checking each (K, B, D) broadcast is waste.
        bernoulli = _Bernoulli(logits=logits, validate_args=False)
        return _Independent(bernoulli, len(self.event_shape), validate_args=False)

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is 0 or 1."""
        return (x == 0) | (x == 1)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Logit of the mean, with half a success and half a failure added (Jeffreys)."""
        mean = (x.flatten(1).sum(0) + 0.5) / (len(x) + 1)
        return torch.logit(mean)

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return "x_d | z ~ Bernoulli(sigmoid(eta_d(z)))"
