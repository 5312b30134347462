"""The panel of a decoder: its numbers against PyTorch, its controls by keyboard and by hand."""

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.lecture import describe_run, write_explorer
from pyro_vae.models.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Laplace,
    Normal,
    Poisson,
)
from pyro_vae.networks import Dense
from tests.lecture.models import SHAPE, counts, small_vae
from tests.lecture.pages import press, wait_until

DECODERS = [
    (Bernoulli(), Dense((9,), "tanh")),
    (ContinuousBernoulli(), Dense((7, 7), "elu")),
    (Normal("latent"), Dense((6, 6, 5), "silu", residual=True)),
    (Normal("per-feature"), Dense((), "relu")),
    (Laplace("shared"), Dense((5, 5), "relu", residual=True)),
    (Poisson(), Dense((8,), "softplus")),
]


@pytest.mark.parametrize(("likelihood", "network"), DECODERS, ids=repr)
def test_the_browser_decodes_as_the_model(opened, tmp_path, likelihood, network):
    model = small_vae(4, likelihood, decoder=network)
    data = counts() if likelihood.name == "poisson" else counts().test / 16
    if not isinstance(data, torch.Tensor):
        document = describe_run(model, data, name="run")
    else:
        values = data.round() if likelihood.name == "bernoulli" else data
        document = describe_run(
            model, type(counts()).from_tensors(values, test=values), name="run"
        )
    write_explorer(tmp_path / "page.html", document)
    page = opened(tmp_path / "page.html", 360)
    z = 2 * torch.randn(12, 4)
    z[0] = 0
    told = page.evaluate("z => z.map((one) => pyroVae.decoder.decode(one))", z.tolist())
    with torch.no_grad():
        observed = model.double().observation(z.double())
    mean = np.array([one["mean"] for one in told]).reshape(12, *SHAPE)
    np.testing.assert_allclose(mean, observed.mean, rtol=1e-5, atol=1e-5)
    if likelihood.name in ("normal", "laplace"):
        scale = np.array([one["parameters"]["scale"] for one in told]).reshape(12, *SHAPE)
        np.testing.assert_allclose(scale, observed.base_dist.scale, rtol=1e-5)
    page.click("#decoder summary")
    first, *_, last = document["axes"]
    others = sorted({0, 1, 2, 3} - {first, last})
    assert [
        int(e.get_attribute("data-dimension"))
        for e in page.query_selector_all("#decoder-other-dimensions input")
    ] == others
    press(page, f"#decoder-z-{others[0] + 1}", "ArrowRight", 2)
    assert page.evaluate("pyroVae.decoder.point()")[others[0]] != 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_near_zero_the_continuous_bernoulli_keeps_its_digits(opened, tmp_path):
    model = small_vae(2, ContinuousBernoulli(), decoder=Dense(()))
    with torch.no_grad():
        near = torch.logspace(-8, -1, 6)
        model.decoder.output.bias.copy_(torch.cat([-near, torch.linspace(0.1, 0.29, 6)]))
    values = counts().test / 16
    write_explorer(
        tmp_path / "page.html",
        describe_run(model, type(counts()).from_tensors(values, test=values), name="run"),
    )
    told = opened(tmp_path / "page.html").evaluate("pyroVae.decoder.decode([0, 0])")
    with torch.no_grad():
        mean = model.double().decode(torch.zeros(2).double()).flatten()
    np.testing.assert_allclose(told["mean"], mean, rtol=0, atol=1e-12)


def test_the_point_moves_by_keyboard_and_by_hand(page, trained):
    assert page.evaluate("pyroVae.decoder.point()") == [0, 0]
    press(page, "#decoder-point", "ArrowRight", 3)
    press(page, "#decoder-point", "ArrowDown")
    press(page, "#decoder-point", "Shift+ArrowUp")
    assert page.evaluate("pyroVae.decoder.point()") == pytest.approx([0.3, -0.09])
    assert "0.30" in page.get_attribute("#decoder-point", "aria-valuetext")
    assert page.input_value("#decoder-z-1") != ""
    box = page.query_selector("#decoder-point .point-dot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] - 40, steps=4)
    page.mouse.up()
    x, y = page.evaluate("pyroVae.decoder.point()")
    assert x > 0.5
    assert y > 0.1
    moved = page.query_selector("#decoder-point .point-dot").bounding_box()
    assert moved["x"] + moved["width"] / 2 == pytest.approx(box["x"] + 60, abs=1.5)
    page.mouse.move(box["x"] - 50, box["y"])
    assert page.evaluate("pyroVae.decoder.point()") == [x, y]
    assert page.evaluate("document.activeElement.id") == "decoder-point"
    assert canvas_values(page, "#decoder-image") == pytest.approx(greys(trained, [x, y]), abs=0.51)


def test_a_finger_drags_by_the_point_taps_the_plane_and_else_scrolls(opened, path):
    page = opened(path, 360, touch=True)
    page.locator("#decoder-plane").scroll_into_view_if_needed()
    touches = page.context.new_cdp_session(page)

    def drag(a, b, right, down):
        for kind, share in (("Start", 0), ("Move", 0.3), ("Move", 0.6), ("Move", 1)):
            at = [{"x": a + share * right, "y": b + share * down}]
            touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": at})
        touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    before, scrolled = dot_centre(page), page.evaluate("scrollY")
    drag(*before, -60, 40)
    assert dot_centre(page) == pytest.approx((before[0] - 60, before[1] + 40), abs=1.5)
    assert page.evaluate("scrollY") == scrolled
    box = page.query_selector("#decoder-plane").bounding_box()
    a, b = box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"]
    page.touchscreen.tap(a, b)
    assert dot_centre(page) == pytest.approx((a, b), abs=1.5)
    point = page.evaluate("pyroVae.decoder.point()")
    drag(a - 80, b + 100, 0, -60)
    wait_until(page, f"scrollY > {scrolled}")
    assert page.evaluate("pyroVae.decoder.point()") == point


def dot_centre(page):
    box = page.query_selector("#decoder-point .point-dot").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def canvas_values(page, selector):
    """Grey of every pixel, 0 to 255."""
    return page.eval_on_selector(
        selector,
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        ".filter((_, i) => i % 4 === 0)",
    )


def greys(model, z):
    """Where the model's mean, out of 16, lies between black and white."""
    with torch.no_grad():
        return (model.decode(torch.tensor(z)) * 255 / 16).flatten().numpy()


def test_pixels_tell_their_parameters(page, trained):
    press(page, "#decoder-point", "ArrowLeft", 5)
    page.focus("#decoder-image")
    press(page, "#decoder-image", "ArrowDown", 2)
    press(page, "#decoder-image", "ArrowRight", 1)
    with torch.no_grad():
        observed = trained.observation(torch.tensor([-0.5, 0.0]))
    mean, p = observed.mean[2, 1], observed.base_dist.probs[2, 1]
    assert page.inner_text("#decoder-value-pixel") == (
        f"row 3, column 2: mean {mean:.4f} of 16; p = {p:.4f}"
    )
    press(page, "#decoder-image", "ArrowUp", 9)
    assert page.inner_text("#decoder-value-pixel").startswith("row 1, column 2:")
    box = page.query_selector("#decoder-image").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9)
    assert page.inner_text("#decoder-value-pixel").startswith("row 4, column 3:")


def test_a_test_image_shows_its_posterior_and_its_code(page, trained):
    data = counts()
    press(page, "#decoder-thumbnails button:nth-child(3)", "Enter")
    chosen = page.evaluate("pyroVae.decoder.chosen()")
    x = data.test[chosen["row"]]
    q = trained.posterior(x.unsqueeze(0))
    np.testing.assert_allclose(chosen["code"], q.mean[0].detach(), rtol=1e-5)
    assert page.evaluate("pyroVae.decoder.point()") == pytest.approx(chosen["code"])
    for share in (0.5, 0.95):
        points = torch.tensor(page.evaluate("s => pyroVae.decoder.region(s)", share))
        away = (points - q.mean).double().detach()
        squares = torch.einsum("ki,ij,kj->k", away, q.precision_matrix[0].double(), away)
        np.testing.assert_allclose(squares.detach(), stats.chi2(2).ppf(share), rtol=1e-3)
    assert page.locator("#decoder-plane .region").count() == 2
    assert canvas_values(page, "#decoder-datum") == pytest.approx(
        (x * 255 / 16).flatten(), abs=0.51
    )
    said = page.inner_text("#decoder-item")
    assert f"Test image {chosen['row']}, class {data.labels['test'][chosen['row']]}:" in said
    covariance = q.covariance_matrix[0].detach()
    correlation = covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()
    assert f"correlation {correlation:.3f}".replace("-", "−") in said
    assert page.get_attribute("#decoder-thumbnails button:nth-child(3)", "aria-pressed") == "true"


def test_a_path_by_hand_and_by_keyboard(page, trained):
    page.click("#decoder-draw")
    for across, down in ((0.3, 0.3), (0.7, 0.6)):
        box = page.query_selector("#decoder-plane").bounding_box()
        page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
    start, end = page.evaluate("pyroVae.decoder.path()")
    assert start[0] < end[0]
    assert start[1] > end[1]
    assert page.get_attribute("#decoder-draw", "aria-pressed") == "false"
    assert page.locator("#decoder-strip canvas").count() == 9
    for index in (0, 2, 8):
        share = index / 8
        z = [(1 - share) * a + share * b for a, b in zip(start, end, strict=True)]
        drawn = canvas_values(page, f"#decoder-strip canvas:nth-child({index + 1})")
        assert drawn == pytest.approx(greys(trained, z), abs=0.51)
    press(page, "#decoder-draw", "Enter")
    assert page.locator("#decoder-strip canvas").count() == 0
    press(page, "#decoder-point", "Enter")
    press(page, "#decoder-point", "ArrowLeft", 10)
    press(page, "#decoder-point", "Enter")
    start, end = page.evaluate("pyroVae.decoder.path()")
    assert start[0] - end[0] == pytest.approx(1)
    assert page.locator("#decoder-strip canvas").count() == 9
