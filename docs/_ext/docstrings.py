"""Docstrings are read as they are meant: the bar of q(z|x) and the underscore of eta_d.

In reStructuredText ``|x|`` is a substitution and a word that ends in an underscore a link; in
the docstrings of this package they are notation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LITERAL = re.compile(r"(``.*?``|`[^`]+`)")
_MARKUP = re.compile(r"\||(?<=\w)_(?![\w{])|(?<=\w)\*(?=\w)")


def escape(line: str) -> str:
    """The line with notation escaped, but for what stands between backquotes."""
    parts = _LITERAL.split(line)
    return "".join(
        part if place % 2 else _MARKUP.sub(r"\\\g<0>", part) for place, part in enumerate(parts)
    )


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring in place, but for examples."""
    lines[:] = [line if line.lstrip().startswith(">>>") else escape(line) for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Before napoleon's handler, which has priority 500."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
