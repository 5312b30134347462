"""Elementwise affine maps from the units that data came in to those that are modelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Affine"]


class Affine(NamedTuple):
    """y = (x - location) / scale, computed in float64.

    Attributes
    ----------
    location, scale
        Float64, of the shape of one datum; the scale is positive.
    """

    location: Tensor
    scale: Tensor

    @classmethod
    def standardising(cls, x: Tensor, observed: Tensor | None = None) -> Affine:
        """Map to mean 0 and standard deviation 1 over the rows of x, ``(n, *event_shape)``.

        A feature that is constant keeps its scale. With ``observed``, bool of the shape of x,
        these cells alone count; a feature without any is left as it is.
        """
        rows = x.double()
        if observed is not None:
            return cls._standardising_cells(rows, observed)
        # Rounding can leave a constant a tiny variance: its range is 0 to the bit.
        constant = (rows == rows[0]).all(0)
        scale = rows.std(0, correction=0)
        return cls(rows.mean(0), scale.where(~constant, torch.ones_like(scale)))

    @classmethod
    def _standardising_cells(cls, rows: Tensor, observed: Tensor) -> Affine:
        num = observed.sum(0).clamp_min(1)
        mean = rows.where(observed, 0.0).sum(0) / num
        square = (rows - mean).where(observed, 0.0).square().sum(0) / num
        low = rows.where(observed, torch.inf).amin(0)
        varies = rows.where(observed, -torch.inf).amax(0) > low
        return cls(mean, square.sqrt().where(varies, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Float32 y of x, ``(n, *event_shape)``."""
        return ((x.double() - self.location) / self.scale).float()

    def inverse(self, y: Tensor) -> Tensor:
        """Float64 x of y, ``(n, *event_shape)``."""
        return self.location + self.scale * y.double()

    def after(self, first: Affine | None) -> Affine:
        """``first``, then this map; None is the identity."""
        if first is None:
            return self
        return Affine(first.location + first.scale * self.location, first.scale * self.scale)

    def log_jacobian(self) -> float:
        """Sum over d of log dy_d/dx_d = -log scale_d, in nats per datum."""
        return -float(self.scale.log().sum())

    def log_jacobian_of(self, observed: Tensor) -> Tensor:
        """The same over the observed cells of each datum, ``(n,)``."""
        return -self.scale.log().where(observed, 0.0).flatten(1).sum(1)
