"""The panel of importance sampling: weights, bounds, ESS and k-hat against SciPy."""

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from pyro_vae.lecture import TOY, write_explorer
from tests.lecture.pages import press, set_slider, shown

W, B, S = TOY["w"], TOY["b"], TOY["s"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_explorer(path)
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


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


def test_the_draws_are_normal_and_follow_the_seed(opened, path):
    page, other = opened(path), opened(path)
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
    # A guide that is the exact posterior has equal weights.
    set_slider(page, "sampling-x", 0.5)
    set_slider(page, "sampling-mean", 0)
    set_slider(page, "sampling-k", 3)
    for _ in range(10):
        page.click("#identity-turns")
    assert page.evaluate("pyroVae.sampling.draws().ess") == pytest.approx(8, rel=1e-9)
