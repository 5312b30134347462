"""The panel of noise: the codes, what their discs cover, and what they cost."""

from unittest import mock

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from pyro_vae.data import load
from pyro_vae.lecture.moons import nearest_moon
from pyro_vae.lecture.packed import packed
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import noise
from pyro_vae.models import Autoencoder
from tests.lecture.models import roughened
from tests.lecture.pages import press, set_slider, wait_until

# A training of seconds, and a browser.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made():
    """What the page is given, and its models, with weights of order one and no training."""
    models = []

    def instead(model, *_, **__):
        models.append(roughened(model, seed=len(models), size=0.2))

    with mock.patch.object(noise, "train", side_effect=instead):
        return noise.noise_of(0), models


@pytest.fixture
def page(opened, tmp_path, made):
    write_page(tmp_path / "page.html", {"noise": made[0]}, heading="lecture")
    return opened(tmp_path / "page.html", 360)


@pytest.fixture(scope="module")
def data():
    return load("moon-phases", seed=0)


@pytest.mark.parametrize(("at", "spread"), [(0, 1.0), (1, 1.0), (2, 1.0), (4, 4.0)])
def test_the_plane_is_covered_as_counted_by_scipy(opened, tmp_path, made, at, spread):
    generator = torch.Generator().manual_seed(at)
    scattered = spread * torch.randn(240, 2, generator=generator)
    width = noise.WIDTHS[at]
    model = made[0]["models"][at] | {
        "codes": packed(scattered),
        "covered": noise.covered(scattered, width),
    }
    about = made[0] | {"models": [model]}
    write_page(tmp_path / "page.html", {"noise": about}, heading="lecture")
    told = opened(tmp_path / "page.html").evaluate("pyroVae.noise.numbers()")
    # Middles of 80 x 80 cells; a point is in the hull if it is on the inner side of every edge.
    codes = scattered.double().numpy()
    low, high = codes.min(0), codes.max(0)
    steps = (np.arange(80) + 0.5) / 80
    x, y = np.meshgrid(*(low[i] + steps * (high[i] - low[i]) for i in (0, 1)))
    places = np.stack([x.ravel(), y.ravel()], 1)
    edges = ConvexHull(codes).equations
    inside = places[(places @ edges[:, :2].T + edges[:, 2] <= 1e-12).all(1)]
    share = (cdist(inside, codes).min(1) <= width).mean()
    assert 0.1 < share < 0.95 if width else share == 0
    assert told["width"] == width
    # One cell on the edge, of some thousands, may fall on either side of it by rounding.
    assert told["share"] == pytest.approx(share, abs=1.1 / len(inside))
    assert abs(told["residual"]) < 1.1 / len(inside)


def test_codes_are_in_units_of_the_prior(page, made, data):
    for at, width in enumerate(noise.WIDTHS):
        set_slider(page, "noise-width", at)
        with torch.no_grad():
            own = made[1][at].code(data.test[:240]) * (width or 1)
        np.testing.assert_allclose(page.evaluate("pyroVae.noise.codes()"), own, atol=1e-5)


def test_the_costs_are_those_of_the_models(page, made, data):
    half, full = (data.test[data.labels["test"] == label] for label in (1, 2))
    for at, model in enumerate(made[1]):
        set_slider(page, "noise-width", at)
        told = page.evaluate("pyroVae.noise.numbers()")
        with torch.no_grad():
            back = model.decode(model.code(data.test)).flatten(1) - data.test.flatten(1)
            pictures = model.decode((model.code(half) + model.code(full)) / 2)
        off = back.double().numpy()
        off = np.sqrt((off**2).mean(1))
        distances = nearest_moon(pictures).distance.numpy()
        for key, values in (("reconstruction", off), ("halfway", distances)):
            assert told[key]["mean"] == pytest.approx(values.mean(), abs=1e-5)
            error = values.std(ddof=1) / np.sqrt(len(values))
            assert told[key]["error"] == pytest.approx(error, abs=1e-5)


def test_the_noise_is_of_that_width_in_units_of_the_code(made):
    """The penalty of code / w with weight w^2 is half the squared norm of the code."""
    assert type(made[1][0]) is Autoencoder
    code = torch.tensor([[0.3, -1.2], [2.0, 0.5]])
    for width, model in zip(noise.WIDTHS[1:], made[1][1:], strict=True):
        charged = model.weight * model.norm(code / width)
        torch.testing.assert_close(charged, 0.5 * code.square().sum(1))


def test_its_control_moves_by_keyboard(page):
    discs = page.locator("#noise-plane .disc")
    assert discs.count() == 0
    press(page, "#noise-width", "ArrowRight", 2)
    assert discs.count() == 240
    assert page.get_attribute("#noise-width", "aria-valuetext") == "0.2"
    assert page.evaluate("pyroVae.noise.numbers().width") == 0.2
    wait_until(page, "document.getElementById('noise-said').textContent.startsWith('Noise of')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
