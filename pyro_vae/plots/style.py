"""One style for every figure: readable at page width, safe for colour-blind readers."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import matplotlib.style

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

__all__ = ["BLUE", "CLASS_COLOURS", "GREEN", "PURPLE", "VERMILION", "styled"]

_STYLE = Path(__file__).with_name("pyro_vae.mplstyle")

# By value, since a colour by its place in the cycle is looked up only when the file is written.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

#: Ten classes: Tol's muted set, ordered so that neighbours differ in lightness.
CLASS_COLOURS = (
    "#332288",
    "#88CCEE",
    "#CC6677",
    "#DDCC77",
    "#117733",
    "#AA4499",
    "#44AA99",
    "#882255",
    "#999933",
    "#777777",
)

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the package's style, and leave matplotlib's own settings as they are."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper
