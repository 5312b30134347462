"""Figures of a toy of which everything is known: z ~ N(0, 1), x | z ~ N(w z + b, s).

They need no run. The toy is ``inference.engine.ConjugateNormal`` on draws of x ~ Normal(-1, 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pyro import distributions as dist

from pyro_vae import inference, plots
from pyro_vae.explaining import derivation_of
from pyro_vae.explaining.em_view import em_view, joint_view
from pyro_vae.figures.registry import toy_figure
from pyro_vae.inference.engine.conjugate import ConjugateNormal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from pyro_vae.explaining.derivation_lines import Derivation

__all__ = ["TOY_SIZE", "toy_data", "training_bars"]

#: Data of the toy.
TOY_SIZE = 64

#: The datum whose posterior, bound and weights are shown.
_X = -2.0

#: Steps of training, and of each E-step and M-step.
_STEPS, _PHASE = 300, 150

#: Particles of the ladder of bounds.
_LADDER_PARTICLES = 256

#: Values of K and draws of the gradient, for its signal-to-noise ratio.
_RANGE: dict[str, Any] = {"num_particles": (1, 4, 16, 64, 256), "repeats": 500}

#: Pairs of z and x that calibration is judged by.
_SIMULATIONS = 1000


def toy_data(seed: int = 0) -> Tensor:
    """Draws of x ~ Normal(-1, 2), ``(64,)``, float64, the most ordinary first."""
    generator = torch.Generator().manual_seed(seed)
    x = -1 + 2 * torch.randn(TOY_SIZE, generator=generator, dtype=torch.double)
    return x[(x - x.median()).abs().argsort()]


def _datum() -> Tensor:
    return torch.tensor([_X], dtype=torch.double)


@toy_figure(
    "toy-densities",
    "Prior, guide and posterior of one datum of the toy. The KL between the last two is the gap.",
)
def _densities(_: int) -> Figure:
    toy, x = ConjugateNormal(), _datum()
    z = torch.linspace(-3.5, 3.5, 400, dtype=torch.double)
    prior = dist.Normal(torch.zeros((), dtype=torch.double), 1.0)
    found = {"prior p(z)": prior, "guide q(z | x)": toy.posterior(x)}
    found["posterior p(z | x)"] = toy.exact_posterior(x)
    with torch.no_grad():
        curves = {name: each.log_prob(z).exp().numpy() for name, each in found.items()}
        gap = float(toy.identity(x).kl)
    return plots.densities_over_z(
        z.numpy(), curves, title=f"x = \N{MINUS SIGN}2, KL(q || posterior) = {gap:.2f} nats"
    )


@toy_figure(
    "toy-bound",
    "The ELBO over the mean of the guide, below log p(x) by the KL to the posterior. Its "
    "spread is the posterior's.",
)
def _bound(_: int) -> Figure:
    toy, x = ConjugateNormal(), _datum()
    with torch.no_grad():
        exact = toy.exact_posterior(x)
        means = exact.loc + exact.scale * torch.linspace(-4, 4, 200, dtype=torch.double)
        kl = torch.distributions.kl_divergence(dist.Normal(means, exact.scale), exact)
        evidence = float(toy.log_prob(x))
    return plots.bound_over_means(
        means.numpy(), evidence - kl.numpy(), log_evidence=evidence, best=float(exact.loc)
    )


@toy_figure(
    "toy-weights",
    "Log-weights of draws from the guide of one datum. Their mean is the ELBO; the log of the "
    "mean of the weights is log p(x).",
)
def _weights(seed: int) -> Figure:
    toy, x = ConjugateNormal(), _datum()
    log_weights = inference.log_weights(toy.model, toy.guide, x, 20_000, seed=seed)[:, 0].numpy()
    with torch.no_grad():
        found = toy.identity(x)
    return plots.log_weight_histogram(
        log_weights, elbo=float(found.elbo), log_evidence=float(found.log_px)
    )


@toy_figure(
    "toy-ladder",
    "Lower and upper bounds closing on log p(x), which is known. Means over the toy's data.",
)
def _ladder(seed: int) -> Figure:
    toy, x = ConjugateNormal(), toy_data(seed)
    bounds = inference.ladder(toy.model, toy.guide, x, _LADDER_PARTICLES, seed=seed)
    with torch.no_grad():
        exact = float(toy.log_prob(x).mean())
    return plots.bound_ladder(bounds, exact=exact)


@toy_figure(
    "toy-bars",
    "L_b and the KL of one datum, before and after training: together they are log p(x).",
)
def _bars(seed: int) -> Figure:
    toy, trained, x = ConjugateNormal(), ConjugateNormal(), toy_data(seed)
    joint_view(trained, x, steps=_STEPS, seed=seed)
    return training_bars(*(derivation_of(each, _datum(), seed=seed) for each in (toy, trained)))


def training_bars(before: Derivation, after: Derivation) -> Figure:
    """L_b and the KL of one datum, before and after training."""
    found = (before, after)
    return plots.evidence_bars(
        ["before training", "after training"],
        [each.log_evidence.value for each in found],
        [each.elbo.value for each in found],
        [each.kl.value for each in found],
    )


@toy_figure(
    "toy-training",
    "Log p(x), L_b and the KL over the training of guide and model together: the KL goes to zero.",
)
def _training(seed: int) -> Figure:
    view = joint_view(ConjugateNormal(), toy_data(seed), steps=_STEPS, seed=seed)
    return plots.evidence_over_training(view.table)


@toy_figure(
    "toy-em",
    "Guide and model trained in turn. In an E-step log p(x) is still and L_b closes the gap; in "
    "an M-step log p(x) moves.",
)
def _em(seed: int) -> Figure:
    view = em_view(ConjugateNormal(), toy_data(seed), steps=_PHASE, seed=seed)
    return plots.em_phases(view.table)


@toy_figure(
    "toy-snr",
    "Signal-to-noise ratio of the toy's guide's gradient against K. Under iwae it falls as one "
    "over the root of K.",
)
def _snr(seed: int) -> Figure:
    toy = ConjugateNormal()
    table = inference.gradient_snr(toy, toy_data(seed), toy.guide_parameters, **_RANGE, seed=seed)
    return plots.snr_against_k(table)


@toy_figure(
    "toy-calibration",
    "Ranks of the true z among draws from a wrong guide, and among the same draws resampled. "
    "Where the guide is the posterior, they are uniform.",
)
def _calibration(seed: int) -> Figure:
    toy, x = ConjugateNormal(), toy_data(seed)
    ranks = inference.sbc_ranks(
        toy.model,
        toy.guide,
        _SIMULATIONS,
        simulate=inference.simulator(toy.model, toy.guide, x),
        resample=True,
        seed=seed,
    )
    return plots.sbc_histograms(ranks)
