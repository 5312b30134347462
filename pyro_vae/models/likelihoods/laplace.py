"""Laplace likelihood for real data with outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pyro_vae.models import densities
from pyro_vae.models.likelihoods.location_scale import LocationScale

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Laplace"]


@final
class Laplace(LocationScale):
    """x_d | z ~ Laplace(mu_d(z), sigma), density exp(-|x - mu| / sigma) / (2 sigma).

    For real data where absolute, not squared, errors are to count: its centre is the median.
    The density is bounded by 1 / (2 sigma), so ``min_scale`` bounds it, as for the normal.

    Parameters
    ----------
    scale
        sigma, the mean absolute deviation: a positive number, ``"shared"``, ``"per-feature"``
        or ``"latent"``, as for ``Normal``.
    min_scale
        Lower bound of a learned sigma, in units of x.
    """

    def _member(self, loc: Tensor, scale: Tensor) -> TorchDistribution:
        return densities.Laplace(loc, scale, validate_args=False)

    def _estimate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Median and mean absolute deviation: maximum likelihood."""
        median = x.median(0).values
        return median, (x - median).abs().mean(0)
