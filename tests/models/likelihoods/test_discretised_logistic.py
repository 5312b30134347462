"""The discretised logistic against mpmath, in its centre and in its far tails."""

import math

import mpmath
import pytest
import torch

from pyro_vae.models.likelihoods import DiscretisedLogistic
from pyro_vae.models.softplus import inverse_softplus


def exact(x, loc, scale, top=255):
    """Log-mass with a thousand digits: the plain difference of two sigmoids."""
    with mpmath.workdps(1000):

        def sigmoid(level):
            u = (mpmath.mpf(level) - mpmath.mpf("0.5")) / top
            return 1 / (1 + mpmath.exp((mpmath.mpf(loc) - u) / mpmath.mpf(scale)))

        low = sigmoid(x) if x > 0 else mpmath.mpf(0)
        high = sigmoid(x + 1) if x < top else mpmath.mpf(1)
        return float(mpmath.log(high - low))


@pytest.mark.parametrize("loc", [-2.0, 0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("scale", [0.002, 0.1, 5.0])
def test_log_mass_in_far_tails(loc, scale):
    likelihood = DiscretisedLogistic(scale="latent")
    likelihood.build((1,))
    raw = inverse_softplus(torch.tensor(scale, dtype=torch.double) - 1e-4).item()
    x = torch.tensor([0.0, 1.0, 100.0, 128.0, 254.0, 255.0])
    expected = torch.tensor([exact(int(v), loc, scale) for v in x], dtype=torch.double)
    for dtype, relative in ((torch.double, 1e-9), (torch.float, 1e-4)):
        eta = torch.tensor([loc, raw], dtype=dtype).repeat(6, 1).requires_grad_()
        log_prob = likelihood(eta).log_prob(x.to(dtype).unsqueeze(-1))
        torch.testing.assert_close(log_prob, expected, rtol=relative, atol=10 * relative**1.2)
        (gradient,) = torch.autograd.grad(log_prob.sum(), eta)
        assert torch.isfinite(gradient).all()


def test_gradient_points_home_from_a_thousand_scales_away():
    """A difference of sigmoids is zero there, and its logarithm's gradient not a number."""
    likelihood = DiscretisedLogistic(scale=0.001)
    likelihood.build((1,))
    loc = torch.tensor([3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(likelihood(loc).log_prob(torch.tensor([128.0])), loc)
    # d log-mass / d loc = -1 / scale in the tail.
    assert gradient.item() == pytest.approx(-1000, rel=1e-4)


def test_masses_sum_to_one_for_all_levels_locations_and_scales():
    for levels in (2, 3, 17, 256):
        likelihood = DiscretisedLogistic(levels, scale="latent")
        likelihood.build((1,))
        loc, raw = torch.cartesian_prod(
            torch.tensor([-40.0, -0.1, 0.0, 0.5, 1.0, 40.0], dtype=torch.double),
            torch.tensor([-40.0, -5.0, 0.0, 40.0], dtype=torch.double),
        ).unbind(-1)
        x = torch.arange(levels, dtype=torch.double).reshape(-1, 1, 1)
        total = likelihood(torch.stack([loc, raw], -1)).log_prob(x).exp().sum(0)
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-9, rtol=0)


def test_mean_is_that_of_the_masses():
    likelihood = DiscretisedLogistic(9, scale=0.2)
    likelihood.build((1,))
    loc = torch.linspace(-1, 2, 7, dtype=torch.double).unsqueeze(-1)
    x = torch.arange(9, dtype=torch.double)
    expected = (likelihood(loc).log_prob(x.reshape(-1, 1, 1)).exp() * x.unsqueeze(-1)).sum(0)
    torch.testing.assert_close(likelihood(loc).mean.squeeze(-1), expected)


def test_a_small_scale_puts_all_mass_on_one_level():
    likelihood = DiscretisedLogistic(scale=1e-4)
    likelihood.build((1,))
    assert likelihood(torch.tensor([100 / 255])).log_prob(torch.tensor([100.0])).item() > -1e-6
    assert math.isfinite(likelihood(torch.tensor([0.0])).log_prob(torch.tensor([255.0])).item())
