"""Gamma likelihood for positive data, by mean and shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models.densities import compact
from pyro_vae.models.likelihoods.positive import Form, PositiveParameter
from pyro_vae.models.likelihoods.positive_reals import PositiveReals
from pyro_vae.models.log_gamma import log_ratio, stirling_remainder

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Gamma"]


class _Gamma(dist.Gamma):
    """Pyro's, with a log-density that is right for a large shape."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in deviance form."""
        shape, mean = compact(self.concentration), self.mean
        # -alpha (r - 1 - log r) + log(alpha / 2 pi) / 2 - J(alpha) - log x, with r = x / mu.
        difference = value - mean
        deviance = difference / mean - log_ratio(value, mean, difference)
        constant = 0.5 * (shape / (2 * math.pi)).log() - stirling_remainder(shape)
        return constant - shape * deviance - value.log()


@final
class Gamma(PositiveReals):
    """x_d | z ~ Gamma(mean mu_d(z), shape alpha), variance mu^2 / alpha, rate alpha / mu.

    For positive data whose spread grows with their mean: durations, rainfall, claims. The
    density is unbounded where alpha grows (a feature that is fitted exactly), and at zero where
    alpha < 1; ``min_shape=1`` rules out the second.

    Parameters
    ----------
    shape
        alpha: a positive number, fixed; ``"shared"``: one, learned; ``"per-feature"``:
        alpha_d, learned; ``"latent"``: alpha_d(z), given by the decoder. It starts at that of the
        data.
    min_mean
        Lower bound of the mean, in units of x: mu = min_mean + softplus(.).
    min_shape
        Lower bound of a learned shape: alpha = min_shape + softplus(.).

    Raises
    ------
    ValueError
        If a fixed shape or a bound is not positive.
    UnknownNameError
        If ``shape`` is a name other than these three.
    """

    def __init__(
        self, shape: Form = "shared", min_mean: float = 1e-6, min_shape: float = 1e-2
    ) -> None:
        super().__init__()
        self.shape = shape
        self.min_mean = min_mean
        self.min_shape = min_shape
        self.mu = PositiveParameter("mean", "latent", min_mean)
        self.alpha = PositiveParameter("shape", shape, min_shape)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One raw mean per feature, and one raw shape if alpha depends on z."""
        return math.prod(event_shape) * (1 + self.alpha.blocks)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given raw means, and raw shapes where alpha depends on z."""
        raw_mean, *raw = self._split(eta, 1 + self.alpha.blocks)
        mean, shape = self.mu(raw_mean, raw_mean), self.alpha(raw_mean, *raw)
        gamma = _Gamma(shape, shape / mean, validate_args=False)
        return gamma.to_event(len(self.event_shape))

    def initialise(self, x: Tensor) -> None:
        """Start a learned shape at that of the features without z."""
        self.alpha.start_at(self._moments(x)[1])

    def moment_eta(self, x: Tensor) -> Tensor:
        """Mean and, where it depends on z, shape mean^2 / variance, at most 10^6."""
        mean, shape = self._moments(x)
        parts = (self.mu.invert(mean), self.alpha.invert(shape))
        return torch.cat(parts[: 1 + self.alpha.blocks])

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and shape by the first two moments, flat."""
        mean, variance = x.flatten(1).mean(0), x.flatten(1).var(0, correction=0)
        return mean, mean.square() / variance.clamp_min(1e-6 * mean.square())

    def formula(self) -> str:
        """Formula of p(x | z)."""
        alpha = self.alpha.symbol("alpha")
        return f"x_d | z ~ Gamma(mean mu_d(z), shape {alpha}){self.alpha.bound('alpha')}"
