"""The panel of the identity: its terms against SciPy, its steps against autograd."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.lecture import TOY
from tests.lecture.pages import press, set_slider, shown, wait_until

W, B, S = TOY["w"], TOY["b"], TOY["s"]


@pytest.fixture
def page(opened, explorer):
    return opened(explorer)


SETTINGS = [(2.0, -1.0, 1.2), (-4.0, 2.5, 0.15), (6.0, -3.0, 2.0), (0.5, 0.05, 0.55)]


@pytest.mark.parametrize(("x", "mean", "sd"), SETTINGS)
def test_the_identity_is_that_of_scipy(page, x, mean, sd):
    for name, value in (("x", x), ("mean", mean), ("sd", sd)):
        set_slider(page, f"identity-{name}", value)
    told = page.evaluate("pyroVae.identity.terms()")
    assert (told["x"], told["mean"], told["sd"]) == (x, mean, sd)
    evidence = stats.norm(B, math.hypot(W, S)).logpdf(x)
    # E_q of quadratic log-densities is exact by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    z, weights = mean + sd * nodes, weights / weights.sum()
    log_q = stats.norm(mean, sd).logpdf(z)
    reconstruction = weights @ stats.norm(W * z + B, S).logpdf(x)
    to_prior = weights @ (log_q - stats.norm.logpdf(z))
    posterior = stats.norm(told["posteriorMean"], told["posteriorSd"])
    log_posterior = stats.norm.logpdf(z) + stats.norm(W * z + B, S).logpdf(x) - evidence
    np.testing.assert_allclose(posterior.logpdf(z), log_posterior, atol=1e-9)
    assert told["evidence"] == pytest.approx(evidence, abs=1e-9)
    assert told["reconstruction"] == pytest.approx(reconstruction, abs=1e-9)
    assert told["toPrior"] == pytest.approx(to_prior, abs=1e-9)
    assert told["bound"] == pytest.approx(reconstruction - to_prior, abs=1e-9)
    assert told["divergence"] == pytest.approx(weights @ (log_q - log_posterior), abs=1e-9)
    assert abs(told["residual"]) < 1e-9
    assert told["residual"] == told["evidence"] - (told["bound"] + told["divergence"])
    for name in ("evidence", "bound", "divergence", "reconstruction"):
        assert shown(page, f"identity-value-{name}") == pytest.approx(told[name], abs=5.1e-5)
    assert shown(page, "identity-value-evidence") == pytest.approx(
        shown(page, "identity-value-bound") + shown(page, "identity-value-divergence"), abs=1.6e-4
    )


def test_sliders_move_by_keyboard(page):
    before = page.evaluate("pyroVae.identity.terms()")
    press(page, "#identity-mean", "ArrowRight", 3)
    press(page, "#identity-sd", "ArrowLeft", 2)
    press(page, "#identity-x", "ArrowRight")
    after = page.evaluate("pyroVae.identity.terms()")
    assert after["mean"] == pytest.approx(before["mean"] + 0.15)
    assert after["sd"] == pytest.approx(before["sd"] - 0.10)
    assert after["x"] == pytest.approx(before["x"] + 0.05)
    assert page.get_attribute("#identity-mean", "aria-valuetext") == "−0.85"
    wait_until(page, "document.getElementById('identity-said').textContent !== ''")


def gradients(x, mean, sd):
    """Autograd's gradient of the bound: in m, log s, w and b."""
    at = [mean, math.log(sd), W, B]
    m, r, w, b = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    q = torch.distributions.Normal(m, r.exp())
    missed = (x - b - w * m) ** 2 + (w * r.exp()) ** 2
    prior = torch.distributions.Normal(*torch.tensor([0.0, 1.0]).double())
    bound = -missed / (2 * S**2) - torch.distributions.kl_divergence(q, prior)
    return [float(slope) for slope in torch.autograd.grad(bound, (m, r, w, b))]


@pytest.mark.parametrize(("x", "mean", "sd"), SETTINGS)
def test_encoder_steps_raise_the_bound_and_not_the_evidence(page, x, mean, sd):
    for name, value in (("x", x), ("mean", mean), ("sd", sd)):
        set_slider(page, f"identity-{name}", value)
    first = page.evaluate("pyroVae.identity.terms()")
    press(page, "#identity-encoder", "Enter")
    slope_m, slope_r, *_ = gradients(x, mean, sd)
    second = page.evaluate("pyroVae.identity.terms()")
    step = (second["mean"] - mean) / slope_m
    assert step == pytest.approx(0.1 / 2 ** round(math.log2(0.1 / step)), rel=1e-9)
    assert math.log(second["sd"] / sd) == pytest.approx(step * slope_r, abs=1e-12)
    assert second["toy"] == first["toy"]
    press(page, "#identity-encoder", "Enter", 80)
    history = page.evaluate("pyroVae.identity.history()")
    assert len(history) == 82
    bounds = [terms["bound"] for terms in history]
    assert all(b >= a for a, b in itertools.pairwise(bounds))
    assert bounds[10] > bounds[0]
    assert {terms["evidence"] for terms in history} == {first["evidence"]}
    assert history[-1]["divergence"] < 1e-4
    assert max(abs(terms["residual"]) for terms in history) < 1e-9
    set_slider(page, "identity-mean", 1)
    assert len(page.evaluate("pyroVae.identity.history()")) == 1


@pytest.mark.parametrize(("x", "mean", "sd"), SETTINGS)
def test_decoder_steps_raise_the_bound_and_move_the_evidence(page, x, mean, sd):
    for name, value in (("x", x), ("mean", mean), ("sd", sd)):
        set_slider(page, f"identity-{name}", value)
    first = page.evaluate("pyroVae.identity.terms()")
    press(page, "#identity-decoder", "Enter")
    *_, slope_w, slope_b = gradients(x, mean, sd)
    second = page.evaluate("pyroVae.identity.terms()")
    step = (second["toy"]["b"] - B) / slope_b
    assert step == pytest.approx(0.1 / 2 ** round(math.log2(0.1 / step)), rel=1e-9)
    assert second["toy"]["w"] - W == pytest.approx(step * slope_w, rel=1e-9)
    assert (second["mean"], second["sd"], second["toy"]["s"]) == (mean, sd, S)
    assert second["bound"] > first["bound"]
    w, b = second["toy"]["w"], second["toy"]["b"]
    assert second["evidence"] == pytest.approx(stats.norm(b, math.hypot(w, S)).logpdf(x))
    assert second["evidence"] != first["evidence"]


def test_in_turn_the_bound_never_falls_and_only_the_decoder_moves_the_evidence(page):
    for _ in range(4):
        page.click("#identity-turns")
    history = page.evaluate("pyroVae.identity.history()")
    assert len(history) == 41
    for step, (before, after) in enumerate(itertools.pairwise(history)):
        assert after["bound"] > before["bound"]
        assert abs(after["residual"]) < 1e-9
        assert (after["evidence"] == before["evidence"]) == (step % 10 < 5)
    assert history[-1]["evidence"] > history[0]["evidence"]
    page.click("#identity-reset")
    assert page.evaluate("pyroVae.identity.terms().toy") == TOY


def test_steps_are_animated_unless_motion_is_unwelcome(opened, explorer):
    still, moving = opened(explorer), opened(explorer, motion="no-preference")
    for page in (still, moving):
        page.click("#identity-turns")
    assert len(still.evaluate("pyroVae.identity.history()")) == 11
    assert len(moving.evaluate("pyroVae.identity.history()")) < 11
    wait_until(moving, "pyroVae.identity.history().length === 11")
