"""The panel of narrow codes: PCA against scikit-learn, the networks' errors against their own."""

from unittest import mock

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA

from pyro_vae.data import load
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import codes
from tests.lecture.pages import press, set_slider, wait_until


@pytest.fixture(scope="module")
def made():
    """What the page is given, and its networks, which need no training to be shown."""
    models = []
    with mock.patch.object(codes, "fit", side_effect=lambda model, *_, **__: models.append(model)):
        return codes.codes_of(0), models


@pytest.fixture
def page(opened, tmp_path, made):
    write_page(tmp_path / "page.html", {"codes": made[0]}, heading="lecture")
    return opened(tmp_path / "page.html", 360)


@pytest.fixture(scope="module")
def digits():
    """Training digits, test digits and the first of each class of these, on [0, 1]."""
    data = load("digits", binarisation="none", seed=0)
    train, test = (x.flatten(1).double().numpy() / 16 for x in (data.train, data.test))
    labels = data.labels["test"].numpy()
    return train, test, test[[np.flatnonzero(labels == label)[0] for label in range(10)]]


@pytest.mark.parametrize("at", [0, 2, 5])
def test_pca_is_that_of_scikit_learn(page, digits, at):
    train, test, shown = digits
    set_slider(page, "codes-width", at)
    told = page.evaluate("pyroVae.codes.numbers()")
    pca = PCA(codes.WIDTHS[at], svd_solver="full").fit(train)

    def missed(x):
        return ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean(1)

    back = pca.inverse_transform(pca.transform(shown))
    np.testing.assert_allclose(page.evaluate("pyroVae.codes.reconstructions()"), back, atol=1e-5)
    np.testing.assert_allclose(page.evaluate("pyroVae.codes.errors()"), missed(shown), atol=1e-5)
    assert told["width"] == codes.WIDTHS[at]
    assert told["missed"] == pytest.approx(missed(test).mean(), abs=1e-8)
    assert told["error"] == pytest.approx(stats.sem(missed(test)), rel=1e-6)
    assert told["kept"] == pytest.approx(1 - missed(test).mean() / test.var(0).mean(), abs=1e-6)
    # What is left out: the whole variance less that of the components kept, of n and not n - 1.
    components = pca.explained_variance_.sum() * (len(train) - 1) / len(train)
    assert told["omitted"] == pytest.approx((train.var(0).sum() - components) / 64, abs=1e-9)
    assert told["direct"] == pytest.approx(missed(train).mean(), abs=1e-9)
    assert abs(told["residual"]) < 1e-9
    assert page.inner_text("#codes-value-omitted") == f"{told['omitted']:.6f}"


@pytest.mark.parametrize(("depth", "first"), [("one", 0), ("two", 6)])
def test_the_networks_are_those_that_were_trained(page, made, digits, depth, first):
    _, test, shown = digits
    page.select_option("#codes-depth", depth)
    set_slider(page, "codes-width", 3)
    model = made[1][first + 3].double()
    assert (model.latent_dim, len(model.encoder)) == (8, 2 * ["one", "two"].index(depth) + 3)

    def back(x):
        with torch.no_grad():
            return model.decode(model.code(torch.tensor(x).reshape(-1, 8, 8))).flatten(1).numpy()

    told = page.evaluate("pyroVae.codes.numbers()")
    assert (told["depth"], told["width"]) == (depth, 8)
    missed = ((back(test) - test) ** 2).mean(1)
    assert told["missed"] == pytest.approx(missed.mean(), abs=1e-6)
    assert told["error"] == pytest.approx(stats.sem(missed), abs=1e-6)
    np.testing.assert_allclose(
        page.evaluate("pyroVae.codes.reconstructions()"), back(shown), atol=1e-5
    )


def test_its_controls_move_by_keyboard(page):
    before = page.evaluate("pyroVae.codes.reconstructions()")
    ring = page.get_attribute("#codes-curve .point-dot", "cy")
    press(page, "#codes-width", "ArrowRight", 3)
    assert page.evaluate("pyroVae.codes.numbers().width") == 16
    assert page.get_attribute("#codes-width", "aria-valuetext") == "16 of 64 numbers"
    linear = page.evaluate("pyroVae.codes.reconstructions()")
    assert linear != before
    assert page.get_attribute("#codes-curve .point-dot", "cy") != ring
    press(page, "#codes-depth", "ArrowDown")
    assert page.evaluate("pyroVae.codes.numbers().depth") == "one"
    assert page.evaluate("pyroVae.codes.reconstructions()") != linear
    assert page.locator("#codes-digits canvas[role=img]").count() == 20
    wait_until(page, "document.getElementById('codes-said').textContent.includes('one hidden')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
