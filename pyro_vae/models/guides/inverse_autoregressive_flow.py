"""Inverse autoregressive flow as guide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist

from pyro_vae.models import densities
from pyro_vae.models.autoregressive import AffineAutoregressive, autoregressive_networks
from pyro_vae.models.guides.base import LocationScaleGuide
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["InverseAutoregressiveFlow"]


@final
class InverseAutoregressiveFlow(LocationScaleGuide):
    """z = T_h(u), u | x ~ Normal(m(x), diag(s(x)^2)); Kingma et al. (2016), arXiv 1606.04934.

    T is a chain of autoregressive affine maps that also take a context h(x) from the encoder.
    Drawing z, and scoring what was drawn, is one pass; scoring any other point, as the
    VampPrior does, takes L passes. It starts near the mean-field normal.

    Parameters
    ----------
    num_transforms
        Number of maps.
    hidden
        Width of their networks, at least L.
    context_dim
        Length of h.
    seed
        Seed of their first weights.
    min_scale
        Lower bound of s; see ``LocationScaleGuide``.

    Raises
    ------
    ValueError
        If a size or ``min_scale`` is not positive, or ``hidden`` below L.
    """

    def __init__(
        self,
        num_transforms: int = 2,
        hidden: int = 64,
        context_dim: int = 16,
        seed: int = 0,
        min_scale: float = 1e-6,
    ) -> None:
        super().__init__(min_scale)
        require_positive_integer("num_transforms", num_transforms)
        require_positive_integer("hidden", hidden)
        require_positive_integer("context_dim", context_dim)
        self.num_transforms = num_transforms
        self.hidden = hidden
        self.context_dim = context_dim
        self.seed = seed

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Make the networks of the maps."""
        super().build(event_shape)
        self.networks = autoregressive_networks(
            math.prod(event_shape),
            self.hidden,
            self.num_transforms,
            context_dim=self.context_dim,
            seed=self.seed,
        )

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean and raw scale per latent dimension, and the context."""
        return 2 * math.prod(event_shape) + self.context_dim

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., 2 L + context_dim)``."""
        size = math.prod(self.event_shape)
        loc, raw_scale, context = eta.split([size, size, self.context_dim], dim=-1)
        base = densities.Normal(loc, self.scale(raw_scale), validate_args=False).to_event(1)
        return dist.TransformedDistribution(base, self._maps(context), validate_args=False)

    def code(self, eta: Tensor) -> Tensor:
        """T_h(m(x)), the image of the base's mean; the mean of q(z | x) has no closed form."""
        code = super().code(eta)
        for transform in self._maps(eta[..., -self.context_dim :]):
            code = transform(code)
        return code

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return (
            "z = T_h(x)(u),  u | x ~ Normal(m(x), diag(s(x)^2)),  "
            f"T: {self.num_transforms} autoregressive affine maps"
        )

    def _maps(self, context: Tensor) -> list[AffineAutoregressive]:
        return [AffineAutoregressive(network, context) for network in self.networks]
