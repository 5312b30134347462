"""The page: settings and weights as JSON, style and script inline, nothing fetched.

Its three parts are the identity log p(x) = L_b + KL(q || p(z | x)) on a model whose every term
is known, importance sampling and the IWAE bound on the same model (Burda, Grosse &
Salakhutdinov, 2016, arXiv 1509.00519), and a trained decoder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vae.disk.files import write_whole
from pyro_vae.plots.style import BLUE, CLASS_COLOURS, GREEN, PURPLE, VERMILION

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TOY", "write_page"]

#: The model of the first two parts: z ~ Normal(0, 1), x | z ~ Normal(w z + b, s).
TOY = {"w": 1.5, "b": 0.5, "s": 1.0}

_SCRIPTS = (
    "maths.js",
    "network.js",
    "charts.js",
    "identity.js",
    "sampling.js",
    "decoder.js",
    "app.js",
)


def write_page(path: Path, run: dict[str, Any] | None = None) -> None:
    """Write the page.

    Parameters
    ----------
    path
        HTML file to write, whole or not at all.
    run
        What ``describe_run`` gave; without it the page has its first two parts.
    """
    environment = Environment(
        loader=PackageLoader("pyro_vae.explorer", ""), autoescape=True, undefined=StrictUndefined
    )
    style, script = _style(), _script()
    document = {"toy": TOY, "classColours": CLASS_COLOURS, "run": run}
    html = environment.get_template("template.html.jinja").render(
        run=run,
        toy=TOY,
        style=style,
        script=script,
        # In a script element a "<" could end it; in a JSON string it may be escaped.
        document=json.dumps(document).replace("<", "\\u003c"),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    write_whole(path, html)


def _style() -> str:
    colours = {"blue": BLUE, "vermilion": VERMILION, "green": GREEN, "purple": PURPLE}
    variables = " ".join(f"--{name}: {value};" for name, value in colours.items())
    return f":root {{ {variables} }}\n{_source('style.css')}"


def _script() -> str:
    body = "\n".join(_source(name) for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{body}\n}})();\n'


def _source(name: str) -> str:
    return files("pyro_vae.explorer").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a Content-Security-Policy knows an inline element by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
