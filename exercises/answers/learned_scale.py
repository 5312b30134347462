"""Answer: a normal likelihood whose scale the decoder learns.

x_d | z ~ N(mu_d(z), sigma_d(z)^2), independent over the cells d, with

    log p(x_d | z) = -(x_d - mu_d)^2 / (2 sigma_d^2) - log sigma_d - log(2 pi) / 2    in nats.

    pyro-vae verify exercises/answers/learned_scale.py:LearnedScale
"""

import math

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods import Likelihood


class Cell(dist.Normal):
    """A normal, its density written out."""

    def log_prob(self, x):
        """Log p(x_d | z) in nats, of the shape of x, ``loc`` and ``scale``."""
        error = (x - self.loc) / self.scale
        return -0.5 * error**2 - self.scale.log() - 0.5 * math.log(2 * math.pi)


class LearnedScale(Likelihood):
    """x_d | z ~ N(mu_d(z), sigma_d(z)^2), independent over the cells d."""

    measure = "lebesgue"
    support = "finite real numbers"
    remedy = "Drop or impute the rows with NaN or infinity."
    kinds = ("real",)

    def num_params(self, event_shape):
        """A mean and a scale for each cell."""
        return 2 * math.prod(event_shape)

    def forward(self, eta):
        """Distribution of a datum, given the decoder's output ``(..., 2 D)``."""
        mean, raw = self._split(eta, 2)
        scale = 0.01 + torch.nn.functional.softplus(raw)
        return Cell(mean, scale).to_event(len(self.event_shape))

    def in_support(self, x):
        """True where x is finite."""
        return torch.isfinite(x)

    def moment_eta(self, x):
        """Where training starts: the mean of the data, and a scale of about one."""
        mean = x.flatten(1).mean(0)
        return torch.cat([mean, torch.full_like(mean, 0.5)])

    def formula(self):
        """Formula of p(x | z)."""
        return "x_d | z ~ Normal(mu_d(z), sigma_d(z))"
