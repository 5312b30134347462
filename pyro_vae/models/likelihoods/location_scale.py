"""What the likelihoods with a location from the decoder and a scale have alike."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch

from pyro_vae.models.likelihoods.base import Likelihood
from pyro_vae.models.likelihoods.positive import Form, PositiveParameter

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["LocationScale"]


class LocationScale(Likelihood):
    """Family with a location mu_d(z) and a scale sigma in one of four forms.

    Its constructor's arguments are documented at ``Normal``.
    """

    measure = "lebesgue"
    support = "finite real numbers"
    remedy = "Drop or impute the rows with NaN or infinity."
    kinds: ClassVar[tuple[str, ...]] = ("real", "unit-interval")

    #: Standard deviation of the member with location 0 and scale 1.
    deviation: ClassVar[float] = 1.0
    #: Where a learned scale starts.
    start: ClassVar[float] = 1.0

    def __init__(self, scale: Form = "shared", min_scale: float = 1e-3) -> None:
        super().__init__()
        self.scale = scale
        self.min_scale = min_scale
        self.sigma = PositiveParameter("scale", scale, min_scale, start=self.start)

    @abstractmethod
    def _member(self, loc: Tensor, scale: Tensor) -> TorchDistribution:
        """Distribution of one feature."""

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One location per feature, and one raw scale if sigma depends on z."""
        return math.prod(event_shape) * (1 + self.sigma.blocks)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given locations, and raw scales where sigma depends on z."""
        loc, *raw = self._split(eta, 1 + self.sigma.blocks)
        return self._member(loc, self.sigma(loc, *raw)).to_event(len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is finite."""
        return torch.isfinite(x)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Location and, where sigma depends on z, scale of the data."""
        return self._join(*self._estimate(self.standardise(x)))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        arguments = f"mu_d(z), {self.sigma.symbol('sigma')}"
        return f"x_d | z ~ {type(self).__name__}({arguments}){self.sigma.bound('sigma')}"

    def _estimate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Location and scale by the first two moments, each of shape ``event_shape``."""
        return x.mean(0), x.std(0, correction=0) / self.deviation

    def _join(self, loc: Tensor, scale: Tensor) -> Tensor:
        """``eta`` with this location and scale, each of shape ``(..., *event_shape)``."""
        dims = len(self.event_shape)
        parts = (loc, self.sigma.invert(scale)) if self.sigma.blocks else (loc,)
        return torch.cat([part.flatten(-dims) for part in parts], dim=-1)
