"""Pictures of two panels for README and the docs, out of a page that the command wrote.

pyro-vae lecture && python -m tests.lecture.pictures lecture.html docs/figures
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.lecture.pages import set_slider

#: Panels, and where their sliders are put.
SHOWN = {"holes": {}, "divergence": {"epoch": 24}}


def main(page_file, folder):
    found = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    )
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        page = browser.new_page(viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
        page.goto(Path(page_file).resolve().as_uri())
        for panel, sliders in SHOWN.items():
            for name, value in sliders.items():
                set_slider(page, f"{panel}-{name}", value)
            whole, top, bottom = (
                page.locator(selector).first.bounding_box()
                for selector in (f"#{panel}", f"#{panel} .controls", f"#{panel} .pair")
            )
            clip = {
                "x": whole["x"] - 12,
                "y": top["y"] - 12,
                "width": whole["width"] + 24,
                "height": bottom["y"] + bottom["height"] - top["y"] + 24,
            }
            page.screenshot(path=Path(folder) / f"lecture-{panel}.png", clip=clip, full_page=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
