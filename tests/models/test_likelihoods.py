"""Every likelihood against SciPy, and its contract."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_vae.models.likelihoods import (
    Bernoulli,
    Binomial,
    Likelihood,
    MultivariateNormal,
    Normal,
)
from pyro_vae.models.softplus import inverse_softplus, softplus

CASES = {
    "bernoulli": Bernoulli(),
    "binomial": Binomial(5),
    "normal-fixed": Normal(0.3),
    "normal-shared": Normal("shared"),
    "normal-per-feature": Normal("per-feature"),
    "normal-latent": Normal("latent", min_scale=0.05),
    "multivariate-normal": MultivariateNormal(min_scale=0.05),
}


def scipy_log_prob(likelihood, eta, x):
    """Log p(x | eta) for one eta and one x of two features, in SciPy alone."""
    eta, x = eta.numpy(), x.numpy()
    if isinstance(likelihood, Bernoulli):
        return stats.bernoulli(1 / (1 + np.exp(-eta))).logpmf(x).sum()
    if isinstance(likelihood, Binomial):
        return stats.binom(5, 1 / (1 + np.exp(-eta))).logpmf(x).sum()
    if isinstance(likelihood, MultivariateNormal):
        L = np.diag(0.05 + np.log1p(np.exp(eta[2:4])))
        L[1, 0] = eta[4]
        return stats.multivariate_normal(eta[:2], L @ L.T).logpdf(x)
    scale = {0.3: 0.3, "latent": None}.get(likelihood.scale, 1.0)
    if scale is None:
        scale = 0.05 + np.log1p(np.exp(eta[2:]))
    return stats.norm(eta[:2], scale).logpdf(x).sum()


def test_every_shipped_likelihood_has_a_case():
    assert {type(case).name for case in CASES.values()} == set(Likelihood.registry)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [(), (3,), (4, 3)])
def test_log_prob_agrees_with_scipy_for_any_leading_dimensions(name, batch):
    likelihood = CASES[name].double()
    likelihood.build((2,))
    eta = torch.randn(*batch, likelihood.num_params((2,)), dtype=torch.double)
    with torch.no_grad():
        p = likelihood.double()(eta)
        x = p.sample()
        assert p.batch_shape == batch
        assert p.event_shape == (2,)
        assert likelihood.in_support(x).all()
        log_prob = p.log_prob(x)
    flat = zip(
        log_prob.reshape(-1), eta.reshape(-1, eta.shape[-1]), x.reshape(-1, 2), strict=True
    )
    for got, e, v in flat:
        assert float(got) == pytest.approx(scipy_log_prob(likelihood, e, v), abs=1e-6)


@pytest.mark.parametrize("name", ["bernoulli", "binomial"])
def test_masses_sum_to_one(name):
    likelihood = CASES[name]
    likelihood.build((1,))
    top = 1 if name == "bernoulli" else 5
    x = torch.arange(top + 1.0).reshape(-1, 1, 1)
    total = likelihood(torch.linspace(-30, 30, 13).unsqueeze(-1)).log_prob(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(13), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_moments_are_recovered(name):
    """A large sample's moment estimate is the distribution it came from."""
    likelihood = CASES[name].double()
    likelihood.build((2,))
    eta = 0.5 * torch.randn(likelihood.num_params((2,)), dtype=torch.double)
    with torch.no_grad():
        p = likelihood.double()(eta)
        draws = p.sample((20000,))
        again = likelihood(likelihood.moment_eta(draws))
    # Five standard errors of a mean of 20,000.
    error = draws.std(0) / 20000**0.5
    assert ((again.mean - p.mean).abs() < 5 * error).all()


@pytest.mark.parametrize(
    ("fast", "slow"),
    [(Bernoulli(), dist.Bernoulli), (Binomial(7), lambda **k: dist.Binomial(7, **k))],
    ids=["bernoulli", "binomial"],
)
def test_fast_log_mass_equals_pyros(fast, slow):
    fast.build((50,))
    logits = torch.linspace(-40, 40, 50, requires_grad=True)
    x = (torch.arange(50) % 2).float()
    ours, theirs = fast(logits).log_prob(x), slow(logits=logits).to_event(1).log_prob(x)
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


def test_bad_settings():
    for make, message in (
        (lambda: Normal(0.0), "scale got 0.0"),
        (lambda: Normal(min_scale=0), "min_scale got 0"),
        (lambda: Binomial(0), "total_count got 0"),
        (lambda: Binomial(2.5), "total_count got 2.5"),
        (lambda: MultivariateNormal(-1), "min_scale got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_density_is_bounded_by_min_scale():
    likelihood = Normal("latent", min_scale=0.1)
    likelihood.build((1,))
    log_prob = likelihood(torch.tensor([0.0, -1000.0])).log_prob(torch.zeros(1))
    assert float(log_prob) == pytest.approx(stats.norm(0, 0.1).logpdf(0), abs=1e-5)
