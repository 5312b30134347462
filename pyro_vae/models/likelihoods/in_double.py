"""A distribution whose log-probabilities are in float64, and whose draws are not."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pyro.distributions import TorchDistribution

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["InDouble"]


class InDouble(TorchDistribution):
    """One distribution twice: in float64 for log-probabilities, in another type for the rest.

    Parameters
    ----------
    scored
        The distribution in float64.
    make_drawn
        Gives the same in the type that draws and moments are to have; called where one is
        asked for.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        scored: TorchDistribution,
        make_drawn: Callable[[], TorchDistribution],
        validate_args: bool | None = None,
    ) -> None:
        self.scored = scored
        self.make_drawn = make_drawn
        super().__init__(scored.batch_shape, scored.event_shape, validate_args=False)

    @cached_property
    def drawn(self) -> TorchDistribution:
        """The distribution that draws."""
        return self.make_drawn()

    def __getattr__(self, name: str) -> Any:
        """Parameters, in the type of the draws."""
        if name.startswith("_") or name in ("scored", "make_drawn"):
            raise AttributeError(name)
        return getattr(self.drawn, name)

    @property
    def support(self) -> Any:
        """Support of one datum."""
        return self.scored.support

    @property
    def has_rsample(self) -> bool:
        """Whether draws have gradients."""
        return self.scored.has_rsample

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        """The same with another batch shape."""
        return InDouble(
            self.scored.expand(batch_shape), lambda: self.make_drawn().expand(batch_shape)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability, float64."""
        return self.scored.log_prob(value.double())

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, in the other type."""
        return self.drawn.sample(torch.Size(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with gradients, in the other type."""
        return self.drawn.rsample(torch.Size(sample_shape))

    @property
    def mean(self) -> Tensor:
        """Mean, in the other type."""
        return self.drawn.mean

    @property
    def variance(self) -> Tensor:
        """Variance, in the other type."""
        return self.drawn.variance
