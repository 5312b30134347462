"""A real browser, and pages that tolerate no error and no request."""

import os
import shutil

import pytest

from pyro_vae.lecture import describe_run, write_explorer
from pyro_vae.models.guides import FullCovarianceNormal
from tests.lecture.models import counts, small_vae


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
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


@pytest.fixture
def opened(browser):
    """Open a file in a window that tolerates no error and no request but the file."""
    contexts = []

    def open_page(
        path, width=1200, *, motion="reduce", touch=False, scheme="light", locale="en", address=""
    ):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            reduced_motion=motion,
            has_touch=touch,
            color_scheme=scheme,
            locale=locale,
        )
        # A control that is not there is found missing in seconds, not in half a minute.
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.troubles = []
        page.on("console", lambda message: page.troubles.append(message.text))
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("request", lambda request: page.troubles.append(request.url))
        page.goto(path.as_uri() + address)
        assert page.troubles == [path.as_uri()]
        page.troubles.clear()
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.troubles == []
        context.close()


@pytest.fixture(scope="session")
def explorer(tmp_path_factory):
    """The page of the identity and of importance sampling."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_explorer(path)
    return path


@pytest.fixture(scope="session")
def trained():
    """The model whose decoder ``path`` shows."""
    return small_vae(2, guide=FullCovarianceNormal())


@pytest.fixture(scope="session")
def path(tmp_path_factory, trained):
    """The page of a run, all three panels."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_explorer(path, describe_run(trained, counts(), name="run"))
    return path


@pytest.fixture
def page(opened, path):
    return opened(path)
