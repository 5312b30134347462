"""Log-normal likelihood for positive data."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pyro.distributions as dist

from pyro_vae.models.likelihoods.location_scale import LocationScale
from pyro_vae.models.likelihoods.positive_reals import PositiveReals

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["LogNormal"]


@final
class LogNormal(PositiveReals, LocationScale):
    """log x_d | z ~ Normal(mu_d(z), sigma), independent over the features d.

    For positive data whose errors are relative: incomes, concentrations, reaction times. The
    density is that of x, not of log x. It is unbounded where sigma tends to zero, which
    ``min_scale`` prevents, and, for a given sigma, where mu tends to minus infinity.

    Parameters
    ----------
    scale
        sigma, the standard deviation of log x: a positive number, ``"shared"``,
        ``"per-feature"`` or ``"latent"``, as for ``Normal``.
    min_scale
        Lower bound of a learned sigma, in units of log x.
    """

    def _member(self, loc: Tensor, scale: Tensor) -> TorchDistribution:
        return dist.LogNormal(loc, scale, validate_args=False)
