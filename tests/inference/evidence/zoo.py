"""Pairs of posterior and guide whose log p(x) and gap are known: do 95 % intervals cover?

log p(x) is 0 in each: the posterior is the joint density. Everything is NumPy and SciPy; what is
under test, estimates and ``trust.doubts``, is the package's, given the terms of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special, stats

from pyro_vae.inference.engine.bounds import gap_of, log_evidence_of
from pyro_vae.inference.engine.diagnostics import pareto_khat
from pyro_vae.inference.engine.weights import LogWeights
from pyro_vae.inference.evidence.trust import PROBE_SHARE, RESULTS, doubts, probe_size, together

Density = Callable[[np.ndarray], np.ndarray]
Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Pair:
    """A posterior, a prior and a guide, the last two with draws; densities in nats.

    ``posterior``, ``prior`` and ``guide`` map ``(K, d)`` to ``(K,)``; ``gap`` is KL(q || p).
    """

    posterior: Density
    prior: Density
    draw_prior: Draw
    guide: Density
    draw_guide: Draw
    gap: float

    def terms(self, rng, size, prior_share=0.0):
        """Terms of the log-weights of ``size`` draws, ``(size, 1)``, as the engine gives them."""
        few = rng.binomial(size, prior_share)
        z = self.draw_guide(rng, size - few)
        if few:
            z = np.concatenate([z, self.draw_prior(rng, few)])
        log_prior, log_guide = self.prior(z), self.guide(z)
        if prior_share:
            log_guide = np.logaddexp(
                math.log1p(-prior_share) + log_guide, math.log(prior_share) + log_prior
            )
        parts = (self.posterior(z) - log_prior, log_prior, log_guide)
        return LogWeights(*(torch.from_numpy(part)[:, None] for part in parts))


def normal(z, mean, sd):
    return stats.norm.logpdf(z, mean, sd).sum(-1)


def gaussian_kl(mean, cov, to_mean, to_cov):
    """KL(N(mean, cov) || N(to_mean, to_cov))."""
    inside = np.trace(np.linalg.solve(to_cov, cov)) - len(cov)
    away = (mean - to_mean) @ np.linalg.solve(to_cov, mean - to_mean)
    return 0.5 * (inside + away + np.linalg.slogdet(to_cov)[1] - np.linalg.slogdet(cov)[1])


def mvn(mean, cov):
    """Log-density and draws of N(mean, cov)."""
    factor = np.linalg.cholesky(cov)
    inverse, log_det = np.linalg.inv(factor), np.log(np.diag(factor)).sum()

    def density(z):
        u = (z - mean) @ inverse.T
        return -0.5 * (u**2).sum(-1) - log_det - 0.5 * len(mean) * math.log(2 * math.pi)

    def draw(rng, size):
        return mean + rng.normal(size=(size, len(mean))) @ factor.T

    return density, draw


def gaussian(mean, cov, guide_mean, guide_cov, prior_cov=None):
    """All three Gaussian, prior N(0, I) unless given."""
    prior = mvn(np.zeros(len(mean)), np.eye(len(mean)) if prior_cov is None else prior_cov)
    gap = gaussian_kl(guide_mean, guide_cov, mean, cov)
    return Pair(mvn(mean, cov)[0], *prior, *mvn(guide_mean, guide_cov), gap)


def scaled(dims, width, shift=0.0, sd=0.5):
    """Guide ``width`` as wide as the posterior in each dimension, shifted along the first."""
    mean, cov = np.full(dims, 0.5 / math.sqrt(dims)), sd**2 * np.eye(dims)
    away = np.zeros(dims)
    away[0] = shift * sd
    return gaussian(mean, cov, mean + away, width**2 * cov)


def correlated(dims, rho):
    """The best mean-field guide of an equicorrelated posterior: variances 1 / precision."""
    cov = 0.25 * ((1 - rho) * np.eye(dims) + rho)
    mean = np.full(dims, 0.3)
    return gaussian(mean, cov, mean, np.diag(1 / np.diag(np.linalg.inv(cov))))


def hierarchical(x, tau=3.0, slope=0.7, sd=0.45, inner=0.75, direct=0.05, inner_sd=1.0):
    """mu ~ N(0, tau), theta ~ N(mu, 1), four measurements of theta of mean x and unit noise.

    The guide, theta | x ~ N(slope x, sd) and mu | theta, x ~ N(inner theta + direct x, inner_sd),
    has not learned its slope of x yet (the right one is 0.98), so its shift grows with x.
    """
    prior_cov = np.array([[tau**2, tau**2], [tau**2, tau**2 + 1]])
    gain = prior_cov[:, 1] / (prior_cov[1, 1] + 0.25)
    mean, cov = gain * x, prior_cov - np.outer(gain, prior_cov[1])
    guide_mean = np.array([(inner * slope + direct) * x, slope * x])
    cross = inner * sd**2
    guide_cov = np.array([[inner * cross + inner_sd**2, cross], [cross, sd**2]])
    return gaussian(mean, cov, guide_mean, guide_cov, prior_cov)


def two_modes(dims, share, apart, sd=0.2, centre=-0.8, width=1.05):
    """A second mode with ``share`` of the mass, ``apart`` standard deviations from the guide's."""
    first = np.zeros(dims)
    first[0] = centre
    second = first.copy()
    second[0] += apart * sd

    def posterior(z):
        one, other = normal(z, first, sd), normal(z, second, sd)
        return np.logaddexp(math.log1p(-share) + one, math.log(share) + other)

    # Along the first axis E_q[log q - log p] is one integral; the others are normal.
    u = np.linspace(-14, 14, 100001)
    z = centre + width * sd * u
    one, other = stats.norm.logpdf(z, first[0], sd), stats.norm.logpdf(z, second[0], sd)
    log_p = np.logaddexp(math.log1p(-share) + one, math.log(share) + other)
    log_q = stats.norm.logpdf(z, centre, width * sd)
    gap = ((log_q - log_p) * stats.norm.pdf(u)).sum() * (u[1] - u[0])
    gap += (dims - 1) * (-math.log(width) + (width**2 - 1) / 2)
    prior = mvn(np.zeros(dims), np.eye(dims))
    return Pair(posterior, *prior, *mvn(first, (width * sd) ** 2 * np.eye(dims)), float(gap))


def log_gamma(shape, dims=1, width=1.0):
    """z = log of a Gamma: skewed, its left tail heavier than the normal guide's."""
    mean = float(special.digamma(shape))
    sd = width * math.sqrt(special.polygamma(1, shape))

    def density(z, a):
        return (a * z - np.exp(z) - special.gammaln(a)).sum(-1)

    cross = shape * mean - math.exp(mean + sd**2 / 2) - special.gammaln(shape)
    gap = dims * (-0.5 - math.log(sd) - 0.5 * math.log(2 * math.pi) - cross)
    return Pair(
        lambda z: density(z, shape),
        lambda z: density(z, 1.0),
        lambda rng, size: np.log(rng.exponential(size=(size, dims))),
        *mvn(np.full(dims, mean), sd**2 * np.eye(dims)),
        float(gap),
    )


def student_t(df, sd, dims=1):
    """Student-t posterior, normal guide."""
    u = np.linspace(-14, 14, 100001)
    log_p, log_q = stats.t.logpdf(sd * u, df), stats.norm.logpdf(sd * u, 0, sd)
    gap = dims * ((log_q - log_p) * stats.norm.pdf(u)).sum() * (u[1] - u[0])
    return Pair(
        lambda z: stats.t.logpdf(z, df).sum(-1),
        lambda z: stats.t.logpdf(z, df, scale=3).sum(-1),
        lambda rng, size: 3 * rng.standard_t(df, (size, dims)),
        *mvn(np.zeros(dims), sd**2 * np.eye(dims)),
        float(gap),
    )


_MASSES = np.array([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.01, 0.01])


def discrete(guide):
    """Ten values, flat prior."""
    q = np.array(guide) / np.sum(guide)
    return Pair(
        lambda z: np.log(_MASSES)[z],
        lambda z: np.full(len(z), -math.log(10)),
        lambda rng, size: rng.integers(10, size=size),
        lambda z: np.log(q)[z],
        lambda rng, size: rng.choice(10, size=size, p=q),
        float((q * np.log(q / _MASSES)).sum()),
    )


def bounded(a, b):
    """Beta(a, b) posterior, the uniform prior as guide: no weight is above the largest density."""
    law = stats.beta(a, b)
    gap = (a - 1) + (b - 1) + special.betaln(a, b)
    flat = (lambda z: np.zeros(len(z)), lambda rng, size: rng.random(size))
    return Pair(law.logpdf, *flat, *flat, float(gap))


ZOO: dict[str, Pair] = {
    "exact, 2 dims": scaled(2, 1.0),
    "exact, 10 dims": scaled(10, 1.0, sd=0.3),
    "0.97 as wide, 2 dims": scaled(2, 0.97),
    "0.85 as wide, 2 dims": scaled(2, 0.85),
    "0.7 as wide, 1 dim": scaled(1, 0.7),
    "0.7 as wide, 2 dims": scaled(2, 0.7),
    "0.5 as wide, 2 dims": scaled(2, 0.5),
    "0.85 as wide, 10 dims": scaled(10, 0.85),
    "0.7 as wide, 10 dims": scaled(10, 0.7),
    "0.95 as wide, 50 dims": scaled(50, 0.95),
    "0.85 as wide, 50 dims": scaled(50, 0.85),
    "1.5 as wide, 2 dims": scaled(2, 1.5),
    "1.5 as wide, 10 dims": scaled(10, 1.5),
    "1.2 as wide, 20 dims": scaled(20, 1.2),
    "3 as wide, 1 dim": scaled(1, 3.0, sd=0.3),
    "shifted by 0.5 sd": scaled(2, 1.0, 0.5),
    "shifted by 1 sd": scaled(2, 1.0, 1.0),
    "shifted by 2 sd": scaled(2, 1.0, 2.0),
    "shifted by 3 sd": scaled(2, 1.0, 3.0),
    "shifted by 2 sd, 1.3 as wide": scaled(2, 1.3, 2.0),
    "correlated 0.5, mean field": correlated(2, 0.5),
    "correlated 0.8, mean field": correlated(2, 0.8),
    "correlated 0.95, mean field": correlated(2, 0.95),
    "correlated 0.5, 10 dims": correlated(10, 0.5),
    "hierarchical, x = 1": hierarchical(1.0),
    "hierarchical, x = 3": hierarchical(3.0),
    "hierarchical, x = 6": hierarchical(6.0),
    "skewed, log Gamma(1)": log_gamma(1.0),
    "skewed, log Gamma(5), 5 dims": log_gamma(5.0, 5),
    "skewed, 0.7 as wide": log_gamma(1.0, 1, 0.7),
    "Student t(5)": student_t(5.0, 1.1),
    "Student t(3), 5 dims": student_t(3.0, 1.2, 5),
    "discrete, flat guide": discrete(np.ones(10)),
    "discrete, mass 0.01 at 0.001": discrete(
        [0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.02, 1e-3]
    ),
    "discrete, mass 0.3 at 0.00001": discrete(
        [1e-5, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.01, 0.01]
    ),
    "bounded, Beta(3, 2)": bounded(3, 2),
    "bounded, Beta(30, 20)": bounded(30, 20),
    "near mode, 50 %": two_modes(1, 0.5, 4, centre=-0.4),
    "near mode, 10 %": two_modes(1, 0.1, 4, centre=-0.4),
    "near mode, 1 %": two_modes(1, 0.01, 4, centre=-0.4),
    "far mode, 50 %": two_modes(1, 0.5, 8),
    "far mode, 10 %": two_modes(1, 0.1, 8),
    "far mode, 1 %": two_modes(1, 0.01, 8),
    "far mode, 10 %, 2 dims": two_modes(2, 0.1, 8),
    "far mode, 1 %, 2 dims": two_modes(2, 0.01, 8),
}

#: Pairs on which no limit of the rules was chosen.
HELD_OUT: dict[str, Pair] = {
    "0.9 as wide, 3 dims": scaled(3, 0.9),
    "shifted by 0.3 sd, 1.3 as wide, 5 dims": scaled(5, 1.3, 0.3),
    "2 as wide, 4 dims": scaled(4, 2.0),
    "correlated 0.3, 3 dims": correlated(3, 0.3),
    "hierarchical, x = 2": hierarchical(2.0),
    "skewed, log Gamma(3), 2 dims": log_gamma(3.0, 2, 1.2),
    "Student t(9), 2 dims": student_t(9.0, 1.4, 2),
    "discrete, mass 0.01 at 0.005": discrete(
        [0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005]
    ),
    "bounded, Beta(6, 6)": bounded(6, 6),
    "near mode, 30 %, 2 dims": two_modes(2, 0.3, 5),
    "far mode, 5 %, 3 dims": two_modes(3, 0.05, 8),
}

#: A second mode that neither guide nor prior reaches: in ten dimensions the prior's draws hardly
#: fall on either mode, and the last has its mode 5 standard deviations of the prior away.
OUT_OF_REACH: dict[str, Pair] = {
    "far mode, 50 %, 10 dims": two_modes(10, 0.5, 10, sd=0.1, centre=-0.5),
    "far mode, 1 %, 10 dims": two_modes(10, 0.01, 10, sd=0.1, centre=-0.5),
    "far mode, out of sight": two_modes(1, 0.1, 50, sd=0.1, centre=0.0),
}

#: Columns of ``replications``.
COLUMNS = ("error", "se", "gap_error", "gap_se", "khat", *RESULTS)


def replications(pair: Pair, num_particles: int, runs: int, seed: int) -> dict[str, np.ndarray]:
    """Estimates less the truth, their errors and doubts, of independent runs: ``(runs,)`` each."""
    rng = np.random.default_rng([seed, num_particles])
    size = probe_size(num_particles)
    rows = []
    for _ in range(runs):
        terms = pair.terms(rng, num_particles)
        weights = terms.log_weights
        khat = pareto_khat(weights)
        found = doubts(terms, lambda: pair.terms(rng, size, PROBE_SHARE), size, khat=khat)
        evidence, gap = log_evidence_of(weights), gap_of(weights)
        rows.append(
            (
                float(evidence.value[0]),
                float(evidence.standard_error[0]),
                float(gap.value[0]) - pair.gap,
                float(gap.standard_error[0]),
                khat[0],
                *(float(values[0]) for values in found.values()),
            )
        )
    return dict(zip(COLUMNS, np.array(rows).T, strict=True))


def given(found: dict[str, np.ndarray], of: str = "log_evidence") -> np.ndarray:
    """Whether the interval is given, on a condition or without."""
    return np.isin(together(found["gap_doubt" if of == "gap" else "doubt"]), (0, 2))


def covered(found: dict[str, np.ndarray], of: str = "log_evidence") -> np.ndarray:
    """Whether the 95 % interval, as ``interval`` gives it, holds the truth."""
    prefix = "gap_" if of == "gap" else ""
    centre = found[f"{prefix}error"] + found["se"] ** 2 / 2
    half = stats.norm.ppf(0.975) * found[f"{prefix}se"]
    return np.abs(centre) <= half + 1e-9
