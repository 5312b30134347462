"""The continuous Bernoulli against mpmath, near p = 1/2 and far from it."""

import mpmath
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.models.likelihoods import ContinuousBernoulli
from pyro_vae.models.likelihoods.continuous_bernoulli import _log_density, _mean

LOGITS = (0.0, 1e-8, 1e-4, 3e-3, 0.0041, 0.01, 0.3, 0.99, 1.01, 3.0, 20.0, 80.0)


def exact(u):
    """A(u), A'(u), A''(u) with fifty digits."""
    with mpmath.workdps(50):
        u = mpmath.mpf(u)
        if u == 0:
            return 0.0, 0.5, 1 / 12
        mean = 1 / (1 - mpmath.exp(-u)) - 1 / u
        variance = 1 / u**2 - 1 / (2 * mpmath.sinh(u / 2)) ** 2
        return float(mpmath.log(mpmath.expm1(u) / u)), float(mean), float(variance)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("dtype", "relative"), [(torch.double, 1e-9), (torch.float, 3e-6)], ids=["double", "float"]
)
def test_normaliser_mean_and_gradients_near_one_half_and_far(dtype, relative, sign):
    for u in LOGITS:
        logit = torch.tensor(sign * u, dtype=dtype, requires_grad=True)
        # The number as rounded is the number that is meant.
        value, mean, variance = exact(logit.item())
        ours = -_log_density(torch.zeros_like(logit), logit)
        (gradient,) = torch.autograd.grad(ours, logit, create_graph=True)
        (second,) = torch.autograd.grad(_mean(logit), logit)
        assert ours.item() == pytest.approx(value, rel=relative, abs=1e-14)
        assert gradient.item() == pytest.approx(mean, rel=relative)
        assert _mean(logit).item() == pytest.approx(mean, rel=relative)
        # Differences of 1 / u^2 just outside the series: fewer digits, never none.
        assert second.item() == pytest.approx(variance, rel=100 * relative)


def test_pytorchs_gradient_is_wrong_near_one_half_and_zero_far_away():
    """Why the normaliser is this package's own."""
    far = dist.ContinuousBernoulli(logits=torch.tensor(40.0))
    assert float(far.mean) < 0.94 < 0.974 < exact(40.0)[1]
    logit = torch.tensor(0.0045, requires_grad=True)
    theirs = dist.ContinuousBernoulli(logits=logit).log_prob(torch.tensor(0.5))
    (gradient,) = torch.autograd.grad(theirs, logit)
    truth = 0.5 - exact(logit.item())[1]
    assert abs(gradient.item() - truth) > abs(truth)


@pytest.mark.parametrize("logit", [-60.0, -5.0, -2e-3, -5e-4, 0.0, 5e-4, 2e-3, 5.0, 60.0])
def test_quantiles_invert_the_distribution_function(logit):
    likelihood = ContinuousBernoulli()
    likelihood.build((1,))
    p = likelihood(torch.tensor([logit], dtype=torch.double)).base_dist
    probability = torch.linspace(0.001, 0.999, 50, dtype=torch.double)
    x = p.icdf(probability)
    for q, quantile in zip(probability.tolist(), x.tolist(), strict=True):
        share = quantile if logit == 0 else mpmath.expm1(logit * quantile) / mpmath.expm1(logit)
        assert float(share) == pytest.approx(q, abs=1e-7)


def test_reparametrised_draws_carry_the_gradient_of_the_mean():
    """d E x / d u = Var x, by quantiles at even probabilities in place of draws."""
    for u in (-3.0, 0.0, 5e-4, 2.0):
        logit = torch.tensor([u], dtype=torch.double, requires_grad=True)
        likelihood = ContinuousBernoulli()
        likelihood.build((1,))
        even = (torch.arange(10_000, dtype=torch.double) + 0.5) / 10_000
        likelihood(logit).base_dist.icdf(even).mean().backward()
        assert logit.grad.item() == pytest.approx(exact(u)[2], rel=1e-3)


def test_pixels_that_never_vary_start_at_a_finite_logit():
    likelihood = ContinuousBernoulli()
    likelihood.build((3,))
    x = torch.tensor([0.0, 1.0, 0.5]).expand(100, 3)
    mean = _mean(likelihood.moment_eta(x))
    torch.testing.assert_close(mean, torch.tensor([0.5, 100.5, 50.5]) / 101)
