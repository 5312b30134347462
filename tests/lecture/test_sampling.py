"""The panel of importance sampling: weights, bounds, ESS and k-hat against SciPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from pyro_vae.inference.engine.diagnostics import pareto_khat
from pyro_vae.lecture import TOY
from tests.lecture.pages import press, set_slider, shown

W, B, S = TOY["w"], TOY["b"], TOY["s"]


@pytest.fixture
def page(opened, explorer):
    return opened(explorer)


def test_weights_bounds_and_ess_are_those_of_scipy(page):
    set_slider(page, "sampling-mean", 0.2)
    set_slider(page, "sampling-sd", 0.9)
    press(page, "#sampling-k", "ArrowRight", 2)
    told = page.evaluate("pyroVae.sampling.draws()")
    assert told["k"] == 32
    z, log_weights = np.array(told["z"]), np.array(told["logWeights"])
    guide = stats.norm(0.2, 0.9)
    expected = stats.norm.logpdf(z) + stats.norm(W * z + B, S).logpdf(2.0) - guide.logpdf(z)
    np.testing.assert_allclose(log_weights, expected, atol=1e-9)
    np.testing.assert_allclose(told["weights"], special.softmax(log_weights), rtol=1e-9)
    assert told["ess"] == pytest.approx(1 / (special.softmax(log_weights) ** 2).sum())
    assert told["estimate"] == pytest.approx(special.logsumexp(log_weights) - math.log(32))
    pool = np.array(page.evaluate("pyroVae.sampling.logWeights()"))
    np.testing.assert_array_equal(pool[:32], log_weights)
    assert [bound["count"] for bound in told["bounds"]] == [2**i for i in range(10)]
    for bound in told["bounds"]:
        k = bound["count"]
        sets = special.logsumexp(pool.reshape(-1, k), axis=1) - math.log(k)
        assert bound["sets"] == len(sets)
        assert bound["mean"] == pytest.approx(sets.mean(), abs=1e-9)
        assert bound["error"] == pytest.approx(stats.sem(sets), rel=1e-6)
    assert shown(page, "sampling-value-iwae") == pytest.approx(
        told["bounds"][5]["mean"], abs=5.1e-5
    )
    assert shown(page, "sampling-value-ess") == pytest.approx(told["ess"], abs=5.1e-3)
    assert shown(page, "sampling-value-estimate") == pytest.approx(told["estimate"], abs=5.1e-5)


def test_the_bound_grows_from_the_elbo_to_the_evidence(page):
    terms, told = page.evaluate("[pyroVae.identity.terms(), pyroVae.sampling.draws()]")
    bounds = told["bounds"]
    first, last = bounds[0], bounds[-1]
    assert abs(first["mean"] - terms["bound"]) < 5 * first["error"]
    assert abs(last["mean"] - terms["evidence"]) < 0.1 * terms["divergence"]
    for a, b in itertools.pairwise(bounds):
        # Averages over the same draws: log is concave, so no draw can break this.
        assert b["mean"] > a["mean"]


def test_the_draws_are_normal_and_follow_the_seed(opened, explorer):
    page, other = opened(explorer), opened(explorer)
    pool = "Array.from(pyroVae.sampling.logWeights().slice(0, 20000))"
    for window in (page, other):
        set_slider(window, "sampling-k", 9)
    z = np.array(page.evaluate("pyroVae.sampling.draws().z"))
    assert stats.kstest(z, stats.norm(-1, 1.2).cdf).pvalue > 1e-4
    assert page.evaluate(pool) == other.evaluate(pool)
    page.click("#sampling-again")
    assert shown(page, "sampling-value-seed") == 2
    again = np.array(page.evaluate("pyroVae.sampling.draws().z"))
    assert len(np.intersect1d(z, again)) == 0
    # Neighbours, which Box and Muller make of the same two numbers, are independent.
    assert abs(stats.pearsonr(again[::2], again[1::2]).statistic) < 5 / math.sqrt(256)


def put(page, **values):
    for name, value in values.items():
        set_slider(page, f"sampling-{name}", value)


def choose_two_modes(page):
    page.select_option("#sampling-posterior", "two")
    assert page.evaluate("pyroVae.sampling.terms().x") == 5


def test_equal_weights_under_the_exact_posterior(page):
    # The posterior of x = 2 has mean 9 / 13 and scale 1 / sqrt(3.25), between marks of the
    # slider: the nearest marks leave weights that differ little.
    put(page, mean=0.7, sd=0.55, k=5)
    assert page.evaluate("pyroVae.sampling.draws().ess") > 0.99 * 32


@pytest.mark.parametrize(("mean", "sd"), [(-1.0, 1.2), (2.1, 0.5), (0.0, 2.0), (3.0, 0.15)])
def test_two_modes_are_those_of_quadrature(page, mean, sd):
    choose_two_modes(page)
    put(page, mean=mean, sd=sd)
    told = page.evaluate("pyroVae.sampling.terms()")

    def joint(z):
        return stats.norm.pdf(z) * stats.norm(W * abs(z) + B, S).pdf(5)

    def log_joint(z):
        return stats.norm.logpdf(z) + stats.norm(W * abs(z) + B, S).logpdf(5)

    # Simpson's rule on either side of the bend at 0.
    sides = [np.linspace(-24, 0, 24_001), np.linspace(0, 24, 24_001)]

    def whole(f):
        return sum(integrate.simpson(f(z), x=z) for z in sides)

    evidence = whole(joint)
    assert told["evidence"] == pytest.approx(math.log(evidence), abs=1e-9)
    q = stats.norm(mean, sd)
    bound = whole(lambda z: q.pdf(z) * log_joint(z)) + q.entropy()
    assert told["bound"] == pytest.approx(bound, abs=1e-8)
    assert told["divergence"] == pytest.approx(told["evidence"] - told["bound"], abs=1e-12)
    for z in (-2.3, -0.1, 0.0, 1.9):
        density = page.evaluate("z => pyroVae.sampling.density(z)", z)
        assert density == pytest.approx(joint(z) / evidence, rel=1e-9)
    z, weights = (page.evaluate(f"pyroVae.sampling.draws().{key}") for key in ("z", "logWeights"))
    expected = stats.norm.logpdf(z) + stats.norm(W * np.abs(z) + B, S).logpdf(5) - q.logpdf(z)
    np.testing.assert_allclose(weights, expected, atol=1e-9)


def test_a_guide_on_one_of_two_modes_stops_a_half_too_low_and_khat_sees_nothing(page):
    choose_two_modes(page)
    put(page, mean=2.1, sd=0.5, k=9)
    told = page.evaluate("pyroVae.sampling.draws()")
    evidence = page.evaluate("pyroVae.sampling.terms().evidence")
    last = told["bounds"][-1]
    # Half of p(x) lies in the mode that no draw reaches.
    assert evidence - last["mean"] == pytest.approx(math.log(2), abs=5 * last["error"] + 1e-3)
    assert told["khat"] < 0.5


@pytest.mark.parametrize("k", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("sd", [0.15, 0.4, 1.0])
def test_khat_is_that_of_the_package(page, k, sd):
    put(page, mean=-0.5, sd=sd, k=k)
    told = page.evaluate("pyroVae.sampling.draws()")
    (khat,) = pareto_khat(torch.tensor(told["logWeights"], dtype=torch.float64)[:, None])
    assert told["khat"] == pytest.approx(khat, abs=1e-9)
    assert shown(page, "sampling-value-khat") == pytest.approx(khat, abs=5.1e-3)


def test_khat_of_few_draws_is_not_given(page):
    put(page, k=4)
    assert page.evaluate("pyroVae.sampling.draws().khat") is None
    assert page.inner_text("#sampling-value-khat") == "from K = 32"
