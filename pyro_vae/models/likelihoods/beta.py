"""Beta likelihood for data between 0 and 1, by mean and concentration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import pyro.distributions as dist
import torch

from pyro_vae.models.densities import compact
from pyro_vae.models.likelihoods.base import Likelihood
from pyro_vae.models.likelihoods.positive import Form, PositiveParameter
from pyro_vae.models.log_gamma import log_ratio, stirling_remainder
from pyro_vae.models.softplus import softplus

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Beta"]

# Below this a concentration is rounded up where it is no more than a power of x; its logarithm,
# which the density is proportional to, is kept.
_TINY = 1e-300


class _Beta(dist.Beta):
    """Pyro's by logit and concentration, right where that is large and for a mean at an end.

    Parameters
    ----------
    logit, phi
        m = sigmoid(logit), a = m phi, b = (1 - m) phi.
    """

    def __init__(self, logit: Tensor, phi: Tensor) -> None:
        tiny = max(_TINY, torch.finfo(logit.dtype).tiny)
        a, b = phi * torch.sigmoid(logit), phi * torch.sigmoid(-logit)
        self.logit, self.phi = logit, phi
        super().__init__(a.clamp_min(tiny), b.clamp_min(tiny), validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> _Beta:
        """The same with another batch shape."""
        return _Beta(self.logit.expand(batch_shape), self.phi.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in deviance form."""
        phi, complement = compact(self.phi), 1 - value
        log_phi = phi.log()
        log_a, log_b = log_phi - softplus(-self.logit), log_phi - softplus(self.logit)
        # a log(x / m) + b log((1 - x) / (1 - m)) at the mean m = a / phi, and Stirling's form of
        # -log B(a, b) without the terms that this takes in.
        a, b = self.concentration1, self.concentration0
        m, rest = (torch.sigmoid(u).clamp_min(_TINY) for u in (self.logit, -self.logit))
        # One difference for both, so that the rounding of m cancels between them.
        fit = a * log_ratio(value, m, value - m) + b * log_ratio(complement, rest, m - value)
        constant = 0.5 * (log_a + log_b - log_phi - math.log(2 * math.pi))
        remainder = stirling_remainder(a, log_a) + stirling_remainder(b, log_b)
        remainder = stirling_remainder(phi) - remainder
        return fit + constant + remainder - value.log() - complement.log()


@final
class Beta(Likelihood):
    """x_d | z ~ Beta(mean m_d(z) = sigmoid(eta_d(z)), concentration phi).

    For shares and rates strictly between 0 and 1, as in beta regression (Ferrari & Cribari-Neto,
    2004, J. Applied Statistics 31): a = m phi, b = (1 - m) phi, variance m (1 - m) / (phi + 1).
    The density is unbounded at an end whose a or b is below 1, and where phi grows.

    Parameters
    ----------
    concentration
        phi: a positive number, fixed; ``"shared"``: one, learned; ``"per-feature"``: phi_d,
        learned; ``"latent"``: phi_d(z), given by the decoder. It starts at that of the data.
    min_concentration
        Lower bound of a learned phi: phi = min_concentration + softplus(.).

    Raises
    ------
    ValueError
        If a fixed concentration or the bound is not positive.
    UnknownNameError
        If ``concentration`` is a name other than these three.
    """

    measure = "lebesgue"
    support = "numbers strictly between 0 and 1"
    remedy = (
        "Take the continuous-bernoulli likelihood, which has 0 and 1, or move the ends inwards: "
        "(x (n - 1) + 1/2) / n for n rows."
    )
    fill = 0.5
    kinds = ("unit-interval", "real")

    def __init__(self, concentration: Form = "shared", min_concentration: float = 1e-2) -> None:
        super().__init__()
        self.concentration = concentration
        self.min_concentration = min_concentration
        self.phi = PositiveParameter("concentration", concentration, min_concentration, start=2.0)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One logit per feature, and one raw concentration if phi depends on z."""
        return math.prod(event_shape) * (1 + self.phi.blocks)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given logits, and raw concentrations where phi depends on z."""
        logit, *raw = self._split(eta, 1 + self.phi.blocks)
        phi = self.phi(logit, *raw)
        return _Beta(logit, phi).to_event(len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is strictly between 0 and 1."""
        return (x > 0) & (x < 1)

    def initialise(self, x: Tensor) -> None:
        """Start a learned concentration at that of the features without z."""
        self.phi.start_at(self._moments(x)[1])

    def moment_eta(self, x: Tensor) -> Tensor:
        """Logit of the mean and, where it depends on z, the concentration, at most 10^6."""
        mean, phi = self._moments(x)
        return torch.cat((torch.logit(mean), self.phi.invert(phi))[: 1 + self.phi.blocks])

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and concentration by the first two moments, flat."""
        mean, variance = x.flatten(1).mean(0), x.flatten(1).var(0, correction=0)
        bernoulli = mean * (1 - mean)
        return mean, bernoulli / variance.clamp_min(1e-6 * bernoulli) - 1

    def formula(self) -> str:
        """Formula of p(x | z)."""
        phi = self.phi.symbol("phi")
        return (
            f"x_d | z ~ Beta(mean sigmoid(eta_d(z)), concentration {phi}){self.phi.bound('phi')}"
        )
