"""What every verb of the package does first: check its settings, take its turn, show its bar."""

from __future__ import annotations

import functools
import inspect
from contextlib import ExitStack
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pyro_vae.isolation import isolated
from pyro_vae.progress import measuring
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
    a plain number. A ``progress`` that is to be called may be True, which shows a bar.
    """
    signature = inspect.signature(function)
    bars = [p.name for p in signature.parameters.values() if "Callable[[int" in str(p.annotation)]
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
        with isolated(), ExitStack() as open_bars:
            for name in bars:
                if settings.get(name) is True:
                    settings[name] = open_bars.enter_context(
                        measuring(function.__name__, show=True)
                    )
                elif settings.get(name) is False:
                    settings[name] = None
            return function(*given.args, **given.kwargs)

    return call
