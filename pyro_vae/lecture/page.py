"""The page: texts, numbers and weights as JSON, style and script inline, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pyro_vae.disk.files import write_whole
from pyro_vae.lecture.texts import FIRST, LANGUAGES, load_texts
from pyro_vae.plots.style import BLUE, CLASS_COLOURS, GREEN, PURPLE, VERMILION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["write_page"]

#: What every panel draws and reckons with, in the order in which it builds on itself.
_SHARED = ("maths.js", "network.js", "moons.js", "charts.js", "dragging.js", "frame.js")


def write_page(path: Path, panels: Mapping[str, dict[str, Any]], *, heading: str) -> None:
    """Write the page.

    Parameters
    ----------
    path
        HTML file to write, whole or not at all.
    panels
        Names of the panels in their order, each with what its script is given, ready for JSON.
    heading
        Which heading and introduction of ``texts.toml``: ``"lecture"`` or ``"explore"``.
    """
    environment = Environment(
        loader=PackageLoader("pyro_vae.lecture", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = load_texts()
    used = {
        key: texts[key] for key in sorted(texts) if key.split(".")[0] in {"page", heading, *panels}
    }
    environment.globals.update(
        t=lambda key: _span(texts, key), plain=lambda key: texts[key][FIRST]
    )
    style, script = _style(), _script(panels)
    document = {
        "heading": heading,
        "texts": used,
        "classColours": CLASS_COLOURS,
        "panels": dict(panels),
    }
    html = environment.get_template("drawing/page.html.jinja").render(
        heading=heading,
        panels=panels,
        languages=LANGUAGES,
        first=FIRST,
        style=style,
        script=script,
        # In a script element a "<" could end it; in a JSON string it may be escaped.
        document=json.dumps(document, ensure_ascii=False).replace("<", "\\u003c"),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    write_whole(path, html)


def _span(texts: Mapping[str, Mapping[str, str]], key: str) -> Markup:
    """A text in the first language, marked so that the page can say it in another."""
    return Markup('<span data-text="{}">{}</span>').format(key, Markup(texts[key][FIRST]))


def _style() -> str:
    colours = {"blue": BLUE, "vermilion": VERMILION, "green": GREEN, "purple": PURPLE}
    variables = " ".join(f"--{name}: {value};" for name, value in colours.items())
    return f":root {{ {variables} }}\n{_source('drawing/style.css')}"


def _script(panels: Mapping[str, dict[str, Any]]) -> str:
    shared = "\n".join(_source(f"drawing/{name}") for name in _SHARED)
    # A block each, so that two panels may give two things one name.
    own = "\n".join("{\n" + _source(f"panels/{name}.js") + "}" for name in panels)
    return f'"use strict";\n(() => {{\n{shared}\n{own}\nbegin();\n}})();\n'


def _source(name: str) -> str:
    return files("pyro_vae.lecture").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a Content-Security-Policy knows an inline element by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
