"""Families for p(x | z), one a file; each is found by its name once its file lies here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.models.component import discover
from pyro_vae.models.likelihoods.base import Likelihood

if TYPE_CHECKING:
    from typing import Any

discover(__name__, __path__)
globals().update({cls.__name__: cls for cls in Likelihood.registry.values()})
__all__ = ["Likelihood", *(cls.__name__ for cls in Likelihood.registry.values())]


def __getattr__(name: str) -> Any:
    # For type checkers, which cannot see the names that were discovered above.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
