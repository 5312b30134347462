"""What every likelihood keeps: SciPy's numbers, right draws, moments, finite gradients, JSON."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from pyro.infer import Predictive, Trace_ELBO
from scipy import stats

from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Likelihood
from tests.models.likelihoods.cases import CASES, INDEPENDENT, built, scipy_log_prob, score
from tests.tolerances import STANDARD_ERRORS

EVERY = pytest.mark.parametrize("name", CASES)
EVERY_INDEPENDENT = pytest.mark.parametrize("name", INDEPENDENT)
#: False alarm rate of one goodness-of-fit test; the seed is that of `conftest`.
ALPHA = 1e-5


def typical_eta(name, features=2):
    """An eta whose draws look like data."""
    size = built(name, features).num_params((features,))
    centre = torch.tensor(CASES[name].typical, dtype=torch.double)
    centre = centre.repeat_interleave(features)
    if len(centre) != size:
        centre = torch.zeros(size, dtype=torch.double)
    # A tenth where eta is in units of the share of the levels.
    width = 0.1 if "logistic" in name else 0.5
    return centre + width * torch.randn(size, dtype=torch.double)


def test_every_shipped_likelihood_has_a_case():
    assert {case.make().name for case in CASES.values()} == set(Likelihood.registry)


@EVERY
@pytest.mark.parametrize("batch", [(), (3,), (4, 3)])
def test_log_prob_agrees_with_scipy_for_any_leading_dimensions(name, batch):
    likelihood = built(name, 2)
    eta = torch.randn(*batch, likelihood.num_params((2,)), dtype=torch.double)
    with torch.no_grad():
        p = likelihood(eta)
        x = p.sample()
        assert p.batch_shape == batch
        assert p.event_shape == (2,)
        assert p.mean.shape == x.shape
        assert likelihood.in_support(x).all()
        log_prob = p.log_prob(x)
        assert p.expand((2, *batch)).log_prob(x).shape == (2, *batch)
    flat = zip(log_prob.reshape(-1), eta.reshape(-1, eta.shape[-1]), x.reshape(-1, 2), strict=True)
    for got, e, v in flat:
        assert float(got) == pytest.approx(scipy_log_prob(name, e, v), abs=1e-6)


def grid(name, likelihood):
    """Points of the support and the width that each stands for (1 for masses)."""
    if likelihood.measure == "counting":
        top = getattr(likelihood, "top", 1 if name == "bernoulli" else 40_000)
        x = torch.arange(top + 1.0, dtype=torch.double)
        return x, torch.ones_like(x)
    # Even steps in t, with charts that reach far into tails and towards edges.
    if name == "continuous-bernoulli":
        t = torch.linspace(0, 1, 200_001, dtype=torch.double)
        x, slope = t, torch.ones_like(t)
    elif name.startswith("beta"):
        t = torch.linspace(-36, 36, 200_001, dtype=torch.double)
        x = torch.sigmoid(t)
        slope = x * torch.sigmoid(-t)
    elif name.startswith(("gamma", "log-normal")):
        t = torch.linspace(-300, 60, 200_001, dtype=torch.double)
        x = slope = t.exp()
    else:
        t = torch.linspace(-30, 30, 200_001, dtype=torch.double)
        x, slope = t.sinh(), t.cosh()
    width = slope * (t[1] - t[0])
    width[[0, -1]] *= 0.5
    return x, width


# With a or b near zero a beta has mass between 1 and the last number before 1.
BETAS = {
    "beta-shared": [(-0.5,), (0.0,), (0.5,)],
    "beta-latent": [(0.0, 1.5), (1.3, 3.0), (-1.3, 8.0), (2.0, 300.0), (-4.0, 40.0)],
}


@EVERY_INDEPENDENT
def test_masses_sum_and_densities_integrate_to_one(name):
    likelihood = built(name, 1)
    size = likelihood.num_params((1,))
    values = (-30.0, -3.0, 0.0, 3.0, 30.0) if size == 1 else (-3.0, 0.0, 3.0)
    x, width = grid(name, likelihood)
    with torch.no_grad():
        for eta in BETAS.get(name, itertools.product(values, repeat=size)):
            log_prob = likelihood(torch.tensor(eta, dtype=torch.double)).log_prob(x.unsqueeze(-1))
            assert float((log_prob.exp() * width).sum()) == pytest.approx(1, abs=1e-4), eta


@EVERY_INDEPENDENT
def test_draws_come_from_scipys_distribution(name):
    eta = typical_eta(name, 1)
    law = CASES[name].feature(*eta.numpy())
    with torch.no_grad():
        x = built(name, 1)(eta).sample((5000,)).squeeze(-1).numpy()
    if hasattr(law, "logpdf") and not hasattr(law, "logpmf"):
        assert stats.kstest(x, law.cdf).pvalue > ALPHA
        return
    top = int(x.max())
    expected = len(x) * np.exp(score(law, np.arange(top + 1)))
    observed = np.bincount(x.astype(int), minlength=top + 1)
    # Rare numbers together, so that every cell expects at least five; the rest is the tail.
    common = expected >= 5
    cells = np.append(observed[common], observed[~common].sum())
    means = np.append(expected[common], len(x) - expected[common].sum())
    if means[-1] < 5:
        cells, means = _merge_last(cells, means)
    assert stats.chisquare(cells, means * cells.sum() / means.sum()).pvalue > ALPHA


def _merge_last(*tables):
    return [np.append(table[:-2], table[-2:].sum()) for table in tables]


@EVERY
def test_moments_are_recovered(name):
    """A large sample's moment estimate is the distribution it came from."""
    likelihood = built(name, 2)
    with torch.no_grad():
        p = likelihood(typical_eta(name))
        draws = p.sample((20000,))
        again = likelihood(likelihood.moment_eta(draws))
    error = draws.std(0) / len(draws) ** 0.5
    assert ((again.mean - p.mean).abs() < STANDARD_ERRORS * error).all()
    if not name.startswith("zero-inflated"):  # its gate starts at a convention
        loss = (p.log_prob(draws) - again.log_prob(draws)).mean()
        assert abs(float(loss)) < 0.01


@EVERY
def test_gradients_are_finite_at_the_edges_and_at_extreme_parameters(name):
    likelihood = built(name, 2, torch.float32)
    size = likelihood.num_params((2,))
    if size > 6:
        corners = torch.tensor([-40.0, 0.0, 40.0]).unsqueeze(-1).expand(3, size)
        corners = torch.cat([corners, 40 * torch.eye(size), -40 * torch.eye(size)])
    else:
        corners = torch.tensor(list(itertools.product((-40.0, 0.0, 40.0), repeat=size)))
    eta = corners.clone().requires_grad_()
    for edge in CASES[name].edges:
        log_prob = likelihood(eta).log_prob(torch.full((2,), edge))
        assert torch.isfinite(log_prob).all(), edge
        parameters = [eta, *likelihood.parameters()]
        for gradient in torch.autograd.grad(log_prob.sum(), parameters):
            assert torch.isfinite(gradient).all(), edge


@EVERY
def test_settings_survive_json(name):
    likelihood = CASES[name].make()
    config = json.loads(json.dumps(likelihood.to_config()))
    again = Likelihood.from_config(config)
    assert again.to_config() == likelihood.to_config()
    assert repr(again) == repr(likelihood)
    assert again.measure == likelihood.measure
    again.build((2,))
    likelihood.build((2,))
    again.load_state_dict(likelihood.state_dict())


def draws_from(name, count):
    """Float32 data from the likelihood itself, where they vary."""
    likelihood = built(name, 2)
    eta = typical_eta(name) + 0.1 * torch.randn(count, 1, dtype=torch.double)
    with torch.no_grad():
        return likelihood(eta).sample().float()


@EVERY
def test_encoder_input_is_of_order_one(name):
    x = built(name, 2).standardise(draws_from(name, 200))
    assert x.shape == (200, 2)
    assert float(x.abs().median()) < 5


@EVERY
def test_a_mixture_takes_it(name):
    x = draws_from(name, 60)
    mixture = MixtureModel(2, CASES[name].make())
    mixture.initialise(x)
    with torch.no_grad():
        log_prob = mixture.log_prob(x)
        responsibilities = mixture.responsibilities(x)
    assert torch.isfinite(log_prob).all()
    torch.testing.assert_close(responsibilities.sum(-1), torch.ones(60))
    loss = mixture.default_objective().differentiable_loss(mixture.model, mixture.guide, x)
    torch.testing.assert_close(-loss.detach(), log_prob.sum(), rtol=1e-4, atol=1e-3)
    assert mixture.component_means().shape == (2, 2)


@EVERY
def test_a_vae_takes_it(name):
    x = draws_from(name, 20)
    vae = VAE((2,), 2, likelihood=CASES[name].make(), encoder=(8,), decoder=(8,))
    vae.initialise(x)
    Trace_ELBO().differentiable_loss(vae.model, vae.guide, x).backward()
    for key, parameter in vae.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    draws = Predictive(vae.model, num_samples=50)(num_data=20)["x"]
    assert draws.shape == (50, 20, 2)
    assert draws.dtype == torch.float32
    assert vae.likelihood.in_support(draws).all()
    particles = Trace_ELBO(50, max_plate_nesting=1, vectorize_particles=True)
    assert math.isfinite(particles.loss(vae.model, vae.guide, x))
