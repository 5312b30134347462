"""What a person types: settings such as ``student-t(df=4)``, lists of them, and command lines."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import PurePath
from typing import Any

from pyro_vae.errors import SettingError

__all__ = ["command_line", "parse_call", "split_list"]

_CALL = re.compile(r"\s*([A-Za-z][\w.:-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_WORDS = {"true": True, "false": False, "none": None}


def command_line(*words: str | PurePath) -> str:
    """A command of ``pyro-vae`` to be copied into a shell: quoted, a path never an option.

    >>> command_line("evaluate", PurePath("my runs"))
    "pyro-vae evaluate 'my runs'"
    """
    typed = [f"./{w}" if isinstance(w, PurePath) and f"{w}"[0] == "-" else f"{w}" for w in words]
    return shlex.join(["pyro-vae", *typed])


def split_list(text: str) -> list[str]:
    """Cut a list at its commas, except at those inside brackets.

    >>> split_list("normal(scale=latent, min_scale=0.1), student-t")
    ['normal(scale=latent, min_scale=0.1)', 'student-t']
    """
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings of ``name(key=value, ...)``; a value is a number, a word or a list.

    >>> parse_call("normal(scale=latent, min_scale=0.1)")
    ('normal', {'scale': 'latent', 'min_scale': 0.1})

    Raises
    ------
    SettingError
        If the text has another form.
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise SettingError(f"{text!r} cannot be read: write a name, or name(key=value, ...)")
    settings = {}
    for part in split_list(match[2] or ""):
        key, sign, value = part.partition("=")
        if not sign or not key.strip().isidentifier() or not value.strip():
            raise SettingError(
                f"{part!r} in {text!r} cannot be read: write settings as key=value, as in "
                "normal(scale=latent)"
            )
        settings[key.strip()] = _value(value.strip())
    return match[1], settings


def _value(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_value(part) for part in split_list(text[1:-1])]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
