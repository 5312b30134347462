"""Multivariate normal likelihood: full covariance, by its Cholesky factor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models import cholesky, densities
from pyro_vae.models.likelihoods.base import Likelihood

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["MultivariateNormal"]


@final
class MultivariateNormal(Likelihood):
    """x | z ~ Normal(mu(z), L(z) L(z)^T), L lower triangular, for vectors of D features.

    For real data with few, correlated features; the covariance takes D (D + 1) / 2 numbers,
    so it is the component of a classic Gaussian mixture more than of a VAE.

    Parameters
    ----------
    min_scale
        Lower bound of the diagonal of L, in units of x: L_dd = min_scale + softplus(.). It
        bounds the density, which is otherwise unbounded where a component shrinks to a point.

    Raises
    ------
    ValueError
        If ``min_scale`` is not positive.
    """

    measure = "lebesgue"
    support = "finite real numbers"
    remedy = "Drop or impute the rows with NaN or infinity."
    kinds = ("real", "unit-interval")

    def __init__(self, min_scale: float = 1e-3) -> None:
        super().__init__()
        if not min_scale > 0:
            raise ValueError(f"min_scale got {min_scale!r}: it must be positive")
        self.min_scale = min_scale

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean, diagonal and strict lower triangle of L."""
        size = math.prod(event_shape)
        return size + cholesky.num_entries(size)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given ``(..., 2 D + D (D - 1) / 2)``."""
        size = math.prod(self.event_shape)
        loc, raw = eta.split([size, cholesky.num_entries(size)], dim=-1)
        scale_tril = cholesky.unpack(raw, size, self.min_scale)
        normal = densities.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)
        if len(self.event_shape) == 1:
            return normal
        reshape = dist.transforms.ReshapeTransform((size,), self.event_shape)
        return dist.TransformedDistribution(normal, [reshape])

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is finite."""
        return torch.isfinite(x)

    def eta_from_moments(self, mean: Tensor, covariance: Tensor) -> Tensor:
        """``eta`` with mean ``(..., D)`` and covariance ``(..., D, D)``.

        Diagonal entries of L at or below ``min_scale`` are moved just above it.
        """
        scale_tril = torch.linalg.cholesky(covariance)
        return torch.cat([mean, cholesky.pack(scale_tril, self.min_scale)], dim=-1)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Mean and covariance of the data, with min_scale^2 added to the diagonal."""
        flat = x.flatten(1)
        centred = flat - flat.mean(0)
        covariance = centred.T @ centred / len(flat)
        ridge = self.min_scale**2 * torch.eye(flat.shape[1], dtype=x.dtype, device=x.device)
        # A component with fewer points than features has a singular covariance.
        trace_share = 1e-6 * covariance.diagonal().mean()
        return self.eta_from_moments(
            flat.mean(0), covariance + ridge + trace_share * torch.eye(flat.shape[1]).to(ridge)
        )

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return "x | z ~ Normal(mu(z), L(z) L(z)^T)"
