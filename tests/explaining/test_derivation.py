"""The derivation's numbers against SciPy, and faults that a line must name."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import kl_divergence, register_kl

from pyro_vae.errors import DataError, EqualityError, ProgramError
from pyro_vae.explaining import derivation_of, known_of
from pyro_vae.explaining.derivation import _trusted, derive
from pyro_vae.explaining.derivation_lines import QUANTITIES, Symbols, Term, compare_terms
from pyro_vae.explaining.em_view import e_step_view, em_view, joint_view
from pyro_vae.inference.engine.conjugate import ConjugateNormal
from pyro_vae.inference.evidence.importance import log_evidence
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.models import VAE, HierarchicalVAE, MixtureModel
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.linear import LinearVAE
from pyro_vae.models.priors import CategoricalNormal
from tests.cases import a_few_always
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

X = torch.tensor([1.3], dtype=torch.double)
W, B, S = 1.5, 0.5, 0.8
A, C, T = 0.4, -0.1, 0.7


def toy():
    return ConjugateNormal(W, B, S, slope=A, shift=C, width=T)


def line(derivation, name):
    (step,) = [step for step in derivation.steps if step.name == name]
    return step


def oracle(x):
    """log p(x), L_b, KL to the posterior, E_q[log p(x|z)] and KL to the prior, by SciPy."""
    q, prior = stats.norm(A * x + C, T), stats.norm()
    likelihood = lambda z: stats.norm(W * z + B, S).logpdf(x)  # noqa: E731

    def mean(value):
        return integrate.quad(lambda z: q.pdf(z) * value(z), -9, 9, epsabs=1e-11, limit=200)[0]

    joint = lambda z: np.exp(likelihood(z) + prior.logpdf(z))  # noqa: E731
    log_px = math.log(integrate.quad(joint, -9, 9, epsabs=1e-14, limit=200)[0])
    reconstruction = mean(likelihood)
    to_prior = mean(lambda z: q.logpdf(z) - prior.logpdf(z))
    to_posterior = mean(lambda z: q.logpdf(z) - likelihood(z) - prior.logpdf(z)) + log_px
    return log_px, reconstruction - to_prior, to_posterior, reconstruction, to_prior


@a_few_always("route", ["closed form", "quadrature"], ["quadrature"])
def test_every_number_of_the_toy(route):
    model = toy()
    found = (
        derivation_of(model, X) if route == "closed form" else derive(model.model, model.guide, X)
    )
    log_px, elbo, kl, reconstruction, to_prior = oracle(X.item())
    found.check()
    assert found.log_evidence.source.startswith(route)
    tolerance = 1e-8 if route == "closed form" else 1e-5
    assert found.log_evidence.value == pytest.approx(log_px, abs=tolerance)
    assert found.kl.value == pytest.approx(kl, abs=tolerance)
    assert abs(found.elbo.value - elbo) < STANDARD_ERRORS * found.elbo.standard_error
    exact = {"KL(q(z|x) || p(z))": to_prior}
    drawn = {"E_q[log p(x|z)]": reconstruction, "E_q[log q(z|x)/p(z)]": to_prior}
    drawn |= {"E_q[log q(z|x)/p(z|x)]": kl, "log E_q[p(x,z)/q(z|x)]": log_px}
    seen = {term.symbols: term for step in found.steps for term in step.right}
    for symbols, value in exact.items():
        assert seen[symbols].value == pytest.approx(value, abs=1e-8)
        assert seen[symbols].standard_error == 0
    for symbols, value in drawn.items():
        assert abs(seen[symbols].value - value) < STANDARD_ERRORS * seen[symbols].standard_error
    if route == "closed form":
        closed = line(found, "L_b and the gap, without draws")
        assert closed.right[0].value == pytest.approx(elbo, abs=1e-8)
        assert closed.residual_error == 0
    else:
        assert line(found, "the guide is a density").right[0].value == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_paired_errors_are_the_spread_over_seeds():
    # 120 derivations of 400 draws: the sd of z-scores has a relative error of 1 / sqrt(240).
    model = toy()
    scores = {"L_b and the gap": [], "the KL to the prior": [], "the mean weight": []}
    for seed in range(120):
        found = derivation_of(model, X, num_particles=400, seed=seed)
        for name, values in scores.items():
            step = line(found, name)
            values.append(step.residual / step.residual_error)
    for values in scores.values():
        assert np.std(values) == pytest.approx(1, abs=STANDARD_ERRORS / math.sqrt(240))
        assert abs(np.mean(values)) < STANDARD_ERRORS / math.sqrt(120)


def test_the_same_draws_on_both_sides():
    # The reconstruction alone varies far more than the paired residual of its line.
    step = line(derivation_of(toy(), X), "the KL to the prior")
    assert step.residual_error < 0.6 * math.hypot(step.left.standard_error, step.standard_error)


def test_checks_and_identities_are_told_apart():
    def kinds(found):
        return {step.name: step.kind for step in found.steps}

    closed = kinds(derivation_of(toy(), X))
    assert closed["Bayes' rule"] == "check"
    gridded = kinds(derive(toy().model, toy().guide, X))
    assert gridded["Bayes' rule"] == "identity"
    assert gridded["L_b and the gap"] == gridded["the mean weight"] == "check"
    pair = LinearGaussian(latent_dim=3)
    x = pair.draw(1)
    sampled = derive(pair.model, pair.guide, x)
    assert kinds(sampled)["L_b and the gap"] == "identity"
    assert kinds(sampled)["the mean weight"] == "check"
    assert any("by definition" in note for note in sampled.notes)


def test_without_closed_form_or_grid_against_the_oracle(monkeypatch):
    pair, seeds = LinearGaussian(latent_dim=3), []
    x = pair.draw(1)

    def spied(*given, seed, **settings):
        seeds.append(seed)
        return log_evidence(*given, seed=seed, **settings)

    monkeypatch.setattr("pyro_vae.explaining.derivation.log_evidence", spied)
    found = derive(pair.model, pair.guide, x)
    found.check()
    # Its draws are not those of L_b, and both are in the error of the KL.
    assert found.seed not in seeds
    errors = found.elbo.standard_error, found.log_evidence.standard_error
    assert found.kl.standard_error == pytest.approx(math.hypot(*errors))
    assert found.log_evidence.source.startswith("importance sampling")
    for term, value in (
        (found.log_evidence, pair.log_px(x)[()]),
        (found.kl, pair.gap()),
        (found.elbo, (pair.log_px(x) - pair.gap())[()]),
    ):
        assert abs(term.value - float(value)) < STANDARD_ERRORS * term.standard_error
    closed = line(found, "the KL to the prior").right[1]
    assert (closed.source, closed.value) == (
        "closed form",
        pytest.approx(pair.kl_to_prior(x)[0], abs=1e-9),
    )


class OffNormal(dist.Normal):
    """A normal whose log-probability is too high by 0.2."""

    def log_prob(self, value):
        return super().log_prob(value) + 0.2


class OddPrior(dist.Normal):
    """A normal whose KL is registered with a bias."""


@register_kl(dist.Normal, OddPrior)
def _biased(q, p):
    return kl_divergence(q, dist.Normal(p.loc, p.scale)) + 0.2


class OffGuide(ConjugateNormal):
    def posterior(self, x):
        right = super().posterior(x)
        return OffNormal(right.loc, right.scale)


class OddModel(ConjugateNormal):
    def model(self, x):
        w, b = self.theta
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", OddPrior(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(w * z + b, self.log_scale.exp()), obs=x)


class OffPosterior(ConjugateNormal):
    def exact_posterior(self, x):
        right = super().exact_posterior(x)
        return dist.Normal(right.loc, 1.05 * right.scale)


class OffEvidence(ConjugateNormal):
    def log_prob(self, x):
        return super().log_prob(x) + 1e-4


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (OffGuide, "line 4 (L_b and the gap)"),
        (OddModel, "line 8 (the KL to the prior)"),
        (OffPosterior, "line 2 (Bayes' rule)"),
        (OffEvidence, "line 2 (Bayes' rule)"),
    ],
)
def test_a_fault_is_named_by_its_line(fault, name):
    found = derivation_of(fault(), X)
    assert not found.holds
    with pytest.raises(EqualityError) as raised:
        found.check()
    assert name in str(raised.value)
    assert "tolerance" in str(raised.value)


def test_a_guide_off_is_found_by_the_grid_and_by_the_closed_kl():
    model = OffGuide()
    failing = {s.name for s in derive(model.model, model.guide, X).steps if not s.holds}
    assert {"the guide is a density", "the KL to the prior", "the mean weight"} <= failing
    pair = LinearGaussian(latent_dim=3)

    def guide(x):
        means = (x - torch.tensor(pair.m)) @ torch.tensor(pair.A).T
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", OffNormal(means, torch.tensor(pair.t)).to_event(1))

    with pytest.raises(EqualityError, match="the KL to the prior"):
        derive(pair.model, guide, pair.draw(1)).check()


def test_a_broken_residual_does_not_hold():
    left, right = (Term("a", "a", v, 0.0, "", ()) for v in (1.0, math.nan))
    assert not compare_terms("n", left, (right,), why="").holds
    infinite = Term("c", "c", math.inf, 0.0, "", ())
    for relation in (">=", "!="):
        assert not compare_terms("n", infinite, (left,), relation=relation, why="").holds
    low = Term("b", "b", 0.0, 0.0, "", ())
    assert not compare_terms("n", low, (left,), relation=">=", why="").holds
    assert compare_terms("n", left, (low,), relation=">=", why="").holds
    assert not compare_terms("n", left, (left,), relation="!=", why="").holds
    assert compare_terms("n", left, (low,), relation="!=", why="").holds


def test_a_line_in_symbols_has_the_signs_of_its_terms():
    step = line(derivation_of(toy(), X), "the KL to the prior")
    assert step.symbols == "L_b = E_q[log p(x|z)] - KL(q(z|x) || p(z))"
    assert r"] - \mathrm{KL}(q(z \mid x)" in step.latex
    assert step.value == pytest.approx(step.right[0].value - step.right[1].value)


def test_the_tolerance_of_a_line_written_out():
    """4 errors, of independent sides in quadrature; rounding of the largest term, or of 1 nat."""

    def term(value, error, sign=1):
        return Term("t", "t", value, error, "", (), sign)

    left, right = term(-100.0, 0.3), (term(-50.0, 0.4), term(49.0, 1.2, sign=-1))
    step = compare_terms("n", left, right, why="", rounding=1e-4, slack=0.5)
    assert step.residual == pytest.approx(-1.0)
    assert step.standard_error == pytest.approx(math.hypot(0.4, 1.2))
    assert step.residual_error == pytest.approx(1.3)
    assert step.tolerance == pytest.approx(4 * 1.3 + 1e-4 * 100 + 0.5)
    small = compare_terms("n", term(0.1, 0.0), (term(0.2, 0.0),), why="", rounding=1e-4)
    assert small.tolerance == pytest.approx(1e-4)


def test_bayes_rule_is_judged_at_the_worst_draw():
    step = line(derivation_of(OffPosterior(), X), "Bayes' rule")
    assert abs(step.residual) > 3 * abs(step.left.value - step.value) > 0


def test_names_come_from_the_trace():
    def model(pixels):
        with pyro.plate("data", len(pixels), dim=-1):
            code = pyro.sample("my_code", dist.Normal(torch.zeros((), dtype=torch.double), 1.0))
            with pyro.plate("inner", 2, dim=-2):
                pyro.sample("noise", dist.Normal(torch.zeros((), dtype=torch.double), 1.0))
            pyro.sample("pixels", dist.Normal(code, 1.0), obs=pixels)

    def guide(pixels):
        with pyro.plate("data", len(pixels), dim=-1):
            pyro.sample("my_code", dist.Normal(pixels / 2, 0.8))
            with pyro.plate("inner", 2, dim=-2):
                pyro.sample("noise", dist.Normal(torch.zeros((), dtype=torch.double), 0.9))

    found = derive(model, guide, X)
    found.check()
    weight = line(found, "q in and out").right[0]
    assert weight.sites == (
        *("model: pixels", "model: my_code", "model: noise"),
        *("guide: my_code", "guide: noise"),
    )
    assert weight.symbols == "E_q[log p(pixels,my_code,noise)/q(my_code,noise|pixels)]"
    assert r"\mathrm{my\_code}" in weight.latex
    # Two sites, one of them in a plate of 2: the closed forms add up.
    closed = line(found, "the KL to the prior").right[1]
    normal = torch.distributions.Normal
    expected = kl_divergence(normal(X / 2, 0.8), normal(0.0, 1.0)).item()
    expected += 2 * kl_divergence(normal(0.0, 0.9), normal(0.0, 1.0)).item()
    assert (closed.source, closed.value) == ("closed form", pytest.approx(expected, abs=1e-6))


def test_layers_have_no_closed_kl():
    model = HierarchicalVAE((3, 3), (2, 2), hidden=((8,), (8,)))
    found = derivation_of(model, torch.ones(1, 3, 3))
    found.check()
    step = line(found, "the KL to the prior")
    assert step.kind == "identity"
    assert "depends on the draw of another" in step.why
    assert {"model: z1", "model: z2", "guide: z1", "guide: z2"} < set(step.sites)
    assert "z_{1}, z_{2}" in step.latex


def test_linear_vae_is_all_closed_forms():
    torch.manual_seed(1)
    model = LinearVAE((4,), 2)
    x = torch.randn(1, 4)
    found = derivation_of(model, x)
    found.check()
    kinds = {step.name: step.kind for step in found.steps}
    assert (
        kinds["Bayes' rule"] == kinds["L_b and the gap"] == kinds["the KL to the prior"] == "check"
    )
    q, prior = model.posterior(x), dist.MultivariateNormal(torch.zeros(2), torch.eye(2))
    expected = kl_divergence(q, prior).item()
    assert line(found, "the KL to the prior").right[1].value == pytest.approx(expected, abs=1e-5)


def test_a_site_summed_out_leaves_the_kl_sampled():
    model = VAE((3, 3), 1, encoder=(8,), decoder=(8,), prior=CategoricalNormal(3))
    found = derivation_of(model, torch.ones(1, 3, 3))
    found.check()
    assert "summed out" in line(found, "the KL to the prior").why


def test_mixture_has_nothing_to_bound():
    torch.manual_seed(2)
    model = MixtureModel(3, Normal("latent"), (2,))
    model.initialise(torch.randn(30, 2))
    x = torch.randn(1, 2)
    found = derivation_of(model, x)
    found.check()
    assert "no bound to derive" in found.notes[0]
    assert found.elbo.value == pytest.approx(model.log_prob(x).item(), abs=1e-4)
    assert (found.kl.value, found.num_particles) == (0, 0)
    assert found.steps[0].kind == "check"


def test_an_estimate_that_draws_of_the_prior_contradict_is_not_judged():
    """x | z ~ N(z_1^2, 0.3): the guide has one of the two modes, and k-hat says nothing."""

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z[..., 0] ** 2, 0.3), obs=x)

    def guide(x):
        loc = torch.stack([x.sqrt(), torch.zeros_like(x), torch.zeros_like(x)], dim=-1)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc, torch.tensor([0.2, 1.0, 1.0])).to_event(1))

    found = derive(model, guide, torch.tensor([2.0]), num_particles=500)
    assert line(found, "the mean weight").kind == "not judged"
    assert any("draws from the prior contradict the guide's" in note for note in found.notes)
    assert not any("k-hat of the weights" in note for note in found.notes)


def test_weights_that_say_nothing_are_not_judged():
    pair = LinearGaussian(latent_dim=3)
    x = pair.draw(1)

    def narrow(x):
        means = (x - torch.tensor(pair.m)) @ torch.tensor(pair.A).T
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(means + 1.0, 0.1).to_event(1))

    found = derive(pair.model, narrow, x)
    assert line(found, "the mean weight").kind == "not judged"
    assert any("not to be believed" in note for note in found.notes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": X.repeat(3)}, DataError, "3 rows"),
        ({"num_particles": 1}, ValueError, "num_particles got 1"),
    ],
)
def test_refusals(arguments, error, message):
    model = toy()
    settings = {"x": X, **arguments}
    with pytest.raises(error, match=message):
        derive(model.model, model.guide, settings.pop("x"), **settings)


def test_a_posterior_is_of_one_site():
    model = HierarchicalVAE((3, 3), (2, 2), hidden=((8,), (8,)))
    with pytest.raises(ProgramError, match="z1, z2"):
        derive(model.model, model.guide, torch.ones(1, 3, 3), posterior=dist.Normal(0.0, 1.0))


def data(count=32):
    generator = torch.Generator().manual_seed(0)
    return -1 + 2 * torch.randn(count, generator=generator, dtype=torch.double)


def test_training_moves_all_three():
    view = joint_view(toy(), data(), steps=150)
    assert all(claim.holds for claim in view.claims)
    last = view.table.iloc[-1]
    assert last["kl"] < 0.02
    # Maximum likelihood of a normal: the best mean log p(x) there is.
    x = data().numpy()
    best = stats.norm(x.mean(), x.std()).logpdf(x).mean()
    assert best - 0.05 < last["log_px"] <= best + 1e-9


def test_closed_forms_along_the_way_are_scipys():
    model = toy()
    joint_view(model, data(), steps=5)
    a, c = model.phi.tolist()
    t, (w, b), s = model.log_width.exp().item(), model.theta.tolist(), model.log_scale.exp().item()
    found = model.identity(X)
    x, q = X.item(), stats.norm(a * X.item() + c, t)
    joint = lambda z: stats.norm(w * z + b, s).logpdf(x) + stats.norm().logpdf(z)  # noqa: E731
    elbo = integrate.quad(lambda z: q.pdf(z) * (joint(z) - q.logpdf(z)), -9, 9, epsabs=1e-11)[0]
    assert found.elbo.item() == pytest.approx(elbo, abs=1e-8)
    assert found.log_px.item() == pytest.approx(
        stats.norm(b, math.hypot(w, s)).logpdf(x), abs=1e-9
    )


def test_steps_of_em():
    view = em_view(toy(), data(), rounds=2, steps=60)
    assert all(claim.holds for claim in view.claims)
    guide = view.table.iloc[:61]
    assert np.ptp(guide["log_px"]) < 1e-6
    assert guide["elbo"].iloc[-1] > guide["elbo"].iloc[0] + 0.1
    assert (view.table["step"].diff().dropna() == 1).all()


class LeakyGuide(ConjugateNormal):
    """Its guide trains the model along with itself."""

    @property
    def guide_parameters(self):
        return [self.phi, self.log_width, self.theta]


def test_an_e_step_that_moves_the_model_is_found_out():
    view = em_view(LeakyGuide(), data(), rounds=1, steps=20)
    assert [claim.name for claim in view.claims if not claim.holds] == ["E-step 1 leaves log p(x)"]


@pytest.mark.parametrize("off", [1e-4, -1e-4])
def test_an_identity_that_fails_at_one_step_is_found_out(off):
    class Off(ConjugateNormal):
        """Off by so much at the second of its steps alone."""

        calls = 0

        def identity(self, x):
            found = super().identity(x)
            self.calls += 1
            return found._replace(kl=found.kl + (off if self.calls == 2 else 0.0))

    claim = joint_view(Off(), data(), steps=3).claims[0]
    assert not claim.holds
    assert "step 1" in claim.why


def test_e_step_of_one_datum():
    torch.manual_seed(3)
    model = LinearVAE((4,), 1).double()
    x = torch.randn(1, 4, dtype=torch.double)
    before = derivation_of(model, x)
    view = e_step_view(model, x, before, steps=300, known=lambda: known_of(model, x))
    view.after.check()
    assert all(claim.holds for claim in view.claims)
    assert view.after.log_evidence.value == pytest.approx(before.log_evidence.value, abs=1e-6)
    # The family holds the posterior: nothing is left of the gap.
    assert before.kl.value > 0.05
    assert view.after.kl.value < 0.01


def test_an_e_step_that_changes_theta_is_found_out():
    torch.manual_seed(3)
    model = LinearVAE((4,), 1).double()
    x = torch.randn(1, 4, dtype=torch.double)
    before = derivation_of(model, x)

    def known():
        with torch.no_grad():
            model.bias.add_(0.01)
        return known_of(model, x)

    view = e_step_view(model, x, before, steps=5, known=known)
    failing = [claim.name for claim in view.claims if not claim.holds]
    assert "the E-step leaves log p(x)" in failing


def test_an_e_step_that_trains_theta_is_found_out(monkeypatch):
    torch.manual_seed(3)
    model = LinearVAE((4,), 1).double()
    x = torch.randn(1, 4, dtype=torch.double)
    before = derivation_of(model, x, seed=2)

    def leaky(local, *given, seed, **settings):
        assert seed == before.seed
        with torch.no_grad():
            model.bias[0] -= 1e-3
        return fit_guide(local, *given, seed=seed, **settings)

    monkeypatch.setattr("pyro_vae.explaining.em_view.fit_guide", leaky)
    claims = e_step_view(model, x, before, steps=5, known=lambda: known_of(model, x)).claims
    (theta,) = (claim for claim in claims if claim.name == "the E-step leaves theta")
    assert not theta.holds
    assert theta.residual == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("khat", "size", "trusted"),
    [
        (math.nan, 20, False),  # too few to fit a tail
        (math.nan, 100, True),  # equal weights
        (0.45, 100, True),
        (0.55, 100, False),
        (0.65, 1000, True),
        (0.69, 10**6, True),
        (0.71, 10**6, False),
    ],
)
def test_the_fewer_the_weights_the_less_khat_is_trusted(khat, size, trusted):
    """Vehtari et al. (2024): min(1 - 1 / log10(S), 0.7), which is 1/2 at 100, 2/3 at 1000."""
    assert _trusted(khat, size) is trusted


@pytest.mark.slow
def test_the_error_of_few_weights_is_not_believed():
    found = derivation_of(VAE((6,), 2, seed=1), torch.ones(1, 6), num_particles=10)
    (line,) = (step for step in found.steps if step.name == "the mean weight")
    assert line.kind == "not judged"
    assert "nan" not in line.why + " ".join(found.notes)
    assert "k-hat is unknown of 10 draws" in line.why


def test_the_element_of_an_integral_is_of_all_the_sites():
    text = QUANTITIES["mass"]
    assert Symbols(("z",), ("x",)).both(*text)[0] == "∫ q(z|x) dz"
    plain, tex = Symbols(("z1", "z2"), ("x",)).both(*text)
    assert plain == "∫ q(z1,z2|x) d(z1,z2)"
    assert tex.endswith(r"\, d(z_{1}, z_{2})")
