"""The panel from a mixture to a continuum: densities against SciPy, the VAE's by quadrature."""

from unittest import mock

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae.inference.evidence import quadrature
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import continuum
from tests.lecture.models import roughened
from tests.lecture.pages import press, set_slider, wait_until


@pytest.fixture(scope="module")
def made():
    """What the page is given, and its VAE, with weights of order one and no training."""
    models = []

    def instead(model, data, *_, **__):
        model.initialise(data.train)
        models.append(roughened(model, size=0.1))

    with mock.patch.object(continuum, "fit", side_effect=instead):
        return continuum.continuum_of(0), models[0]


@pytest.fixture
def page(opened, tmp_path, made):
    write_page(tmp_path / "page.html", {"continuum": made[0]}, heading="lecture")
    return opened(tmp_path / "page.html", 360)


@pytest.fixture(scope="module")
def points():
    """Training and test points, and some that are far from any."""
    generator = torch.Generator().manual_seed(0)
    train, _, test = (continuum._points(n, generator) for n in (1000, 300, 500))
    return train, test, torch.tensor([[-4.0, 3.0], [0.0, 0.0], [2.5, -1.5]])


def asked(page, x):
    return np.array(page.evaluate("(x) => pyroVae.continuum.logDensity(x)", x.tolist()))


@pytest.mark.parametrize("at", [0, 2, 3])
def test_mixtures_have_the_density_of_scipy(page, made, points, at):
    set_slider(page, "continuum-components", at)
    about = made[0]["models"][at]
    assert len(about["weights"]) == continuum.COMPONENTS[at]

    def log_density(x):
        parts = []
        for weight, mean, factor in zip(
            about["weights"], about["means"], about["factors"], strict=True
        ):
            covariance = np.array(factor) @ np.array(factor).T
            normal = stats.multivariate_normal(mean, covariance)
            parts.append(np.log(weight) + normal.logpdf(x.double().numpy()))
        return special.logsumexp(parts, axis=0)

    train, test, far = points
    np.testing.assert_allclose(asked(page, far), log_density(far), rtol=1e-8, atol=1e-8)
    told = page.evaluate("pyroVae.continuum.numbers()")
    assert told["mean"] == pytest.approx(log_density(test).mean(), abs=1e-8)
    assert told["error"] == pytest.approx(stats.sem(log_density(test)), abs=1e-8)
    assert told["seen"] == pytest.approx(log_density(train).mean(), abs=1e-5)
    assert abs(told["residual"]) < 1e-9
    # EM: the means are those of the data, weighted.
    overall = np.average(about["means"], axis=0, weights=about["weights"])
    np.testing.assert_allclose(overall, train.double().mean(0), atol=1e-4)


def test_the_continuum_is_integrated_over_z(page, made, points):
    set_slider(page, "continuum-components", 4)
    model = made[1].double()
    _, test, far = points
    some = torch.cat([test[:6], far]).double()
    exact = quadrature(model.model, model.guide, some, tolerance=1e-8)["log_evidence"]
    np.testing.assert_allclose(asked(page, some), exact, atol=1e-5)
    told = page.evaluate("pyroVae.continuum.numbers()")
    assert told["mean"] == pytest.approx(asked(page, test).mean(), abs=1e-9)
    assert told["error"] == pytest.approx(stats.sem(asked(page, test)), rel=1e-6)
    assert abs(told["residual"]) < 1e-6
    assert told["sampled"] == pytest.approx(
        np.mean(made[0]["sampled"]) - asked(page, test[:50]).mean(), abs=1e-9
    )
    assert page.locator("#continuum-plane .spine").count() == 1


def test_free_numbers_are_counted(page, made):
    shared = sum(p.numel() for p in made[1].decoder.parameters())
    likelihood = sum(p.numel() for p in made[1].likelihood.parameters())
    mixtures = [(m - 1) + 2 * m + 3 * m for m in continuum.COMPONENTS]
    assert page.evaluate("pyroVae.continuum.parameters()") == [*mixtures, shared + likelihood]


def test_its_control_moves_by_keyboard(page):
    rings = page.locator("#continuum-plane .component")
    assert rings.count() == 1
    before = page.inner_text("#continuum-value-heldout")
    press(page, "#continuum-components", "ArrowRight", 2)
    assert rings.count() == 8
    assert page.inner_text("#continuum-value-heldout") != before
    assert page.get_attribute("#continuum-components", "aria-valuetext") == "M = 8"
    press(page, "#continuum-components", "End")
    assert rings.count() == 0
    wait_until(
        page, "document.getElementById('continuum-said').textContent.startsWith('one for every')"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
