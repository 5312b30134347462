"""Answer: counts with more zeros than a Poisson has.

With probability pi_d(z) a count is a zero that was never a count, else it is Poisson(mu_d(z)):

    p(0 | z) = pi + (1 - pi) e^-mu,    p(x | z) = (1 - pi) e^-mu mu^x / x!    for x = 1, 2, ...

At x = 0 the two ways to a zero are added up, by their logarithms, in nats.

    pyro-vae verify exercises/answers/zero_inflated.py:ZeroInflatedPoisson
"""

import math

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods import Likelihood


class Cell(dist.ZeroInflatedPoisson):
    """A zero-inflated Poisson, its mass written out."""

    def log_prob(self, x):
        """Log p(x_d | z) in nats, of the shape of x, ``gate`` (pi) and ``rate`` (mu)."""
        counted = torch.log1p(-self.gate) + self.base_dist.log_prob(x)
        zero = torch.logaddexp(self.gate.log(), counted)
        return torch.where(x == 0, zero, counted)


class ZeroInflatedPoisson(Likelihood):
    """x_d | z is 0 with probability pi_d(z), else Poisson(mu_d(z)), independent over d."""

    measure = "counting"
    support = "whole numbers from 0"
    remedy = "Round to counts, or take a likelihood for real data."
    kinds = ("counts",)

    def num_params(self, event_shape):
        """A rate and a gate for each cell."""
        return 2 * math.prod(event_shape)

    def forward(self, eta):
        """Distribution of a datum, given the decoder's output ``(..., 2 D)``."""
        raw, gate = self._split(eta, 2)
        rate = 1e-6 + torch.nn.functional.softplus(raw)
        return Cell(rate, gate=torch.sigmoid(gate)).to_event(len(self.event_shape))

    def in_support(self, x):
        """True where x is a whole number from 0."""
        return (x >= 0) & (x == x.round()) & torch.isfinite(x)

    def moment_eta(self, x):
        """Where training starts: about the mean of the data, and one extra zero in ten."""
        mean = x.flatten(1).double().mean(0).clamp_min(0.1)
        return torch.cat([mean.expm1().log(), torch.full_like(mean, math.log(1 / 9))])

    def formula(self):
        """Formula of p(x | z)."""
        return "x_d | z ~ pi_d(z) delta_0 + (1 - pi_d(z)) Poisson(mu_d(z))"
