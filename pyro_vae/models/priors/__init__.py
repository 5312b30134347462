"""Families for p(z), one a file; each is found by its name once its file lies here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.models.component import discover
from pyro_vae.models.priors.base import Prior

if TYPE_CHECKING:
    from typing import Any

discover(__name__, __path__)
globals().update({cls.__name__: cls for cls in Prior.registry.values()})
__all__ = ["Prior", *(cls.__name__ for cls in Prior.registry.values())]


def __getattr__(name: str) -> Any:
    # For type checkers, which cannot see the names that were discovered above.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
