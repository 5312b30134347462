"""The whole lecture, trained as the command trains it: what must hold of every panel."""

import re

import pytest

from pyro_vae.lecture import PANELS, write_lecture
from tests.lecture.moved import CONTROLS, MOVE, SEEN, evaluated
from tests.lecture.pages import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("lecture") / "lecture.html"
    write_lecture(path)
    return path


def test_the_file_is_small_and_has_every_panel_in_order(path):
    html = path.read_text(encoding="utf-8")
    assert len(html.encode()) < 4e6
    assert re.findall(r'<section id="([\w-]+)"', html) == list(PANELS)
    identifiers = re.findall(r'\sid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    for panel in PANELS:
        section = html[html.index(f'<section id="{panel}"') :].split("</section>")[0]
        for name in re.findall(r'\sid="([^"]+)"', section):
            assert name == panel or name.startswith(f"{panel}-")


@pytest.mark.parametrize("panel", PANELS)
def test_every_control_moves_its_panel_and_has_a_name(opened, path, panel):
    page = opened(path)
    controls = evaluated(page, CONTROLS, panel)
    for control in controls:
        seen = set()
        for end in control["ends"]:
            evaluated(page, MOVE, control["id"], end)
            seen.add(evaluated(page, SEEN, panel))
        assert len(seen) == 2, control["id"]
        assert control["name"], control["id"]
    for button in page.query_selector_all(f"#{panel} button"):
        assert button.inner_text().strip() or button.get_attribute("aria-label")
    for drawing in page.query_selector_all(f"#{panel} svg[role], #{panel} canvas[role]"):
        if drawing.is_visible():
            assert drawing.get_attribute("aria-label"), drawing.get_attribute("id")


@pytest.mark.parametrize("panel", PANELS)
def test_every_button_does_something(opened, path, panel):
    page = opened(path)
    buttons = page.query_selector_all(f"#{panel} .buttons button")
    for button in buttons:
        before = evaluated(page, SEEN, panel)
        button.click()
        if evaluated(page, SEEN, panel) == before:
            # "Start again" where nothing has moved: it must undo what another button did.
            next(other for other in buttons if other is not button).click()
            moved = evaluated(page, SEEN, panel)
            button.click()
            assert evaluated(page, SEEN, panel) != moved


def test_every_residual_is_rounding(opened, path):
    page = opened(path)
    shown = page.evaluate(
        """Array.from(document.querySelectorAll("[id$=residual]"), (e) => [e.id, e.textContent])"""
    )
    assert len(shown) >= 1
    for name, text in shown:
        assert abs(float(text.split()[0].replace("−", "-"))) < 1e-5, name


@pytest.mark.parametrize("address", ["#en", "#zh"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_width_scrolls_sideways(opened, path, width, address):
    page = opened(path, width, address=address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """Array.from(document.querySelectorAll("svg, button, input, select, canvas, dd"))
            .filter((e) => e.getBoundingClientRect().right > window.innerWidth)
            .map((e) => e.id)"""
    )
    assert outside == []


def test_letters_of_every_drawing_lie_inside_it(opened, path):
    for width in (390, 1280):
        for address in ("#en", "#zh"):
            page = opened(path, width, address=address)
            cut = page.evaluate(
                """Array.from(document.querySelectorAll("svg[id] text")).filter((t) => {
                    const [inside, box] = [t, t.ownerSVGElement].map((e) =>
                        e.getBoundingClientRect());
                    return inside.right > box.right + 1 || inside.left < box.left - 1;
                }).map((t) => `${t.ownerSVGElement.id}: ${t.textContent}`)"""
            )
            assert cut == [], (width, address)


def test_the_contents_lead_to_the_panels(opened, path):
    page = opened(path)
    links = page.query_selector_all("nav a")
    assert [link.get_attribute("href") for link in links] == [f"#{panel}" for panel in PANELS]
    links[-1].click()
    wait_until(page, "scrollY > 1000")


def test_on_paper_every_picture_is_there(opened, path):
    page = opened(path)
    page.emulate_media(media="print")
    for drawing in page.query_selector_all("svg[id]"):
        assert drawing.is_visible(), drawing.get_attribute("id")
    assert not page.is_visible("nav")
    assert page.pdf()[:4] == b"%PDF"
