"""Likelihoods for counts: limits, zeros, exposure."""

import itertools
import math

import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae.errors import DataError, SupportError
from pyro_vae.models.likelihoods import (
    Binomial,
    Categorical,
    DiscretisedLogistic,
    Likelihood,
    NegativeBinomial,
    PerColumn,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from pyro_vae.models.softplus import inverse_softplus
from tests.tolerances import STANDARD_ERRORS

WITH_EXPOSURE = (
    Poisson(exposure=True),
    NegativeBinomial("latent", exposure=True),
    ZeroInflatedNegativeBinomial(exposure=True),
)


def raw(value, minimum):
    return inverse_softplus(torch.tensor(value, dtype=torch.double) - minimum)


@pytest.mark.parametrize("theta", [0.01, 1.0, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("mu", [1e-3, 5.0, 1e4])
def test_negative_binomial_by_mean_and_dispersion_is_scipys(theta, mu):
    """Also in float32, where PyTorch's own loses all digits for a large theta."""
    likelihood = NegativeBinomial("latent")
    likelihood.build((1,))
    eta = torch.stack([raw(mu, 1e-6), raw(theta, 1e-3)])
    x = torch.tensor([0.0, 1.0, 7.0, 10_000.0])
    expected = torch.as_tensor(stats.nbinom(theta, theta / (theta + mu)).logpmf(x))
    double = likelihood(eta).log_prob(x.double().unsqueeze(-1))
    torch.testing.assert_close(double, expected, rtol=1e-7, atol=1e-7)
    single = likelihood(eta.float()).log_prob(x.unsqueeze(-1))
    # Rounding of numbers as large as x log(theta / mu), and of mu and theta themselves.
    rounding = 1 + x * (1 + abs(math.log(theta / mu))) + mu + 0.1 * x * (1 / mu + 1 / theta)
    tolerance = 3e-6 * rounding
    assert ((single - expected).abs() <= tolerance + 1e-5 * expected.abs()).all()
    p = likelihood(eta)
    assert float(p.mean) == pytest.approx(mu)
    assert float(p.variance) == pytest.approx(mu + mu**2 / theta)


def test_pytorchs_negative_binomial_loses_its_digits():
    """Why the log-mass is this package's own."""
    theta, mu, x = torch.tensor(1e6), torch.tensor(5.0), torch.tensor(5.0)
    theirs = dist.NegativeBinomial(theta, logits=(mu / theta).log()).log_prob(x)
    assert abs(float(theirs) - stats.poisson(5).logpmf(5)) > 0.1


def test_zero_inflated_mass_at_zero_is_gate_plus_the_rest():
    likelihood = ZeroInflatedNegativeBinomial(2.0)
    likelihood.build((1,))
    for gate, mu in itertools.product((0.1, 0.9), (0.3, 8.0)):
        logit = torch.logit(torch.tensor(gate, dtype=torch.double))
        p = likelihood(torch.stack([raw(mu, 1e-6), logit]))
        zero = float(p.log_prob(torch.zeros(1)).exp())
        assert zero == pytest.approx(gate + (1 - gate) * (2 / (2 + mu)) ** 2)
        assert float(p.mean) == pytest.approx((1 - gate) * mu)


def test_zero_inflated_log_mass_does_not_change_once_the_mean_was_asked_for():
    """Pyro's own then leaves the logits, and has log 0 where the gate rounds to one."""
    likelihood = ZeroInflatedNegativeBinomial(2.0)
    likelihood.build((1,))
    p = likelihood(torch.tensor([1.0, 30.0]))
    before = p.log_prob(torch.ones(1))
    assert p.mean.shape == (1,)
    p.sample()
    torch.testing.assert_close(p.log_prob(torch.ones(1)), before)
    assert p.expand((3,)).log_prob(torch.ones(1)).shape == (3,)
    theirs = dist.ZeroInflatedPoisson(torch.tensor(1.0), gate_logits=torch.tensor(30.0))
    assert theirs.mean >= 0
    assert not torch.isfinite(theirs.log_prob(torch.tensor(1.0)))


@pytest.mark.parametrize("likelihood", WITH_EXPOSURE, ids=lambda p: p.name)
def test_exposure_multiplies_the_mean(likelihood):
    likelihood.build((2, 3))
    plain = type(likelihood)(**{**settings(likelihood), "exposure": False})
    plain.build((2, 3))
    eta = torch.randn(4, 5, likelihood.num_params((2, 3)))
    exposure = torch.tensor([0.1, 0.5, 1.0, 2.0, 30.0])
    p = likelihood(eta, exposure)
    assert p.batch_shape == (4, 5)
    torch.testing.assert_close(p.mean, plain(eta).mean * exposure[:, None, None])
    x = p.sample()
    ones = likelihood(eta, torch.ones(5))
    torch.testing.assert_close(ones.log_prob(x), plain(eta).log_prob(x))
    assert likelihood.takes_exposure
    assert not plain.takes_exposure
    assert not Binomial(3).takes_exposure


@pytest.mark.parametrize("likelihood", WITH_EXPOSURE, ids=lambda p: p.name)
def test_exposure_is_neither_forgotten_nor_ignored(likelihood):
    likelihood.build((2,))
    eta = torch.zeros(5, likelihood.num_params((2,)))
    with pytest.raises(DataError, match="exposure was not given"):
        likelihood(eta)
    with pytest.raises(DataError, match=r"shape \(4,\)"):
        likelihood(eta, torch.ones(4))
    with pytest.raises(DataError, match="not positive"):
        likelihood(eta, torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0]))
    plain = type(likelihood)()
    plain.build((2,))
    with pytest.raises(DataError, match="exposure was given"):
        plain(torch.zeros(5, plain.num_params((2,))), torch.ones(5))


def test_moments_with_exposure():
    likelihood = NegativeBinomial("latent", exposure=True)
    likelihood.build((1,))
    eta = torch.stack([raw(3.0, 1e-6), raw(2.0, 1e-3)])
    exposure = torch.rand(20_000, dtype=torch.double) * 4 + 0.5
    x = likelihood(eta, exposure).sample()
    mean = likelihood.mu(eta[:1], likelihood.moment_eta(x, exposure)[:1])
    # The standard error of sum x / sum e, with Var x = e mu + (e mu)^2 / theta.
    error = (3 * exposure + 4.5 * exposure**2).sum().sqrt() / exposure.sum()
    assert abs(float(mean) - 3) < STANDARD_ERRORS * float(error)
    theta = likelihood.theta(eta[:1], likelihood.moment_eta(x, exposure)[1:])
    assert float(theta) == pytest.approx(2, rel=0.2)
    # Left out, it is one: the mean is then that of the counts.
    alone = float(likelihood.mu(x, likelihood.moment_eta(x)[:1]))
    assert alone == pytest.approx(float(x.mean()), abs=1e-4)


def test_zero_inflated_moments_match_mean_and_variance():
    """Whatever share of the zeros the gate is laid."""
    likelihood = ZeroInflatedNegativeBinomial("latent")
    likelihood.build((1,))
    x = torch.tensor([[0.0], [0.0], [0.0], [9.0], [14.0], [30.0]], dtype=torch.double).repeat(
        50, 1
    )
    p = likelihood(likelihood.moment_eta(x))
    # Half a count in 300 rows.
    assert float(p.mean) == pytest.approx(float(x.mean()), rel=1e-3)
    assert float(p.variance) == pytest.approx(float(x.var(correction=0)), rel=1e-2)


def test_encoder_input_of_counts_is_their_logarithm():
    x = torch.tensor([[0.0, 9.0, 99_999.0]])
    for likelihood in (Poisson(), NegativeBinomial(), ZeroInflatedNegativeBinomial()):
        expected = torch.tensor([[0.0, 10.0, 100_000.0]]).clamp_min(1).log()
        torch.testing.assert_close(likelihood.standardise(x), expected)


def test_columns_pass_the_exposure_on():
    table = PerColumn([Poisson(exposure=True), Poisson(), Categorical(3)])
    table.build((3,))
    assert table.takes_exposure
    eta = torch.randn(5, table.num_params((3,)))
    exposure = torch.full((5,), 7.0)
    mean = table(eta, exposure).mean
    once = table(eta, torch.ones(5)).mean
    torch.testing.assert_close(mean[:, 0], 7 * once[:, 0])
    torch.testing.assert_close(mean[:, 1:], once[:, 1:])
    with pytest.raises(DataError, match="exposure was not given"):
        table(eta)
    plain = PerColumn([Categorical(3)])
    plain.build((1,))
    with pytest.raises(DataError, match="no column takes one"):
        plain(torch.zeros(5, 3), exposure)


def test_the_largest_count_decides_the_size():
    for name, size in (("binomial", 7), ("categorical", 8), ("discretised-logistic", 8)):
        part = Likelihood.registry[name]
        likelihood = part(**part.settings_for(7))
        assert getattr(likelihood, likelihood.setting) == size
        assert likelihood.top == 7
        likelihood.build((1,))
        likelihood.check(torch.arange(8.0).unsqueeze(-1))
        with pytest.raises(SupportError, match=f"from 0 to 7 .*={size}"):
            likelihood.check(torch.tensor([[8.0]]))
    assert Categorical.settings_for(None) == DiscretisedLogistic.settings_for(None) == {}
    assert Binomial.settings_for(None) == {"total_count": 1}
    assert Poisson.settings_for(7) == {}


def settings(likelihood):
    config = likelihood.to_config()
    del config["name"]
    return config
