"""Discretised logistic likelihood for ordered levels, such as 8-bit grey levels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.util import broadcast_shape
from torch.distributions import constraints

from pyro_vae.models.likelihoods.counts import BoundedCounts
from pyro_vae.models.likelihoods.location_scale import LocationScale
from pyro_vae.models.softplus import softplus

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.models.likelihoods.positive import Form

__all__ = ["DiscretisedLogistic"]


class _DiscretisedLogistic(TorchDistribution):
    """Logistic(loc, scale) on the scale k / top, rounded to the nearest k in 0..top."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }

    def __init__(
        self, loc: Tensor, scale: Tensor, top: int, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.top = top
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self.top)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        shape = broadcast_shape(self.loc.shape, tuple(batch_shape))
        return type(self)(self.loc.expand(shape), self.scale.expand(shape), self.top, False)

    def _edge(self, level: Tensor) -> Tensor:
        """Where the bin of the level after ``level - 1`` begins, in standard units."""
        return ((level - 0.5) / self.top - self.loc) / self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass of the bin (a, b) around each level; the outer bins take the tails."""
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^-(b - a)): no difference of
        # near numbers, in the centre or in the tails. The outer bins lack one end or both.
        above_bottom, below_top = value > 0, value < self.top
        below = torch.where(above_bottom, -softplus(self._edge(value)), 0.0)
        above = torch.where(below_top, -softplus(-self._edge(value + 1)), 0.0)
        width = 1 / (self.top * self.scale)
        inner = torch.where(above_bottom & below_top, torch.log(-torch.expm1(-width)), 0.0)
        return below + above + inner

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Levels, in the type of ``loc``."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            u = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
            level = self.top * (self.loc + self.scale * torch.logit(u))
            return level.round().clamp(0, self.top)

    @property
    def mean(self) -> Tensor:
        """Mean level, sum_k P(x >= k), level by level to bound the memory."""
        total = torch.zeros_like(self.loc)
        for k in range(1, self.top + 1):
            total = total + torch.sigmoid(-self._edge(torch.full_like(self.loc, k)))
        return total


@final
class DiscretisedLogistic(BoundedCounts, LocationScale):
    """x_d | z = a logistic variable rounded to one of num_levels levels, with a proper mass.

    For grey levels and other ordered levels: near levels have near masses, with two parameters
    per feature and not one per level. The outer levels take the tails, so the masses sum to
    one (Kingma et al., 2016, arXiv 1606.04934; Salimans et al., 2017, arXiv 1701.05517).
    Location and scale are in units of the share x / (num_levels - 1), in [0, 1]; data and
    ``.mean`` are in levels. A mass is at most one, whatever the scale.

    Parameters
    ----------
    num_levels
        Number n of levels, at least 2; data are whole numbers from 0 to n - 1.
    scale
        Scale of the logistic: a positive number, ``"shared"``, ``"per-feature"`` or
        ``"latent"``, as for ``Normal``. A learned one starts at 0.1.
    min_scale
        Lower bound of a learned scale: far less than a bin's width, 1 / (n - 1).

    Raises
    ------
    ValueError
        If ``num_levels`` is not a whole number of at least 2, or a scale is not positive.
    UnknownNameError
        If ``scale`` is a name other than these three.
    """

    measure = "counting"
    support = "whole numbers from 0 to num_levels - 1"
    remedy = "Set num_levels to one more than the largest level, or rescale the data to levels."
    kinds = ("counts",)
    setting = "num_levels"
    deviation = math.pi / math.sqrt(3)
    start = 0.1

    def __init__(
        self, num_levels: int = 256, scale: Form = "per-feature", min_scale: float = 1e-4
    ) -> None:
        super().__init__(scale, min_scale)
        self._set_size(num_levels)

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return super().formula().replace("(", f"[0..{self.top}](", 1)

    def _member(self, loc: Tensor, scale: Tensor) -> TorchDistribution:
        return _DiscretisedLogistic(loc, scale, self.top, validate_args=False)
