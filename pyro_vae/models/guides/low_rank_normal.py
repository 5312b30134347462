"""Normal guide with a covariance of low rank plus a diagonal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from pyro_vae.models import densities
from pyro_vae.models.guides.base import LocationScaleGuide
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["LowRankNormal"]


@final
class LowRankNormal(LocationScaleGuide):
    """z | x ~ Normal(m(x), W(x) W(x)^T + diag(s(x)^2)), W of R columns.

    Between the mean-field and the full-covariance normal: R directions of correlation for
    (R + 2) L numbers from the encoder (Ong, Nott & Smith, 2018, arXiv 1701.03208).

    Parameters
    ----------
    rank
        Number R of columns of W.
    min_scale
        Lower bound of s. Higher than elsewhere: log q is a difference of terms of order
        (W / s)^2, which in single precision costs about 1e-7 (W / s)^2 nats.

    Raises
    ------
    ValueError
        If ``rank`` is not a positive integer, or ``min_scale`` not positive.
    """

    def __init__(self, rank: int = 2, min_scale: float = 1e-3) -> None:
        super().__init__(min_scale)
        require_positive_integer("rank", rank)
        self.rank = rank

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean, raw scale and row of W per latent dimension."""
        return (2 + self.rank) * math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., (2 + R) L)``."""
        size = math.prod(self.event_shape)
        loc, raw_scale, factor = eta.split([size, size, self.rank * size], dim=-1)
        # Divided by L, so that it starts near the mean-field normal; see FullCovarianceNormal.
        factor = factor.reshape(*factor.shape[:-1], size, self.rank) / size
        return densities.LowRankMultivariateNormal(
            loc,
            factor,
            self.scale(raw_scale).square(),
            validate_args=False,
        )

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return f"z | x ~ Normal(m(x), W(x) W(x)^T + diag(s(x)^2)),  W of rank {self.rank}"
