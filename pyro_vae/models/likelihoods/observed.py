"""The distribution of a datum of which some cells are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.marginals import OfWhole, column_log_prob, completed_cells, marginal_log_prob

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Observed"]


class Observed(OfWhole):
    """A distribution of whole data that scores the observed cells and draws all of them.

    Missing cells are integrated out, as if missing at random (Rubin, 1976).

    Parameters
    ----------
    whole
        Distribution of a whole datum.
    observed
        Which cells are there, ``(..., *event_shape)``, bool.
    """

    def __init__(
        self, whole: TorchDistribution, observed: Tensor, validate_args: bool | None = None
    ) -> None:
        self.whole, self.observed = whole, observed
        beside = observed.shape[: observed.dim() - len(whole.event_shape)]
        batch = torch.broadcast_shapes(whole.batch_shape, beside)
        super().__init__(batch, whole.event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        """The same with another batch shape."""
        return Observed(self.whole.expand(batch_shape), self.observed)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of the observed cells, float64."""
        return marginal_log_prob(self.whole, value, self.observed)

    def column_log_prob(self, value: Tensor) -> Tensor | None:
        """Terms of the cells, zero where one is missing; None where cells are dependent."""
        terms = column_log_prob(self.whole, value)
        return None if terms is None else torch.where(self.observed, terms, 0.0)

    def completed(self, drawn: Tensor, value: Tensor) -> Tensor:
        """Draws or means of whole data made such of the missing cells, given the others."""
        return completed_cells(self.whole, drawn, value, self.observed)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of whole data."""
        return self._whole().sample(torch.Size(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of whole data, with gradients."""
        return self._whole().rsample(torch.Size(sample_shape))

    @property
    def mean(self) -> Tensor:
        """Mean of whole data."""
        return self.whole.mean

    @property
    def variance(self) -> Tensor:
        """Variance of whole data."""
        return self.whole.variance

    def _whole(self) -> TorchDistribution:
        """Of the batch shape that the cells give it, too."""
        same = self.whole.batch_shape == self.batch_shape
        return self.whole if same else self.whole.expand(self.batch_shape)
