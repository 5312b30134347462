"""Normal likelihood for real data, with four forms of the scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pyro_vae.models import densities
from pyro_vae.models.likelihoods.location_scale import LocationScale

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Normal"]


@final
class Normal(LocationScale):
    """x_d | z ~ Normal(mu_d(z), sigma), independent over the features d.

    For real-valued data. With a learned scale the density is unbounded above: a feature that
    is fitted exactly sends log p(x) to infinity. ``min_scale`` bounds sigma away from zero,
    hence log p(x_d | z) above by -log(min_scale sqrt(2 pi)).

    Parameters
    ----------
    scale
        A positive number: sigma fixed there. ``"shared"``: one sigma, learned.
        ``"per-feature"``: sigma_d, learned. ``"latent"``: sigma_d(z), given by the decoder.
    min_scale
        Lower bound of a learned sigma, in units of x: sigma = min_scale + softplus(.).

    Raises
    ------
    ValueError
        If a scale is not positive.
    UnknownNameError
        If ``scale`` is a name other than these three.
    """

    def eta_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """``eta`` with this mean and variance, each of shape ``(..., *event_shape)``.

        Scales at or below ``min_scale`` are moved just above it.
        """
        return self._join(mean, variance.sqrt())

    def _member(self, loc: Tensor, scale: Tensor) -> TorchDistribution:
        return densities.Normal(loc, scale, validate_args=False)
