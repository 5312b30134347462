"""Negative binomial likelihood for overdispersed counts, by its mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyro.distributions as dist
import torch
from torch.distributions import Distribution
from torch.distributions.utils import lazy_property

from pyro_vae.models.densities import compact, of_shape
from pyro_vae.models.likelihoods.counts import Counts
from pyro_vae.models.likelihoods.positive import Form, PositiveParameter
from pyro_vae.models.log_gamma import log_factorial_remainder, log_ratio, stirling_remainder

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["NegativeBinomial"]


class _Misfit(torch.autograd.Function):
    """x log(x / m) + theta log((mu + theta) / (x + theta)), m = mu (x + theta) / (mu + theta).

    Zero at x = mu and positive elsewhere. The two terms nearly cancel, and so would their
    derivatives, which are taken on paper.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, mu: Tensor, theta: Tensor) -> Tensor:
        difference, share = x - mu, theta / (mu + theta)
        # Where x is 0, so is x times any logarithm.
        scale = mu * ((x + theta) / (mu + theta))
        first = x * log_ratio(x.clamp_min(1.0), scale, difference * share)
        return first + theta * log_ratio(mu + theta, x + theta, -difference)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        x, mu, theta = ctx.saved_tensors
        _, for_mu, for_theta = ctx.needs_input_grad
        relative = (x - mu) / (mu + theta)
        by_mu = by_theta = None
        if for_mu:
            by_mu = (-grad * relative * (theta / mu)).sum_to_size(mu.shape)
        if for_theta:
            ratio = log_ratio(mu + theta, x + theta, mu - x)
            by_theta = (grad * (ratio + relative)).sum_to_size(theta.shape)
        return None, by_mu, by_theta


class _NegativeBinomial(dist.NegativeBinomial):
    """Pyro's by mean and dispersion, its log-mass right for large counts and for a large theta.

    Parameters
    ----------
    mu, theta
        Mean, and inverse dispersion ``total_count``; the logits are log(mu / theta).
    """

    def __init__(self, mu: Tensor, theta: Tensor) -> None:
        self.mu, self.total_count = torch.broadcast_tensors(mu, theta)
        Distribution.__init__(self, self.mu.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> _NegativeBinomial:
        """The same with another batch shape."""
        return _NegativeBinomial(self.mu.expand(batch_shape), self.total_count.expand(batch_shape))

    @lazy_property
    def logits(self) -> Tensor:
        """Log-odds, which draws need and log-masses do not."""
        return self.mu.log() - self.total_count.log()

    @property
    def mean(self) -> Tensor:
        """The mean that it was made with."""
        return self.mu

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass, the Poisson's in the limit of theta."""
        mu, theta = compact(self.mu), compact(self.total_count)
        total = value + theta
        # log C(x + theta - 1, x) without what Stirling's form of it has of the misfit.
        choose = 0.5 * (theta / total).log() - log_factorial_remainder(value)
        choose = choose + stirling_remainder(total) - stirling_remainder(theta)
        fit = _Misfit.apply(value, mu, theta)
        return of_shape(choose - fit, self.batch_shape, value)


class NegativeBinomial(Counts):
    """x_d | z ~ NegativeBinomial(mean mu_d(z), dispersion theta), independent over features d.

    For counts with variance mu + mu^2 / theta, above their mean: single cells, word counts.
    theta is the inverse dispersion, as in scVI (Lopez et al., 2018, Nature Methods 15); the
    Poisson is its limit for large theta.

    Parameters
    ----------
    dispersion
        theta: a positive number, fixed; ``"shared"``: one, learned; ``"per-feature"``:
        theta_d, learned; ``"latent"``: theta_d(z), given by the decoder. Learned, it starts at 1.
    exposure
        Whether the mean is e mu_d(z), with an exposure e > 0 for each datum (library size)
        that is given with the data.
    min_mean
        Lower bound of the rate: mu = min_mean + softplus(.).
    min_dispersion
        Lower bound of a learned theta: theta = min_dispersion + softplus(.).

    Raises
    ------
    ValueError
        If a fixed dispersion or a bound is not positive.
    UnknownNameError
        If ``dispersion`` is a name other than these three.
    """

    def __init__(
        self,
        dispersion: Form = "per-feature",
        exposure: bool = False,
        min_mean: float = 1e-6,
        min_dispersion: float = 1e-3,
    ) -> None:
        super().__init__(exposure, min_mean)
        self.dispersion = dispersion
        self.min_dispersion = min_dispersion
        self.theta = PositiveParameter("dispersion", dispersion, min_dispersion)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One raw mean per feature, and one raw dispersion if theta depends on z."""
        return math.prod(event_shape) * (1 + self.theta.blocks)

    def forward(self, eta: Tensor, exposure: Tensor | None = None) -> TorchDistribution:
        """Distribution of x given raw parameters and exposures ``(...)``, as ``(B,)``.

        Raises
        ------
        DataError
            If an exposure is missing, unwanted, not positive or of a wrong shape.
        """
        return self._member(eta, exposure).to_event(len(self.event_shape))

    def moment_eta(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Mean and, where it depends on z, dispersion of the counts.

        A left-out exposure ``(n,)`` is taken to be one.
        """
        return self._join(*self._moments(x, exposure))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        arguments = f"{self._mean_symbol()}, {self.theta.symbol('theta')}"
        return f"x_d | z ~ NegativeBinomial({arguments}){self.theta.bound('theta')}"

    def _member(self, eta: Tensor, exposure: Tensor | None) -> TorchDistribution:
        """Distribution of one feature."""
        raw_mean, *raw = self._split(eta, 1 + self.theta.blocks)
        mean, theta = self._mean(raw_mean, exposure), self.theta(raw_mean, *raw)
        return _NegativeBinomial(mean, theta)

    def _join(self, mean: Tensor, variance: Tensor) -> Tensor:
        """``eta`` with these moments of the features, flat."""
        if not self.theta.blocks:
            return self.mu.invert(mean)
        # theta = mu^2 / (Var - mu), at most 1000: Poisson, or less spread than that.
        theta = mean.square() / (variance - mean).clamp_min(1e-3 * mean.square())
        return torch.cat([self.mu.invert(mean), self.theta.invert(theta)])
