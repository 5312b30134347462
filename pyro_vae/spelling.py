"""What a person types: settings such as ``student-t(df=4)``, lists of them, and command lines."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import PurePath
from typing import Any

from pyro_vae.errors import SettingError

__all__ = [
    "command_line",
    "in_quotes",
    "parse_call",
    "parse_name",
    "spelt",
    "split_list",
    "split_names",
]

_CALL = re.compile(r"\s*([A-Za-z][\w.:-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
#: A name in quotes, in which a doubled quote stands for one, where it ends an item or a key.
_QUOTED = re.compile(
    r"""("(?:[^"]|"")*"|'(?:[^']|'')*')(?=\s*(?:[,=\]#]|$))""", re.DOTALL | re.MULTILINE
)
_WORDS = {"true": True, "false": False, "none": None}


def command_line(*words: str | PurePath) -> str:
    """A command of ``pyro-vae`` to be copied into a shell: quoted, a path never an option.

    >>> command_line("evaluate", PurePath("my runs"))
    "pyro-vae evaluate 'my runs'"
    """
    typed = [f"./{w}" if isinstance(w, PurePath) and f"{w}"[0] == "-" else f"{w}" for w in words]
    return shlex.join(["pyro-vae", *typed])


def split_list(text: str, *, lines: bool = False) -> list[str]:
    """Cut a list at its commas, except at those inside brackets or quotes.

    Parameters
    ----------
    text
        The list.
    lines
        Cut at the ends of lines too, and leave out what follows ``#`` in a line.

    >>> split_list("normal(scale=latent, min_scale=0.1), student-t")
    ['normal(scale=latent, min_scale=0.1)', 'student-t']
    """
    parts, depth, at, fresh = [""], 0, 0, True
    while at < len(text):
        quoted = _QUOTED.match(text, at) if fresh else None
        found = text[at] if quoted is None else quoted[0]
        at += len(found)
        if lines and found == "#":
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
            continue
        if (found == "," and depth == 0) or (lines and found == "\n"):
            parts.append("")
            depth = 0
        else:
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(found, 0)
            parts[-1] += found
        fresh = found in ",[\n" or (fresh and found.isspace())
    return [part.strip() for part in parts if part.strip()]


def split_names(text: str) -> list[str]:
    """Names with commas between; one that has a comma or the like stands in quotes.

    >>> split_names('age, "weight, kg"')
    ['age', 'weight, kg']
    """
    return [_unquoted(part) for part in split_list(text)]


def parse_name(text: str) -> tuple[str, str]:
    """The name, in quotes or not, and what follows the sign in ``name=word``; "" without a sign.

    >>> parse_name('"a=b" = drop')
    ('a=b', 'drop')
    """
    quoted = _QUOTED.match(text)
    name, _, word = text[quoted.end() if quoted else 0 :].partition("=")
    return _unquoted(quoted[0]) if quoted else name.strip(), word.strip()


def spelt(name: str) -> str:
    """A name as it must be typed before ``=`` or in a list: in quotes, where it needs them.

    >>> print(spelt("age"), spelt("weight, kg"))
    age "weight, kg"
    """
    typed = f"{name}=x"
    alone = split_list(f"{typed},y", lines=True) == [typed, "y"]
    if alone and name and parse_name(typed) == (name, "x") and not set(name) & set("[]"):
        return name
    return '"' + name.replace('"', '""') + '"'


def in_quotes(text: str) -> str:
    """A text in quotes that mean it as it stands, in Python and in a shell.

    >>> print(in_quotes("a=drop"), in_quotes('"a,b"=drop'))
    "a=drop" '"a,b"=drop'
    """
    if not set(text) & set('"$`!\\\n'):
        return f'"{text}"'
    return f"'{text}'" if not set(text) & set("'\\\n") else repr(text)


def _unquoted(text: str) -> str:
    if not _QUOTED.fullmatch(text):
        return text
    return text[1:-1].replace(2 * text[0], text[0])


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
