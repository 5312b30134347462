"""What every guide family q(z | x) says of itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pyro_vae.models.component import ConditionalDistribution
from pyro_vae.models.softplus import softplus
from pyro_vae.settings import require_positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Guide", "LocationScaleGuide"]


class Guide(ConditionalDistribution, role="guide"):
    """Family of q(z | x), its parameters ``eta(x)`` given by the encoder."""

    @abstractmethod
    def code(self, eta: Tensor) -> Tensor:
        """The one point ``(..., L)`` that stands for a datum: the mean of q(z | x)."""


class LocationScaleGuide(Guide):
    """Family with scales, and with its location in the first L numbers of ``eta``.

    Parameters
    ----------
    min_scale
        Lower bound of every scale: s = min_scale + softplus(.). Far below any posterior scale
        by default; it keeps log q finite where softplus underflows.

    Raises
    ------
    ValueError
        If ``min_scale`` is not positive.
    """

    def __init__(self, min_scale: float = 1e-6) -> None:
        super().__init__()
        require_positive("min_scale", min_scale)
        self.min_scale = min_scale

    def scale(self, raw_scale: Tensor) -> Tensor:
        """Positive scale of the same shape, s = min_scale + softplus(.)."""
        return self.min_scale + softplus(raw_scale)

    def code(self, eta: Tensor) -> Tensor:
        """The location, which is the mean of q(z | x)."""
        return eta[..., : self.event_shape[0]]
