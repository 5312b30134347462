"""Coverage of intervals and plans of particles, where log p(x) is known exactly."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from scipy import stats

from pyro_vae.inference import evaluate, log_evidence, plan_particles
from pyro_vae.inference.engine.bounds import log_evidence_of
from pyro_vae.inference.engine.diagnostics import pareto_khat
from pyro_vae.inference.evidence import interval, reach
from pyro_vae.inference.evidence.trust import trusted
from tests.cases import a_few_always
from tests.oracles import LinearGaussian

ORACLE = LinearGaussian()


def weights_of(x, particles, rng):
    """Log-weights of the oracle's pair for each row of x, in NumPy: ``(particles, n)``."""
    x, noise = x.numpy(), rng.normal(size=(particles, len(x), ORACLE.W.shape[1]))
    z = (x - ORACLE.m) @ ORACLE.A.T + ORACLE.t * noise
    log_prior = stats.norm.logpdf(z).sum(-1)
    log_likelihood = stats.norm.logpdf(x - ORACLE.m - z @ ORACLE.W.T, scale=ORACLE.s).sum(-1)
    log_guide = (stats.norm.logpdf(noise) - np.log(ORACLE.t)).sum(-1)
    return torch.tensor(log_prior + log_likelihood - log_guide)


def as_results(weights):
    value, error = log_evidence_of(weights)
    rows = {"log_evidence": value, "log_evidence_se": error, "khat": pareto_khat(weights)}
    rows["doubt"] = np.zeros(len(value))
    return xr.Dataset(
        {name: ("datum", np.asarray(row)) for name, row in rows.items()},
        coords={"datum": np.arange(len(value))},
        attrs={"particles": len(weights)},
    )


@a_few_always(("particles", "level"), [(100, 0.95), (400, 0.95), (400, 0.5)])
def test_intervals_cover_as_often_as_they_say(particles, level):
    x = ORACLE.draw(1000)
    results = as_results(weights_of(x, particles, np.random.default_rng(particles)))
    assert (results["khat"] < 0.5).all()
    found = interval(results, level)
    exact = ORACLE.log_px(x)
    covered = ((found["lower"] <= exact) & (exact <= found["upper"])).values.mean()
    # 1000 runs: 95 % is known to 0.7 %, so 93 to 97 % is three standard errors.
    assert abs(covered - level) < (0.02 if level == 0.95 else 0.05)
    assert found.attrs["note"] == ""


def test_what_the_logarithm_is_low_by_is_added():
    """Log-normal weights, E[w] = 1: log mean of 30 is low by (e^0.49 - 1) / 60 = 0.0105."""
    generator = torch.Generator().manual_seed(0)
    weights = 0.7 * torch.randn(30, 5000, generator=generator, dtype=torch.double) - 0.245
    results = as_results(weights).assign(khat=("datum", np.zeros(5000)))
    plain = results["log_evidence"].values
    found = interval(results)
    middle = (found["lower"] + found["upper"]).values / 2
    assert plain.mean() < -0.5 * math.expm1(0.49) / 60
    assert abs(middle.mean()) < 0.3 * math.expm1(0.49) / 60
    # Nothing is added to an estimate that was corrected already.
    found = interval(results.assign_attrs(bound="neither"))
    np.testing.assert_allclose((found["lower"] + found["upper"]) / 2, plain, atol=1e-12)


@pytest.mark.slow
def test_intervals_through_the_engine():
    x = ORACLE.draw(60)
    exact = ORACLE.log_px(x)
    for results in (
        log_evidence(ORACLE.model, ORACLE.guide, x, 400),
        log_evidence(ORACLE.model, ORACLE.guide, x, 400, jackknife=True),
        evaluate((ORACLE.model, ORACLE.guide), x, 400),
    ):
        found = interval(results)
        covered = int(((found["lower"] <= exact) & (exact <= found["upper"])).sum())
        given = int(found["lower"].notnull().sum())
        assert given > 20
        assert stats.binom(given, 0.95).cdf(covered) > 1e-4
        assert (found["upper"] > found["lower"]).sum() == given


def narrow_guide(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(x / 2, 0.1))


def toy_model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x)


def test_unreliable_weights_have_neither_interval_nor_plan():
    x = torch.zeros(3)
    results = log_evidence(toy_model, narrow_guide, x, 2000)
    assert (results["khat"] > 0.7).all()
    found = interval(results)
    assert np.isnan(found["lower"]).all()
    assert "is withheld for 3 of 3 data" in found.attrs["note"]
    reached = reach(toy_model, narrow_guide, x, pilot=2000)
    assert (reached["particles"] == 0).all()
    assert "No number of particles is given for 3 of 3 data" in reached.attrs["note"]
    few = log_evidence(ORACLE.model, ORACLE.guide, ORACLE.draw(2), 10)
    assert np.isnan(interval(few)["upper"]).all()


def test_an_exact_guide_needs_no_particles():
    x = ORACLE.draw(100)
    results = log_evidence(ORACLE.model, ORACLE.exact_guide, x, 50)
    # Its weights are one number at the prior's draws too, and nothing is left to chance.
    assert trusted(results).all()
    found = interval(results)
    np.testing.assert_allclose(found["lower"], ORACLE.log_px(x), atol=1e-9)
    np.testing.assert_allclose(found["upper"], ORACLE.log_px(x), atol=1e-9)


@pytest.mark.parametrize("target", [0.1, 0.04])
def test_plans_are_kept(target):
    """Planned from 500 draws: nine in ten of the fresh estimates are as sharp as asked."""
    rng, x = np.random.default_rng(5), ORACLE.draw(200)
    plan = plan_particles(weights_of(x, 500, rng), target)
    kept, close = [], []
    for row, particles in enumerate(plan.particles):
        datum = x[row : row + 1]
        value, error = log_evidence_of(weights_of(datum, int(particles), rng))
        kept.append(1.959964 * float(error) <= target)
        close.append(abs(float(value) - ORACLE.log_px(datum)) <= target)
    assert np.mean(kept) >= 0.9
    # The errors themselves: 95 % or more, less three standard errors of 200 cases.
    assert np.mean(close) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)


def test_plans_are_of_the_right_size():
    """Log-normal weights: Var(w) / E[w]^2 = e^(s^2) - 1, so K = (z / target)^2 (e^(s^2) - 1)."""
    generator = torch.Generator().manual_seed(0)
    weights = 0.5 * torch.randn(200000, 1, generator=generator, dtype=torch.double)
    plan = plan_particles(weights, 0.01)
    exact = (1.959964 / 0.01) ** 2 * math.expm1(0.25)
    assert exact < plan.particles[0] < 1.06 * exact


def test_reach_gets_there():
    x = ORACLE.draw(20)
    results = reach(ORACLE.model, ORACLE.guide, x, 0.03, pilot=400, seed=1)
    assert (results["half_width"] <= 0.03).values.mean() >= 0.9
    assert (np.abs(results["log_evidence"] - ORACLE.log_px(x)) <= 0.03).values.mean() >= 0.8
    assert results.attrs["bound"] == "lower"
    assert (results["particles"] > 0).all()
    assert (
        reach(ORACLE.model, ORACLE.guide, x[:2], 1e-3, max_particles=70)["particles"].max() == 70
    )


def test_fresh_draws_alone_make_the_estimate():
    """The pilot's particles decide the number, so using them again would bias mean(w)."""
    x = ORACLE.draw(5)
    results = reach(ORACLE.model, ORACLE.guide, x, 0.05, pilot=100, seed=2)
    everything = log_evidence(ORACLE.model, ORACLE.guide, x, 100, seed=2)
    planned = results["particles"].values > 0  # a pilot that is not trusted has no plan
    assert planned.any()
    assert (results["ess"].values <= results["particles"].values)[planned].all()
    same = results["log_evidence"].values == everything["log_evidence"].values
    assert not same[planned].any()


def test_bad_settings_are_refused():
    weights = torch.zeros(30, 2)
    with pytest.raises(ValueError, match="level got 95"):
        plan_particles(weights, 0.1, 95)
    with pytest.raises(ValueError, match="target got -1"):
        plan_particles(weights, -1)
    with pytest.raises(ValueError, match="log_weights has 10 draws"):
        plan_particles(weights[:10])
    with pytest.raises(ValueError, match="pilot 10"):
        reach(ORACLE.model, ORACLE.guide, ORACLE.draw(1), pilot=10)
    with pytest.raises(ValueError, match="no khat"):
        interval(xr.Dataset())
