"""The panel of holes: moons, decoders and distances against the package and an own search."""

import itertools
from unittest import mock

import numpy as np
import pytest
import torch

from pyro_vae.data import every_moon, load, moon
from pyro_vae.lecture import moons
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import holes
from tests.lecture.models import roughened
from tests.lecture.pages import press, set_slider, wait_until

# A training of seconds, and a browser.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made():
    """What the page is given, and its two models, with weights of order one and no training."""
    models = []

    def instead(model, data, **_):
        models.append(roughened(model, size=0.1).double())

    with mock.patch.object(holes, "train", side_effect=instead):
        about = holes.holes_of(0)
    return about, models


@pytest.fixture
def page(opened, tmp_path, made):
    write_page(tmp_path / "page.html", {"holes": made[0]}, heading="lecture")
    return opened(tmp_path / "page.html", 360)


def ends(name):
    low, high, count = moons.GRID[name]
    return np.linspace(low, high, count)


def nearest(picture):
    """Distance and lit fraction by trying every moon, its brightness by a search of its own."""
    best = (np.inf, None)
    for lit, radius in itertools.product(ends("lit"), ends("radius")):
        places = list(itertools.product(ends("centre"), repeat=2))
        shapes = moon(
            torch.tensor(lit), torch.tensor(radius), torch.tensor(places).double()
        ).numpy()
        brightness = np.linspace(0.8, 1, 401)[:, None]
        flat = shapes.reshape(len(places), -1)
        missed = (
            (picture**2).sum()
            - 2 * brightness * (flat @ picture)
            + brightness**2 * (flat**2).sum(1)
        )
        best = min(best, (np.sqrt(max(missed.min(), 0) / 256), lit))
    return best


def test_moons_are_those_of_the_package(page):
    for lit, radius, x, y in ((0.0, 5.0, 7.5, 8.5), (0.3, 5.4, 8.0, 7.75), (1.0, 6.0, 8.5, 7.5)):
        drawn = page.evaluate(f"pyroVae.holes.moon({lit}, {radius}, {x}, {y})")
        true = moon(*(torch.tensor([v]).double() for v in (lit, radius, [x, y])))
        np.testing.assert_allclose(drawn, true.flatten(), atol=1e-7)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_pictures_are_decoded_between_the_codes(page, made, share):
    press(page, "#holes-pair", "Enter")
    set_slider(page, "holes-place", share)
    data = load("moon-phases", seed=0)
    half, full = (data.test[data.labels["test"] == label][1].double() for label in (1, 2))
    for name, model in zip(("autoencoder", "vae"), made[1], strict=True):
        with torch.no_grad():
            z = torch.lerp(model.code(half[None]), model.code(full[None]), share)
            true = model.decode(z).flatten()
        np.testing.assert_allclose(
            page.evaluate(f"pyroVae.holes.picture('{name}')"), true, atol=1e-5
        )
    mixed = page.evaluate("pyroVae.holes.picture('average')")
    np.testing.assert_allclose(mixed, torch.lerp(half, full, share).flatten(), atol=1e-6)


def test_the_nearest_moon_is_found(page, made):
    told = page.evaluate("pyroVae.holes.state()")
    assert told["share"] == 0.5
    assert told["residual"] < 1e-5
    picture = np.array(page.evaluate("pyroVae.holes.picture('average')"))
    found = page.evaluate("(x) => pyroVae.holes.nearest(x)", picture.tolist())
    distance, lit = nearest(picture)
    # The search tries brightnesses 1/2000 apart, so it ends a little further out.
    assert found["distance"] == pytest.approx(distance, abs=1e-5)
    assert found["lit"] == pytest.approx(lit)
    of_python = moons.nearest_moon(torch.tensor(picture).reshape(1, 16, 16))
    assert float(of_python.distance) == pytest.approx(found["distance"], abs=1e-9)
    assert float(of_python.lit) == pytest.approx(found["lit"])
    off = np.sqrt(((np.array(found["picture"]) - picture) ** 2).mean())
    assert off == pytest.approx(found["distance"], abs=1e-9)
    curves = page.evaluate("pyroVae.holes.curves()")
    assert curves["average"][20] == pytest.approx(found["distance"], abs=1e-12)
    assert len(curves["vae"]) == 41
    # A true moon of a phase that training lacks is at no distance from itself.
    true = (0.9 * moon(0.75, 5.2, (7.7, 8.3))).flatten().tolist()
    assert page.evaluate("(x) => pyroVae.holes.nearest(x)", true)["distance"] < 1e-6


def test_true_moons_are_those_of_the_data():
    pictures, lit = every_moon()
    places = torch.cartesian_prod(*2 * (torch.tensor(ends("centre")),))
    fractions, radii = (torch.tensor(ends(name)) for name in ("lit", "radius"))
    ours = moon(fractions[:, None, None], radii[:, None], places).flatten(0, 2)
    np.testing.assert_allclose(ours, pictures, atol=1e-5)
    np.testing.assert_allclose(fractions.repeat_interleave(6 * 36), lit, atol=1e-6)


def test_means_are_over_all_pairs(made):
    about, models = made
    data = load("moon-phases", seed=0)
    half, full = (data.test[data.labels["test"] == label].double() for label in (1, 2))
    for name, model in zip(("autoencoder", "vae"), models, strict=True):
        with torch.no_grad():
            pictures = model.decode((model.code(half) + model.code(full)) / 2)
        distances = moons.nearest_moon(pictures).distance
        told = about["models"][name]
        assert len(distances) == 200
        assert told["mean"] == pytest.approx(float(distances.mean()), abs=1e-5)
        assert told["error"] == pytest.approx(float(distances.std() / 200**0.5), abs=1e-6)
        assert told["halfway"] == pytest.approx(distances[:8].tolist(), abs=1e-5)


def test_its_controls_move_by_keyboard(page):
    before = page.evaluate("pyroVae.holes.picture('vae')")
    press(page, "#holes-place", "ArrowRight", 4)
    assert page.evaluate("pyroVae.holes.state().share") == pytest.approx(0.6)
    assert page.evaluate("pyroVae.holes.picture('vae')") != before
    assert page.get_attribute("#holes-place", "aria-valuetext") == "0.600"
    curves = page.evaluate("pyroVae.holes.curves()")
    press(page, "#holes-pair", "Enter")
    assert page.evaluate("pyroVae.holes.curves()") != curves
    wait_until(page, "document.getElementById('holes-said').textContent.startsWith('Pair 2')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
