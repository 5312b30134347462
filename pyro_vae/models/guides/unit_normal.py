"""Guide with unit variance: an encoder that says where, and never how sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from pyro_vae.models import densities
from pyro_vae.models.guides.base import Guide

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["UnitNormal"]


@final
class UnitNormal(Guide):
    """z | x ~ Normal(m(x), I): unit noise on the code.

    Under the standard normal prior its KL is half the squared norm of the code,
    KL = 1/2 sum_l m_l(x)^2: what a "poor man's VAE" leaves out is the variance alone.
    """

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One mean per latent dimension."""
        return event_shape[0]

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., L)``."""
        return densities.Normal(eta, torch.ones_like(eta), validate_args=False).to_event(1)

    def code(self, eta: Tensor) -> Tensor:
        """The mean, ``(..., L)``."""
        return eta

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return "z | x ~ Normal(m(x), I)"
