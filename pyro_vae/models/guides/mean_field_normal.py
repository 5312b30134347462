"""Mean-field normal guide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist

from pyro_vae.models.guides.base import Guide
from pyro_vae.models.softplus import softplus

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["MeanFieldNormal"]


@final
class MeanFieldNormal(Guide):
    """z_l | x ~ Normal(m_l(x), s_l(x)), independent over l; Kingma & Welling (2014).

    Parameters
    ----------
    min_scale
        Lower bound of s: s = min_scale + softplus(.). Far below any posterior scale by
        default; it keeps log q finite where softplus underflows.

    Raises
    ------
    ValueError
        If ``min_scale`` is not positive.
    """

    def __init__(self, min_scale: float = 1e-6) -> None:
        super().__init__()
        if not min_scale > 0:
            raise ValueError(f"min_scale got {min_scale!r}: it must be positive")
        self.min_scale = min_scale

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean and raw scale per latent dimension."""
        return 2 * math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., 2 L)``."""
        loc, raw_scale = eta.chunk(2, dim=-1)
        scale = self.min_scale + softplus(raw_scale)
        return dist.Normal(loc, scale, validate_args=False).to_event(1)

    def code(self, eta: Tensor) -> Tensor:
        """The mean m(x)."""
        return eta.chunk(2, dim=-1)[0]

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return "z_l | x ~ Normal(m_l(x), s_l(x)),  independent over l"
