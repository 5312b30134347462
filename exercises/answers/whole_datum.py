"""Answer: the log-density of a whole datum.

Given z the D cells of a datum are independent normals, x_d | z ~ N(mu_d(z), 1), so p(x | z) is
their product and

    log p(x | z) = sum_d log N(x_d; mu_d(z), 1),

one number for a datum, in nats.

    pyro-vae verify exercises/answers/whole_datum.py:UnitNormal
"""

import math

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods import Likelihood


class Datum(dist.Independent):
    """Normals side by side, of which a datum is one draw."""

    def log_prob(self, x):
        """Log p(x | z) in nats, ``(...)``, of data ``(..., D)``."""
        cells = self.base_dist.log_prob(x)  # (..., D)
        return cells.sum(-1)


class UnitNormal(Likelihood):
    """x_d | z ~ N(mu_d(z), 1), independent over the cells d."""

    measure = "lebesgue"
    support = "finite real numbers"
    remedy = "Drop or impute the rows with NaN or infinity."
    kinds = ("real",)

    def num_params(self, event_shape):
        """One mean for each cell."""
        return math.prod(event_shape)

    def forward(self, eta):
        """Distribution of a datum, given the decoder's output ``(..., D)``."""
        (mean,) = self._split(eta, 1)
        return Datum(dist.Normal(mean, 1.0), len(self.event_shape))

    def in_support(self, x):
        """True where x is finite."""
        return torch.isfinite(x)

    def moment_eta(self, x):
        """Where training starts: the mean of the data."""
        return x.flatten(1).mean(0)

    def formula(self):
        """Formula of p(x | z)."""
        return "x_d | z ~ Normal(mu_d(z), 1)"
