"""Everything the page says, in each of its languages, from one file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

__all__ = ["FIRST", "LANGUAGES", "load_texts"]

#: Languages by their tags, as each calls itself.
LANGUAGES = {"en": "English", "zh": "中文"}
#: The language that the file is in before a script has run.
FIRST = "en"


@cache
def load_texts() -> dict[str, dict[str, str]]:
    """Texts by key, ``"panel.name"``, and language.

    Returns
    -------
    dict
        Each text may hold ``<sub>``, ``<sup>`` and ``<em>``, and names in braces that the
        page's script fills in.
    """
    source = files("pyro_vae.lecture").joinpath("texts.toml").read_text(encoding="utf-8")
    return {
        f"{panel}.{name}": languages
        for panel, texts in tomllib.loads(source).items()
        for name, languages in texts.items()
    }
