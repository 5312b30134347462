"""Every shipped likelihood, with SciPy's distribution of one feature beside it."""

from dataclasses import dataclass, field

import numpy as np
from scipy import special, stats

from pyro_vae.models.likelihoods import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    DiscretisedLogistic,
    Gamma,
    Laplace,
    LogNormal,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Ordinal,
    PerColumn,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
)


def positive(u, minimum=1e-3):
    return minimum + np.logaddexp(0, u)


class TruncatedExponential:
    """The continuous Bernoulli by logit u: a truncated exponential, mirrored where u > 0."""

    def __init__(self, u):
        self.mirrored = u > 0
        self.base = stats.truncexpon(abs(u), scale=1 / abs(u))

    def logpdf(self, x):
        return self.base.logpdf(1 - x if self.mirrored else x)

    def cdf(self, x):
        return self.base.sf(1 - x) if self.mirrored else self.base.cdf(x)


class Table:
    """A mass on 0, 1, ..., given number by number."""

    def __init__(self, mass):
        self.mass = np.asarray(mass)

    def logpmf(self, x):
        return np.log(self.mass[np.asarray(x, dtype=int)])

    def cdf(self, x):
        return self.mass.cumsum()[np.asarray(x, dtype=int)]


def discretised_logistic(levels, loc, scale):
    edges = (np.arange(1, levels) - 0.5) / (levels - 1)
    cdf = stats.logistic(loc, scale).cdf(edges)
    return Table(np.diff(np.concatenate([[0], cdf, [1]])))


def ordinal(cuts, eta):
    cdf = stats.logistic(eta).cdf(cuts)
    return Table(np.diff(np.concatenate([[0], cdf, [1]])))


def negative_binomial(mu, theta):
    return stats.nbinom(theta, theta / (theta + mu))


def zero_inflated(mu, theta, gate):
    mass = (1 - gate) * negative_binomial(mu, theta).pmf(np.arange(3000))
    mass[0] += gate
    return Table(mass)


def beta(m, phi):
    return stats.beta(m * phi, (1 - m) * phi)


@dataclass
class Case:
    """A likelihood, and what SciPy says of one feature given that feature's part of eta."""

    make: object
    #: SciPy's distribution of one feature from its entries of eta; None where they are joint.
    feature: object = None
    #: Values at or near the edges of the support.
    edges: tuple = (-1e4, 0.0, 1e4)
    #: Centre of draws of eta that make typical data.
    typical: tuple = field(default=(0.0,))


COUNTS = (0.0, 1.0, 1000.0)
POSITIVE = (1e-6, 1.0, 1e6)
OPEN = (1e-6, 0.5, 1 - 1e-6)
LEVELS = (0.0, 1.0, 8.0, 15.0)

CASES = {
    "bernoulli": Case(Bernoulli, lambda u: stats.bernoulli(special.expit(u)), (0.0, 1.0)),
    "binomial": Case(
        lambda: Binomial(5), lambda u: stats.binom(5, special.expit(u)), (0.0, 2.0, 5.0)
    ),
    "categorical": Case(
        lambda: Categorical(5), lambda *u: Table(special.softmax(u)), (0.0, 2.0, 4.0), (0.0,) * 5
    ),
    "discretised-logistic-per-feature": Case(
        lambda: DiscretisedLogistic(16),
        lambda mu: discretised_logistic(16, mu, 0.1),
        LEVELS,
        (0.5,),
    ),
    "discretised-logistic-latent": Case(
        lambda: DiscretisedLogistic(16, "latent"),
        lambda mu, s: discretised_logistic(16, mu, positive(s, 1e-4)),
        LEVELS,
        (0.5, -3.0),
    ),
    "ordinal": Case(
        lambda: Ordinal(5),
        lambda u: ordinal(special.logit(np.arange(1, 5) / 5), u),
        (0.0, 2.0, 4.0),
    ),
    "poisson": Case(Poisson, lambda u: stats.poisson(positive(u, 1e-6)), COUNTS),
    "negative-binomial-shared": Case(
        lambda: NegativeBinomial("shared"),
        lambda u: negative_binomial(positive(u, 1e-6), 1),
        COUNTS,
    ),
    "negative-binomial-fixed": Case(
        lambda: NegativeBinomial(2.5),
        lambda u: negative_binomial(positive(u, 1e-6), 2.5),
        COUNTS,
    ),
    "negative-binomial-latent": Case(
        lambda: NegativeBinomial("latent"),
        lambda u, t: negative_binomial(positive(u, 1e-6), positive(t)),
        COUNTS,
        (2.0, 1.0),
    ),
    "zero-inflated-negative-binomial-per-feature": Case(
        ZeroInflatedNegativeBinomial,
        lambda u, g: zero_inflated(positive(u, 1e-6), 1, special.expit(g)),
        COUNTS,
        (2.0, 0.0),
    ),
    "zero-inflated-negative-binomial-latent": Case(
        lambda: ZeroInflatedNegativeBinomial("latent"),
        lambda u, t, g: zero_inflated(positive(u, 1e-6), positive(t), special.expit(g)),
        COUNTS,
        (2.0, 1.0, -1.0),
    ),
    "continuous-bernoulli": Case(ContinuousBernoulli, TruncatedExponential, (0.0, 0.5, 1.0)),
    "beta-shared": Case(Beta, lambda u: beta(special.expit(u), 2), OPEN),
    "beta-latent": Case(
        lambda: Beta("latent"),
        lambda u, c: beta(special.expit(u), positive(c, 1e-2)),
        OPEN,
        (0.0, 4.0),
    ),
    "gamma-shared": Case(Gamma, lambda u: stats.gamma(1, scale=positive(u, 1e-6)), POSITIVE),
    "gamma-latent": Case(
        lambda: Gamma("latent"),
        lambda u, a: stats.gamma(positive(a, 1e-2), scale=positive(u, 1e-6) / positive(a, 1e-2)),
        POSITIVE,
        (1.0, 1.0),
    ),
    "log-normal-shared": Case(LogNormal, lambda mu: stats.lognorm(1, scale=np.exp(mu)), POSITIVE),
    "log-normal-latent": Case(
        lambda: LogNormal("latent"),
        lambda mu, s: stats.lognorm(positive(s), scale=np.exp(mu)),
        POSITIVE,
        (0.0, -1.0),
    ),
    "normal-fixed": Case(lambda: Normal(0.3), lambda mu: stats.norm(mu, 0.3)),
    "normal-shared": Case(Normal, lambda mu: stats.norm(mu, 1)),
    "normal-per-feature": Case(lambda: Normal("per-feature"), lambda mu: stats.norm(mu, 1)),
    "normal-latent": Case(
        lambda: Normal("latent", min_scale=0.05),
        lambda mu, s: stats.norm(mu, positive(s, 0.05)),
        typical=(0.0, 0.0),
    ),
    "laplace-per-feature": Case(lambda: Laplace("per-feature"), lambda mu: stats.laplace(mu, 1)),
    "laplace-latent": Case(
        lambda: Laplace("latent"),
        lambda mu, s: stats.laplace(mu, positive(s)),
        typical=(0.0, 0.0),
    ),
    "student-t-learned": Case(StudentT, lambda mu: stats.t(5, mu, 1)),
    "student-t-latent": Case(
        lambda: StudentT(3.0, "latent"),
        lambda mu, s: stats.t(3, mu, positive(s)),
        typical=(0.0, 0.0),
    ),
    "multivariate-normal": Case(lambda: MultivariateNormal(min_scale=0.05), typical=(0.0,)),
    "per-column": Case(
        lambda: PerColumn([Laplace("latent"), Categorical(3)]), edges=(0.0, 1.0, 2.0)
    ),
}
#: Cases whose features are independent with equal laws.
INDEPENDENT = [name for name, case in CASES.items() if case.feature is not None]


def scipy_log_prob(name, eta, x):
    """Log p(x | eta) for one eta and one x of two features, in SciPy and NumPy alone."""
    eta, x = np.asarray(eta), np.asarray(x)
    if name == "multivariate-normal":
        L = np.diag(positive(eta[2:4], 0.05))
        L[1, 0] = eta[4]
        return stats.multivariate_normal(eta[:2], L @ L.T).logpdf(x)
    if name == "per-column":
        laplace = stats.laplace(eta[0], positive(eta[1])).logpdf(x[0])
        return laplace + np.log(special.softmax(eta[2:])[int(x[1])])
    blocks = eta.reshape(-1, 2)
    laws = [CASES[name].feature(*blocks[:, d]) for d in range(2)]
    return sum(float(score(law, value)) for law, value in zip(laws, x, strict=True))


def score(law, x):
    """Log-mass or log-density of a SciPy distribution, or of one of those above."""
    return law.logpmf(x) if hasattr(law, "logpmf") else law.logpdf(x)


def built(name, features, dtype=None):
    """A fresh likelihood for this many features, in double precision unless told."""
    likelihood = CASES[name].make()
    likelihood.build((features,))
    return likelihood.double() if dtype is None else likelihood.to(dtype)
