"""Negative binomial likelihood for overdispersed counts, by its mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyro.distributions as dist
import torch
from torch.nn import functional as F

from pyro_vae.models.likelihoods.counts import Counts
from pyro_vae.models.likelihoods.positive import Form, PositiveParameter
from pyro_vae.models.log_gamma import log_rising

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["NegativeBinomial"]


class _NegativeBinomial(dist.NegativeBinomial):
    """Pyro's, with a log-mass that tends to the Poisson's as theta grows, in float32 too."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass at theta = total_count and logits = log(mu / theta)."""
        # log C(x + theta - 1, x) - theta log(1 + mu / theta) - x log(1 + theta / mu). PyTorch's
        # softplus, since its relative, not absolute, error counts times theta.
        choose = log_rising(self.total_count, value) - torch.lgamma(value + 1.0)
        zeros = self.total_count * F.softplus(self.logits)
        return choose - zeros - value * F.softplus(-self.logits)


class NegativeBinomial(Counts):
    """x_d | z ~ NegativeBinomial(mean mu_d(z), dispersion theta), independent over features d.

    For counts with variance mu + mu^2 / theta, above their mean: single cells, word counts.
    theta is the inverse dispersion, as in scVI (Lopez et al., 2018, Nature Methods 15); the
    Poisson is its limit for large theta.

    Parameters
    ----------
    dispersion
        theta: a positive number, fixed; ``"shared"``: one, learned; ``"per-feature"``:
        theta_d, learned; ``"latent"``: theta_d(z), given by the decoder. Learned, it starts at 1.
    exposure
        Whether the mean is e mu_d(z), with an exposure e > 0 for each datum (library size)
        that is given with the data.
    min_mean
        Lower bound of the rate: mu = min_mean + softplus(.).
    min_dispersion
        Lower bound of a learned theta: theta = min_dispersion + softplus(.).

    Raises
    ------
    ValueError
        If a fixed dispersion or a bound is not positive.
    UnknownNameError
        If ``dispersion`` is a name other than these three.
    """

    def __init__(
        self,
        dispersion: Form = "per-feature",
        exposure: bool = False,
        min_mean: float = 1e-6,
        min_dispersion: float = 1e-3,
    ) -> None:
        super().__init__(exposure, min_mean)
        self.dispersion = dispersion
        self.min_dispersion = min_dispersion
        self.theta = PositiveParameter("dispersion", dispersion, min_dispersion)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One raw mean per feature, and one raw dispersion if theta depends on z."""
        return math.prod(event_shape) * (1 + self.theta.blocks)

    def forward(self, eta: Tensor, exposure: Tensor | None = None) -> TorchDistribution:
        """Distribution of x given raw parameters and exposures ``(...)``, as ``(B,)``.

        Raises
        ------
        DataError
            If an exposure is missing, unwanted, not positive or of a wrong shape.
        """
        return self._member(eta, exposure).to_event(len(self.event_shape))

    def moment_eta(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Mean and, where it depends on z, dispersion of the counts.

        A left-out exposure ``(n,)`` is taken to be one.
        """
        return self._join(*self._moments(x, exposure))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        arguments = f"{self._mean_symbol()}, {self.theta.symbol('theta')}"
        return f"x_d | z ~ NegativeBinomial({arguments}){self.theta.bound('theta')}"

    def _member(self, eta: Tensor, exposure: Tensor | None) -> TorchDistribution:
        """Distribution of one feature."""
        raw_mean, *raw = self._split(eta, 1 + self.theta.blocks)
        mean, theta = self._mean(raw_mean, exposure), self.theta(raw_mean, *raw)
        logits = mean.log() - theta.log()
        return _NegativeBinomial(theta, logits=logits, validate_args=False)

    def _join(self, mean: Tensor, variance: Tensor) -> Tensor:
        """``eta`` with these moments of the features, flat."""
        if not self.theta.blocks:
            return self.mu.invert(mean)
        # theta = mu^2 / (Var - mu), at most 1000: Poisson, or less spread than that.
        theta = mean.square() / (variance - mean).clamp_min(1e-3 * mean.square())
        return torch.cat([self.mu.invert(mean), self.theta.invert(theta)])
