"""What every verb of the package does first: check its settings, and take the process's turn."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pyro_vae.isolation import isolated
from pyro_vae.settings import checked

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["verb"]

P = ParamSpec("P")
R = TypeVar("R")


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """A public function whose settings are checked by their names, called in isolation.

    What it is given under a name of ``pyro_vae.settings.RULES``, by position, by keyword or for
    another function that it passes settings on to, is refused before any work, or handed on as
    a plain number.
    """
    signature = inspect.signature(function)
    several = {p.name for p in signature.parameters.values() if "Sequence" in str(p.annotation)}
    more = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        settings = given.arguments
        for name, value in settings.items():
            if name == more:
                settings[name] = {key: checked(key, part) for key, part in value.items()}
            else:
                settings[name] = checked(name, value, several=name in several)
        with isolated():
            return function(*given.args, **given.kwargs)

    return call
