"""The lecture in Firefox: every control of every panel moves something, and nothing goes wrong."""

import gc
import os
import shutil
import warnings

import pytest

from pyro_vae.lecture import PANELS, describe_run, write_explorer, write_lecture
from tests.lecture.models import counts, small_vae
from tests.lecture.moved import CONTROLS, MOVE, SEEN

marionette = pytest.importorskip(
    "marionette_driver.marionette", reason="marionette_driver is not installed"
)


@pytest.fixture(scope="module")
def firefox():
    found = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if found is None:
        pytest.skip("no Firefox: install one, such as Debian's firefox-esr")
    with warnings.catch_warnings():
        # The driver leaves sockets to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        driver = marionette.Marionette(
            bin=found, headless=True, startup_timeout=180, gecko_log=os.devnull
        )
        driver.start_session()
        driver.set_window_rect(width=1000, height=900)
        gc.collect()
        yield driver
        driver.delete_session()
        driver.cleanup()
        gc.collect()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("firefox") / "page.html"
    write_explorer(path, describe_run(small_vae(3), counts(), name="run"))
    return path


def ask(driver, script, *arguments):
    return driver.execute_script(script, script_args=list(arguments), sandbox="default")


def troubles(driver, path):
    """What the browser's console says of the page."""
    with driver.using_context("chrome"):
        return driver.execute_script(
            """return Services.console.getMessageArray().map((m) => m.message ?? String(m))
                .filter((text) => text.includes(arguments[0]))""",
            script_args=[path.name],
        )


def every_control_moves(firefox, path, expected):
    firefox.navigate(path.as_uri())
    panels = ask(firefox, "return Array.from(document.querySelectorAll('section'), (s) => s.id)")
    assert panels == expected
    for panel in panels:
        controls = ask(firefox, CONTROLS, panel)
        for control in controls:
            seen = set()
            for end in control["ends"]:
                ask(firefox, MOVE, control["id"], end)
                seen.add(ask(firefox, SEEN, panel))
            assert len(seen) == 2, control["id"]
    assert troubles(firefox, path) == []
    assert ask(firefox, "return performance.getEntriesByType('resource').length") == 0


def test_every_control_moves_its_panel(firefox, path):
    every_control_moves(firefox, path, ["identity", "sampling", "decoder"])


@pytest.mark.slow
def test_every_control_of_the_lecture_moves_its_panel(firefox, tmp_path):
    write_lecture(tmp_path / "lecture.html")
    every_control_moves(firefox, tmp_path / "lecture.html", list(PANELS))


def test_it_speaks_chinese_and_its_identity_holds(firefox, path):
    firefox.navigate("about:blank")
    firefox.navigate(path.as_uri() + "#zh")
    assert ask(firefox, "return document.documentElement.lang") == "zh-Hans"
    residual = ask(firefox, "return window.wrappedJSObject.pyroVae.identity.terms().residual")
    assert abs(residual) < 1e-9
    assert troubles(firefox, path) == []


def test_what_goes_wrong_would_be_seen(firefox, tmp_path):
    path = tmp_path / "wrong.html"
    path.write_text("<!DOCTYPE html><title>wrong</title><script>missing();</script>")
    firefox.navigate(path.as_uri())
    assert any("missing" in text for text in troubles(firefox, path))
