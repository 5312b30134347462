"""What every guide family q(z | x) says of itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pyro_vae.models.component import ConditionalDistribution

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Guide"]


class Guide(ConditionalDistribution, role="guide"):
    """Family of q(z | x), its parameters ``eta(x)`` given by the encoder."""

    @abstractmethod
    def code(self, eta: Tensor) -> Tensor:
        """The one point ``(..., L)`` that stands for a datum: the mean of q(z | x)."""
