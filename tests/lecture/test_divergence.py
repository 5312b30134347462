"""The panel of the KL term: its parts against SciPy, its trainings as the package has them."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import divergence
from tests.lecture.pages import press, set_slider, shown, wait_until

# A training of seconds, and a browser.
pytestmark = pytest.mark.slow

RUNS = {
    "with": {"sigma": [0.6, 0.4, 0.3, 0.25], "kl": [1.5, 2.0, 2.5, 2.75]},
    "without": {"sigma": [0.6, 0.1, 0.02, 0.004], "kl": [1.5, 4.0, 7.0, 9.5]},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, {"divergence": RUNS}, heading="lecture")
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


@pytest.mark.parametrize(("s", "m"), [(-6, 2), (-2, 1), (0, 0), (0, -1.5), (2, 0.3)])
def test_the_divergence_is_that_of_scipy(page, s, m):
    set_slider(page, "divergence-s", s)
    set_slider(page, "divergence-m", m)
    told = page.evaluate("pyroVae.divergence.terms()")
    assert (told["s"], told["m"]) == (s, m)
    q = stats.norm(m, math.exp(s / 2))

    def integrand(z):
        return q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z))

    expected, _ = integrate.quad(integrand, *(m + 12 * q.std() * np.array([-1, 1])), epsabs=1e-11)
    assert told["kl"] == pytest.approx(expected, abs=1e-9)
    assert told["quadrature"] == pytest.approx(expected, abs=1e-9)
    assert told["residual"] == told["kl"] - told["quadrature"]
    parts = told["exp"] - told["tangent"] + told["square"]
    assert 2 * told["kl"] == pytest.approx(parts, abs=1e-12)
    assert told["exp"] == pytest.approx(q.var(), rel=1e-12)
    for name in ("kl", "exp", "tangent", "square", "quadrature"):
        assert shown(page, f"divergence-value-{name}") == pytest.approx(told[name], abs=5.1e-5)


def test_every_control_moves_its_picture_by_keyboard(page):
    pictures = [page.inner_html(f"#divergence-{name}") for name in ("curves", "training")]
    press(page, "#divergence-s", "ArrowRight", 4)
    press(page, "#divergence-m", "ArrowLeft", 2)
    press(page, "#divergence-epoch", "ArrowRight", 2)
    told = page.evaluate("pyroVae.divergence.terms()")
    assert told["s"] == pytest.approx(-1.8)
    assert told["m"] == pytest.approx(0.9)
    assert told["epoch"] == 2
    for before, name in zip(pictures, ("curves", "training"), strict=True):
        assert page.inner_html(f"#divergence-{name}") != before
    assert shown(page, "divergence-value-with") == 0.3
    assert shown(page, "divergence-value-without") == 0.02
    assert shown(page, "divergence-value-with_kl") == 2.5
    assert shown(page, "divergence-value-without_kl") == 7
    assert "0.0200" in page.get_attribute("#divergence-training", "aria-label")
    wait_until(page, "document.getElementById('divergence-said').textContent !== ''")


def test_the_recorded_training_plays_to_its_end(opened, path):
    still, moving = opened(path), opened(path, motion="no-preference")
    for page in (still, moving):
        press(page, "#divergence-play", "Enter")
    assert still.evaluate("pyroVae.divergence.terms().epoch") == 3
    assert moving.evaluate("pyroVae.divergence.terms().epoch") < 3
    wait_until(moving, "pyroVae.divergence.terms().epoch === 3")


def test_without_the_divergence_the_scales_go_to_nothing(monkeypatch):
    monkeypatch.setattr(divergence, "_EPOCHS", 6)
    made = divergence.divergence_of(0)
    kept, free = made["with"], made["without"]
    assert kept["sigma"][0] == free["sigma"][0]
    assert len(kept["sigma"]) == len(free["kl"]) == 7
    assert free["sigma"][-1] < kept["sigma"][-1] / 5
    assert free["kl"][-1] > 1.5 * kept["kl"][-1]
