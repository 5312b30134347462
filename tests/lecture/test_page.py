"""The page as a whole: widths, print, languages, darkness, policy."""

import re
from importlib.resources import files

import pytest

from pyro_vae.lecture import write_explorer
from pyro_vae.lecture.page import _style
from pyro_vae.lecture.texts import load_texts
from tests.lecture.pages import press, wait_until


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


def test_it_speaks_the_language_of_the_browser_of_its_address_and_of_its_buttons(opened, path):
    texts = load_texts()
    page = opened(path)
    title = "#identity-encoder"
    assert page.inner_text(title) == texts["identity.encoder"]["en"]
    press(page, "[data-language=zh]", "Enter")
    assert page.inner_text(title) == texts["identity.encoder"]["zh"]
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert page.title() == texts["explore.title"]["zh"]
    assert page.get_attribute("#decoder-plane", "aria-label") == texts["decoder.plane"]["zh"]
    assert "密度" in page.text_content("#identity-curves")
    assert page.get_attribute("[data-language=zh]", "aria-pressed") == "true"
    before = page.evaluate("pyroVae.identity.terms()")
    press(page, "[data-language=en]", "Enter")
    assert page.inner_text(title) == texts["identity.encoder"]["en"]
    assert page.evaluate("pyroVae.identity.terms()") == before
    page.evaluate("location.hash = 'zh'")
    wait_until(page, "document.documentElement.lang === 'zh-Hans'")
    page.evaluate("location.hash = 'sampling'")
    assert page.inner_text(title) == texts["identity.encoder"]["zh"]
    assert opened(path, address="#zh").inner_text(title) == texts["identity.encoder"]["zh"]
    assert opened(path, locale="zh-CN").inner_text(title) == texts["identity.encoder"]["zh"]
    assert opened(path, locale="de-DE").inner_text(title) == texts["identity.encoder"]["en"]


def test_nothing_is_left_in_the_other_language(opened, path):
    page = opened(path, address="#zh")
    page.click("#decoder-thumbnails button:nth-child(1)")
    said = page.evaluate(
        """Array.from(document.querySelectorAll("main :not(script, noscript)")).flatMap((e) => [
            ...Array.from(e.childNodes, (n) => (n.nodeType === 3 ? n.textContent : "")),
            ...["aria-label", "aria-valuetext", "aria-roledescription"].map((a) =>
                e.getAttribute(a) ?? ""),
        ])"""
    )
    names = {"English", "Language", "log", "hat", "run", "binomial", "tensors", "nat"}
    names |= {"Normal", "IWAE", "Shift"}
    for text in said:
        for word in re.findall(r"[A-Za-z]{3,}", text):
            assert word in names, text


def test_chinese_letters_are_letters(page):
    """Two letters of a font that is not there are the same box twice."""
    drawn = page.evaluate(
        """["隐", "变", "编"].map((letter) => {
            const canvas = document.createElement("canvas");
            const context = canvas.getContext("2d");
            context.font = `40px ${getComputedStyle(document.body).fontFamily}`;
            context.fillText(letter, 10, 60);
            return canvas.toDataURL();
        })"""
    )
    if len(set(drawn)) == 1:
        pytest.skip("no font for Chinese: install one, such as Debian's fonts-noto-cjk")
    assert len(set(drawn)) == 3


def luminance(colour):
    """Relative luminance of sRGB (WCAG 2.2)."""
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def schemes():
    light, dark = {}, {}
    style = _style()
    for block in re.findall(r":root \{([^}]*)\}", style.split("@media print")[0]):
        values = dict(re.findall(r"--([\w-]+): (#\w+)", block))
        if not (light.keys() & values.keys()):
            light |= values
        else:
            dark |= values
    return {"light": light, "dark": light | dark}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_letters_and_lines_stand_out_from_their_ground(name):
    colours = schemes()[name]
    assert len(colours) > 10
    for text in ("ink", "ink-soft", "grey"):
        for ground in ("ground", "panel", "hover"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["on-blue"], colours["blue"]) >= 4.5
    assert contrast(colours["blue"], colours["ground"]) >= 4.5  # links
    for line in ("blue", "vermilion", "green", "purple"):
        # Curves and bars; what bears a meaning has a pattern or a name beside its colour.
        assert contrast(colours[line], colours["ground"]) >= (3 if name == "dark" else 2.7), line


def test_in_the_dark_it_is_dark_and_on_paper_light(opened, path):
    grounds = {
        scheme: opened(path, scheme=scheme).evaluate("getComputedStyle(document.body).background")
        for scheme in ("light", "dark")
    }
    assert "rgb(255, 255, 255)" in grounds["light"]
    assert "rgb(21, 24, 28)" in grounds["dark"]
    page = opened(path, scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert "rgb(255, 255, 255)" in page.evaluate("getComputedStyle(document.body).background")


def test_no_colour_stands_outside_the_schemes():
    """A colour by its value alone would be the same in the dark."""
    room = files("pyro_vae.lecture")
    for folder in ("drawing", "panels"):
        for source in room.joinpath(folder).iterdir():
            if source.name.endswith((".js", ".jinja")):
                found = re.findall(r"#[0-9a-fA-F]{6}\b|\brgb\(", source.read_text())
                assert not found, source.name
    outside = re.sub(r":root \{[^}]*\}", "", _style())
    assert not re.findall(r": #[0-9a-fA-F]{3,6}\b", outside)
