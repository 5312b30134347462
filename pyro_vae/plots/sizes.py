"""What depth and width are worth: held-out error against the number of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, PURPLE, VERMILION, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["error_against_size"]

_LOOKS = ((PURPLE, "^"), (BLUE, "o"), (VERMILION, "D"), (GREEN, "s"))


@styled
def error_against_size(table: pd.DataFrame, *, reference: str = "PCA") -> Figure:
    """Reconstruction error of autoencoders against their number of parameters, a line a depth.

    A small mark is one fit, a line goes through the means of the seeds; the width of the hidden
    layers stands at each mean. The dashed line is the reference's error.

    Parameters
    ----------
    table
        What ``tour.depth_and_width`` gave: one row a fit, with ``model``, ``width``,
        ``parameters`` and ``error``.
    reference
        The model that is a level, and no line.
    """
    figure = Figure(figsize=(6.0, 3.8))
    axes = figure.subplots()
    level = table.loc[table["model"] == reference, "error"].mean()
    axes.axhline(level, color="0.4", linewidth=1, linestyle="--", label=reference)
    others = table[table["model"] != reference]
    looks = zip(others.groupby("model", sort=False), _LOOKS, strict=False)
    for (name, fits), (colour, marker) in looks:
        means = fits.groupby("width")[["parameters", "error"]].mean()
        axes.plot(
            fits["parameters"], fits["error"], marker, color=colour, markersize=2.5, alpha=0.6
        )
        axes.plot(
            means["parameters"], means["error"], marker=marker, color=colour, label=str(name)
        )
        for width, (size, error) in means.iterrows():
            if width:
                axes.annotate(
                    str(width), (size, error), (0, 6), textcoords="offset points", fontsize=8
                )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("parameters (at the marks: units in a layer)")
    axes.set_ylabel("held-out squared error per feature")
    axes.legend()
    return figure
