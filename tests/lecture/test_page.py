"""The page as a whole: widths, print, languages, darkness, policy."""

import pytest

from pyro_vae.lecture import describe_run, write_explorer
from tests.lecture.models import counts, small_vae
from tests.lecture.pages import press, wait_until


@pytest.fixture(scope="module")
def trained():
    return small_vae()


@pytest.fixture(scope="module")
def path(tmp_path_factory, trained):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_explorer(path, describe_run(trained, counts(), name="run"))
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)


@pytest.mark.parametrize("width", [360, 700, 1200])
def test_no_width_scrolls_sideways(opened, path, width):
    page = opened(path, width)
    page.click("#decoder-thumbnails button:nth-child(1)")
    for _ in range(3):
        page.click("#identity-turns")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.evaluate(
        "Array.from(document.querySelectorAll('svg, button, input, canvas, dd'))"
        ".every((e) => e.getBoundingClientRect().right <= window.innerWidth)"
    )
    assert inside


def test_it_is_drawn_anew_when_the_window_changes(page):
    wide = page.get_attribute("#identity-curves", "viewBox")
    press(page, "#decoder-point", "ArrowRight", 4)
    page.set_viewport_size({"width": 400, "height": 800})
    wait_until(
        page, f"document.getElementById('identity-curves').getAttribute('viewBox') !== '{wide}'"
    )
    assert page.evaluate("pyroVae.decoder.point()") == pytest.approx([0.4, 0])
    dot = page.query_selector("#decoder-point .point-dot").bounding_box()
    plane = page.query_selector("#decoder-plane").bounding_box()
    assert plane["x"] < dot["x"] < plane["x"] + plane["width"]


def test_print_has_pictures_and_no_buttons(page):
    page.emulate_media(media="print")
    assert page.is_visible("#identity-curves")
    assert page.is_visible("#decoder-image")
    assert not page.is_visible("#identity-encoder")
    assert page.pdf()[:4] == b"%PDF"


def test_without_a_run_the_third_part_is_missing(opened, tmp_path):
    write_explorer(tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    assert page.evaluate("pyroVae.decode") is None
    assert page.locator("h2").count() == 2


def test_the_policy_stops_requests(opened, tmp_path):
    write_explorer(tmp_path / "page.html")
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
