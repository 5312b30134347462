"""The panel from mixture to continuum: its densities against the package's own and quadrature."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from pyro_vae.data import Dataset
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import continuum
from pyro_vae.models import VAE, MixtureModel
from tests.lecture.pages import press, set_slider, shown


@pytest.fixture(scope="module")
def kept():
    """What was fitted, as it is kept by a panel that trains for a moment."""
    models = []
    original = continuum._fit

    def remembered(model, *arguments, **settings):
        original(model, *arguments, **settings)
        models.append(model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuum, "_fit", remembered)
        about = continuum.continuum_of(0, epochs=8)
    return about, models


@pytest.fixture(scope="module")
def path(tmp_path_factory, kept):
    path = tmp_path_factory.mktemp("continuum") / "page.html"
    write_page(path, {"continuum": kept[0]}, heading="lecture")
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


def log_density(model, x):
    """log p(x) of a mixture, exact; of the VAE by SciPy's quadrature over z."""
    if isinstance(model, MixtureModel):
        return model.log_prob(x).detach().double().numpy()
    assert isinstance(model, VAE)
    network, scale = model.decoder.double(), continuum._scale(model.likelihood)

    def joint(z, point):
        with torch.no_grad():
            mean = network(torch.tensor([[z]], dtype=torch.float64))[0].numpy()
        return stats.norm.pdf(z) * np.exp(stats.norm(mean, scale).logpdf(point).sum())

    return np.log([integrate.quad(joint, -8, 8, args=(p,), limit=200)[0] for p in x.numpy()])


def test_densities_are_those_of_the_models(page, kept):
    about, models = kept
    data = continuum.curve_data(0)
    assert [type(m) for m in models] == [MixtureModel] * 4 + [VAE]
    points = torch.cat([data.test[:4], torch.tensor([[2.0, -1.5]])])
    for index, model in enumerate(models):
        set_slider(page, "continuum-components", index)
        told = page.evaluate("x => pyroVae.continuum.logDensity(x)", points.double().tolist())
        np.testing.assert_allclose(told, log_density(model, points), rtol=1e-5, atol=1e-5)
    assert [m["parameters"] for m in about["mixtures"]] == [3, 6, 24, 192]


def test_what_is_shown_is_the_mean_of_the_held_out_points(page, kept):
    _, models = kept
    data = continuum.curve_data(0)
    held = page.evaluate("pyroVae.continuum.held()")
    assert [one["count"] for one in held] == [1, 2, 8, 64, None]
    for index, model in enumerate(models[:4]):
        values = log_density(model, data.test)
        assert held[index]["mean"] == pytest.approx(values.mean(), abs=1e-5)
        assert held[index]["error"] == pytest.approx(stats.sem(values), rel=1e-4)
        set_slider(page, "continuum-components", index)
        assert shown(page, "continuum-value-evidence") == pytest.approx(values.mean(), abs=6e-5)


def test_every_density_has_mass_one(page):
    for index in range(5):
        set_slider(page, "continuum-components", index)
        assert page.evaluate("pyroVae.continuum.mass()") == pytest.approx(1, abs=1e-6)


def test_the_slider_moves_the_picture_by_keyboard(page):
    seen = set()
    for _ in range(5):
        seen.add(page.inner_html("#continuum-plane"))
        press(page, "#continuum-components", "ArrowRight")
    assert len(seen) == 5
    assert page.get_attribute("#continuum-components", "aria-valuetext") == "∞"


def test_the_data_are_split_in_three_and_lie_on_their_curve():
    data = continuum.curve_data(3)
    assert isinstance(data, Dataset)
    for split in (data.train, data.validation, data.test):
        assert split.shape == (300, 2)
    x = torch.cat([data.train, data.test]).double().numpy()
    along = np.linspace(-1, 1, 2001)
    curve = np.stack([1.6 * along, np.sin(1.5 * np.pi * along)], 1)
    nearest = np.sqrt(((x[:, None] - curve) ** 2).sum(-1)).min(1)
    # The distance across a curve that is nearly straight is the size of one normal of 0.12.
    assert nearest.mean() == pytest.approx(0.12 * np.sqrt(2 / np.pi), rel=0.1)
    assert not torch.equal(data.train, data.test)


@pytest.mark.slow
def test_more_components_come_nearer_and_the_continuum_nearest(opened, tmp_path):
    write_page(tmp_path / "page.html", {"continuum": continuum.continuum_of(0)}, heading="lecture")
    held = opened(tmp_path / "page.html").evaluate("pyroVae.continuum.held()")
    means = [one["mean"] for one in held]
    assert means == sorted(means)
