"""Normal guide with a full covariance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import torch

from pyro_vae.models import cholesky, densities
from pyro_vae.models.guides.base import LocationScaleGuide

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["FullCovarianceNormal"]


@final
class FullCovarianceNormal(LocationScaleGuide):
    """z | x ~ Normal(m(x), C(x) C(x)^T), C lower triangular.

    For posteriors whose latent dimensions are correlated; the encoder gives L (L + 3) / 2
    numbers, so for L up to a few dozen.

    Parameters
    ----------
    min_scale
        Lower bound of the diagonal of C; see ``LocationScaleGuide``.
    """

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean, and the lower triangle of C."""
        size = math.prod(event_shape)
        return size + cholesky.num_entries(size)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., L (L + 3) / 2)``."""
        size = math.prod(self.event_shape)
        loc, raw_diagonal, lower = eta.split(
            [size, size, cholesky.num_entries(size) - size], dim=-1
        )
        # Divided by L: else the first, random, encoder gives z a variance that grows with L,
        # in which the decoder hears nothing, and training settles where q(z|x) = p(z).
        raw = torch.cat([raw_diagonal, lower / size], dim=-1)
        scale_tril = cholesky.unpack(raw, size, self.min_scale)
        return densities.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return "z | x ~ Normal(m(x), C(x) C(x)^T),  C lower triangular"
