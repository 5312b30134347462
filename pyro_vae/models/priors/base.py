"""What every prior p(z) says of itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import pyro
import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO

from pyro_vae.models.component import Component

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["Posterior", "Prior", "StandardisedPrior"]

#: Guide distribution q(z | x) given the encoder's input ``(..., D)``.
Posterior = Callable[["Tensor"], "TorchDistribution"]


class Prior(Component, role="prior"):
    """Family of p(z) for latent vectors of length L.

    A new one defines ``forward`` and ``formula``, and makes its parameters in ``build``.
    """

    #: Whether it is made of the guide, which must then serve any point of the data space.
    uses_guide: ClassVar[bool] = False

    def build(self, latent_dim: int) -> None:
        """Learn the latent dimension, and make the prior's own parameters."""
        self.latent_dim = latent_dim
        self.built = True

    def connect(self, posterior: Posterior, num_features: int) -> None:
        """Meet the guide; for priors that are made of it.

        Parameters
        ----------
        posterior
            q(z | x) as a function of the encoder's input, ``(..., num_features)``.
        num_features
            Length of the encoder's input.
        """

    def initialise(self, features: Tensor, *, seed: int = 0) -> None:
        """Start parameters that live in data space.

        Parameters
        ----------
        features
            Encoder's input for the training data, ``(n, num_features)``.
        seed
            Seed of any draws.
        """

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """Distribution of z: batch shape ``()``, event shape ``(L,)``."""

    def sample(self, site: str = "z") -> Tensor:
        """Sample statements of the prior, inside the data plate.

        Parameters
        ----------
        site
            Name of the site of z.

        Returns
        -------
        Tensor
            z, ``(..., B, L)``.
        """
        return pyro.sample(site, self())

    @property
    def enumerated(self) -> bool:
        """Whether ``sample`` makes a discrete site that is to be summed out."""
        return False

    def default_objective(self) -> ELBO:
        """``Trace_ELBO``; ``TraceEnum_ELBO`` where there is a discrete site to sum out."""
        return TraceEnum_ELBO(max_plate_nesting=1) if self.enumerated else Trace_ELBO()

    @abstractmethod
    def formula(self) -> str:
        """The prior in symbols, as it stands in the generative story."""


class StandardisedPrior(Prior):
    """Prior that stands on a distribution of location 0 and scale 1."""

    loc: Tensor
    scale: Tensor

    def build(self, latent_dim: int) -> None:
        """Make the location and the scale, which follow the module's device and type."""
        super().build(latent_dim)
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)
