"""Families for p(m | x), which cells of a datum are observed; one a file, found by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.models.component import discover
from pyro_vae.models.mechanisms.base import Mechanism

if TYPE_CHECKING:
    from typing import Any

discover(__name__, __path__)
globals().update({cls.__name__: cls for cls in Mechanism.registry.values()})
__all__ = ["Mechanism", *(cls.__name__ for cls in Mechanism.registry.values())]


def __getattr__(name: str) -> Any:
    # For type checkers, which cannot see the names that were discovered above.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
