"""Log-densities in float32 where log-gammas cancel; bounds, supports and settings."""

import mpmath
import pyro.distributions as dist
import pytest
import torch
from scipy import special, stats

from pyro_vae.errors import SupportError, UnknownNameError
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
    Poisson,
    StudentT,
)
from pyro_vae.models.log_gamma import log_ratio, log_rising, stirling_remainder
from pyro_vae.models.softplus import inverse_softplus, softplus


@pytest.mark.parametrize(
    ("dtype", "absolute"), [(torch.double, 1e-9), (torch.float, 3e-6)], ids=["double", "float"]
)
def test_stirling_remainder_and_its_gradient(dtype, absolute):
    for value in (1e-3, 0.5, 1.0, 9.99, 10.0, 10.01, 1e3, 1e6, 1e12):
        a = torch.tensor(value, dtype=dtype, requires_grad=True)
        with mpmath.workdps(50):
            m = mpmath.mpf(a.item())
            bulk = (m - 0.5) * mpmath.log(m) - m + mpmath.log(2 * mpmath.pi) / 2
            expected = float(mpmath.loggamma(m) - bulk)
            slope = float(mpmath.digamma(m) - mpmath.log(m) + 0.5 / m)
        remainder = stirling_remainder(a)
        (gradient,) = torch.autograd.grad(remainder, a)
        assert remainder.item() == pytest.approx(expected, rel=absolute, abs=10 * absolute)
        assert gradient.item() == pytest.approx(slope, rel=1e-5, abs=absolute)


def test_log_rising_is_a_difference_of_log_gammas():
    a, x = torch.cartesian_prod(
        torch.tensor([1e-3, 0.7, 12.0, 1e3], dtype=torch.double),
        torch.tensor([0.0, 0.5, 1.0, 40.0], dtype=torch.double),
    ).unbind(-1)
    expected = torch.as_tensor(special.gammaln((a + x).numpy()) - special.gammaln(a.numpy()))
    torch.testing.assert_close(log_rising(a, x), expected, atol=1e-9, rtol=1e-9)


def test_log_ratio():
    x = torch.tensor([1e-20, 0.4, 0.999999, 1.0, 1.7, 1e20], dtype=torch.double)
    one = torch.ones_like(x)
    torch.testing.assert_close(log_ratio(x, one, x - one), x.log(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_concentrated_densities_keep_their_digits_in_float32(size):
    """Pyro's own are wrong by up to nats here: they add and subtract log Gamma(size)."""
    at = torch.tensor([0.3])
    for family, reference, theirs in (
        (Gamma(size), stats.gamma(size, scale=at.item() / size), dist.Gamma(size, size / at)),
        (
            Beta(size),
            stats.beta(0.3 * size, 0.7 * size),
            dist.Beta(0.3 * torch.tensor(size), 0.7 * torch.tensor(size)),
        ),
    ):
        family.build((1,))
        eta = torch.logit(at) if isinstance(family, Beta) else inverse_softplus(at - 1e-6)
        # Two standard deviations off the mean.
        x = at + 2 * family(eta).variance.sqrt()
        expected = reference.logpdf(float(x))
        # One rounding of x is (d log p / dx) eps = 2 eps / (relative deviation).
        tolerance = 1e-5 + 1e-6 * size**0.5
        assert float(family(eta).log_prob(x)) == pytest.approx(expected, abs=tolerance)
        if size == 1e6:
            assert abs(float(theirs.log_prob(x)) - expected) > 10 * tolerance


def test_student_t_tends_to_the_normal():
    likelihood = StudentT(1e9, scale=1.0)
    likelihood.build((1,))
    for x in (0.0, 1.0, 5.0):
        log_prob = likelihood(torch.zeros(1)).log_prob(torch.tensor([x]))
        assert float(log_prob) == pytest.approx(stats.norm.logpdf(x), abs=1e-5)
    theirs = dist.StudentT(torch.tensor(1e9)).log_prob(torch.tensor(0.0))
    assert abs(float(theirs) - stats.norm.logpdf(0)) > 1e-2


def test_student_t_without_a_mean_gives_its_location():
    likelihood = StudentT(1.0)
    likelihood.build((2,))
    loc = torch.tensor([3.0, -1.0])
    torch.testing.assert_close(likelihood(loc).mean, loc)


def test_learned_degrees_of_freedom_stay_above_one():
    likelihood = StudentT()
    likelihood.build((2,))
    assert float(likelihood.nu(torch.zeros(1)).detach()) == pytest.approx(5)
    with torch.no_grad():
        likelihood.nu.raw.fill_(-1000.0)
    assert float(likelihood.nu(torch.zeros(1)).detach()) == 1


def test_beta_never_draws_its_ends():
    likelihood = Beta(0.05)
    likelihood.build((1,))
    draws = likelihood(torch.zeros(10_000, 1)).sample()
    assert likelihood.in_support(draws).all()


@pytest.mark.parametrize(
    ("fast", "slow"),
    [(Bernoulli(), dist.Bernoulli), (Binomial(7), lambda **k: dist.Binomial(7, **k))],
    ids=["bernoulli", "binomial"],
)
def test_fast_log_mass_equals_pyros(fast, slow):
    fast.build((50,))
    logits = torch.linspace(-40, 40, 50, requires_grad=True)
    x = (torch.arange(50) % 2).float()
    ours = fast(logits).log_prob(x)
    theirs = slow(logits=logits.double()).to_event(1).log_prob(x.double())
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-6)
    (ours_grad,) = torch.autograd.grad(ours, logits)
    (theirs_grad,) = torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(ours_grad, theirs_grad, atol=1e-6, rtol=1e-5)


def test_softplus_and_its_inverse():
    u = torch.tensor([-80.0, -20.0, -1.0, 0.0, 1.0, 20.0, 80.0, 200.0], dtype=torch.double)
    expected = torch.nn.functional.softplus(u, threshold=1000)
    torch.testing.assert_close(softplus(u), expected, atol=1e-15, rtol=1e-12)
    torch.testing.assert_close(inverse_softplus(expected[1:]), u[1:])
    moderate = u[2:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(softplus, moderate)
    assert torch.autograd.gradgradcheck(softplus, moderate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(0.0), "scale got 0.0"),
        (lambda: Normal(min_scale=0), "min_scale got 0"),
        (lambda: Laplace(float("inf")), "scale got inf"),
        (lambda: StudentT(0.0), "df got 0.0"),
        (lambda: StudentT("learnt"), "form of df 'learnt'.*learned"),
        (lambda: Gamma(-1.0), "shape got -1.0"),
        (lambda: Gamma(min_mean=0.0), "min_mean got 0.0"),
        (lambda: Beta(min_concentration=-2), "min_concentration got -2"),
        (lambda: Poisson(min_mean=0), "min_mean got 0"),
        (lambda: NegativeBinomial(min_dispersion=0), "min_dispersion got 0"),
        (lambda: Binomial(0), "total_count got 0"),
        (lambda: Binomial(2.5), "total_count got 2.5"),
        (lambda: Categorical(1), "num_classes got 1"),
        (lambda: DiscretisedLogistic(1.5), "num_levels got 1.5"),
        (lambda: MultivariateNormal(-1), "min_scale got -1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_forms_are_named():
    for make in (Normal, Gamma, Beta, NegativeBinomial):
        with pytest.raises(UnknownNameError, match="per-feature"):
            make("per-featur")


@pytest.mark.parametrize(
    ("likelihood", "bad"),
    [
        (LogNormal(), (0.0, -1.0)),
        (Gamma(), (0.0, -1.0)),
        (Beta(), (0.0, 1.0, 2.0)),
        (ContinuousBernoulli(), (-0.1, 1.1)),
        (Poisson(), (-1.0, 0.5)),
        (NegativeBinomial(), (-1.0, 0.5)),
        (Categorical(3), (-1.0, 0.5, 3.0)),
        (DiscretisedLogistic(3), (-1.0, 0.5, 3.0)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_values_outside_the_support_are_refused(likelihood, bad):
    likelihood.build((1,))
    for value in bad:
        with pytest.raises(SupportError, match=f"{likelihood.name} likelihood"):
            likelihood.check(torch.tensor([[value]]))


def test_density_is_bounded_by_min_scale():
    likelihood = Normal("latent", min_scale=0.1)
    likelihood.build((1,))
    log_prob = likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.zeros(1))
    assert float(log_prob) == pytest.approx(stats.norm(0, 0.1).logpdf(0), abs=1e-5)
