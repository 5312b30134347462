"""A distribution of PyTorch or Pyro over rows, laid out as Pyro's plates have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Independent, constraints

from pyro_vae.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Given"]


class Given(TorchDistribution):
    """Somebody's distribution as a Pyro site has it: independent rows, the rest of it one event.

    What lies behind the rows is one event, whether the distribution calls it so or is element by
    element: then its log-probabilities are added up in float64.

    Parameters
    ----------
    whole
        A distribution whose first dimension is over N rows; or, without rows, of one value.
    rows
        Shape that the N rows have here, such as particles and data; none for one value, which
        is the same everywhere.
    lead
        Shape to the left of the rows: as many draws of each.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, whole: Any, rows: Sequence[int] = (), lead: Sequence[int] = ()) -> None:
        while isinstance(whole, Independent):
            whole = whole.base_dist
        shape = whole.batch_shape + whole.event_shape
        event = shape[1:] if rows else shape
        self.whole, self.rows, self.lead = whole, torch.Size(rows), torch.Size(lead)
        self.inside = len(event) - len(whole.event_shape)
        super().__init__(self.lead + self.rows, event, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Given:
        """The same for more draws of each row."""
        batch_shape, count = torch.Size(batch_shape), len(self.rows)
        if batch_shape[len(batch_shape) - count :] != self.rows:
            raise ProgramError(
                f"a distribution of {tuple(self.rows)} rows stands in plates of "
                f"{tuple(batch_shape)}: give one row for each datum"
            )
        return Given(self.whole, self.rows, batch_shape[: len(batch_shape) - count])

    @property
    def support(self) -> Any:
        """Support of an event."""
        support = self.whole.support
        return constraints.independent(support, self.inside) if self.inside else support

    @property
    def has_rsample(self) -> bool:
        """Whether draws have gradients."""
        return bool(self.whole.has_rsample)

    @property
    def has_mean(self) -> bool:
        """Whether its mean is known: that of a flow is not."""
        try:
            return isinstance(self.whole.mean, Tensor)
        except NotImplementedError:
            return False

    @property
    def mean(self) -> Tensor:
        """Mean of every row, ``(*batch_shape, *event_shape)``."""
        mean = self.whole.mean
        laid_out = mean.reshape(self.rows + self.event_shape) if self.rows else mean
        return laid_out.expand(self.batch_shape + self.event_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws ``(*sample_shape, *batch_shape, *event_shape)``, without gradients."""
        return self._laid_out(self.whole.sample, torch.Size(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with gradients."""
        return self._laid_out(self.whole.rsample, torch.Size(sample_shape))

    def _laid_out(self, draw: Any, sample_shape: torch.Size) -> Tensor:
        drawn: Tensor = draw(sample_shape + self.lead)
        return drawn.reshape(sample_shape + self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of every row, ``(..., *batch_shape)``, in nats."""
        if self.rows:
            shape = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)
            left = shape[: len(shape) - len(self.rows) - len(self.event_shape)]
            value = value.expand(shape).reshape((*left, self.rows.numel(), *self.event_shape))
        terms: Tensor = self.whole.log_prob(value)
        if self.inside:
            terms = terms.sum(tuple(range(-self.inside, 0)), dtype=torch.float64)
        if self.rows:
            return terms.reshape(left + self.rows)
        return terms.expand(torch.broadcast_shapes(terms.shape, self.batch_shape))
