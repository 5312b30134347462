"""Every likelihood over its legal range against mpmath, for networks in float32.

The network's output is float32 and taken as exact; a datum has 500 features. Values and
gradients go the way that training and evaluation take, through the log-weights and the ELBO.
"""

import itertools
from dataclasses import dataclass

import mpmath
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from mpmath import mpf
from pyro.infer import Trace_ELBO

from pyro_vae.inference import log_weights
from pyro_vae.models.likelihoods import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    DiscretisedLogistic,
    Gamma,
    Laplace,
    Likelihood,
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
from tests.cases import a_few_always
from tests.models.likelihoods import laws

#: Nats that log p of a datum may be off by; beside it stand float64's own last digits.
NATS, DIGITS = 1e-3, 1e-14
FEATURES = 500
UNIT = (0.0, 1e-38, 0.25, 1 - 2**-24, 1.0)
COUNTS = (0.0, 1.0, 7.0, 4990.0, 40_100.0, 19_999_998.0, 1e9, 1e12)
MEANS = (-1e4, -100.0, -17.0, -1.0, 3.0, 5e3, 4e4, 2e7, 1e9)
LOGITS = (-1e30, -1e4, -90.0, -17.3, -9.1, -1.0, 0.0, 0.3, 9.1, 17.3, 70.1, 1e4, 1e30)
REALS = (-1e6, -1.5, 1e-3, 3.3, 1e6)
POSITIVE = (1e-38, 1e-3, 0.999, 1.3, 40_100.0, 3e38)
SCALES = (-1e4, -5.0, 0.5, 1e4)


@dataclass
class Sweep:
    """A likelihood, its law in mpmath, and grids of its parameters and of x."""

    make: object
    law: object
    parameters: tuple
    values: tuple


SWEEPS = {
    "bernoulli": [Sweep(Bernoulli, laws.bernoulli, (LOGITS,), (0.0, 1.0))],
    "binomial": [
        Sweep(
            lambda n=n: Binomial(n),
            laws.binomial(n),
            (LOGITS,),
            tuple(float(np.float32(n * share // 1)) for share in (0, 1 / n, 0.3, 0.5, 1)),
        )
        for n in (1, 16, 255, 10_000, 20_000_000, 2**31)
    ],
    "categorical": [
        Sweep(
            lambda: Categorical(3),
            laws.categorical,
            ((-1e4, 0.0, 20.0), (-3.0, 1e4), (-1e30, 0.7)),
            (0.0, 1.0, 2.0),
        )
    ],
    "ordinal": [
        Sweep(
            lambda n=n: Ordinal(n),
            laws.ordinal(n),
            (LOGITS,),
            tuple(float(level) for level in sorted({0, 1, n // 2, n - 1})),
        )
        for n in (2, 3, 5, 256)
    ],
    "poisson": [
        Sweep(lambda m=m: Poisson(min_mean=m), laws.poisson(m), (MEANS,), COUNTS)
        for m in (1e-6, 1e-9, 1e-200)
    ],
    "negative-binomial": [
        Sweep(
            lambda: NegativeBinomial("latent"),
            laws.negative_binomial(),
            (MEANS[1:], (-1e4, 0.0, 40.0, 1e4, 1e8)),
            COUNTS,
        ),
        *(
            Sweep(lambda t=t: NegativeBinomial(t), laws.negative_binomial(t), (MEANS,), COUNTS)
            for t in (1e-12, 1e12, 1e30)
        ),
    ],
    "zero-inflated-negative-binomial": [
        Sweep(
            lambda: ZeroInflatedNegativeBinomial("latent"),
            laws.zero_inflated,
            ((-100.0, 3.0, 5e3, 2e7), (-1e4, 0.0, 1e6), (-1e30, -800.0, -40.0, 0.0, 40.0, 1e4)),
            (0.0, 1.0, 4990.0, 19_999_998.0),
        )
    ],
    "discretised-logistic": [
        Sweep(
            lambda: DiscretisedLogistic(256, "latent"),
            laws.discretised_logistic(255),
            ((-1e6, -0.3, 0.0, 0.5, 1.0, 30.0), SCALES),
            (0.0, 1.0, 128.0, 254.0, 255.0),
        ),
    ],
    "continuous-bernoulli": [
        Sweep(
            ContinuousBernoulli,
            laws.continuous_bernoulli,
            ((-1e8, -300.0, -1.0, -0.999, -1e-3, 1e-20, 0.5, 1.001, 30.0, 1e4, 1e12),),
            UNIT,
        )
    ],
    "normal": [Sweep(lambda: Normal("latent"), laws.normal, (REALS[1:4], SCALES), (*REALS, 9.0))],
    "laplace": [Sweep(lambda: Laplace("latent"), laws.laplace, ((-2e6, 0.1, 1.7), SCALES), REALS)],
    "log-normal": [
        Sweep(lambda: LogNormal("latent"), laws.log_normal, ((-90.0, 0.3, 88.0), SCALES), POSITIVE)
    ],
    "student-t": [
        Sweep(
            lambda df=df: StudentT(df, "latent"), laws.student_t(df), ((-1.5, 0.3), SCALES), REALS
        )
        for df in (1e-3, 1.0, 30.0, 1e4, 1e6, 1e7, 1e15)
    ],
    "gamma": [
        Sweep(
            lambda: Gamma("latent"),
            laws.gamma(),
            ((-1e4, -17.0, 1.0, 4e4), (-1e4, 0.5, 12.0, 1e7, 1e12)),
            (*POSITIVE, 1.3133, 1.3132614),
        ),
        Sweep(lambda: Gamma(1e7), laws.gamma(1e7), ((1.0,),), (1.3, 1.3133, 1.3132614)),
    ],
    "beta": [
        Sweep(
            lambda: Beta("latent"),
            laws.beta(),
            ((-1e4, -750.0, -90.0, -0.3, 0.0, 16.0), (-1e4, 0.5, 15.0, 1e6, 1e10)),
            (1e-38, 1e-6, 0.4255, 0.5, 1 - 2**-24),
        ),
        Sweep(lambda: Beta(1e6), laws.beta(1e6), ((-0.3,),), (0.425, 0.4255575, 0.426)),
    ],
}
CASES = [(name, index) for name, sweeps in SWEEPS.items() for index in range(len(sweeps))]
#: One sweep of each likelihood, where there are several the shortest.
ALWAYS = [
    ("binomial", 1) if name == "binomial" else (name, len(sweeps) - 1)
    for name, sweeps in SWEEPS.items()
]


class Pair:
    """A pair whose observation has the ``eta`` of the row that a datum names."""

    def __init__(self, likelihood, eta):
        self.likelihood = likelihood
        self.eta = eta

    def model(self, x, row):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            # In vectorised runs eta has the particles' dimension too.
            eta = self.eta[row].expand(*z.shape, -1)
            pyro.sample("x", self.likelihood(eta), obs=x)

    def guide(self, x, row):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))


def expected(law, x, parameters):
    """Log p of one feature and its derivative with respect to each parameter, exactly."""
    with mpmath.workdps(70):
        x, at = mpf(x), [mpf(p) for p in parameters]
        slopes = []
        for index in range(len(at)):
            # A step far below any size that the law bends on.
            step = mpf(10) ** -25 * max(1, abs(at[index]))
            ends = (law(x, *at[:index], at[index] + s, *at[index + 1 :]) for s in (step, -step))
            up, down = ends
            slopes.append((up - down) / (2 * step))
        return float(law(x, *at)), [float(s) for s in slopes]


def measured(likelihood, eta, x):
    """Log p(x | eta) by the engine and by the ELBO, and the gradient that training takes."""
    rows = torch.arange(len(x))
    pair = Pair(likelihood, eta.clone().requires_grad_())
    evaluated = log_weights(pair.model, pair.guide, {"x": x, "row": rows}, 1)[0]
    loss = Trace_ELBO().differentiable_loss(pair.model, pair.guide, x, rows)
    loss.backward()
    assert loss.item() == pytest.approx(-float(evaluated.sum()), rel=1e-12)
    return evaluated, -pair.eta.grad


def test_every_shipped_likelihood_is_swept():
    """Those of several features together have tests of their own below."""
    assert {*SWEEPS, "multivariate-normal", "per-column"} == set(Likelihood.registry)


@a_few_always(("name", "index"), CASES, ALWAYS)
def test_log_p_and_its_gradient_over_the_legal_range(name, index):
    sweep = SWEEPS[name][index]
    points = list(itertools.product(*sweep.parameters, sweep.values))
    cells = torch.tensor(points, dtype=torch.float32)
    exact = [expected(sweep.law, c[-1], c[:-1]) for c in cells.tolist()]
    value = np.array([e[0] for e in exact]) * FEATURES
    slope = torch.tensor([e[1] for e in exact]).float().numpy()

    likelihood = sweep.make()
    likelihood.build((FEATURES,))
    # As long as 500 features are, each parameter in its own block.
    eta = cells[:, :-1].repeat_interleave(FEATURES, dim=1)
    log_p, gradient = measured(likelihood, eta, cells[:, -1:].expand(-1, FEATURES))
    np.testing.assert_allclose(log_p.numpy(), value, rtol=DIGITS, atol=NATS)
    if likelihood.measure == "counting":
        assert float(log_p.max()) <= 0
    found = gradient.reshape(len(cells), -1, FEATURES)
    assert bool((found == found[..., :1]).all())
    np.testing.assert_allclose(found[..., 0].numpy(), slope, rtol=1e-5, atol=1e-6)


#: Hard cells of a mixed table: likelihood, law, parameters, values.
COLUMNS = [
    (lambda: Poisson(), laws.poisson(), (4e4,), (40_100.0, 0.0)),
    (lambda: NegativeBinomial("latent"), laws.negative_binomial(), (2e7, 40.0), (19_999_998.0,)),
    (lambda: Bernoulli(), laws.bernoulli, (-90.0,), (0.0, 1.0)),
    (lambda: Normal("latent"), laws.normal, (1e-3, -5.0), (3.3, -1e6)),
    (lambda: Categorical(3), laws.categorical, (-1e4, 0.0, 20.0), (1.0, 2.0)),
    (lambda: Gamma("latent"), laws.gamma(), (1.0, 1e7), (1.3132614,)),
]


@pytest.mark.slow
def test_columns_of_a_table_are_each_as_exact_as_alone():
    """100 columns of each kind, side by side; every kind's first value, then its last."""
    columns = [column for column in COLUMNS for _ in range(100)]
    likelihood = PerColumn([make() for make, *_ in columns])
    likelihood.build((len(columns),))
    eta = torch.tensor([p for _, _, parameters, _ in columns for p in parameters])
    rows = [torch.tensor([values[end] for *_, values in columns]) for end in (0, -1)]
    log_p, gradient = measured(likelihood, eta.expand(2, -1), torch.stack(rows))
    for row, end in enumerate((0, -1)):
        exact = [
            expected(law, float(np.float32(values[end])), torch.tensor(parameters).tolist())
            for _, law, parameters, values in COLUMNS
        ]
        value = 100 * sum(value for value, _ in exact)
        assert float(log_p[row]) == pytest.approx(value, rel=DIGITS, abs=NATS)
        slopes = [slope for _, slopes in exact for _ in range(100) for slope in slopes]
        np.testing.assert_allclose(gradient[row].numpy(), slopes, rtol=1e-5, atol=1e-6)


def multivariate_normal(x, eta, size, min_scale):
    """Log N(x; mu, L L^T), L from eta: its diagonal, then its strict lower triangle by rows."""
    loc, raw = eta[:size], eta[size:]
    tril = mpmath.zeros(size)
    entries = iter(raw[size:])
    for row in range(size):
        tril[row, row] = mpf(min_scale) + laws.softplus(raw[row])
        for column in range(row):
            tril[row, column] = next(entries)
    white = mpmath.lu_solve(tril, mpmath.matrix([a - b for a, b in zip(x, loc, strict=True)]))
    diagonal = sum(mpmath.log(tril[i, i]) for i in range(size))
    squares = sum(w**2 for w in white)
    return -squares / 2 - diagonal - mpf(size) / 2 * mpmath.log(2 * mpmath.pi)


@pytest.mark.parametrize("raw", [-1e4, -5.0, 0.5, 1e4])
@pytest.mark.parametrize("slant", [0.0, 0.7, 300.0])
def test_covariances_near_singular_and_wide(raw, slant):
    size, rng = 6, np.random.default_rng(20260301)
    likelihood = MultivariateNormal()
    likelihood.build((size,))
    strict = slant * rng.standard_normal(size * (size - 1) // 2)
    eta = torch.tensor([*rng.standard_normal(size), *[raw] * size, *strict]).float()
    x = torch.tensor(rng.standard_normal((3, size))).float()
    log_p, gradient = measured(likelihood, eta.expand(3, -1), x)
    with mpmath.workdps(70):
        at = [mpf(value) for value in eta.tolist()]

        def law(row, parameters):
            values = [mpf(value) for value in row.tolist()]
            return multivariate_normal(values, parameters, size, likelihood.min_scale)

        exact = np.array([float(law(row, at)) for row in x])
        np.testing.assert_allclose(log_p.numpy(), exact, rtol=1e-12, atol=NATS)
        for index in range(len(at)):
            step = mpf(10) ** -25 * max(1, abs(at[index]))
            up, down = (
                law(x[0], [*at[:index], at[index] + s, *at[index + 1 :]]) for s in (step, -step)
            )
            with np.errstate(over="ignore"):  # float32 has no number for the steepest
                slope = float(np.float32((up - down) / (2 * step)))
            assert float(gradient[0, index]) == pytest.approx(slope, rel=1e-4, abs=1e-6)
