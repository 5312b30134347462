"""Zero-inflated negative binomial likelihood for counts with zeros of two kinds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods.negative_binomial import NegativeBinomial
from pyro_vae.models.softplus import softplus

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["ZeroInflatedNegativeBinomial"]


class _ZeroInflated(dist.ZeroInflatedDistribution):
    """Pyro's by gate logits, and by them alone.

    Pyro's keeps the gate once its mean or a draw was asked for, and from then on takes the
    gate for log-masses, which overflow near 1, and cannot be expanded; and by logits it adds
    and takes off a logit that may be far larger than the log-mass.
    """

    @property
    def gate(self) -> Tensor:
        """Probability of an extra zero."""
        return torch.sigmoid(self.gate_logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, which no rounding takes above 0."""
        rest = self.base_dist.log_prob(value) - softplus(self.gate_logits)
        zero = torch.logaddexp(-softplus(-self.gate_logits), rest).clamp_max(0.0)
        return torch.where(value == 0, zero, rest)


@final
class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """x_d | z is 0 with probability pi_d(z), else NegativeBinomial(mu_d(z), theta).

    For overdispersed counts where some zeros are failures to record (dropouts): early
    single-cell protocols. The gate's logits come last in ``eta``. pi and theta compete for the
    zeros, so neither is well determined by few data.

    Parameters
    ----------
    dispersion, exposure, min_mean, min_dispersion
        As for ``NegativeBinomial``; the exposure has no effect on the gate.

    Raises
    ------
    ValueError
        If a fixed dispersion or a bound is not positive.
    UnknownNameError
        If ``dispersion`` is a name other than the three forms.
    """

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """As for the negative binomial, and one gate logit per feature."""
        return super().num_params(event_shape) + math.prod(event_shape)

    def moment_eta(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Moments of the counts, where the gate is laid half of the zeros.

        A left-out exposure ``(n,)`` is taken to be one.
        """
        mean, variance = self._moments(x, exposure)
        gate = (0.5 * (x == 0).flatten(1).float().mean(0)).clamp_min(0.01).to(mean)
        # E x = (1 - pi) mu and E x^2 = (1 - pi) (Var + mu^2), solved for the ungated moments.
        inner = mean / (1 - gate)
        square = (variance + mean.square()) / (1 - gate)
        return torch.cat([self._join(inner, square - inner.square()), torch.logit(gate)])

    def formula(self) -> str:
        """Formula of p(x | z)."""
        inner = super().formula().removeprefix("x_d | z ~ ")
        return f"x_d | z ~ pi_d(z) delta_0 + (1 - pi_d(z)) {inner}"

    def _member(self, eta: Tensor, exposure: Tensor | None) -> TorchDistribution:
        size = math.prod(self.event_shape)
        body, gate = eta.split([eta.shape[-1] - size, size], dim=-1)
        counts = super()._member(body, exposure)
        (gate_logits,) = self._split(gate, 1)
        return _ZeroInflated(counts, gate_logits=gate_logits, validate_args=False)
