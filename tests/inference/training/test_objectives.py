"""Objectives: their values against the engine's weights, their gradients against autograd."""

import contextlib
import math
from unittest import mock

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO
from pyro.infer import ReweightedWakeSleep as PyrosWakeSleep
from torch import nn

from pyro_vae.data import Dataset
from pyro_vae.errors import ProgramError, SettingError, UnknownNameError
from pyro_vae.inference import fit, gradient_snr
from pyro_vae.inference.engine.weights import LogWeights, sample_log_weights
from pyro_vae.inference.training.objectives import (
    IWAE,
    OBJECTIVES,
    STL,
    BetaELBO,
    DReG,
    FreeBits,
    RenyiBound,
    ReweightedWakeSleep,
    objective_name,
    objective_named,
)
from pyro_vae.models import VAE, Covariates, HierarchicalVAE
from pyro_vae.models.guides import FullCovarianceNormal
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.models.priors import StudentT
from pyro_vae.plots import snr_against_k
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS


class Toy(nn.Module):
    """z ~ N(0, 1), x | z ~ N(a z, 1); guide N(b x, s^2); log p(x) = log N(x; 0, 1 + a^2)."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.0, dtype=torch.double))
        self.b = nn.Parameter(torch.tensor(0.3, dtype=torch.double))
        self.s = nn.Parameter(torch.tensor(0.9, dtype=torch.double))

    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(self.a * z, 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(self.b * x, self.s))

    def bound(self, x, noise):
        """IWAE_K per datum written out, for noise of shape (K, B)."""
        z = self.b * x + self.s * noise
        log_w = (
            -0.5 * z**2
            - 0.5 * (x - self.a * z) ** 2
            - math.log(2 * math.pi)
            + 0.5 * noise**2
            + 0.5 * math.log(2 * math.pi)
            + self.s.log()
        )
        return log_w.logsumexp(0) - math.log(len(noise))


X = torch.linspace(-2, 2, 9, dtype=torch.double)


@pytest.mark.parametrize("k", [1, 5])
def test_value_and_gradient_are_those_of_independent_autograd(k):
    toy = Toy()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    loss = IWAE(k).differentiable_loss(toy.model, toy.guide, X)
    got = torch.autograd.grad(loss, list(toy.parameters()))
    torch.set_rng_state(state)
    # One particle is drawn without a plate of particles.
    noise = torch.normal(
        torch.zeros(k, 9, dtype=torch.double) if k > 1 else torch.zeros_like(X), 1
    )
    expected = -toy.bound(X, noise.reshape(k, 9)).sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    for ours, theirs in zip(
        got, torch.autograd.grad(expected, list(toy.parameters())), strict=True
    ):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_expected_value_is_the_iwae_bound_by_quadrature():
    """IWAE_2 of one datum as a double integral over the two noises."""
    toy, x, k = Toy(), torch.tensor([1.3], dtype=torch.double), 2
    grid = torch.linspace(-8, 8, 801, dtype=torch.double)
    e1, e2 = (e.reshape(-1) for e in torch.meshgrid(grid, grid, indexing="ij"))
    mass = dist.Normal(0, 1).log_prob(e1) + dist.Normal(0, 1).log_prob(e2)
    weight = mass.exp() * (grid[1] - grid[0]) ** 2
    with torch.no_grad():
        exact = float((weight * toy.bound(x, torch.stack([e1, e2]))).sum())
    torch.manual_seed(1)
    objective = IWAE(k)
    draws = torch.tensor(
        [-objective.loss(toy.model, toy.guide, x.expand(200)) / 200 for _ in range(200)]
    )
    assert abs(float(draws.mean()) - exact) < STANDARD_ERRORS * float(draws.std()) / 200**0.5


def test_one_particle_is_the_elbo_in_value_and_gradient():
    toy = Toy()
    grads = []
    for objective in (IWAE(1), Trace_ELBO()):
        torch.manual_seed(5)
        loss = objective.differentiable_loss(toy.model, toy.guide, X)
        grads.append([loss, *torch.autograd.grad(loss, list(toy.parameters()))])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_pyros_renyi_bound_on_a_plain_plate():
    oracle = LinearGaussian()
    x = oracle.draw(50)
    ours, theirs = (
        torch.tensor([objective.loss(oracle.model, oracle.guide, x) for _ in range(60)])
        for objective in (
            IWAE(5),
            RenyiELBO(alpha=0, num_particles=5, vectorize_particles=True, max_plate_nesting=1),
        )
    )
    error = math.sqrt((ours.var() + theirs.var()) / 60)
    assert abs(float(ours.mean() - theirs.mean())) < STANDARD_ERRORS * error


def test_a_subsampled_plate_multiplies_outside_the_logarithm():
    """Pyro's scale N / B inside the log-sum-exp is no bound; ours is N / B times the batch's."""
    oracle = LinearGaussian()
    x = oracle.draw(40)

    def subsampled(program):
        def run(batch):
            with pyro.plate("data", 4000, subsample=batch, dim=-1):
                program(batch)

        return run

    def model(batch):
        with pyro.plate("data", 4000, subsample=batch, dim=-1):
            W, m = torch.tensor(oracle.W), torch.tensor(oracle.m)
            prior = dist.Normal(torch.zeros(W.shape[1], dtype=W.dtype), 1.0).to_event(1)
            z = pyro.sample("z", prior)
            pyro.sample("x", dist.Normal(z @ W.T + m, oracle.s).to_event(1), obs=batch)

    def guide(batch):
        A, m, t = (torch.tensor(part) for part in (oracle.A, oracle.m, oracle.t))
        with pyro.plate("data", 4000, subsample=batch, dim=-1):
            pyro.sample("z", dist.Normal((batch - m) @ A.T, t).to_event(1))

    objective = IWAE(5)
    torch.manual_seed(2)
    scaled = torch.tensor([-objective.loss(model, guide, x) / 4000 for _ in range(100)])
    plain = torch.tensor([-objective.loss(oracle.model, oracle.guide, x) / 40 for _ in range(100)])
    error = math.sqrt((scaled.var() + plain.var()) / 100)
    assert abs(float(scaled.mean() - plain.mean())) < STANDARD_ERRORS * error
    log_px = float(oracle.log_px(x).mean())
    renyi = RenyiELBO(alpha=0, num_particles=5, vectorize_particles=True, max_plate_nesting=1)
    theirs = torch.tensor([-renyi.loss(model, guide, x) / 4000 for _ in range(100)])
    assert float(scaled.mean()) < log_px
    assert float(theirs.mean()) - log_px > 5 * float(theirs.std()) / 10


@pytest.mark.slow
def test_svi_trains_with_it_and_with_named_inputs():
    vae = VAE((4,), 2, condition=Covariates(1), encoder=(8,), decoder=(8,))
    x, c = torch.rand(20, 4).round(), torch.randn(20, 1)
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), IWAE(5))
    losses = [svi.step(x, condition=c) for _ in range(150)]
    assert sum(losses[-20:]) < sum(losses[:20])
    assert svi.evaluate_loss(x, condition=c) > 0


def test_a_guide_without_gradients_is_refused():
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Bernoulli(torch.sigmoid(x)))

    with pytest.raises(ProgramError, match="'z' is not reparameterised"):
        IWAE(5).differentiable_loss(model, guide, X)
    with torch.no_grad():  # where no gradient is wanted, none is wrong
        terms, _ = sample_log_weights(model, guide, X, 5)
    assert terms.log_weights.shape == (5, len(X))


@pytest.mark.parametrize(
    ("name", "kind", "particles"),
    [
        ("elbo", Trace_ELBO, 1),
        ("elbo-8", Trace_ELBO, 8),
        ("mean-field-elbo", TraceMeanField_ELBO, 1),
        ("iwae-50", IWAE, 50),
    ],
)
def test_names(name, kind, particles):
    objective = objective_named(name)
    assert type(objective) is kind
    assert objective.num_particles == particles
    assert objective_name(objective) == name
    loss = objective.loss(*(getattr(LinearGaussian(), part) for part in ("model", "guide")), x5())
    assert math.isfinite(loss)


def x5():
    return LinearGaussian().draw(5)


def test_enumeration_and_unknown_names():
    assert type(objective_named("elbo", enumerate_discrete=True)) is TraceEnum_ELBO
    assert objective_named("iwae-3", enumerate_discrete=True).enumerate_discrete
    with pytest.raises(SettingError, match="closed form"):
        objective_named("mean-field-elbo", enumerate_discrete=True)
    with pytest.raises(UnknownNameError, match="Did you mean 'iwae'"):
        objective_named("iwea-5")
    assert {"elbo", "iwae", "mean-field-elbo", "dreg", "stl", "rws"} < set(OBJECTIVES)
    assert objective_name(RenyiELBO(alpha=0.5)) == "RenyiELBO"
    with pytest.raises(ValueError, match="num_particles got 0"):
        IWAE(0)


def gradient_draws(objective, toy, x, repeats):
    """Independent draws of the gradient with respect to (a, b, s), shape (repeats, 3)."""
    draws = []
    for _ in range(repeats):
        loss = objective.differentiable_loss(toy.model, toy.guide, x)
        draws.append(torch.stack(torch.autograd.grad(loss, list(toy.parameters()))))
    return torch.stack(draws)


def difference_in_errors(one, other):
    error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
    return ((one.mean(0) - other.mean(0)) / error).abs()


@pytest.mark.parametrize(
    ("objective", "reference"),
    [(DReG(3), IWAE(3)), (STL(2), Trace_ELBO()), (RenyiBound(3, alpha=0.0), IWAE(3))],
    ids=["dreg", "stl", "renyi"],
)
def test_gradient_has_the_same_mean(objective, reference):
    torch.manual_seed(3)
    toy = Toy()
    # 1,500 draws for each of three values of x, fifteen at a time.
    x = X[::4].repeat(15)
    ours = gradient_draws(objective, toy, x, 100)
    theirs = gradient_draws(reference, toy, x, 100)
    assert (difference_in_errors(ours, theirs) < STANDARD_ERRORS).all()


def test_sticking_the_landing_has_no_variance_at_the_posterior():
    toy = Toy()
    with torch.no_grad():
        toy.b.fill_(0.5)
        toy.s.fill_(0.5**0.5)
    for objective in (STL(1), DReG(4)):
        guide = gradient_draws(objective, toy, X, 20)[:, 1:]
        assert guide.abs().max() < 1e-9
    assert gradient_draws(IWAE(4), toy, X, 20)[:, 1:].std(0).min() > 1e-3


@pytest.mark.slow
def test_signal_to_noise_falls_with_k_for_iwae_and_rises_for_dreg():
    """Rainforth et al. (2018): as K^(-1/2) for the guide under IWAE; Tucker et al. (2019).

    Sixteen data at once quadruple it; 150 draws tell a ratio to 0.1, and those of IWAE are near
    1.3 and 0.36.
    """
    toy = Toy()
    with torch.no_grad():
        toy.b.fill_(0.0)
    table = gradient_snr(toy, X[-2:-1].repeat(16), [toy.b], num_particles=(4, 64), repeats=150)
    assert table.loc[64, "iwae"] < 0.5 * table.loc[4, "iwae"]
    assert table.loc[64, "dreg"] > 2 * table.loc[4, "dreg"]
    (axes,) = snr_against_k(table).axes
    assert [line.get_label() for line in axes.lines] == ["iwae", "dreg"]
    assert list(axes.lines[0].get_ydata()) == list(table["iwae"])


def test_values_between_the_bounds():
    torch.manual_seed(5)
    toy, x = Toy(), X.repeat(200)

    def value(objective):
        torch.manual_seed(6)
        return -objective.loss(toy.model, toy.guide, x)

    assert value(BetaELBO(beta=1.0)) == pytest.approx(value(STL(1)), rel=1e-6)
    assert value(RenyiBound(5, alpha=1.0)) == pytest.approx(value(STL(5)), rel=1e-6)
    assert value(RenyiBound(5, alpha=0.0)) == pytest.approx(value(DReG(5)), rel=1e-6)
    assert value(ReweightedWakeSleep(5)) == pytest.approx(value(DReG(5)), rel=1e-6)
    orders = [value(RenyiBound(5, alpha=alpha)) for alpha in (0.9, 0.5, 0.0)]
    assert orders == sorted(orders)
    torch.manual_seed(6)
    terms, _ = sample_log_weights(toy.model, toy.guide, x, 1)
    assert value(BetaELBO(beta=0.0)) == pytest.approx(terms.log_likelihood.sum().item(), rel=1e-6)
    kl = (terms.log_guide - terms.log_prior).sum().item()
    difference = value(BetaELBO(beta=0.0)) - value(BetaELBO(beta=3.0))
    assert difference == pytest.approx(3 * kl, rel=1e-6)


def test_wake_phase_gradient_is_that_of_self_normalised_importance_sampling():
    toy, x, k = Toy(), X[:1], 6
    torch.manual_seed(7)
    state = torch.get_rng_state()
    loss = ReweightedWakeSleep(k).differentiable_loss(toy.model, toy.guide, x)
    got = torch.autograd.grad(loss, list(toy.parameters()))
    torch.set_rng_state(state)
    with torch.no_grad():
        z = (toy.b * x + toy.s * torch.normal(torch.zeros(k, 1, dtype=torch.double), 1)).detach()
    log_p = dist.Normal(0, 1).log_prob(z) + dist.Normal(toy.a * z, 1.0).log_prob(x)
    log_q = dist.Normal(toy.b * x, toy.s).log_prob(z)
    share = (log_p - log_q).detach().softmax(0)
    expected = torch.autograd.grad(-(share * (log_p + log_q)).sum(), list(toy.parameters()))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_free_bits():
    vae = VAE((4,), 3, encoder=(8,), decoder=(8,))
    x = (torch.arange(80) % 3 == 0).float().reshape(20, 4)
    with torch.no_grad():
        q = vae.posterior(x)
        kl = torch.distributions.kl_divergence(q.base_dist, vae.prior().base_dist).mean(0)

    def value(objective):
        torch.manual_seed(1)
        return -objective.loss(vae.model, vae.guide, x) / 20

    free = value(FreeBits(nats=0.0))
    torch.manual_seed(1)
    elbo = -TraceMeanField_ELBO().loss(vae.model, vae.guide, x) / 20
    assert free == pytest.approx(elbo, rel=1e-5)
    floor = float(kl.median())
    assert free - value(FreeBits(nats=floor)) == pytest.approx(
        float(kl.clamp_min(floor).sum() - kl.sum()), rel=1e-3
    )
    dense = VAE((4,), 2, guide=FullCovarianceNormal())
    with pytest.raises(ProgramError, match="independent over dimensions"):
        FreeBits().loss(dense.model, dense.guide, x)


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        ("constant", [2.0, 2.0, 2.0, 2.0]),
        ("linear", [0.0, 1.0, 2.0, 2.0]),
        ("cyclical", [0.0, 2.0, 0.0, 2.0]),
    ],
)
def test_schedules_of_beta(schedule, weights):
    objective = BetaELBO(beta=2.0, schedule=schedule, share=0.5, cycles=2)
    got = []
    for share in (0.0, 0.25, 0.5, 0.75):
        objective.at(share)
        got.append(objective.weight)
    assert got == weights


@pytest.mark.parametrize(
    "name",
    [
        *("dreg-8", "stl", "rws-4", "renyi(num_particles=8, alpha=0.5)"),
        *("beta-elbo(beta=4.0)", "beta-elbo(beta=1.0, schedule=linear, share=0.3)"),
        "free-bits(nats=0.2)",
    ],
)
def test_every_objective_trains_by_its_name_and_resumes(name, tmp_path):
    x = (torch.arange(160) % 3 == 0).float().reshape(40, 4)
    assert objective_name(objective_named(name)) == name

    def trained(epochs_at_once):
        vae = VAE((4,), 2, encoder=(6,), decoder=(6,))
        folder = tmp_path / str(epochs_at_once)
        schedule = {"epochs": 4, "batch_size": 20, "run": folder, "progress": False}
        if epochs_at_once:
            fit(vae, x, name, **schedule)
            return vae
        with (
            mock.patch.object(BetaELBO, "at", autospec=True, side_effect=stop_at_half(BetaELBO.at))
            if "beta" in name
            else contextlib.nullcontext()
        ):
            fit(vae, x, name, **schedule)
        again = VAE((4,), 2, encoder=(6,), decoder=(6,))
        fit(again, x, name, resume=True, **schedule)
        return again

    one, two = trained(True), trained(False)
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key


def stop_at_half(original):
    def at(self, share):
        if share == 0.5:
            raise KeyboardInterrupt
        original(self, share)

    return at


def test_bad_settings():
    for make, message in (
        (lambda: BetaELBO(beta=-1.0), "beta got -1"),
        (lambda: BetaELBO(schedule="sine"), "schedule of beta 'sine'"),
        (lambda: BetaELBO(share=0.0), "share got 0"),
        (lambda: RenyiBound(alpha=math.inf), "alpha got inf"),
        (lambda: FreeBits(nats=-0.1), "nats got -0.1"),
        (lambda: objective_named("iwae(k=3)"), "cannot be made"),
        (lambda: objective_named("iwae(enumerate_discrete=true)"), "cannot be made"),
        (lambda: objective_named("free-bits(enumerate_discrete=true)"), "has none"),
        (lambda: objective_named("free-bits", enumerate_discrete=True), "discrete site"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize(
    "name", ["beta-elbo(beta=3.0, schedule=linear, share=1.0)", "free-bits(nats=5)"]
)
def test_weights_are_chosen_by_the_elbo_whatever_the_kl_weighs(name):
    """With no learning to speak of, the validation ELBO stands still while beta moves."""
    x = (torch.arange(160) % 3 == 0).float().reshape(40, 4)
    data = Dataset.from_tensors(x[:20], x[20:])
    bounds = []
    for objective in (name, "elbo"):
        vae = VAE((4,), 2, encoder=(6,), decoder=(6,))
        settings = {"epochs": 3, "batch_size": 20, "learning_rate": 1e-9, "progress": False}
        bounds.append(fit(vae, data, objective, **settings).metrics["validation_elbo"])
    assert list(bounds[0]) == pytest.approx(list(bounds[1]), rel=1e-6)


def test_free_bits_of_several_sites_and_of_priors_without_a_closed_form():
    """With no floor it is the ELBO, also where the prior of z1 hangs on the draw of z2."""
    # Four particles of 500 rows at once, 60 times: as good as twenty of each row, 300 times.
    x = (torch.arange(80) % 3 == 0).float().reshape(20, 4).repeat(25, 1)
    torch.manual_seed(0)
    hierarchical = HierarchicalVAE((4,), (3, 2), hidden=((6,), (6,)))
    with torch.no_grad():
        hierarchical.encoders[1].output.weight.mul_(2.0)
        hierarchical.decoders[1].output.weight.mul_(2.0)
    heavy = VAE((4,), 2, prior=StudentT(3.0), encoder=(6,), decoder=(6,))
    for model in (hierarchical, heavy):
        ours, theirs = (
            torch.tensor([objective.loss(model.model, model.guide, x) / 500 for _ in range(60)])
            for objective in (FreeBits(4, nats=0.0), objective_named("elbo-4"))
        )
        error = math.sqrt((ours.var() + theirs.var()) / 60)
        assert abs(float(ours.mean() - theirs.mean())) < STANDARD_ERRORS * error


def gradient_at(noise, objective, toy, x):
    """Gradient by (a, b, s), the guide's draws made of noise (K, B)."""

    def standard_normal(shape, dtype, device):
        return noise.flatten()[: math.prod(shape)].reshape(shape).to(dtype)

    toy.zero_grad()
    with mock.patch("torch.distributions.normal._standard_normal", standard_normal):
        objective.loss_and_grads(toy.model, toy.guide, x)
    return torch.stack([p.grad.clone() for p in toy.parameters()])


def together_and_apart(objective, toy):
    """Gradient of a batch, and the sum of those of its data with the same noise, each alone."""
    x = X.repeat(2)[:9]
    noise = torch.randn(5, 9, generator=torch.Generator().manual_seed(8), dtype=torch.double)
    apart = [gradient_at(noise[:, i : i + 1], objective, toy, x[i : i + 1]) for i in range(len(x))]
    return gradient_at(noise, objective, toy, x), sum(apart)


def test_wake_sleep_weighs_each_datum_by_itself():
    torch.testing.assert_close(*together_and_apart(ReweightedWakeSleep(5), Toy()))
    assert objective_name(objective_named("rws")) == "rws-8"
    with pytest.raises(ValueError, match="needs 2 or more"):
        ReweightedWakeSleep(1)


def test_renyi_is_continuous_at_the_elbo_in_single_precision():
    torch.manual_seed(9)
    terms = LogWeights(*(3 * torch.randn(3, 8, 50)).unbind(0))
    elbo = terms.log_weights.mean(0)
    spread = terms.log_weights.double().var(0, correction=0)
    for order in (1e-7, 1e-6, 1e-5, 1e-3, 9.9e-3, 1.01e-2):
        got = RenyiBound(8, alpha=1 - order).bound(terms)
        # First order: mean + order / 2 variance.
        expected = elbo.double() + order / 2 * spread
        torch.testing.assert_close(got.double(), expected, atol=2e-4 + 30 * order**2 * 30, rtol=0)


def test_pyros_wake_sleep_mixes_the_data_of_a_batch():
    """The reason for our own: on several data its gradient is not the sum of each datum's."""
    toy = Toy()

    plain = toy.model

    def model(x):
        declare_parameters(toy=toy)
        return plain(x)

    objective = PyrosWakeSleep(
        num_particles=5, insomnia=1.0, vectorize_particles=True, max_plate_nesting=1
    )
    with mock.patch.object(toy, "model", model):
        together, apart = together_and_apart(objective, toy)
    assert (together - apart).abs().max() > 0.1
