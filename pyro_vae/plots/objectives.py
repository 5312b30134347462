"""How much of a gradient is signal: the choice of an objective, in a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, PURPLE, VERMILION, plain_ticks, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["snr_against_k"]

_LOOKS = ((BLUE, "o"), (VERMILION, "D"), (GREEN, "s"), (PURPLE, "^"))


@styled
def snr_against_k(table: pd.DataFrame) -> Figure:
    """Signal-to-noise ratio of the guide's gradient against the number of particles.

    Parameters
    ----------
    table
        What ``inference.gradient_snr`` gave: one column an objective, indexed by K.
    """
    figure = Figure(figsize=(5.2, 3.4))
    axes = figure.subplots()
    for (name, values), (colour, marker) in zip(table.items(), _LOOKS, strict=False):
        axes.plot(table.index, values, color=colour, marker=marker, label=str(name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.xaxis, table.index)
    plain_ticks(axes.yaxis)
    axes.set_xlabel("particles K")
    axes.set_ylabel("signal-to-noise ratio of the\nguide's gradient, |mean| / s.d.")
    axes.legend()
    return figure
