"""The panel of two gradient estimators: draw for draw against autograd and the definition."""

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.lecture import TOY, write_lecture
from tests.lecture.pages import press, set_slider, shown, wait_until

W, B, S = TOY["w"], TOY["b"], TOY["s"]
X = 2.0


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_lecture(path, panels=["gradients"], progress=False)
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


def log_joint(z):
    return stats.norm.logpdf(z) + stats.norm(W * z + B, S).logpdf(X)


def differences(mean, sd, e):
    """log p(x, z) - log q(z) at z = m + s e, for autograd."""
    z, one = mean + sd * e, torch.tensor(1.0, dtype=torch.float64)
    joint = torch.distributions.Normal(0 * one, one).log_prob(z)
    joint = joint + torch.distributions.Normal(W * z + B, S * one).log_prob(X * one)
    return joint - torch.distributions.Normal(mean, sd).log_prob(z)


SETTINGS = [(-1.0, 0.5, "none"), (2.5, 0.15, "bound"), (0.7, 0.55, "bound"), (-3.0, 2.0, "none")]


@pytest.mark.parametrize(("mean", "sd", "baseline"), SETTINGS)
def test_every_draw_is_that_of_autograd_and_of_the_definition(page, mean, sd, baseline):
    set_slider(page, "gradients-mean", mean)
    set_slider(page, "gradients-sd", sd)
    page.select_option("#gradients-baseline", baseline)
    told = page.evaluate("pyroVae.gradients.terms()")
    e = np.array(page.evaluate("pyroVae.gradients.noise()"))
    m, s = torch.tensor([mean, sd], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor(e, requires_grad=False)
    ones = torch.ones_like(noise)
    m_each, s_each = (m * ones).detach().requires_grad_(), (s * ones).detach().requires_grad_()
    along = torch.autograd.grad(differences(m_each, s_each, noise).sum(), (m_each, s_each))
    for name, values in zip(("mean", "sd"), along, strict=True):
        np.testing.assert_allclose(told["drawn"]["path"][name], values, atol=1e-9)
    # The score by central differences of SciPy's density.
    z, h = mean + sd * e, 1e-5
    f = log_joint(z) - stats.norm(mean, sd).logpdf(z) - told["c"]
    in_mean = stats.norm(mean + h, sd).logpdf(z) - stats.norm(mean - h, sd).logpdf(z)
    in_sd = stats.norm(mean, sd + h).logpdf(z) - stats.norm(mean, sd - h).logpdf(z)
    for name, change in (("mean", in_mean), ("sd", in_sd)):
        expected = f * change / (2 * h)
        np.testing.assert_allclose(told["drawn"]["score"][name], expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(("mean", "sd", "baseline"), SETTINGS)
def test_both_means_are_the_exact_gradient(page, mean, sd, baseline):
    set_slider(page, "gradients-mean", mean)
    set_slider(page, "gradients-sd", sd)
    page.select_option("#gradients-baseline", baseline)
    told = page.evaluate("pyroVae.gradients.terms()")
    # L_b of quadratic log densities, by Gauss-Hermite quadrature, exactly.
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    m, s = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (mean, sd))
    bound = weights @ differences(m, s, nodes)
    slopes = [float(slope) for slope in torch.autograd.grad(bound, (m, s))]
    assert told["bound"] == pytest.approx(bound.item(), abs=1e-9)
    assert told["c"] == (told["bound"] if baseline == "bound" else 0)
    assert abs(told["residual"]) < 1e-9
    for name, slope in zip(("mean", "sd"), slopes, strict=True):
        assert told["exact"][name] == pytest.approx(slope, abs=1e-9)
        assert shown(page, f"gradients-value-exact_{name}") == pytest.approx(slope, abs=5.1e-5)
        for way in ("score", "path"):
            values, moments = np.array(told["drawn"][way][name]), told["moments"][way][name]
            assert moments["mean"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
            assert moments["variance"] == pytest.approx(values.var(ddof=1), rel=1e-9)
            assert moments["error"] == pytest.approx(stats.sem(values), rel=1e-9)
            # Within 5 standard errors of 200 draws; seed 1.
            error = np.sqrt(moments["exactVariance"] / 200)
            assert abs(moments["mean"] - told["exact"][name]) < 5 * error + 1e-12
        ratio = shown(page, f"gradients-value-ratio_{name}")
        exact = [told["moments"][way][name]["exactVariance"] for way in ("score", "path")]
        assert ratio == pytest.approx(exact[0] / exact[1], abs=5.1e-3)


def test_exact_variances_are_those_of_many_draws(page):
    told = page.evaluate("pyroVae.gradients.terms()")
    e = np.random.default_rng(0).standard_normal(400_000)
    z = -1 + 0.5 * e
    f = log_joint(z) - stats.norm(-1, 0.5).logpdf(z)
    for name, score in (("mean", e / 0.5), ("sd", (e * e - 1) / 0.5)):
        squares = (f * score - told["exact"][name]) ** 2
        found = told["moments"]["score"][name]["exactVariance"]
        # Within 5 standard errors; seed 0.
        assert abs(squares.mean() - found) < 5 * stats.sem(squares)


@pytest.mark.slow
def test_what_the_panel_says_of_the_variances(page):
    def ratios(mean, sd, baseline):
        set_slider(page, "gradients-mean", mean)
        set_slider(page, "gradients-sd", sd)
        page.select_option("#gradients-baseline", baseline)
        moments = page.evaluate("pyroVae.gradients.terms().moments")
        return [
            moments["score"][name]["exactVariance"] / moments["path"][name]["exactVariance"]
            for name in ("mean", "sd")
        ]

    for mean in (-3, -1, 0.7, 3):
        for sd in (0.15, 0.3, 0.55, 1, 2):
            assert min(ratios(mean, sd, "none")) > 2
            if (mean, sd) != (0.7, 0.55):
                assert min(ratios(mean, sd, "bound")) > 1
    assert max(ratios(0.7, 0.55, "bound")) < 0.01
    assert ratios(-1, 0.15, "none")[0] > 20 * ratios(-1, 0.5, "none")[0]


def test_every_control_moves_its_picture_by_keyboard(page):
    def pictures():
        return [page.inner_html(f"#gradients-of-{name}") for name in ("mean", "sd")]

    seen = [pictures()]
    for selector, key in (
        ("#gradients-sd", "ArrowRight"),
        ("#gradients-mean", "ArrowLeft"),
        ("#gradients-again", "Enter"),
        ("#gradients-baseline", "ArrowDown"),
    ):
        press(page, selector, key)
        now = pictures()
        assert all(a != b for a, b in zip(now, seen[-1], strict=True)), selector
        seen.append(now)
    told = page.evaluate("pyroVae.gradients.terms()")
    assert (told["sd"], told["mean"], told["seed"]) == pytest.approx((0.55, -1.05, 2))
    assert told["baseline"] == "bound"
    wait_until(page, "document.getElementById('gradients-said').textContent !== ''")
