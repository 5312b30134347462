"""The checks catch every planted fault by name, and pass what is right."""

import math
import sys

import numpy as np
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from scipy import integrate, stats

from pyro_vae.inference import log_evidence, verify
from pyro_vae.inference.checking.known_models import far_from_the_prior, known_models
from pyro_vae.inference.training import IWAE
from tests.cases import a_few_always
from tests.inference.checking import mutants

#: Particles in a plate, not one trace after the other.
AT_ONCE = {"vectorize_particles": True, "max_plate_nesting": 1}
KNOWN = {known.name: known for known in known_models(discrete=True)}


@a_few_always("name", mutants.OBJECTIVES, ["tempered by the plate", "mean over data"])
def test_faulty_objective_is_caught_by_name(name):
    make, check = mutants.OBJECTIVES[name]
    report = verify(make(), seed=1)
    assert check in {failed.name for failed in report.failed}
    assert "FAILED" in str(report)


@a_few_always(
    "name",
    mutants.ESTIMATORS,
    [
        "wrong sign",
        "wrong divisor",
        "batch mean for each",
        "ELBO for evidence",
        "one number for all",
        "of the guide alone",
    ],
)
def test_faulty_estimator_is_caught_by_name(name):
    estimator, check = mutants.ESTIMATORS[name]
    assert check in {failed.name for failed in verify(estimator, seed=1).failed}


def test_fault_of_rounding_alone_fails_that_check_alone():
    (failed,) = verify(mutants.density_rounded_to_zero, seed=1).failed
    assert (failed.name, failed.value, failed.expected) == ("underflow", -math.inf, 0.0)


def test_noise_at_the_posterior_is_no_fault():
    """Draws of the prior among those of the guide: no weight is p(x), their mean is."""
    report = verify(mutants.defensive_estimator, seed=1)
    assert report.passed, str(report)


def test_fault_of_the_scale_alone_fails_that_check_alone():
    """A precise name: an objective whose only fault is its scale fails nothing else."""
    report = verify(mutants.tempered_by_the_plate(), seed=2)
    assert [failed.name for failed in report.failed] == ["scale outside the logarithm"]


@a_few_always(
    "objective",
    [Trace_ELBO(**AT_ONCE), IWAE(5), TraceMeanField_ELBO(**AT_ONCE)],
    ids=lambda o: type(o).__name__,
)
def test_right_objectives_pass(objective):
    report = verify(objective)
    assert report.passed, str(report)


@pytest.mark.slow
@pytest.mark.parametrize(
    "subject", [Trace_ELBO(), IWAE(5), mutants.right_estimator], ids=["elbo", "iwae", "evidence"]
)
def test_what_is_right_never_fails(subject):
    for seed in range(20):
        report = verify(subject, seed=seed)
        assert report.passed, str(report)


def ours(model, guide, x, num_particles):
    results = log_evidence(model, guide, x, num_particles)
    return torch.as_tensor(results["log_evidence"].values)


def test_our_estimate_of_log_px_passes_on_one_model(monkeypatch):
    checks, known = sys.modules[verify.__module__], [KNOWN["conjugate normal"]]
    monkeypatch.setattr(checks, "known_models", lambda **_: known)
    monkeypatch.setattr(checks, "_REPEATS", 15)
    report = verify(ours)
    assert report.passed, str(report)
    assert len(report.checks) == 9


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [15, 100])
def test_our_estimate_of_log_px_passes(repeats, monkeypatch):
    monkeypatch.setattr(sys.modules[verify.__module__], "_REPEATS", repeats)
    report = verify(ours)
    assert report.passed, str(report)
    assert "35 of 35 checks passed (seed 0" in str(report)


def test_known_models_are_known_by_another_route():
    x = KNOWN["conjugate normal"].x.numpy()
    np.testing.assert_allclose(
        KNOWN["conjugate normal"].log_px, stats.norm(0, math.sqrt(2)).logpdf(x), atol=1e-10
    )
    # E_q[log p(x, z)] + H(q), q = N(m, t^2): all normal integrals.
    m, t = 0.3 * x, 0.9
    expected = -0.5 * (2 * math.log(2 * math.pi) + m**2 + t**2 + (x - m) ** 2 + t**2)
    expected += 0.5 * math.log(2 * math.pi * math.e * t**2)
    np.testing.assert_allclose(KNOWN["conjugate normal"].elbo, expected, atol=1e-10)
    mixed = 0.3 * stats.norm(-1.5, math.hypot(0.6, 1)).pdf(x)
    mixed += 0.7 * stats.norm(1.0, math.hypot(0.8, 1)).pdf(x)
    np.testing.assert_allclose(KNOWN["mixture of normals"].log_px, np.log(mixed), atol=1e-10)
    # All eight values of x: their probabilities sum to one.
    assert float(KNOWN["Bernoulli"].log_px.exp().sum()) == pytest.approx(1.0, abs=1e-10)
    binary = KNOWN["binary latents"]
    assert (binary.elbo < binary.log_px).all()
    parts = [
        (np.prod(np.where(z, [0.5, 0.3, 0.8], [0.5, 0.7, 0.2])), np.dot(z, [1.0, -2.0, 0.5]))
        for z in np.ndindex(2, 2, 2)
    ]
    density = sum(share * stats.norm(mean, 1).pdf(x) for share, mean in parts)
    np.testing.assert_allclose(binary.log_px, np.log(density), atol=1e-10)


def test_the_model_far_from_the_prior_is_known_too():
    far = far_from_the_prior()
    # log p(x, z) - log p(z | x) is log p(x) at any z; where it is, exp() gives zero.
    z = torch.tensor([[39.0], [41.0]], dtype=torch.double)
    log_px = far.prior.log_prob(z) + far.likelihood(z).log_prob(far.x)
    log_px -= far.exact_posterior(far.x).log_prob(z)
    np.testing.assert_allclose(log_px, far.log_px.expand(2, -1), atol=1e-9)
    assert float(far.log_px.exp().max()) == 0.0
    q = far.posterior(far.x)
    m, t = q.loc.numpy(), q.scale.numpy()
    expected = -0.5 * (2 * math.log(2 * math.pi) + m**2 + t**2 + (far.x.numpy() - m) ** 2 + t**2)
    expected += 0.5 * np.log(2 * math.pi * math.e * t**2)
    np.testing.assert_allclose(far.elbo, expected, atol=1e-9)


def test_linear_gaussian_elbo_by_integration():
    known = KNOWN["linear-Gaussian"]
    axis = torch.linspace(-8, 8, 401, dtype=torch.double)
    z = torch.cartesian_prod(axis, axis).unsqueeze(1)
    log_joint = known.prior.log_prob(z) + known.likelihood(z).log_prob(known.x)
    log_q = known.posterior(known.x).log_prob(z)
    terms = {"log_px": log_joint.exp(), "elbo": log_q.exp() * (log_joint - log_q)}
    for name, density in terms.items():
        grid = density.reshape(401, 401, -1).numpy()
        total = integrate.simpson(integrate.simpson(grid, x=axis, axis=0), x=axis, axis=0)
        got = np.log(total) if name == "log_px" else total
        np.testing.assert_allclose(getattr(known, name), got, atol=1e-6)


def test_what_is_neither_is_refused():
    with pytest.raises(TypeError, match="subject got int"):
        verify(3)
    with pytest.raises(ValueError, match="num_particles got 1"):
        verify(Trace_ELBO(), num_particles=1)
