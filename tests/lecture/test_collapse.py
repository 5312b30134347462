"""The panel of units that go out: its closed form against an optimiser and the package's PCA."""

import math

import numpy as np
import pytest
import torch

from pyro_vae.data import load
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels.collapse import collapse_of, decoder_ratios
from pyro_vae.models import PCA
from tests.lecture.pages import press, set_slider, shown, wait_until

# Three units, six features whose decoder sees the feature before.
SIZE, UNITS = 6, 3


def small_covariance():
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    scales = torch.linspace(2.5, 0.6, SIZE, dtype=torch.float64)
    return root @ torch.diag(scales**2) @ root.T / SIZE + 0.3 * torch.eye(SIZE).double()


def before(feature):
    return [feature - 1] if feature else []


@pytest.fixture(scope="module")
def made():
    return collapse_of(0)


@pytest.fixture(scope="module")
def path(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, {"collapse": made}, heading="lecture")
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


def noise_of(covariance, seen):
    """Psi of the regressions, which are those of data whose covariance this is."""
    x = np.linalg.cholesky(covariance.numpy()).T
    weights, scales = np.zeros_like(x), np.zeros(SIZE)
    for d in range(SIZE):
        p = seen(d)
        weights[d, p] = np.linalg.lstsq(x[:, p], x[:, d], rcond=None)[0] if p else 0
        scales[d] = ((x[:, d] - x @ weights[d]) ** 2).sum()
    inverse = np.linalg.inv(np.eye(SIZE) - weights)
    return torch.tensor(inverse @ np.diag(scales) @ inverse.T)


def optimum(covariance, noise, beta):
    """The best objective over W and a linear guide with free diagonal scales, by L-BFGS."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((SIZE, UNITS), (UNITS, SIZE))
    w, v = (0.3 * torch.randn(shape, generator=generator).double() for shape in shapes)
    w, v = w.requires_grad_(), v.requires_grad_()
    log_sd = torch.zeros(UNITS, dtype=torch.float64, requires_grad=True)
    precision = torch.linalg.inv(noise)

    def parts():
        # x - W z has mean (I - W V) x and variance W D W^T besides.
        left = torch.eye(SIZE).double() - w @ v
        missed = left @ covariance @ left.T + w @ torch.diag((2 * log_sd).exp()) @ w.T
        reconstruction = -0.5 * (
            SIZE * math.log(2 * math.pi) + torch.logdet(noise) + (precision @ missed).trace()
        )
        second = (v @ covariance @ v.T).diagonal() + (2 * log_sd).exp()
        return reconstruction, 0.5 * (second - 1 - 2 * log_sd)

    optimiser = torch.optim.LBFGS(
        [w, v, log_sd],
        max_iter=4000,
        tolerance_grad=1e-11,
        tolerance_change=1e-14,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        reconstruction, kl = parts()
        loss = beta * kl.sum() - reconstruction
        loss.backward()
        return loss

    optimiser.step(closure)
    reconstruction, kl = parts()
    return reconstruction.item(), kl.detach().sort(descending=True).values.numpy()


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("seen", [before, lambda d: []], ids=["before", "none"])
def test_the_closed_form_is_the_optimum(opened, tmp_path, seen, beta):
    covariance = small_covariance()
    about = decoder_ratios(covariance, seen)
    write_page(
        tmp_path / "page.html",
        {
            "collapse": {
                "units": UNITS,
                "decoders": dict.fromkeys(("weak", "neighbours", "all"), about),
            }
        },
        heading="lecture",
    )
    page = opened(tmp_path / "page.html")
    set_slider(page, "collapse-beta", math.log10(beta))
    told = page.evaluate("pyroVae.collapse.terms()")
    reconstruction, kl = optimum(covariance, noise_of(covariance, seen), told["beta"])
    assert told["objective"] == pytest.approx(reconstruction - told["beta"] * kl.sum(), abs=1e-6)
    np.testing.assert_allclose(told["kls"], kl, atol=1e-4)
    assert told["reconstruction"] == pytest.approx(reconstruction, abs=1e-3)


def test_at_weight_one_the_bound_is_log_p_of_pca(page):
    data = load("digits", values="dequantised", seed=0)
    x = data.train * 17
    pca = PCA(data.event_shape, 16)
    pca.initialise(x)
    told = page.evaluate("pyroVae.collapse.terms()")
    assert (told["beta"], told["active"]) == (1, 16)
    # The weights of PCA are float32.
    assert told["bound"] == pytest.approx(float(pca.log_prob(x).mean()), abs=1e-4)
    assert told["objective"] == told["bound"]


def test_a_decoder_that_sees_all_has_the_normal_of_the_data(page):
    page.select_option("#collapse-decoder", "all")
    told = page.evaluate("pyroVae.collapse.terms()")
    x = (load("digits", values="dequantised", seed=0).train * 17).flatten(1).double()
    whole = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0))
    assert told["bound"] == pytest.approx(float(whole.log_prob(x).mean()), abs=1e-6)
    assert told["active"] == told["kl"] == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_what_the_panel_says(opened, tmp_path, made, seed):
    about = made if seed == 0 else collapse_of(seed)
    write_page(tmp_path / "page.html", {"collapse": about}, heading="lecture")
    page = opened(tmp_path / "page.html")
    bounds = {}
    for decoder in ("weak", "neighbours", "all"):
        page.select_option("#collapse-decoder", decoder)
        counts = []
        for exponent in np.arange(-1, 2.001, 0.1).round(2):
            set_slider(page, "collapse-beta", exponent)
            told = page.evaluate("pyroVae.collapse.terms()")
            assert abs(told["residual"]) < 1e-9
            parts = told["reconstruction"] - told["beta"] * told["kl"]
            assert told["objective"] == pytest.approx(parts, abs=1e-9)
            counts.append(told["active"])
            if exponent == 0:
                bounds[decoder] = told["bound"]
        assert counts[0] == 16
        assert counts[-1] == 0
        assert counts == sorted(counts, reverse=True)
        assert (len(set(counts)) > 2) is (decoder != "all")
    assert bounds["all"] > bounds["neighbours"] > bounds["weak"]
    ratios = {name: about["decoders"][name]["ratios"] for name in bounds}
    assert ratios["weak"][0] > ratios["neighbours"][0] > ratios["all"][0]
    np.testing.assert_allclose(ratios["all"], 1, atol=1e-9)


def test_every_control_moves_its_picture_by_keyboard(page):
    def pictures():
        return [page.inner_html(f"#collapse-{name}") for name in ("units", "totals")]

    start = pictures()
    press(page, "#collapse-beta", "ArrowRight", 40)
    moved = pictures()
    press(page, "#collapse-decoder", "ArrowDown")
    chosen = pictures()
    assert all(len({a, b, c}) == 3 for a, b, c in zip(start, moved, chosen, strict=True))
    told = page.evaluate("pyroVae.collapse.terms()")
    assert told["beta"] == pytest.approx(10**0.8)
    assert told["decoder"] == "neighbours"
    for name in ("objective", "reconstruction", "kl", "bound"):
        assert shown(page, f"collapse-value-{name}") == pytest.approx(told[name], abs=5.1e-5)
    assert shown(page, "collapse-value-active") == told["active"]
    assert page.locator("#collapse-units .collapse-out").count() == 16 - told["active"]
    wait_until(page, "document.getElementById('collapse-said').textContent !== ''")
