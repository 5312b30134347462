"""The page in a real browser: its numbers against SciPy and PyTorch, its controls by keyboard."""

import itertools
import math
import os
import shutil

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae.explorer import TOY, describe_run, write_page
from pyro_vae.models.guides import FullCovarianceNormal
from pyro_vae.models.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Laplace,
    Normal,
    Poisson,
)
from pyro_vae.networks import Dense
from tests.explorer.models import SHAPE, counts, small_vae

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

W, B, S = TOY["w"], TOY["b"], TOY["s"]


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        if found is None and not os.path.exists(playwright.chromium.executable_path):
            pytest.skip("no Chromium: install one, or run `playwright install chromium`")
        # Chromium's sandbox refuses to run for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=found, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="module")
def trained():
    return small_vae(2, guide=FullCovarianceNormal())


@pytest.fixture(scope="module")
def path(tmp_path_factory, trained):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, describe_run(trained, counts(), name="run"))
    return path


@pytest.fixture
def opened(browser):
    """Open a file in a window that tolerates no error and no request but the file."""
    contexts = []

    def open_page(path, width=1200, *, motion="reduce", touch=False):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, reduced_motion=motion, has_touch=touch
        )
        contexts.append(context)
        page = context.new_page()
        page.troubles = []
        page.on("console", lambda message: page.troubles.append(message.text))
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("request", lambda request: page.troubles.append(request.url))
        page.goto(path.as_uri())
        assert page.troubles == [path.as_uri()]
        page.troubles.clear()
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.troubles == []
        context.close()


@pytest.fixture
def page(opened, path):
    return opened(path)


def shown(page, name):
    """A number as it is printed."""
    return float(page.inner_text(f"#value-{name}").split("±")[0].split()[0].replace("−", "-"))


def set_slider(page, name, value):
    page.eval_on_selector(
        f"#{name}",
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }",
        str(value),
    )


def wait_until(page, expression):
    """As ``wait_for_function``, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never came true: {expression}")


def press(page, selector, key, times=1):
    page.focus(selector)
    for _ in range(times):
        page.keyboard.press(key)


SETTINGS = [(2.0, -1.0, 1.2), (-4.0, 2.5, 0.15), (6.0, -3.0, 2.0), (0.5, 0.05, 0.55)]


@pytest.mark.parametrize(("x", "mean", "sd"), SETTINGS)
def test_the_identity_is_that_of_scipy(page, x, mean, sd):
    for name, value in (("x", x), ("mean", mean), ("sd", sd)):
        set_slider(page, name, value)
    told = page.evaluate("pyroVae.identity()")
    assert (told["x"], told["mean"], told["sd"]) == (x, mean, sd)
    evidence = stats.norm(B, math.hypot(W, S)).logpdf(x)
    # E_q of quadratic log-densities is exact by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    z, weights = mean + sd * nodes, weights / weights.sum()
    log_q = stats.norm(mean, sd).logpdf(z)
    reconstruction = weights @ stats.norm(W * z + B, S).logpdf(x)
    to_prior = weights @ (log_q - stats.norm.logpdf(z))
    posterior = stats.norm(told["posteriorMean"], told["posteriorSd"])
    log_posterior = stats.norm.logpdf(z) + stats.norm(W * z + B, S).logpdf(x) - evidence
    np.testing.assert_allclose(posterior.logpdf(z), log_posterior, atol=1e-9)
    assert told["evidence"] == pytest.approx(evidence, abs=1e-9)
    assert told["reconstruction"] == pytest.approx(reconstruction, abs=1e-9)
    assert told["toPrior"] == pytest.approx(to_prior, abs=1e-9)
    assert told["bound"] == pytest.approx(reconstruction - to_prior, abs=1e-9)
    assert told["divergence"] == pytest.approx(weights @ (log_q - log_posterior), abs=1e-9)
    assert abs(told["residual"]) < 1e-9
    assert told["residual"] == told["evidence"] - (told["bound"] + told["divergence"])
    for name in ("evidence", "bound", "divergence", "reconstruction"):
        assert shown(page, name) == pytest.approx(told[name], abs=5.1e-5)
    assert shown(page, "evidence") == pytest.approx(
        shown(page, "bound") + shown(page, "divergence"), abs=1.6e-4
    )


def test_sliders_move_by_keyboard(page):
    before = page.evaluate("pyroVae.identity()")
    press(page, "#mean", "ArrowRight", 3)
    press(page, "#sd", "ArrowLeft", 2)
    press(page, "#x", "ArrowRight")
    after = page.evaluate("pyroVae.identity()")
    assert after["mean"] == pytest.approx(before["mean"] + 0.15)
    assert after["sd"] == pytest.approx(before["sd"] - 0.10)
    assert after["x"] == pytest.approx(before["x"] + 0.05)
    assert page.get_attribute("#mean", "aria-valuetext") == "−0.85"
    assert page.input_value("#sampling-mean") == page.input_value("#mean")
    wait_until(page, "document.getElementById('said-identity').textContent !== ''")


@pytest.mark.parametrize(("x", "mean", "sd"), SETTINGS)
def test_gradient_steps_raise_the_bound_and_not_the_evidence(page, x, mean, sd):
    for name, value in (("x", x), ("mean", mean), ("sd", sd)):
        set_slider(page, name, value)
    first = page.evaluate("pyroVae.identity()")
    press(page, "#step", "Enter")
    # Autograd's gradient of the bound, in the mean and the logarithm of the scale.
    m, r = torch.tensor([mean, math.log(sd)], dtype=torch.float64, requires_grad=True)
    q = torch.distributions.Normal(m, r.exp())
    missed = (x - B - W * m) ** 2 + (W * r.exp()) ** 2
    prior = torch.distributions.Normal(*torch.tensor([0.0, 1.0]).double())
    bound = -missed / (2 * S**2) - torch.distributions.kl_divergence(q, prior)
    slope_m, slope_r = torch.autograd.grad(bound, (m, r))
    second = page.evaluate("pyroVae.identity()")
    step = (second["mean"] - mean) / float(slope_m)
    assert step == pytest.approx(0.1 / 2 ** round(math.log2(0.1 / step)), rel=1e-9)
    assert math.log(second["sd"] / sd) == pytest.approx(step * float(slope_r), abs=1e-12)
    for _ in range(8):
        page.click("#steps")
    history = page.evaluate("pyroVae.history()")
    assert len(history) == 82
    bounds = [terms["bound"] for terms in history]
    assert all(b >= a for a, b in itertools.pairwise(bounds))
    assert bounds[10] > bounds[0]
    assert {terms["evidence"] for terms in history} == {first["evidence"]}
    assert history[-1]["divergence"] < 1e-4
    assert max(abs(terms["residual"]) for terms in history) < 1e-9
    set_slider(page, "mean", 1)
    assert len(page.evaluate("pyroVae.history()")) == 1


def test_steps_are_animated_unless_motion_is_unwelcome(opened, path):
    still, moving = opened(path), opened(path, motion="no-preference")
    for page in (still, moving):
        page.click("#steps")
    assert len(still.evaluate("pyroVae.history()")) == 11
    assert len(moving.evaluate("pyroVae.history()")) < 11
    wait_until(moving, "pyroVae.history().length === 11")


def test_weights_bounds_and_ess_are_those_of_scipy(page):
    set_slider(page, "mean", 0.2)
    set_slider(page, "sd", 0.9)
    press(page, "#k", "ArrowRight", 2)
    told = page.evaluate("pyroVae.sampling()")
    assert told["k"] == 32
    z, log_weights = np.array(told["z"]), np.array(told["logWeights"])
    guide = stats.norm(0.2, 0.9)
    expected = stats.norm.logpdf(z) + stats.norm(W * z + B, S).logpdf(2.0) - guide.logpdf(z)
    np.testing.assert_allclose(log_weights, expected, atol=1e-9)
    np.testing.assert_allclose(told["weights"], special.softmax(log_weights), rtol=1e-9)
    assert told["ess"] == pytest.approx(1 / (special.softmax(log_weights) ** 2).sum())
    assert told["estimate"] == pytest.approx(special.logsumexp(log_weights) - math.log(32))
    pool = np.array(page.evaluate("pyroVae.logWeights()"))
    np.testing.assert_array_equal(pool[:32], log_weights)
    assert [bound["count"] for bound in told["bounds"]] == [2**i for i in range(10)]
    for bound in told["bounds"]:
        k = bound["count"]
        sets = special.logsumexp(pool.reshape(-1, k), axis=1) - math.log(k)
        assert bound["sets"] == len(sets)
        assert bound["mean"] == pytest.approx(sets.mean(), abs=1e-9)
        assert bound["error"] == pytest.approx(stats.sem(sets), rel=1e-6)
    assert shown(page, "iwae") == pytest.approx(told["bounds"][5]["mean"], abs=5.1e-5)
    assert shown(page, "ess") == pytest.approx(told["ess"], abs=5.1e-3)
    assert shown(page, "estimate") == pytest.approx(told["estimate"], abs=5.1e-5)


def test_the_bound_grows_from_the_elbo_to_the_evidence(page):
    terms, told = page.evaluate("[pyroVae.identity(), pyroVae.sampling()]")
    bounds = told["bounds"]
    first, last = bounds[0], bounds[-1]
    assert abs(first["mean"] - terms["bound"]) < 5 * first["error"]
    assert abs(last["mean"] - terms["evidence"]) < 0.1 * terms["divergence"]
    for a, b in itertools.pairwise(bounds):
        # Averages over the same draws: log is concave, so no draw can break this.
        assert b["mean"] > a["mean"]


def test_the_draws_are_normal_and_follow_the_seed(opened, path):
    page, other = opened(path), opened(path)
    pool = "Array.from(pyroVae.logWeights().slice(0, 20000))"
    for window in (page, other):
        set_slider(window, "k", 9)
    z = np.array(page.evaluate("pyroVae.sampling().z"))
    assert stats.kstest(z, stats.norm(-1, 1.2).cdf).pvalue > 1e-4
    assert page.evaluate(pool) == other.evaluate(pool)
    page.click("#again")
    assert shown(page, "seed") == 2
    again = np.array(page.evaluate("pyroVae.sampling().z"))
    assert len(np.intersect1d(z, again)) == 0
    # Neighbours, which Box and Muller make of the same two numbers, are independent.
    assert abs(stats.pearsonr(again[::2], again[1::2]).statistic) < 5 / math.sqrt(256)
    # A guide that is the exact posterior has equal weights.
    set_slider(page, "x", 0.5)
    set_slider(page, "mean", 0)
    set_slider(page, "k", 3)
    for _ in range(10):
        page.click("#steps")
    assert page.evaluate("pyroVae.sampling().ess") == pytest.approx(8, rel=1e-9)


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
    write_page(tmp_path / "page.html", document)
    page = opened(tmp_path / "page.html", 360)
    z = 2 * torch.randn(12, 4)
    z[0] = 0
    told = page.evaluate("z => z.map((one) => pyroVae.decode(one))", z.tolist())
    with torch.no_grad():
        observed = model.double().observation(z.double())
    mean = np.array([one["mean"] for one in told]).reshape(12, *SHAPE)
    np.testing.assert_allclose(mean, observed.mean, rtol=1e-5, atol=1e-5)
    if likelihood.name in ("normal", "laplace"):
        scale = np.array([one["parameters"]["scale"] for one in told]).reshape(12, *SHAPE)
        np.testing.assert_allclose(scale, observed.base_dist.scale, rtol=1e-5)
    page.click("summary")
    first, *_, last = document["axes"]
    others = sorted({0, 1, 2, 3} - {first, last})
    assert [
        int(e.get_attribute("data-dimension"))
        for e in page.query_selector_all("#other-dimensions input")
    ] == others
    press(page, f"#z-{others[0] + 1}", "ArrowRight", 2)
    assert page.evaluate("pyroVae.point()")[others[0]] != 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_near_zero_the_continuous_bernoulli_keeps_its_digits(opened, tmp_path):
    model = small_vae(2, ContinuousBernoulli(), decoder=Dense(()))
    with torch.no_grad():
        near = torch.logspace(-8, -1, 6)
        model.decoder.output.bias.copy_(torch.cat([-near, torch.linspace(0.1, 0.29, 6)]))
    values = counts().test / 16
    write_page(
        tmp_path / "page.html",
        describe_run(model, type(counts()).from_tensors(values, test=values), name="run"),
    )
    told = opened(tmp_path / "page.html").evaluate("pyroVae.decode([0, 0])")
    with torch.no_grad():
        mean = model.double().decode(torch.zeros(2).double()).flatten()
    np.testing.assert_allclose(told["mean"], mean, rtol=0, atol=1e-12)


def test_the_point_moves_by_keyboard_and_by_hand(page, trained):
    assert page.evaluate("pyroVae.point()") == [0, 0]
    press(page, "#point", "ArrowRight", 3)
    press(page, "#point", "ArrowDown")
    press(page, "#point", "Shift+ArrowUp")
    assert page.evaluate("pyroVae.point()") == pytest.approx([0.3, -0.09])
    assert "0.30" in page.get_attribute("#point", "aria-valuetext")
    assert page.input_value("#z-1") != ""
    box = page.query_selector("#point .point-dot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] - 40, steps=4)
    page.mouse.up()
    x, y = page.evaluate("pyroVae.point()")
    assert x > 0.5
    assert y > 0.1
    moved = page.query_selector("#point .point-dot").bounding_box()
    assert moved["x"] + moved["width"] / 2 == pytest.approx(box["x"] + 60, abs=1.5)
    page.mouse.move(box["x"] - 50, box["y"])
    assert page.evaluate("pyroVae.point()") == [x, y]
    assert page.evaluate("document.activeElement.id") == "point"
    assert canvas_values(page, "#image") == pytest.approx(greys(trained, [x, y]), abs=0.51)


def test_a_finger_drags_by_the_point_taps_the_plane_and_else_scrolls(opened, path):
    page = opened(path, 360, touch=True)
    page.locator("#plane").scroll_into_view_if_needed()
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
    box = page.query_selector("#plane").bounding_box()
    a, b = box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"]
    page.touchscreen.tap(a, b)
    assert dot_centre(page) == pytest.approx((a, b), abs=1.5)
    point = page.evaluate("pyroVae.point()")
    drag(a - 80, b + 100, 0, -60)
    wait_until(page, f"scrollY > {scrolled}")
    assert page.evaluate("pyroVae.point()") == point


def dot_centre(page):
    box = page.query_selector("#point .point-dot").bounding_box()
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
    press(page, "#point", "ArrowLeft", 5)
    page.focus("#image")
    press(page, "#image", "ArrowDown", 2)
    press(page, "#image", "ArrowRight", 1)
    with torch.no_grad():
        observed = trained.observation(torch.tensor([-0.5, 0.0]))
    mean, p = observed.mean[2, 1], observed.base_dist.probs[2, 1]
    assert page.inner_text("#value-pixel") == (
        f"row 3, column 2: mean {mean:.4f} of 16; p = {p:.4f}"
    )
    press(page, "#image", "ArrowUp", 9)
    assert page.inner_text("#value-pixel").startswith("row 1, column 2:")
    box = page.query_selector("#image").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9)
    assert page.inner_text("#value-pixel").startswith("row 4, column 3:")


def test_a_test_image_shows_its_posterior_and_its_code(page, trained):
    data = counts()
    press(page, "#thumbnails button:nth-child(3)", "Enter")
    chosen = page.evaluate("pyroVae.chosen()")
    x = data.test[chosen["row"]]
    q = trained.posterior(x.unsqueeze(0))
    np.testing.assert_allclose(chosen["code"], q.mean[0].detach(), rtol=1e-5)
    assert page.evaluate("pyroVae.point()") == pytest.approx(chosen["code"])
    for share in (0.5, 0.95):
        points = torch.tensor(page.evaluate("s => pyroVae.region(s)", share))
        away = (points - q.mean).double().detach()
        squares = torch.einsum("ki,ij,kj->k", away, q.precision_matrix[0].double(), away)
        np.testing.assert_allclose(squares.detach(), stats.chi2(2).ppf(share), rtol=1e-3)
    assert page.locator("#plane .region").count() == 2
    assert canvas_values(page, "#datum") == pytest.approx((x * 255 / 16).flatten(), abs=0.51)
    said = page.inner_text("#said-item")
    assert f"Test image {chosen['row']} (class {data.labels['test'][chosen['row']]})" in said
    covariance = q.covariance_matrix[0].detach()
    correlation = covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()
    assert f"correlation {correlation:.3f}".replace("-", "−") in said
    assert page.get_attribute("#thumbnails button:nth-child(3)", "aria-pressed") == "true"


def test_a_path_by_hand_and_by_keyboard(page, trained):
    page.click("#draw-path")
    for across, down in ((0.3, 0.3), (0.7, 0.6)):
        box = page.query_selector("#plane").bounding_box()
        page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
    start, end = page.evaluate("pyroVae.path()")
    assert start[0] < end[0]
    assert start[1] > end[1]
    assert page.get_attribute("#draw-path", "aria-pressed") == "false"
    assert page.locator("#strip canvas").count() == 9
    for index in (0, 2, 8):
        share = index / 8
        z = [(1 - share) * a + share * b for a, b in zip(start, end, strict=True)]
        drawn = canvas_values(page, f"#strip canvas:nth-child({index + 1})")
        assert drawn == pytest.approx(greys(trained, z), abs=0.51)
    press(page, "#draw-path", "Enter")
    assert page.locator("#strip canvas").count() == 0
    press(page, "#point", "Enter")
    press(page, "#point", "ArrowLeft", 10)
    press(page, "#point", "Enter")
    start, end = page.evaluate("pyroVae.path()")
    assert start[0] - end[0] == pytest.approx(1)
    assert page.locator("#strip canvas").count() == 9


@pytest.mark.parametrize("width", [360, 700, 1200])
def test_no_width_scrolls_sideways(opened, path, width):
    page = opened(path, width)
    page.click("#thumbnails button:nth-child(1)")
    for _ in range(3):
        page.click("#steps")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.evaluate(
        "Array.from(document.querySelectorAll('svg, button, input, canvas, dd'))"
        ".every((e) => e.getBoundingClientRect().right <= window.innerWidth)"
    )
    assert inside


def test_it_is_drawn_anew_when_the_window_changes(page):
    wide = page.get_attribute("#curves", "viewBox")
    press(page, "#point", "ArrowRight", 4)
    page.set_viewport_size({"width": 400, "height": 800})
    wait_until(page, f"document.getElementById('curves').getAttribute('viewBox') !== '{wide}'")
    assert page.evaluate("pyroVae.point()") == pytest.approx([0.4, 0])
    dot = page.query_selector("#point .point-dot").bounding_box()
    plane = page.query_selector("#plane").bounding_box()
    assert plane["x"] < dot["x"] < plane["x"] + plane["width"]


def test_print_has_pictures_and_no_buttons(page):
    page.emulate_media(media="print")
    assert page.is_visible("#curves")
    assert page.is_visible("#image")
    assert not page.is_visible("#step")
    assert page.pdf()[:4] == b"%PDF"


def test_without_a_run_the_third_part_is_missing(opened, tmp_path):
    write_page(tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    assert page.evaluate("pyroVae.decode") is None
    assert page.locator("h2").count() == 2


def test_the_policy_stops_requests(opened, tmp_path):
    write_page(tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    stopped = page.evaluate(
        """() => new Promise((done) => {
            document.addEventListener("securitypolicyviolation", (e) => done(e.violatedDirective));
            const image = new Image();
            image.src = "http://127.0.0.1:9/beacon.png";
        })"""
    )
    assert stopped == "img-src"
    assert any("Content Security Policy" in text for text in page.troubles)
    page.troubles.clear()
