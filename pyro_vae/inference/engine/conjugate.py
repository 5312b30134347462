"""The smallest pair of which everything is known, with parameters to train.

z ~ Normal(0, 1), x | z ~ Normal(w z + b, s); guide Normal(a x + c, t). With v = w^2 + s^2 the
marginal is x ~ Normal(b, v^(1/2)) and the posterior z | x ~ Normal(w (x - b) / v, s / v^(1/2)),
which the guide's family holds for every x: training can take its KL to zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from torch import nn
from torch.distributions import kl_divergence

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ConjugateNormal", "Identity"]


class Identity(NamedTuple):
    """log p(x) = elbo + kl, each of them in closed form and by itself, ``(n,)``, in nats."""

    log_px: Tensor
    elbo: Tensor
    kl: Tensor


class ConjugateNormal(nn.Module):
    """The pair as a module of float64 parameters, whose guide is not the posterior at first.

    Parameters
    ----------
    weight, bias, scale
        w, b and s of the model.
    slope, shift, width
        a, c and t of the guide.
    """

    def __init__(
        self,
        weight: float = 1.5,
        bias: float = 0.5,
        scale: float = 0.8,
        *,
        slope: float = 0.4,
        shift: float = -0.1,
        width: float = 0.7,
    ) -> None:
        super().__init__()

        def parameter(*values: float) -> nn.Parameter:
            return nn.Parameter(torch.tensor(values, dtype=torch.double))

        self.theta = parameter(weight, bias)
        self.log_scale = parameter(math.log(scale))
        self.phi = parameter(slope, shift)
        self.log_width = parameter(math.log(width))

    @property
    def model_parameters(self) -> list[nn.Parameter]:
        """Parameters theta of the generative story: w, b and log s."""
        return [self.theta, self.log_scale]

    @property
    def guide_parameters(self) -> list[nn.Parameter]:
        """Parameters phi of the guide: a, c and log t."""
        return [self.phi, self.log_width]

    def model(self, x: Tensor) -> None:
        """Generative story z ~ Normal(0, 1), x | z ~ Normal(w z + b, s), for x ``(n,)``."""
        w, b = self.theta
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(w * z + b, self.log_scale.exp()), obs=x)

    def guide(self, x: Tensor) -> None:
        """Guide z | x ~ Normal(a x + c, t)."""
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", self.posterior(x))

    def posterior(self, x: Tensor) -> dist.Normal:
        """The guide's distribution q(z | x)."""
        a, c = self.phi
        return dist.Normal(a * x + c, self.log_width.exp())

    def exact_posterior(self, x: Tensor) -> dist.Normal:
        """Exact p(z | x)."""
        w, b = self.theta
        variance = self._variance()
        return dist.Normal(w * (x - b) / variance, self.log_scale.exp() / variance.sqrt())

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log p(x), ``(n,)``."""
        return dist.Normal(self.theta[1], self._variance().sqrt()).log_prob(x)

    def identity(self, x: Tensor) -> Identity:
        """Log p(x), L_b and KL(q(z|x) || p(z|x)), each from its own formula."""
        w, b = self.theta
        q, s = self.posterior(x), self.log_scale.exp()
        # E_q[log Normal(x; w z + b, s)]: the density at the mean of z, less its spread
        expected = dist.Normal(w * q.loc + b, s).log_prob(x) - (w * q.scale / s) ** 2 / 2
        elbo = expected - kl_divergence(q, dist.Normal(torch.zeros_like(x), 1.0))
        return Identity(self.log_prob(x), elbo, kl_divergence(q, self.exact_posterior(x)))

    def _variance(self) -> Tensor:
        """w^2 + s^2, the variance of x."""
        return self.theta[0] ** 2 + (2 * self.log_scale).exp()[0]
