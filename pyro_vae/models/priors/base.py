"""What every prior p(z) says of itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pyro_vae.models.component import Component

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

__all__ = ["Prior"]


class Prior(Component, role="prior"):
    """Family of p(z) for latent vectors of length L."""

    def build(self, latent_dim: int) -> None:
        """Learn the latent dimension, and make the prior's own parameters."""
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """Distribution of z: batch shape ``()``, event shape ``(L,)``."""

    @abstractmethod
    def formula(self) -> str:
        """The prior in symbols, as it stands in the generative story."""
