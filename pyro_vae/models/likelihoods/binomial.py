"""Binomial likelihood for bounded counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods.counts import BoundedCounts
from pyro_vae.models.likelihoods.trials import log_mass_of_trials
from pyro_vae.models.log_gamma import log_factorial_remainder

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Binomial"]


class _Binomial(dist.Binomial):
    """Pyro's by logits, one total for all, with a log-mass that is right for a large total."""

    def __init__(self, number: int, logits: Tensor) -> None:
        self.number = number
        super().__init__(logits.new_tensor(number), logits=logits, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same for more of them."""
        new = self._get_checked_instance(_Binomial, _instance)
        new.number = self.number
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass log C(n, x) + log p^x (1 - p)^(n - x)."""
        # One total for all, which the constructor has expanded: take it back, or the
        # coefficient would be computed for every particle.
        n = self.total_count[(0,) * self.total_count.dim()]
        parts = (value, n - value)
        log_choose = log_factorial_remainder(n) - sum(
            log_factorial_remainder(part) + torch.xlogy(part, part / n) for part in parts
        )
        return log_choose + log_mass_of_trials(value, self.logits, float(self.number))


@final
class Binomial(BoundedCounts):
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

    support = "whole numbers from 0 to total_count"
    remedy = "Set total_count to the largest count that the data can take, or rescale the data."
    kinds = ("counts", "binary")
    setting = "total_count"
    smallest = 1

    def __init__(self, total_count: int) -> None:
        super().__init__()
        self._set_size(total_count)

    @classmethod
    def settings_for(cls, maximum: int | None) -> dict[str, Any]:
        """The largest count that the data can take is the total."""
        return super().settings_for(1 if maximum is None else maximum)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One logit per feature."""
        return math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given logits ``(..., D)``."""
        (logits,) = self._split(eta, 1)
        return _Binomial(self.top, logits).to_event(len(self.event_shape))

    def moment_eta(self, x: Tensor) -> Tensor:
        """Logit of the share of successes, with half a success and half a failure added."""
        successes = x.flatten(1).sum(0) + 0.5
        return torch.logit(successes / (len(x) * self.top + 1))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return f"x_d | z ~ Binomial({self.top}, sigmoid(eta_d(z)))"
