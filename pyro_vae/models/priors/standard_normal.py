"""Standard normal prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pyro_vae.models import densities
from pyro_vae.models.priors.base import StandardisedPrior

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

__all__ = ["StandardNormal"]


@final
class StandardNormal(StandardisedPrior):
    """z ~ Normal(0, I), the default of Kingma & Welling (2014), arXiv 1312.6114."""

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        return densities.Normal(self.loc, self.scale, validate_args=False).to_event(1)

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z ~ Normal(0, I),  z in R^{self.latent_dim}"
