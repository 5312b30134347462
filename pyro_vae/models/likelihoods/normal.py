"""Normal likelihood for real data, with four forms of the scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, final

import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae.errors import UnknownNameError
from pyro_vae.models.likelihoods.base import Likelihood
from pyro_vae.models.softplus import inverse_softplus, softplus

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Normal"]

_FORMS = ("shared", "per-feature", "latent")


@final
class Normal(Likelihood):
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

    measure = "lebesgue"
    support = "finite real numbers"
    remedy = "Drop or impute the rows with NaN or infinity."
    kinds = ("real", "unit-interval")

    def __init__(
        self,
        scale: float | Literal["shared", "per-feature", "latent"] = "shared",
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        if isinstance(scale, str):
            if scale not in _FORMS:
                raise UnknownNameError("scale of the normal likelihood", scale, _FORMS)
        elif not scale > 0 or not math.isfinite(scale):
            raise ValueError(
                f"scale got {scale!r}: a fixed scale must be a positive number, or one of "
                f"{', '.join(_FORMS)} to have it learned"
            )
        if not min_scale > 0:
            raise ValueError(
                f"min_scale got {min_scale!r}: it must be positive, since the density is "
                "unbounded as sigma tends to zero"
            )
        self.scale = scale
        self.min_scale = min_scale

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Make the learned scale, starting at sigma = 1."""
        super().build(event_shape)
        if self.scale in ("shared", "per-feature"):
            shape = self.event_shape if self.scale == "per-feature" else ()
            start = inverse_softplus(torch.tensor(max(1.0 - self.min_scale, self.min_scale)))
            self.raw_scale = nn.Parameter(start.expand(shape).clone())

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One mean per feature, and one raw scale if sigma depends on z."""
        return math.prod(event_shape) * (2 if self.scale == "latent" else 1)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given means, and raw scales where sigma depends on z."""
        if self.scale == "latent":
            loc, raw_scale = self._split(eta, 2)
            scale = self.min_scale + softplus(raw_scale)
        else:
            (loc,) = self._split(eta, 1)
            if isinstance(self.scale, str):
                scale = self.min_scale + softplus(self.raw_scale)
            else:
                scale = loc.new_tensor(self.scale)
        normal = dist.Normal(loc, scale, validate_args=False)
        return normal.to_event(len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is finite."""
        return torch.isfinite(x)

    def eta_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """``eta`` with this mean and variance, each of shape ``(..., *event_shape)``.

        Scales at or below ``min_scale`` are moved just above it.
        """
        dims = len(self.event_shape)
        if self.scale != "latent":
            return mean.flatten(-dims)
        excess = (variance.sqrt() - self.min_scale).clamp_min(1e-3 * self.min_scale)
        parts = (mean.flatten(-dims), inverse_softplus(excess).flatten(-dims))
        return torch.cat(parts, dim=-1)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Mean and, where sigma depends on z, the standard deviation of the data."""
        return self.eta_from_moments(x.mean(0), x.var(0, correction=0))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        if not isinstance(self.scale, str):
            return f"x_d | z ~ Normal(mu_d(z), {self.scale:g})"
        sigma = {"shared": "sigma", "per-feature": "sigma_d", "latent": "sigma_d(z)"}[self.scale]
        return f"x_d | z ~ Normal(mu_d(z), {sigma}),  {sigma} >= {self.min_scale:g}"
