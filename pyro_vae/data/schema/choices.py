"""What a person says of columns: ``age=normal, stage=ordinal, hospital=covariate, id=drop``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pyro_vae.data.schema.column import KINDS, ROLES
from pyro_vae.errors import SettingError
from pyro_vae.spelling import parse_call, split_list

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


_LEVELS = re.compile(r"\(\s*levels\s*=\s*\[([^\]]*)\]\s*\)")


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
        (what follows ``#`` is left out), or a mapping. A word is a kind, a role or a likelihood,
        with settings in brackets, as in ``stage=ordinal(levels=[low, middle, high])``; a
        ``+`` joins a kind and a role, as in ``stage=ordinal+covariate``.

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
    for line in text.splitlines():
        for part in split_list(line.partition("#")[0]):
            name, sign, word = part.partition("=")
            name = name.strip()
            if not sign or not name or not word.strip():
                raise SettingError(
                    f"columns got {part!r}: write name=word, as in 'age=normal, id=drop'; a word "
                    f"is a likelihood, a kind ({', '.join(KINDS)}) or a role ({', '.join(ROLES)})"
                )
            if name in found:
                raise SettingError(f"columns names {name!r} twice: say one thing of each column")
            found[name] = _choice(name, word.strip())
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
    for given in words.split("+"):
        # Levels are words as they stand, "none" and "1" among them.
        listed = _LEVELS.search(given)
        word = given if listed is None else given.replace(listed[0], "()")
        try:
            called, settings = parse_call(word)
        except SettingError as error:
            raise SettingError(f"columns: of {name!r}, {error}") from error
        if listed is not None and called not in ("category", "ordinal"):
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
        if listed is not None:
            levels = [level.strip() for level in listed[1].split(",")]
            choice = choice._replace(levels=[level for level in levels if level])
    return choice
