"""Binomial likelihood for bounded counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import torch

from pyro_vae.models.likelihoods.base import Likelihood
from pyro_vae.models.softplus import LogitBinomial

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Binomial"]


@final
class Binomial(Likelihood):
    """x_d | z ~ Binomial(n, sigmoid(eta_d(z))), independent over the features d.

    For counts out of a known total: the 0-16 counts of the digits, questionnaire scores,
    8-bit grey levels (n = 255) when a Binomial spread is wide enough.

    Parameters
    ----------
    total_count
        The total n, at least 1; the same for every feature.

    Raises
    ------
    ValueError
        If ``total_count`` is not a positive integer.
    """

    measure = "counting"
    support = "whole numbers from 0 to total_count"
    remedy = "Set total_count to the largest count that the data can take, or rescale the data."
    kinds = ("counts", "binary")

    def __init__(self, total_count: int) -> None:
        super().__init__()
        if not isinstance(total_count, int) or total_count < 1:
            raise ValueError(
                f"total_count got {total_count!r}: it must be a positive integer, the largest "
                "count that one feature can take"
            )
        self.total_count = total_count

    @classmethod
    def settings_for(cls, maximum: int | None) -> dict[str, Any]:
        """The largest count that the data can take is the total."""
        return {"total_count": 1 if maximum is None else maximum}

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One logit per feature."""
        return math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given logits ``(..., D)``."""
        (logits,) = self._split(eta, 1)
        binomial = LogitBinomial(logits.new_tensor(self.total_count), logits=logits, validate_args=False)
        return binomial.to_event(len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is a whole number from 0 to ``total_count``."""
        return (x >= 0) & (x <= self.total_count) & (x == x.round())

    def support_text(self) -> str:
        """The support with its total."""
        return f"whole numbers from 0 to total_count={self.total_count}"

    def standardise(self, x: Tensor) -> Tensor:
        """Share of the total."""
        return x / self.total_count

    def moment_eta(self, x: Tensor) -> Tensor:
        """Logit of the share of successes, with half a success and half a failure added."""
        successes = x.flatten(1).sum(0) + 0.5
        return torch.logit(successes / (len(x) * self.total_count + 1))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return f"x_d | z ~ Binomial({self.total_count}, sigmoid(eta_d(z)))"
