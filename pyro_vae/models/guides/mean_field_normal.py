"""Mean-field normal guide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist

from pyro_vae.models.guides.base import LocationScaleGuide

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["MeanFieldNormal"]


@final
class MeanFieldNormal(LocationScaleGuide):
    """z_l | x ~ Normal(m_l(x), s_l(x)), independent over l; Kingma & Welling (2014).

    Parameters
    ----------
    min_scale
        Lower bound of s; see ``LocationScaleGuide``.
    """

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean and raw scale per latent dimension."""
        return 2 * math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., 2 L)``."""
        loc, raw_scale = eta.chunk(2, dim=-1)
        return dist.Normal(loc, self.scale(raw_scale), validate_args=False).to_event(1)

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return "z_l | x ~ Normal(m_l(x), s_l(x)),  independent over l"
