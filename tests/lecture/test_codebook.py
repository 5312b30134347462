"""The panel of a codebook: nearest codes, straight-through gradient and prior as the package's."""

import math

import numpy as np
import pytest
import torch

from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels import codebook
from pyro_vae.models.code_priors import AutoregressiveCodes
from tests.lecture.models import SHAPE, counts, roughened
from tests.lecture.pages import press, set_slider, shown, wait_until

# A training of seconds, and a browser.
pytestmark = pytest.mark.slow


def small(seed):
    model = codebook.digits_codebook(SHAPE, seed)
    model = model.with_prior(AutoregressiveCodes(width=4, layers=1, heads=1, seed=seed))
    return roughened(model, seed=seed, size=0.2)


@pytest.fixture(scope="module")
def models():
    return {"data": small(0), "random": small(1)}


@pytest.fixture(scope="module")
def path(tmp_path_factory, models):
    path = tmp_path_factory.mktemp("page") / "page.html"
    about = {name: codebook.describe_codebook(model, counts()) for name, model in models.items()}
    write_page(path, {"codebook": about}, heading="lecture")
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


@pytest.mark.parametrize("start", ["data", "random"])
def test_everything_is_that_of_the_package(page, models, start):
    model, data = models[start], counts()
    page.select_option("#codebook-start", start)
    for image in (0, 5):
        set_slider(page, "codebook-image", image)
        x = data.test[image : image + 1]
        told = page.evaluate("pyroVae.codebook.terms()")
        assert (told["start"], told["image"]) == (start, image)
        np.testing.assert_allclose(told["h"], model.code(x)[0].detach(), atol=1e-6)
        assert told["index"] == int(model.assign(x))
        e = model.codebook.codes[told["index"]]
        np.testing.assert_allclose(told["code"], e, atol=1e-6)
        square = float((model.code(x)[0] - e).square().sum())
        assert told["square"] == pytest.approx(square, rel=1e-5)
        log_likelihood = float(model.observation(model.assign(x)).log_prob(x))
        assert told["reconstruction"] == pytest.approx(log_likelihood, rel=1e-6)
        mean = model.decode(model.code(x)).flatten() / 16
        decoded = page.evaluate(f"pyroVae.codebook.decoded({told['index']})")
        np.testing.assert_allclose(decoded, mean.detach(), atol=1e-6)
        assert shown(page, "codebook-value-reconstruction") == pytest.approx(
            told["reconstruction"], abs=5.1e-5
        )
        assert shown(page, "codebook-value-nearest") == told["index"] + 1
    usage = model.usage(data.train)
    assert told["dead"] == int((usage == 0).sum()) > 0
    assert told["perplexity"] == pytest.approx(model.perplexity(data.train), rel=1e-9)
    log_prior = model.prior().log_prob(model.assign(data.train)).mean().item()
    assert told["learned"] == pytest.approx(log_prior, abs=1e-5)
    assert told["uniform"] == pytest.approx(-math.log(24))
    assert page.locator("#codebook-bars .collapse-out").count() == told["dead"]
    assert page.locator("#codebook-plane .collapse-out").count() == told["dead"]


@pytest.mark.parametrize("image", range(4))
def test_the_gradient_is_what_autograd_passes_straight_through(page, models, image):
    model, x = models["data"], counts().test[image : image + 1]
    set_slider(page, "codebook-image", image)
    told = page.evaluate("pyroVae.codebook.terms()")
    h = model.code(x).detach().double().requires_grad_()
    e = model.embed(model.assign(x)).double()
    twin = small(0).double()
    through = e + (h - h.detach())
    likelihood = twin.likelihood(twin.decoder(through)).log_prob(x.double())
    (gradient,) = torch.autograd.grad(likelihood.sum(), h)
    np.testing.assert_allclose(told["gradient"], gradient[0], rtol=1e-5, atol=1e-5)
    assert told["residual"] < 1e-5
    before = told["gradient"]
    press(page, "#codebook-point", "Shift+ArrowRight")
    moved = page.evaluate("pyroVae.codebook.terms()")
    assert moved["h"][0] == pytest.approx(told["h"][0] + 0.02)
    if moved["index"] == told["index"]:
        assert moved["gradient"] == before


def test_cells_hold_what_is_nearest(page, models):
    codes = models["data"].codebook.codes.double().numpy()
    area = 0
    for index in range(24):
        cell = np.array(page.evaluate(f"pyroVae.codebook.cell({index})"))
        if len(cell) < 3:
            continue
        u, v = cell.T
        area += abs(u @ np.roll(v, -1) - v @ np.roll(u, -1)) / 2
        # Corners shrunk towards the cell's middle are inside.
        for point in cell.mean(0) + 0.99 * (cell - cell.mean(0)):
            nearest = ((codes - point) ** 2).sum(1).argmin()
            assert nearest == index == page.evaluate(f"pyroVae.codebook.nearest({point.tolist()})")
    corners = page.evaluate("pyroVae.codebook.corners()")
    (left, low), (right, high) = np.min(corners, 0), np.max(corners, 0)
    assert area == pytest.approx((right - left) * (high - low), rel=1e-9)


def test_every_control_moves_its_picture_by_keyboard_and_by_hand(page):
    def plane():
        return page.inner_html("#codebook-plane")

    seen = [plane()]
    for selector, key, times in (
        ("#codebook-point", "ArrowRight", 2),
        ("#codebook-image", "ArrowRight", 1),
        ("#codebook-start", "ArrowDown", 1),
    ):
        press(page, selector, key, times)
        assert plane() != seen[-1], selector
        seen.append(plane())
    before = page.evaluate("pyroVae.codebook.terms()")
    assert (before["start"], before["image"]) == ("random", 1)
    box = page.locator("#codebook-plane").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    page.mouse.up()
    after = page.evaluate("pyroVae.codebook.terms()")
    assert after["h"] != before["h"]
    assert page.evaluate("document.activeElement.id") == "codebook-point"
    wait_until(page, "document.getElementById('codebook-said').textContent !== ''")


def test_draws_follow_the_prior(page, models):
    prior = models["data"].prior().log_prob(torch.arange(24).unsqueeze(-1)).exp().detach().numpy()
    drawn = []
    for _ in range(120):
        page.evaluate("document.getElementById('codebook-draw').click()")
        drawn += page.evaluate("pyroVae.codebook.terms().drawn")
    assert page.locator("#codebook-strip canvas").count() == 9
    found = np.bincount(drawn, minlength=24) / len(drawn)
    error = np.sqrt(prior * (1 - prior) / len(drawn))
    # Within 5 standard errors; seeds 1 to 120.
    assert (np.abs(found - prior) < 5 * error + 1e-9).all()


def test_what_the_panel_says():
    for seed in (0, 1):
        made = codebook.codebook_of(seed)
        perplexity = {}
        for start, about in made.items():
            share = np.array(about["usage"]) / sum(about["usage"])
            entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
            perplexity[start] = math.exp(entropy)
            prior = np.exp(about["logPrior"])
            assert prior.sum() == pytest.approx(1, abs=1e-6)
            learned = share @ about["logPrior"]
            assert learned == pytest.approx(-entropy, abs=0.05)
            assert learned > -math.log(24)
        assert perplexity["random"] < perplexity["data"]
