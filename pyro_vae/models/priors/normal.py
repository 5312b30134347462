"""Normal prior with learned scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

from pyro_vae.models import densities
from pyro_vae.models.priors.base import Prior
from pyro_vae.models.softplus import inverse_softplus, softplus
from pyro_vae.settings import require_positive

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Normal"]


@final
class Normal(Prior):
    """z_l ~ Normal(0, s_l), s learned from 1, independent over l.

    When the scale of each latent dimension is to be read off: with a decoder that cannot
    rescale z by itself, dimensions that the data do not need shrink.

    Parameters
    ----------
    min_scale
        Lower bound of s: s = min_scale + softplus(.). It bounds the density, which is
        otherwise unbounded where a scale shrinks to zero.

    Raises
    ------
    ValueError
        If ``min_scale`` is not positive.
    """

    loc: Tensor

    def __init__(self, min_scale: float = 1e-3) -> None:
        super().__init__()
        require_positive("min_scale", min_scale)
        self.min_scale = min_scale

    def build(self, latent_dim: int) -> None:
        """Make the scales, starting at 1."""
        super().build(latent_dim)
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        start = inverse_softplus(torch.tensor(max(1.0 - self.min_scale, self.min_scale)))
        self.raw_scale = nn.Parameter(start.repeat(latent_dim))

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        scale = self.min_scale + softplus(self.raw_scale.double())
        return densities.Normal(self.loc, scale, validate_args=False).to_event(1)

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z_l ~ Normal(0, s_l),  z in R^{self.latent_dim},  s learned"
