"""Every prior against SciPy, quadrature and its contract; every prior with every guide."""

import copy
import json

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceEnum_ELBO
from scipy import special, stats
from torch import nn

from pyro_vae.errors import ProgramError
from pyro_vae.inference import log_evidence, log_weights
from pyro_vae.models import VAE, model_from_config
from pyro_vae.models.guides import Guide, MeanFieldNormal
from pyro_vae.models.likelihoods import Bernoulli
from pyro_vae.models.priors import (
    CategoricalNormal,
    Laplace,
    MixtureOfNormals,
    Normal,
    NormalisingFlow,
    Prior,
    StandardNormal,
    StudentT,
    VampPrior,
)
from tests.cases import a_few_always
from tests.quadrature import plane, waves
from tests.tolerances import STANDARD_ERRORS

CASES = {
    "standard-normal": StandardNormal(),
    "normal": Normal(0.05),
    "laplace": Laplace(),
    "student-t": StudentT(5.0),
    "mixture-of-normals": MixtureOfNormals(4, 0.3),
    "categorical-normal": CategoricalNormal(4, 0.3, seed=1),
    "vamp-prior": VampPrior(4),
    "vamp-prior-weights": VampPrior(4, learn_weights=True),
    "normalising-flow": NormalisingFlow(3, 8),
}
X = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])


class TinyGuide(nn.Module):
    """Encoder's input of three features to a mean-field normal."""

    def __init__(self, size):
        super().__init__()
        self.encoder = nn.Linear(3, 2 * size)
        self.family = MeanFieldNormal(0.3)
        self.family.build((size,))

    def posterior(self, features):
        return self.family(self.encoder(features))


def randomise(module, spread=0.15):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn_like(parameter))


def made(name, size=2):
    """A fresh prior in double precision, its parameters away from where they start."""
    prior = Prior.from_config(CASES[name].to_config())
    prior.build(size)
    prior.connect(TinyGuide(size).double().posterior, 3)
    prior.double()
    randomise(prior)
    return prior


def small_vae(prior, **settings):
    """A VAE small enough for quadrature, with a prior like ``prior``."""
    prior = Prior.from_config(prior.to_config())
    return VAE((3,), 2, prior=prior, encoder=(8,), decoder=(8,), **settings)


def log_density(prior, z):
    """Log p(z) at one point, in SciPy; for the flow, by the Jacobian of z -> u."""
    if isinstance(prior, NormalisingFlow):

        def to_base(z):
            for network in reversed(prior.networks):
                mean, log_scale = network(z)
                z = mean + log_scale.exp() * z
            return z

        jacobian = torch.autograd.functional.jacobian(to_base, z).numpy()
        u = to_base(z).detach().numpy()
        return stats.norm.logpdf(u).sum() + np.linalg.slogdet(jacobian)[1]
    parameters = {name: value.detach().numpy() for name, value in prior.named_parameters()}
    z = z.numpy()
    if isinstance(prior, Normal):
        scale = 0.05 + np.logaddexp(0, parameters["raw_scale"])
        return stats.norm(0, scale).logpdf(z).sum()
    if isinstance(prior, MixtureOfNormals):
        log_w = parameters["logits"] - special.logsumexp(parameters["logits"])
        scales = 0.3 + np.logaddexp(0, parameters["raw_scales"])
        return special.logsumexp(log_w + stats.norm(parameters["means"], scales).logpdf(z).sum(1))
    if isinstance(prior, VampPrior):
        logits = prior.logits.detach().numpy()
        log_w = logits - special.logsumexp(logits)
        encoder = prior._posterior.__self__.encoder
        eta = parameters["pseudo_inputs"] @ encoder.weight.detach().numpy().T
        eta = eta + encoder.bias.detach().numpy()
        q = stats.norm(eta[:, :2], 0.3 + np.logaddexp(0, eta[:, 2:]))
        return special.logsumexp(log_w + q.logpdf(z).sum(1))
    if isinstance(prior, Laplace):
        return (-np.abs(z) - np.log(2)).sum()  # SciPy takes the logarithm of what underflows
    family = {StandardNormal: stats.norm(), StudentT: stats.t(5)}
    return family[type(prior)].logpdf(z).sum()


def test_every_shipped_prior_has_a_case():
    assert {type(case).name for case in CASES.values()} == set(Prior.registry)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [(), (3,), (4, 3)])
def test_log_prob_agrees_with_scipy_for_any_leading_dimensions(name, batch):
    prior = made(name)
    p = prior()
    assert p.batch_shape == ()
    assert p.event_shape == (2,)
    assert p.sample(batch).shape == (*batch, 2)
    z = 1.5 * torch.randn(*batch, 2, dtype=torch.double)
    with torch.no_grad():
        log_prob = p.log_prob(z)
        wide = p.expand((5, *batch)).log_prob(z.expand(5, *batch, 2))
    assert log_prob.shape == batch
    expected = [log_density(prior, point) for point in z.reshape(-1, 2)]
    np.testing.assert_allclose(log_prob.reshape(-1).numpy(), expected, atol=1e-9)
    torch.testing.assert_close(wide, log_prob.expand(5, *batch))


@pytest.mark.parametrize("name", sorted(set(CASES) - {"normalising-flow"}))
@pytest.mark.parametrize("reach", [1e-3, 1.0, 30.0, 1e4])
def test_parameters_in_float32_lose_no_digits(name, reach):
    """Within 2e-6 nats a dimension, or 1e-3 over 500; what a network gives is taken as given."""
    prior = made(name)
    # A network computes in float32: let its numbers be those that both start from.
    guide = prior._posterior if isinstance(prior, VampPrior) else None
    prior = prior.float()
    exact = copy.deepcopy(prior).double()
    if guide is not None:
        prior.connect(lambda x: guide(x.double()), 3)
        exact.connect(guide, 3)
    z = reach * torch.randn(6, 2)
    with torch.no_grad():
        log_prob = prior().log_prob(z)
    assert log_prob.dtype == torch.float64
    expected = [log_density(exact, point) for point in z.double()]
    np.testing.assert_allclose(log_prob.numpy(), expected, rtol=1e-12, atol=4e-6)


@pytest.mark.parametrize("df", [0.1, 5.0, 1e4, 1e6, 1e7, 1e15])
def test_student_t_prior_of_any_df(df):
    prior = StudentT(df)
    prior.build(500)
    z = 3 * torch.randn(4, 500)
    z.requires_grad_()
    log_prob = prior().log_prob(z)
    values = z.detach().double().numpy()
    law = stats.t(df) if df < 1e9 else stats.norm()
    np.testing.assert_allclose(log_prob.detach(), law.logpdf(values).sum(1), rtol=1e-12, atol=1e-3)
    (slope,) = torch.autograd.grad(log_prob.sum(), z)
    # d/dz log p(z) = -(df + 1) z / (df + z^2)
    np.testing.assert_allclose(slope, -(df + 1) * values / (df + values**2), rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_density_integrates_to_one_and_draws_come_from_it(name):
    """Characteristic functions of 20,000 draws against quadrature, seed 20140501."""
    prior = made(name)
    z, area = plane(*{"student-t": (60.0, 1201), "laplace": (12.0, 1201)}.get(name, (20.0, 801)))
    with torch.no_grad():
        mass = prior().log_prob(z).exp() * area
        draws = prior().sample((20000,))
        with pyro.plate("data", 20000, dim=-1):
            stated = prior.sample()
    assert float(mass.sum()) == pytest.approx(1.0, abs=1e-4)
    for sampled in (waves(draws), waves(stated)):
        error = sampled.std(0) / 20000**0.5
        assert float(((sampled.mean(0) - mass @ waves(z)).abs() / error).max()) < STANDARD_ERRORS


@pytest.mark.parametrize("name", CASES)
def test_one_latent_dimension(name):
    prior = made(name, size=1)
    z = torch.linspace(-60, 60, 24001, dtype=torch.double).unsqueeze(-1)
    with torch.no_grad():
        assert prior().sample((3,)).shape == (3, 1)
        assert float(prior().log_prob(z).exp().sum() * 0.005) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_sites_broadcast_over_particles(name):
    prior = made(name)
    with pyro.plate("_particles", 7, dim=-2), pyro.plate("data", 3, dim=-1):
        z = prior.sample()
    assert z.shape == (7, 3, 2)
    assert len(z.reshape(-1, 2).unique(dim=0)) == 21


@pytest.mark.parametrize("name", CASES)
def test_config_gradients_and_the_global_random_state(name):
    state = torch.get_rng_state()
    config = json.loads(json.dumps(CASES[name].to_config()))
    vae = small_vae(CASES[name])
    vae.initialise(X)
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.prior.to_config() == config
    again = model_from_config(json.loads(json.dumps(vae.config)))
    again.load_state_dict(vae.state_dict())
    assert again.config["prior"] == config
    z = torch.randn(4, 2)
    torch.testing.assert_close(again.prior().log_prob(z), vae.prior().log_prob(z))

    vae.default_objective().differentiable_loss(vae.model, vae.guide, X).backward()
    for key, parameter in vae.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        if key.startswith("prior"):
            assert bool((parameter.grad != 0).any()), key


@pytest.mark.parametrize("name", CASES)
def test_svi_trains_every_parameter_of_the_prior(name):
    vae = small_vae(CASES[name])
    learned = dict(vae.prior.named_parameters())
    before = {key: value.detach().clone() for key, value in learned.items()}
    optimiser = pyro.optim.Adam({"lr": 1e-2})
    svi = SVI(vae.model, vae.guide, optimiser, vae.default_objective())
    for _ in range(3):
        assert np.isfinite(svi.step(X))
    assert not [key for key, value in learned.items() if torch.equal(value, before[key])]


@pytest.mark.parametrize("name", CASES)
def test_bad_settings(name):
    settings = {k: v for k, v in CASES[name].to_config().items() if k not in ("name", "seed")}
    for key in settings.keys() - {"learn_weights"}:
        with pytest.raises(ValueError, match=f"{key} got 0"):
            type(CASES[name])(**{key: 0})


def test_starts_near_the_standard_normal():
    z = torch.randn(2000, 3)
    expected = torch.tensor(stats.norm.logpdf(z.numpy()).sum(1))
    for prior in (Normal(), NormalisingFlow()):
        prior.build(3)
        difference = prior().log_prob(z).detach() - expected
        assert float(difference.abs().mean()) < 0.1
    mixture = MixtureOfNormals(200)
    mixture.build(3)
    assert float((mixture().variance.detach() - 1).abs().max()) < 0.2
    assert len(mixture.means.unique(dim=0)) == 200


def test_discrete_site_and_marginal_density_are_one_prior():
    """Same weights, same draws: log-weights, ELBO and its gradient are equal."""
    marginal, discrete = (
        small_vae(prior, likelihood=Bernoulli())
        for prior in (MixtureOfNormals(4), CategoricalNormal(4))
    )
    randomise(marginal)
    discrete.load_state_dict(marginal.state_dict())
    ours, theirs = (
        log_weights(vae.model, vae.guide, X, 50, enumerate_discrete=True)
        for vae in (discrete, marginal)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)

    assert isinstance(discrete.default_objective(), TraceEnum_ELBO)
    assert not isinstance(marginal.default_objective(), TraceEnum_ELBO)
    losses, gradients = [], []
    for vae, objective in (
        (discrete, TraceEnum_ELBO(max_plate_nesting=1)),
        (marginal, Trace_ELBO()),
    ):
        torch.manual_seed(1)
        loss = objective.differentiable_loss(vae.model, vae.guide, X)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, list(vae.parameters())))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_responsibilities_by_hand():
    prior = made("categorical-normal")
    z = torch.randn(3, 5, 2, dtype=torch.double)
    w = special.softmax(prior.logits.detach().numpy())
    scales = 0.3 + np.logaddexp(0, prior.raw_scales.detach().numpy())
    component = stats.norm(prior.means.detach().numpy(), scales)
    joint = w * component.pdf(z.unsqueeze(-2).numpy()).prod(-1)
    with torch.no_grad():
        got = prior.responsibilities(z).numpy()
    np.testing.assert_allclose(got, joint / joint.sum(-1, keepdims=True), atol=1e-10)


def test_predictive_draws_the_component_with_z():
    vae = small_vae(CategoricalNormal(4))
    draws = Predictive(vae.model, num_samples=6)(num_data=5)
    assert draws["c"].shape == (6, 5)
    assert draws["z"].shape == (6, 5, 2)
    assert draws["x"].shape == (6, 5, 3)


def test_vamp_prior_has_to_meet_its_guide():
    prior = VampPrior()
    prior.build(2)
    for use in (prior, lambda: prior.initialise(X)):
        with pytest.raises(ProgramError, match="give it to a VAE, or call connect"):
            use()


def test_vamp_prior_owns_no_part_of_the_guide_and_a_copy_has_its_own():
    vae = small_vae(VampPrior(4))
    assert dict(vae.prior.named_parameters()).keys() == {"pseudo_inputs"}
    z = torch.randn(5, 2)
    before = vae.prior().log_prob(z).detach()
    copied = copy.deepcopy(vae)
    torch.testing.assert_close(copied.prior().log_prob(z).detach(), before)
    randomise(copied.encoder)
    assert not torch.allclose(copied.prior().log_prob(z).detach(), before)
    torch.testing.assert_close(vae.prior().log_prob(z).detach(), before)


def test_vamp_prior_starts_at_the_data():
    vae = small_vae(VampPrior(5))
    vae.initialise(X)
    assert float(torch.cdist(vae.prior.pseudo_inputs.detach(), X).min(1).values.max()) < 0.1
    vae.prior.initialise(X, seed=3)
    first = vae.prior.pseudo_inputs.detach().clone()
    assert len(first.unique(dim=0)) == 5
    assert (torch.cdist(X, first).min(1).values < 0.1).all()
    vae.prior.initialise(X, seed=3)
    assert torch.equal(vae.prior.pseudo_inputs, first)
    vae.prior.initialise(X, seed=4)
    assert not torch.equal(vae.prior.pseudo_inputs, first)


def test_vamp_prior_is_the_guide_where_it_has_one_pseudo_input():
    vae = small_vae(VampPrior(1))
    with torch.no_grad():
        vae.prior.pseudo_inputs.copy_(X[:1])
    z = torch.randn(5, 2)
    torch.testing.assert_close(vae.prior().log_prob(z), vae.posterior(X[:1]).log_prob(z))


def test_flow_takes_one_pass_per_density():
    prior = made("normalising-flow")
    calls = []
    for network in prior.networks:
        network.register_forward_hook(lambda *_: calls.append(1))
    prior().log_prob(torch.randn(7, 2, dtype=torch.double))
    assert len(calls) == 3


def test_flow_remembers_nothing_from_before_a_step():
    prior = made("normalising-flow")
    z = torch.randn(7, 2, dtype=torch.double)
    prior().log_prob(z)
    randomise(prior)
    with torch.no_grad():
        expected = [log_density(prior, point) for point in z]
        np.testing.assert_allclose(prior().log_prob(z).numpy(), expected, atol=1e-9)


def covering():
    """Pairs of prior and guide; unit noise cannot be made wide, so it has the normal prior's."""
    for name in CASES:
        for guide in sorted(Guide.registry):
            if guide != "unit-normal" or name == "standard-normal":
                yield name, guide


@a_few_always(
    ("name", "guide"),
    covering(),
    [pair for pair in covering() if "mean-field-normal" in pair or "standard-normal" in pair],
)
def test_log_px_agrees_with_quadrature_under_every_guide(name, guide):
    """Importance sampling with K = 2,000 against the plane, seed 0; the guide is made wide."""
    heavy = name in ("student-t", "laplace")
    wide = {} if guide == "unit-normal" else {"min_scale": 2.5 if heavy else 1.5}
    family = Guide.named(guide, **wide)
    vae = small_vae(CASES[name], guide=family, likelihood=Bernoulli())
    randomise(vae, 0.1)
    with torch.no_grad():
        vae.encoder.output.weight.mul_(0.3)
    estimate = log_evidence(vae.model, vae.guide, X, 2000, enumerate_discrete=True)
    z, area = plane(*{"student-t": (40.0, 401), "laplace": (15.0, 601)}.get(name, (20.0, 201)))
    z = z.float()
    with torch.no_grad():
        log_prior = vae.prior().log_prob(z)
        log_likelihood = vae.likelihood(vae.decoder(z)).log_prob(X.unsqueeze(1))
        exact = (log_prior + log_likelihood).double().logsumexp(-1) + np.log(area)
    far = np.abs(estimate["log_evidence"] - exact.numpy()) / estimate["log_evidence_se"]
    assert float(estimate["khat"].max()) < 0.7
    assert float(estimate["log_evidence_se"].max()) < 0.1
    assert float(far.max()) < STANDARD_ERRORS
