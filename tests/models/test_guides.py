"""Every guide family against SciPy, quadrature and its contract."""

import json

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from scipy import special, stats

from pyro_vae.errors import UnknownNameError
from pyro_vae.models import VAE
from pyro_vae.models.autoregressive import AffineAutoregressive, autoregressive_networks
from pyro_vae.models.guides import (
    FullCovarianceNormal,
    Guide,
    InverseAutoregressiveFlow,
    LowRankNormal,
    MeanFieldNormal,
    MixtureOfNormals,
    UnitNormal,
)
from tests.quadrature import plane, waves
from tests.tolerances import STANDARD_ERRORS

CASES = {
    "mean-field-normal": MeanFieldNormal(0.1),
    "mean-field-normal-exp": MeanFieldNormal(0.1, link="exp"),
    "unit-normal": UnitNormal(),
    "full-covariance-normal": FullCovarianceNormal(0.1),
    "low-rank-normal": LowRankNormal(rank=1, min_scale=0.1),
    "low-rank-normal-3": LowRankNormal(rank=3, min_scale=0.1),
    "mixture-of-normals": MixtureOfNormals(num_components=3, min_scale=0.3),
    "inverse-autoregressive-flow": InverseAutoregressiveFlow(2, 8, 3, min_scale=0.1),
}


def made(name, size=2):
    """A fresh guide in double precision, its own weights far from where they start."""
    guide = Guide.from_config(CASES[name].to_config())
    guide.build((size,))
    guide.double()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.copy_(0.15 * torch.randn_like(parameter))
    return guide


def some_eta(guide, *batch):
    eta = torch.randn(*batch, guide.num_params(guide.event_shape), dtype=torch.double)
    # An exponential makes scales that no grid of quadrature would hold.
    return eta / 3 if getattr(guide, "link", None) == "exp" else eta


def softplus(u):
    return np.logaddexp(0.0, u)


def flow(guide, eta, u):
    """T_h(u) by the definition: y = mu(x) + exp(a(x)) x, network after network."""
    for network in guide.networks:
        mean, log_scale = network(u, eta[4:])
        u = mean + log_scale.exp() * u
    return u


def point_and_log_prob(guide, eta):
    """One z and log q(z | eta), in SciPy; for the flow, by the Jacobian of u -> z."""
    e, z, s = eta.numpy(), np.array([0.4, -0.7]), getattr(guide, "min_scale", None)
    if isinstance(guide, UnitNormal):
        log_prob = stats.multivariate_normal(e, np.eye(2)).logpdf(z)
    elif isinstance(guide, MeanFieldNormal):
        link = np.exp if guide.link == "exp" else softplus
        log_prob = stats.norm(e[:2], s + link(e[2:])).logpdf(z).sum()
    elif isinstance(guide, FullCovarianceNormal):
        tril = np.diag(s + softplus(e[2:4]))
        tril[1, 0] = e[4] / 2
        log_prob = stats.multivariate_normal(e[:2], tril @ tril.T).logpdf(z)
    elif isinstance(guide, LowRankNormal):
        factor = e[4:].reshape(2, -1) / 2
        cov = factor @ factor.T + np.diag((s + softplus(e[2:4])) ** 2)
        log_prob = stats.multivariate_normal(e[:2], cov).logpdf(z)
    elif isinstance(guide, MixtureOfNormals):
        loc, scale = e[3:9].reshape(3, 2), s + softplus(e[9:].reshape(3, 2))
        log_w = e[:3] - special.logsumexp(e[:3])
        log_prob = special.logsumexp(log_w + stats.norm(loc, scale).logpdf(z).sum(1))
    else:
        u = torch.tensor(z)
        jacobian = torch.autograd.functional.jacobian(lambda u: flow(guide, eta, u), u)
        log_prob = stats.norm(e[:2], s + softplus(e[2:4])).logpdf(z).sum()
        log_prob = log_prob - np.linalg.slogdet(jacobian.numpy())[1]
        z = flow(guide, eta, u).detach().numpy()
    return torch.tensor(z), float(log_prob)


def test_every_shipped_guide_has_a_case():
    assert {type(case).name for case in CASES.values()} == set(Guide.registry)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [(), (3,), (4, 3)])
def test_log_prob_agrees_with_scipy_for_any_leading_dimensions(name, batch):
    guide = made(name)
    eta = some_eta(guide, *batch)
    q = guide(eta)
    assert q.batch_shape == batch
    assert q.event_shape == (2,)
    assert q.has_rsample
    assert q.rsample((5,)).shape == (5, *batch, 2)
    assert guide.code(eta).shape == (*batch, 2)
    pairs = [point_and_log_prob(guide, e) for e in eta.reshape(-1, eta.shape[-1])]
    z = torch.stack([point for point, _ in pairs]).reshape(*batch, 2)
    with torch.no_grad():
        log_prob = q.log_prob(z)
        wide = q.expand((6, *batch)).log_prob(z.expand(6, *batch, 2))
    assert log_prob.shape == batch
    expected = [value for _, value in pairs]
    np.testing.assert_allclose(log_prob.reshape(-1).numpy(), expected, atol=1e-9)
    torch.testing.assert_close(wide, log_prob.expand(6, *batch))


@pytest.mark.parametrize("name", CASES)
def test_density_integrates_to_one_and_code_is_its_mean(name):
    guide = made(name)
    eta = some_eta(guide)
    z, area = plane(20.0, 801)
    with torch.no_grad():
        mass = guide(eta).log_prob(z).exp() * area
        code = guide.code(eta)
    assert float(mass.sum()) == pytest.approx(1.0, abs=1e-4)
    if name == "inverse-autoregressive-flow":
        torch.testing.assert_close(code, flow(guide, eta, eta[:2]).detach())
    else:
        torch.testing.assert_close(code, mass @ z, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_draws_come_from_the_density(name):
    """Characteristic functions of batched, expanded draws against quadrature, seed 20140501."""
    guide = made(name)
    eta = some_eta(guide, 2)
    z, area = plane(20.0, 801)
    with torch.no_grad():
        q = guide(eta)
        mass = (q.log_prob(z.unsqueeze(1)).exp() * area).T
        for draws in (q.rsample((20000,)), q.expand((20000, 2)).rsample()):
            sampled = waves(draws)
            error = sampled.std(0) / len(draws) ** 0.5
            far = (sampled.mean(0) - mass @ waves(z)).abs() / error
            assert float(far.max()) < STANDARD_ERRORS


def test_gradient_grid_is_wide_enough_for_quadrature():
    """The quadrature that the next test trusts has the gradient of a normal's mean right."""
    eta = torch.tensor([0.3, -0.2, 0.1, 0.5], dtype=torch.double, requires_grad=True)
    guide = made("mean-field-normal")
    z, area = plane(20.0, 801)
    mean = (guide(eta).log_prob(z).exp() * area) @ z[:, 0]
    (gradient,) = torch.autograd.grad(mean, eta)
    np.testing.assert_allclose(gradient.numpy(), [1, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_gradient_through_draws_is_that_of_the_expectation(name):
    """d/d eta E_q[f(z)] by 30,000 draws against differentiated quadrature, seed 20140501."""
    guide = made(name)
    eta = some_eta(guide).requires_grad_()

    def f(z):
        return torch.sin(z[..., 0]) + 0.3 * z[..., 0] * z[..., 1] + torch.cos(2 * z[..., 1])

    z, area = plane(20.0, 801)
    (exact,) = torch.autograd.grad((guide(eta).log_prob(z).exp() * area) @ f(z), eta)
    rows = eta.detach().expand(30000, -1).clone().requires_grad_()
    (sampled,) = torch.autograd.grad(f(guide(rows).rsample()).sum(), rows)
    error = sampled.std(0) / len(rows) ** 0.5
    assert ((sampled.mean(0) - exact).abs() <= STANDARD_ERRORS * error + 1e-9).all()
    assert float(error.max()) < 0.1


@pytest.mark.parametrize("name", CASES)
def test_zeros_from_the_encoder_give_a_moderate_distribution_about_zero(name):
    config = CASES[name].to_config()
    if "min_scale" in config:
        config["min_scale"] = 1e-6
    guide = Guide.from_config(config)
    guide.build((4,))
    eta = torch.zeros(guide.num_params((4,)), requires_grad=True)
    draws = guide(eta).rsample((4000,))
    seen = draws.detach()
    assert float(seen.mean(0).abs().max()) < 0.1
    assert 0.5 < float(seen.std(0).min())
    assert float(seen.std(0).max()) < 1.05
    (draws.square().sum() + guide(eta).log_prob(draws).sum()).backward()
    assert torch.isfinite(eta.grad).all()


@pytest.mark.parametrize("name", CASES)
def test_one_latent_dimension(name):
    guide = made(name, size=1)
    z = torch.linspace(-40, 40, 8001, dtype=torch.double).unsqueeze(-1)
    with torch.no_grad():
        q = guide(some_eta(guide))
        assert q.rsample((3,)).shape == (3, 1)
        total = float(q.log_prob(z).exp().sum() * 0.01)
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_draws_in_a_plate_of_particles_are_scored_as_points_are(name):
    guide = made(name)
    eta = some_eta(guide, 3)

    def program():
        with pyro.plate("_particles", 7, dim=-2), pyro.plate("data", 3, dim=-1):
            return pyro.sample("z", guide(eta))

    site = poutine.trace(program).get_trace().nodes["z"]
    assert site["value"].shape == (7, 3, 2)
    assert len(site["value"].unique(dim=0)) == 7
    own = site["fn"].log_prob(site["value"])
    assert own.shape == (7, 3)
    torch.testing.assert_close(own, guide(eta).log_prob(site["value"].detach().clone()))


@pytest.mark.parametrize("name", CASES)
def test_config_gradients_and_the_global_random_state(name):
    state = torch.get_rng_state()
    config = json.loads(json.dumps(CASES[name].to_config()))
    guide = Guide.from_config(config)
    assert guide.to_config() == config
    vae = VAE((3,), 2, guide=guide, encoder=(8,), decoder=(8,))
    assert torch.equal(torch.get_rng_state(), state)
    assert json.loads(json.dumps(vae.config))["guide"] == config
    x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    vae.default_objective().differentiable_loss(vae.model, vae.guide, x).backward()
    for key, parameter in vae.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        if key.startswith(("guide_family", "encoder")):
            assert bool((parameter.grad != 0).any()), key


@pytest.mark.parametrize("name", CASES)
def test_bad_settings(name):
    numbers = {k for k, v in CASES[name].to_config().items() if not isinstance(v, str)}
    for key in numbers - {"seed"}:
        with pytest.raises(ValueError, match=f"{key} got 0"):
            type(CASES[name])(**{key: 0})


def test_link_of_the_scale_is_checked():
    with pytest.raises(UnknownNameError, match="link 'log'"):
        MeanFieldNormal(link="log")


def test_closed_form_kl_of_the_code_of_introductory_texts():
    """c = exp(sigma) e + m: KL by the formula, by PyTorch, and by draws; seed 20140501.

    The sum of exp(sigma) - 1 - sigma + m^2 is not that KL, but twice the KL of
    c = exp(sigma / 2) e + m.
    """
    guide = MeanFieldNormal(1e-12, link="exp")
    guide.build((3,))
    eta = torch.randn(6, dtype=torch.double)
    m, sigma = eta.numpy()[:3], eta.numpy()[3:]
    by_formula = 0.5 * (np.exp(2 * sigma) - 1 - 2 * sigma + m**2).sum()
    q = guide(eta)
    p = dist.Normal(torch.zeros(3).double(), 1.0).to_event(1)
    assert float(torch.distributions.kl_divergence(q, p)) == pytest.approx(by_formula, abs=1e-9)
    z = q.sample((20000,))
    draws = q.log_prob(z) - p.log_prob(z)
    error = float(draws.std()) / len(draws) ** 0.5
    assert abs(float(draws.mean()) - by_formula) < STANDARD_ERRORS * error
    loose = (np.exp(sigma) - 1 - sigma + m**2).sum()
    assert abs(loose - by_formula) > 20 * error
    half = guide(torch.cat([eta[:3], eta[3:] / 2]))
    twice = 2 * torch.distributions.kl_divergence(half, p)
    assert float(twice) == pytest.approx(loose, abs=1e-9)


def test_kl_of_unit_noise_is_half_the_squared_norm_of_the_code():
    guide = UnitNormal()
    guide.build((3,))
    eta = torch.randn(5, 3, dtype=torch.double)
    p = dist.Normal(torch.zeros(3).double(), 1.0).to_event(1)
    kl = torch.distributions.kl_divergence(guide(eta), p)
    torch.testing.assert_close(kl, 0.5 * eta.square().sum(1))


def test_flow_needs_a_hidden_layer_as_wide_as_z():
    with pytest.raises(ValueError, match="hidden got 4: it must be at least the latent dim"):
        VAE((3,), 5, guide=InverseAutoregressiveFlow(hidden=4))


def test_flow_starts_near_the_mean_field_normal():
    guide = InverseAutoregressiveFlow()
    guide.build((5,))
    eta = torch.randn(100, guide.num_params((5,)))
    mean_field = MeanFieldNormal()
    mean_field.build((5,))
    z = mean_field(eta[:, :10]).sample()
    with torch.no_grad():
        difference = guide(eta).log_prob(z) - mean_field(eta[:, :10]).log_prob(z)
    assert float(difference.abs().mean()) < 0.1


def test_flow_draws_and_scores_its_draws_in_one_pass():
    guide = made("inverse-autoregressive-flow")
    calls = []
    for network in guide.networks:
        network.register_forward_hook(lambda *_: calls.append(1))
    q = guide(some_eta(guide, 3))
    q.log_prob(q.rsample())
    assert len(calls) == 2


def test_flow_scores_draws_made_without_gradients_with_all_of_them():
    """What the cache remembers of such a draw has no gradient, and must not be used."""
    guide = made("inverse-autoregressive-flow")
    eta = some_eta(guide, 3).requires_grad_()
    wanted = [eta, *guide.parameters()]
    q = guide(eta)
    z = q.sample()
    own = torch.autograd.grad(q.log_prob(z).sum(), wanted)
    foreign = torch.autograd.grad(guide(eta).log_prob(z.clone()).sum(), wanted)
    for got, expected in zip(own, foreign, strict=True):
        torch.testing.assert_close(got, expected)


def test_pyros_own_autoregressive_map_cannot_be_undone_in_double_precision():
    (network,) = autoregressive_networks(3, 8, 1)
    network.double()
    x = torch.randn(4, 3, dtype=torch.double)
    with pytest.raises(RuntimeError, match="dtype"):
        dist.transforms.AffineAutoregressive(network).inv(x)
    torch.testing.assert_close(
        AffineAutoregressive(network)(AffineAutoregressive(network).inv(x)), x
    )


def test_pyros_own_mixture_of_normals_is_wrong_in_a_batch_with_a_sample_shape():
    """Column b of the draws has to lie about 100 b; Pyro's rows do."""
    guide = MixtureOfNormals()
    guide.build((2,))
    loc = 100.0 * torch.arange(4.0).reshape(4, 1, 1).expand(4, 3, 2)
    ones = torch.ones(4, 3, 2)
    theirs = dist.MixtureOfDiagNormals(loc, ones, torch.zeros(4, 3)).sample((3,))
    eta = torch.cat([torch.zeros(4, 3), loc.flatten(1), ones.flatten(1)], dim=-1)
    ours = guide(eta).rsample((3,))
    expected = 100.0 * torch.arange(4.0).reshape(4, 1).expand(3, 4, 2)
    assert float((ours - expected).abs().max()) < 10
    assert float((theirs - expected).abs().max()) > 50


@pytest.mark.parametrize(("size", "spread"), [(2, 0.0), (128, 1.0)], ids=["equal", "overflow"])
def test_pyros_own_mixture_of_normals_loses_its_gradient(size, spread):
    """Where the means are equal, and where a density overflows single precision."""
    guide = MixtureOfNormals()
    guide.build((size,))
    loc = spread * torch.randn(3, size)
    raw_scale = torch.full((3, size), -3.0)
    eta = torch.cat([torch.zeros(3), loc.flatten(), raw_scale.flatten()]).requires_grad_()
    guide(eta).rsample().sum().backward()
    assert torch.isfinite(eta.grad).all()
    logits = torch.zeros(3, requires_grad=True)
    dist.MixtureOfDiagNormals(loc, guide.scale(raw_scale), logits).rsample().sum().backward()
    assert torch.isnan(logits.grad).any()
