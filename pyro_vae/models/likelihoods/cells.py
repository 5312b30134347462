"""Some columns of p(x | z) by themselves, and a datum whose missing cells were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.marginals import OfWhole, column_log_prob
from pyro_vae.models.likelihoods.observed import Observed
from pyro_vae.models.likelihoods.per_column import ColumnsOfTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Cells", "WithDrawnCells", "cells_of"]


def cells_of(whole: TorchDistribution, columns: Sequence[int]) -> TorchDistribution:
    """Distribution of some columns of a table, ``(C,)``, from that of the whole, ``(D,)``.

    Parameters
    ----------
    whole
        Of columns that are independent.
    columns
        Their numbers.
    """
    if list(columns) == list(range(whole.event_shape[0])):
        return whole
    if isinstance(whole, ColumnsOfTable):
        return whole.marginal(columns)
    return Cells(whole, columns)


class Cells(OfWhole):
    """Some columns of a distribution whose columns are independent, and have one support.

    Parameters
    ----------
    whole
        Distribution of event shape ``(D,)``.
    columns
        Numbers of the columns.
    """

    def __init__(
        self,
        whole: TorchDistribution,
        columns: Sequence[int],
        validate_args: bool | None = None,
    ) -> None:
        self.whole, self.columns = whole, list(columns)
        shape = torch.Size([len(self.columns)])
        super().__init__(whole.batch_shape, shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        """The same with another batch shape."""
        return Cells(self.whole.expand(batch_shape), self.columns)

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum of the columns' log-probabilities, ``(...)``, float64."""
        # A value of a chosen column is legal in every other, whose terms are left out.
        size = self.whole.event_shape[0]
        places = [self.columns.index(d) if d in self.columns else 0 for d in range(size)]
        terms = column_log_prob(self.whole, value[..., places])
        assert terms is not None
        return terms[..., self.columns].double().sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of the columns."""
        return self.whole.sample(torch.Size(sample_shape))[..., self.columns]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of the columns, with gradients."""
        return self.whole.rsample(torch.Size(sample_shape))[..., self.columns]

    @property
    def mean(self) -> Tensor:
        """Means of the columns."""
        return self.whole.mean[..., self.columns]

    @property
    def variance(self) -> Tensor:
        """Variances of the columns."""
        return self.whole.variance[..., self.columns]


class WithDrawnCells(Observed):
    """``Observed``, where the missing cells of some columns are latent, and were drawn before.

    Draws and means have these cells as they were drawn; log-probabilities are of the observed
    cells alone.

    Parameters
    ----------
    whole
        Distribution of a whole datum, ``(D,)``.
    observed
        Which cells are there, ``(..., D)``, bool.
    drawn
        Draws of the cells of these columns, ``(..., C)``, used where a cell is missing.
    columns
        Their numbers.
    """

    def __init__(
        self,
        whole: TorchDistribution,
        observed: Tensor,
        drawn: Tensor,
        columns: Sequence[int],
        validate_args: bool | None = None,
    ) -> None:
        self.drawn, self.columns = drawn, list(columns)
        super().__init__(whole, observed)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        """The same with another batch shape."""
        whole = self.whole.expand(batch_shape)
        return WithDrawnCells(whole, self.observed, self.drawn, self.columns)

    def chosen(self, x: Tensor) -> Tensor:
        """Cells of the columns, ``(..., C)``: of x where they are observed, else as drawn."""
        there = self.observed[..., self.columns]
        return torch.where(there, x[..., self.columns], self.drawn)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of whole data."""
        with torch.no_grad():
            return self._completed(super().sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of whole data, with gradients."""
        return self._completed(super().rsample(sample_shape))

    @property
    def mean(self) -> Tensor:
        """Mean of whole data, given the drawn cells."""
        return self._completed(self.whole.mean)

    @property
    def variance(self) -> Tensor:
        """Variance of whole data, given the drawn cells: theirs is zero."""
        variance = self._whole().variance
        there = self.observed[..., self.columns]
        kept = torch.where(there, variance[..., self.columns], 0.0)
        return self._put(variance, kept)

    def _completed(self, x: Tensor) -> Tensor:
        return self._put(x, self.chosen(x))

    def _put(self, x: Tensor, cells: Tensor) -> Tensor:
        """Whole data with other values in the columns."""
        shape = torch.broadcast_shapes(x.shape[:-1], cells.shape[:-1])
        index = torch.tensor(self.columns, device=x.device)
        cells = cells.to(x).expand(*shape, cells.shape[-1])
        return x.expand(*shape, x.shape[-1]).index_copy(-1, index, cells)
