"""What a person says of columns: ``age=normal, stage=ordinal, hospital=covariate, id=drop``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pyro_vae.data.schema.column import KINDS, ROLES
from pyro_vae.errors import SettingError
from pyro_vae.spelling import parse_call, parse_name, split_list, split_names

__all__ = ["Choice", "parse_choices"]

#: Likelihoods and the kind of column that each is for; another one leaves the kind as it is.
KIND_OF_LIKELIHOOD = {
    "normal": "real",
    "student-t": "real",
    "laplace": "real",
    "log-normal": "positive",
    "gamma": "positive",
    "beta": "share",
    "continuous-bernoulli": "share",
    "bernoulli": "yes-no",
    "categorical": "category",
    "poisson": "count",
    "negative-binomial": "count",
    "zero-inflated-negative-binomial": "count",
    "binomial": "count",
    "discretised-logistic": "count",
}


_LEVELS = re.compile(r"""\(\s*levels\s*=\s*\[((?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\]])*)\]\s*\)""")


class Choice(NamedTuple):
    """What was said of a column.

    Attributes
    ----------
    kind, role, likelihood
        Each None where nothing was said of it.
    levels
        Levels of an ordinal column or a category, in their order.
    """

    kind: str | None = None
    role: str | None = None
    likelihood: str | None = None
    levels: list[str] | None = None


def parse_choices(given: str | Path | Mapping[str, str] | None) -> dict[str, Choice]:
    """What was said of each column, by its name.

    Parameters
    ----------
    given
        A text ``name=word`` with commas or lines between, the path of a file of such lines
        (what follows ``#`` is left out), or a mapping. A name that has a comma, ``=`` or ``#``
        stands in quotes, as in ``"a, b"=drop``, and so does such a level. A word is a kind, a
        role or a likelihood, with settings in brackets, as in
        ``stage=ordinal(levels=[low, middle, high])``; a ``+`` joins a kind and a role, as in
        ``stage=ordinal+covariate``.

    Raises
    ------
    SettingError
        If it cannot be read.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): _choice(str(name), str(word)) for name, word in given.items()}
    text = _text(given)
    found: dict[str, Choice] = {}
    for part in split_list(text, lines=True):
        name, word = parse_name(part)
        if not word or not (name or part.startswith(("''", '""'))):
            raise SettingError(
                f"columns got {part!r}: write name=word, as in 'age=normal, id=drop', a name with "
                f"a comma or = in double quotes; a word is a likelihood, a kind "
                f"({', '.join(KINDS)}) or a role ({', '.join(ROLES)})"
            )
        if name in found:
            raise SettingError(f"columns names {name!r} twice: say one thing of each column")
        found[name] = _choice(name, word)
    return found


def _text(given: str | Path) -> str:
    """The text, or what stands in the file that it is the path of."""
    path = Path(given)
    try:
        if isinstance(given, Path) or ("=" not in given and path.is_file()):
            return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"columns got the file {path}, which cannot be read: {error}"
        ) from error
    return str(given)


def _choice(name: str, words: str) -> Choice:
    choice = Choice()
    # Levels are words as they stand, "none" and "1+" among them.
    listed = _LEVELS.search(words)
    for word in (words if listed is None else words.replace(listed[0], "()", 1)).split("+"):
        try:
            called, settings = parse_call(word)
        except SettingError as error:
            raise SettingError(f"columns: of {name!r}, {error}") from error
        levelled = listed is not None and word.rstrip().endswith("()")
        if levelled and called not in ("category", "ordinal"):
            raise SettingError(
                f"columns: of {name!r}, {called} got levels, which are for category and ordinal"
            )
        if called in ROLES:
            choice = choice._replace(role=called)
        elif called in KINDS and not settings:
            choice = choice._replace(kind=called)
        else:
            kind = "ordinal" if called == "ordinal" else KIND_OF_LIKELIHOOD.get(called)
            choice = choice._replace(kind=kind or choice.kind, likelihood=word.strip())
    return choice if listed is None else choice._replace(levels=split_names(listed[1]))
