"""Normalising flow as prior, which is also the autoregressive prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pyro.distributions as dist

from pyro_vae.models import densities
from pyro_vae.models.autoregressive import AffineAutoregressive, autoregressive_networks
from pyro_vae.models.priors.base import StandardisedPrior
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

__all__ = ["NormalisingFlow"]


@final
class NormalisingFlow(StandardisedPrior):
    """T(z) ~ Normal(0, I), T a chain of autoregressive affine maps.

    The masked autoregressive flow of Papamakarios, Pavlakou & Murray (2017), arXiv 1705.07057:
    a density takes one pass, a draw L passes. With one map it is the autoregressive prior
    z_l | z_<l ~ Normal(m_l(z_<l), s_l(z_<l)); each further map, in the other order, bends it
    more. It starts near Normal(0, I), and in one dimension is a normal.

    Parameters
    ----------
    num_transforms
        Number of maps.
    hidden
        Width of their networks, at least L.
    seed
        Seed of their first weights.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or ``hidden`` below L.
    """

    def __init__(self, num_transforms: int = 3, hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        require_positive_integer("num_transforms", num_transforms)
        require_positive_integer("hidden", hidden)
        self.num_transforms = num_transforms
        self.hidden = hidden
        self.seed = seed

    def build(self, latent_dim: int) -> None:
        """Make the networks of the maps."""
        super().build(latent_dim)
        self.networks = autoregressive_networks(
            latent_dim, self.hidden, self.num_transforms, seed=self.seed
        )

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        base = densities.Normal(self.loc, self.scale, validate_args=False).to_event(1)
        # A draw undoes the maps, so that the density does them.
        undo = [AffineAutoregressive(network).inv for network in self.networks]
        return dist.TransformedDistribution(base, undo, validate_args=False)

    def formula(self) -> str:
        """Formula of p(z)."""
        return (
            f"T(z) ~ Normal(0, I),  z in R^{self.latent_dim},  "
            f"T: {self.num_transforms} autoregressive affine maps"
        )
