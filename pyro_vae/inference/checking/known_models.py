"""Small pairs whose log p(x) and ELBO are known without sampling, to hold estimates against."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions as dist
import torch
from torch.distributions import kl_divergence

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.inference.engine.traces import Program

__all__ = ["KnownModel", "far_from_the_prior", "known_models"]


@dataclass(frozen=True)
class KnownModel:
    """A pair with one latent site, and what is known of it.

    Attributes
    ----------
    name
        What it is.
    prior
        p(z).
    likelihood
        p(x | z), from z of any leading shape.
    posterior
        q(z | x), from x.
    x
        Data, ``(n, ...)``, float64.
    log_px, elbo
        Log p(x) and the ELBO of the guide, ``(n,)``, in nats.
    exact_posterior
        p(z | x), from x, where it is known.
    """

    name: str
    prior: Any
    likelihood: Callable[[Tensor], Any]
    posterior: Callable[[Tensor], Any]
    x: Tensor
    log_px: Tensor
    elbo: Tensor
    exact_posterior: Callable[[Tensor], Any] | None = None

    def model(self, size: int | None = None) -> Program:
        """Generative story, in a plate of the given size, of which x is a part."""

        def model(x: Tensor) -> None:
            with pyro.plate("data", size or len(x), subsample_size=len(x), dim=-1):
                z = pyro.sample("z", self.prior)
                pyro.sample("x", self.likelihood(z), obs=x)

        return model

    def guide(self, size: int | None = None, *, exact: bool = False) -> Program:
        """The guide, or the exact posterior, in such a plate."""
        family = self.exact_posterior if exact else self.posterior

        def guide(x: Tensor) -> None:
            assert family is not None
            with pyro.plate("data", size or len(x), subsample_size=len(x), dim=-1):
                pyro.sample("z", family(x))

        return guide


def known_models(*, discrete: bool = False) -> list[KnownModel]:
    """Conjugate normal, linear-Gaussian, Bernoulli and mixture models.

    Parameters
    ----------
    discrete
        Add a model of three binary latents, enumerated: its guide has no gradient.
    """
    models = [_conjugate(), _linear_gaussian(), _bernoulli(), _mixture()]
    return [*models, _binary()] if discrete else models


def far_from_the_prior() -> KnownModel:
    """The conjugate normal at x near 80, where p(x) is near exp(-1600), which no float holds."""
    known = _conjugate()
    x = known.x + 80.0
    assert known.exact_posterior is not None
    log_px = dist.Normal(_double(0.0), 2**0.5).log_prob(x)
    gap = kl_divergence(known.posterior(x), known.exact_posterior(x))
    return replace(known, name="far from the prior", x=x, log_px=log_px, elbo=log_px - gap)


def _one_dimensional(
    name: str,
    prior: Any,
    likelihood: Callable[[Tensor], Any],
    posterior: Callable[[Tensor], Any],
    x: Tensor,
    exact_posterior: Callable[[Tensor], Any] | None = None,
) -> KnownModel:
    """Integrals over z by the trapezium rule, exact to rounding for such smooth densities."""
    z = torch.linspace(-12, 12, 4001, dtype=torch.double).unsqueeze(-1)
    log_joint = prior.log_prob(z) + likelihood(z).log_prob(x)
    log_q = posterior(x).log_prob(z)
    width = float(z[1] - z[0])
    log_px = log_joint.logsumexp(0) + math.log(width)
    elbo = (log_q.exp() * (log_joint - log_q)).sum(0) * width
    return KnownModel(name, prior, likelihood, posterior, x, log_px, elbo, exact_posterior)


_X = torch.linspace(-1.5, 3.0, 8, dtype=torch.double)


def _double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.double)


def _conjugate() -> KnownModel:
    """Story z ~ N(0, 1), x | z ~ N(z, 1); guide N(0.3 x, 0.9^2), posterior N(x / 2, 1 / 2)."""
    return _one_dimensional(
        "conjugate normal",
        dist.Normal(_double(0.0), 1.0),
        lambda z: dist.Normal(z, 1.0),
        lambda x: dist.Normal(0.3 * x, 0.9),
        _X,
        exact_posterior=lambda x: dist.Normal(x / 2, 0.5**0.5),
    )


def _mixture() -> KnownModel:
    """Story z ~ 0.3 N(-1.5, 0.6^2) + 0.7 N(1, 0.8^2), x | z ~ N(z, 1)."""
    shares = torch.tensor([0.3, 0.7], dtype=torch.double)
    parts = dist.Normal(
        torch.tensor([-1.5, 1.0], dtype=torch.double),
        torch.tensor([0.6, 0.8], dtype=torch.double),
    )
    return _one_dimensional(
        "mixture of normals",
        dist.MixtureSameFamily(dist.Categorical(shares), parts),
        lambda z: dist.Normal(z, 1.0),
        lambda x: dist.Normal(0.5 * x, 1.1),
        _X,
    )


def _bernoulli() -> KnownModel:
    """Story z ~ N(0, 1), x_j | z ~ Bernoulli(logit = 2 z + b_j), three features."""
    bias = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.double)
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.double)] * 3)
    return _one_dimensional(
        "Bernoulli",
        dist.Normal(_double(0.0), 1.0),
        lambda z: dist.Bernoulli(logits=2 * z.unsqueeze(-1) + bias).to_event(1),
        lambda x: dist.Normal(0.5 * (x.sum(-1) - 1.5), 1.0),
        x,
    )


def _linear_gaussian() -> KnownModel:
    """Story z ~ N(0, I_2), x | z ~ N(W z, I_3); the guide has the posterior's means."""
    weight = torch.tensor([[1.0, 0.4], [-0.3, 0.8], [0.5, -0.6]], dtype=torch.double)
    identity = torch.eye(2, dtype=torch.double)
    covariance = torch.linalg.inv(identity + weight.T @ weight)
    to_mean = weight @ covariance
    scale = 1.2 / torch.linalg.inv(covariance).diagonal().sqrt()
    x = torch.stack([_X, _X.flip(0) * 0.5, 1 - _X**2 / 4], dim=-1)
    marginal = dist.MultivariateNormal(
        torch.zeros(3, dtype=torch.double), torch.eye(3, dtype=torch.double) + weight @ weight.T
    )
    log_px = marginal.log_prob(x)
    # KL(N(m, T) || N(m, S)) = (tr(S^-1 T) - 2 + log |S| - log |T|) / 2
    trace = (torch.linalg.inv(covariance).diagonal() * scale**2).sum()
    gap = 0.5 * (trace - 2 + torch.logdet(covariance) - 2 * scale.log().sum())
    tril = torch.linalg.cholesky(covariance)
    return KnownModel(
        "linear-Gaussian",
        dist.Normal(torch.zeros(2, dtype=torch.double), 1.0).to_event(1),
        lambda z: dist.Normal(z @ weight.T, 1.0).to_event(1),
        lambda x: dist.Normal(x @ to_mean, scale).to_event(1),
        x,
        log_px,
        log_px - gap,
        lambda x: dist.MultivariateNormal(x @ to_mean, scale_tril=tril),
    )


def _binary() -> KnownModel:
    """Three binary z: z in {0, 1}^3, x | z ~ N(w . z, 1), summed over the eight values of z."""
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.double)
    share = torch.tensor([0.5, 0.3, 0.8], dtype=torch.double)
    prior = dist.Bernoulli(share).to_event(1)

    def likelihood(z: Tensor) -> Any:
        return dist.Normal(z @ w, 1.0)

    def posterior(x: Tensor) -> Any:
        logits = 0.5 * x.unsqueeze(-1) * w
        return dist.Bernoulli(logits=logits).to_event(1)

    z = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.double)] * 3).unsqueeze(1)
    log_joint = prior.log_prob(z) + likelihood(z).log_prob(_X)
    log_q = posterior(_X).log_prob(z)
    elbo = (log_q.exp() * (log_joint - log_q)).sum(0)
    return KnownModel(
        "binary latents", prior, likelihood, posterior, _X, log_joint.logsumexp(0), elbo
    )
