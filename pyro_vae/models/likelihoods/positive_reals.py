"""What the likelihoods for positive real data have alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from pyro_vae.models.likelihoods.base import Likelihood

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PositiveReals"]


class PositiveReals(Likelihood):
    """Family of densities on the positive real numbers."""

    measure = "lebesgue"
    support = "finite positive numbers"
    remedy = (
        "Zeros need a mass of their own: drop them, or take the normal likelihood, or a count "
        "likelihood for whole numbers."
    )
    fill = 1.0
    kinds: ClassVar[tuple[str, ...]] = ("real", "unit-interval")

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is positive and finite."""
        return (x > 0) & torch.isfinite(x)

    def standardise(self, x: Tensor) -> Tensor:
        """Logarithm."""
        return x.log()
