"""One SVI step under a likelihood against the same with Pyro's own distribution in float32.

What log-probabilities in float64 cost. There is no target: in float32 large counts are wrong.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.infer import Trace_ELBO

from benchmarks.figure import Figure
from benchmarks.timing import ratios
from pyro_vae.models import VAE, likelihoods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["figures"]

_BATCH, _FEATURES, _MEAN, _TRIALS = 128, 500, 20.0, 255


def _mean(raw: Tensor) -> Tensor:
    return 1e-6 + F.softplus(raw)


def _negative_binomial(eta: Tensor) -> TorchDistribution:
    raw, raw_theta = eta.chunk(2, dim=-1)
    theta = 1e-3 + F.softplus(raw_theta)
    return dist.NegativeBinomial(theta, logits=_mean(raw).log() - theta.log(), validate_args=False)


def _zero_inflated(eta: Tensor) -> TorchDistribution:
    raw, raw_theta, gate = eta.chunk(3, dim=-1)
    theta = 1e-3 + F.softplus(raw_theta)
    logits = _mean(raw).log() - theta.log()
    return dist.ZeroInflatedNegativeBinomial(
        theta, logits=logits, gate_logits=gate, validate_args=False
    )


def _normal(eta: Tensor) -> TorchDistribution:
    loc, raw = eta.chunk(2, dim=-1)
    return dist.Normal(loc, 1e-3 + F.softplus(raw), validate_args=False)


#: The package's likelihood, and Pyro's distribution from the same network's output.
_CONTENDERS: dict[str, tuple[likelihoods.Likelihood, Callable[[Tensor], TorchDistribution]]] = {
    "Bernoulli": (
        likelihoods.Bernoulli(),
        lambda eta: dist.Bernoulli(logits=eta, validate_args=False),
    ),
    "Binomial": (
        likelihoods.Binomial(_TRIALS),
        lambda eta: dist.Binomial(_TRIALS, logits=eta, validate_args=False),
    ),
    "Normal": (likelihoods.Normal("latent"), _normal),
    "Poisson": (likelihoods.Poisson(), lambda eta: dist.Poisson(_mean(eta), validate_args=False)),
    "NegativeBinomial": (likelihoods.NegativeBinomial("latent"), _negative_binomial),
    "ZeroInflatedNegativeBinomial": (
        likelihoods.ZeroInflatedNegativeBinomial("latent"),
        _zero_inflated,
    ),
}


def _step(
    likelihood: likelihoods.Likelihood,
    x: Tensor,
    plain: Callable[[Tensor], TorchDistribution] | None = None,
) -> Callable[[], None]:
    """A step of training; with ``plain`` in the place of what the likelihood gives."""
    vae = VAE((_FEATURES,), 10, likelihood=likelihood, encoder=(128,), decoder=(128,))
    adam = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    elbo = Trace_ELBO()
    if plain is not None:
        vae.likelihood.forward = lambda eta: plain(eta).to_event(1)  # type: ignore[method-assign]

    def step() -> None:
        elbo.differentiable_loss(vae.model, vae.guide, x).backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    return step


def figures() -> Iterator[Figure]:
    """The ratio for each likelihood."""
    torch.manual_seed(0)
    counts = torch.poisson(torch.full((_BATCH, _FEATURES), _MEAN))
    for name, (likelihood, plain) in _CONTENDERS.items():
        x = (counts > _MEAN).float() if name == "Bernoulli" else counts
        ours = _step(likelihood, x)
        theirs = _step(copy.deepcopy(likelihood), x, plain)
        found = ratios({"ours": ours, "plain": theirs}, "plain", rounds=200)["ours"]
        what = f"SVI step, {name}, {_FEATURES} features, batch {_BATCH}"
        yield Figure(what, found.ratio, "of that in float32", found.low, found.high)
