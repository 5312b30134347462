"""Families for q(z | x), one a file; each is found by its name once its file lies here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.models.component import discover
from pyro_vae.models.guides.base import Guide

if TYPE_CHECKING:
    from typing import Any

discover(__name__, __path__)
globals().update({cls.__name__: cls for cls in Guide.registry.values()})
__all__ = ["Guide", *(cls.__name__ for cls in Guide.registry.values())]


def __getattr__(name: str) -> Any:
    # For type checkers, which cannot see the names that were discovered above.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
