"""Laplace prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pyro_vae.models import densities
from pyro_vae.models.priors.base import StandardisedPrior

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

__all__ = ["Laplace"]


@final
class Laplace(StandardisedPrior):
    """z_l ~ Laplace(0, 1), independent over l; variance 2.

    When a few latent dimensions are to matter for each datum: the peak at 0 and the heavier
    tails are those of sparse coding (Olshausen & Field, 1996).
    """

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        return densities.Laplace(self.loc, self.scale, validate_args=False).to_event(1)

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z_l ~ Laplace(0, 1),  z in R^{self.latent_dim}"
