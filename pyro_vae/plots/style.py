"""One style for every figure: readable at page width, safe for colour-blind readers."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import matplotlib.style
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "CLASS_COLOURS",
    "GREEN",
    "PURPLE",
    "VERMILION",
    "coordinate",
    "number",
    "plain_ticks",
    "styled",
]

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


def number(value: float, digits: int = 2) -> str:
    """A number with the minus sign that axes have, which a hyphen is too short for."""
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def coordinate(name: str) -> str:
    """``z[0]`` as figures have it, which count coordinates from z_1; other names as they are."""
    match = re.fullmatch(r"([a-z])\[(\d+)\]", name)
    return f"${match[1]}_{{{int(match[2]) + 1}}}$" if match else name


def plain_ticks(axis: Axis, ticks: Iterable[float] | None = None) -> None:
    """Numbers as they are, without powers of ten, along a logarithmic axis.

    Parameters
    ----------
    axis
        The axis, already logarithmic, with its limits.
    ticks
        Where; three or more round numbers within the limits, unless given.
    """
    if ticks is None:
        low, high = axis.get_view_interval()
        ticks = _spaced(low, high)
    axis.set_major_locator(FixedLocator([float(tick) for tick in ticks]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def _spaced(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones: powers of ten, or closer if these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5), (1, 2, 3, 4, 6, 8)):
        found = [step * 10.0**power for power in powers for step in steps]
        within = [value for value in found if low <= value <= high]
        if len(within) >= 3:
            return within
    return list(MaxNLocator(4).tick_values(low, high))


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the package's style, and leave matplotlib's own settings as they are."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper
