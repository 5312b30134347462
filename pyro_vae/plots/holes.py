"""Holes in latent spaces: how decoded mid-points and draws score beside real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, VERMILION, styled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

__all__ = ["hole_scores"]

_SCORES = {
    "log_density": "log-density of the leading\ncomponents, nats",
    "rank": "share of real images\nof lower log-density",
    "distance": "distance to the nearest\ntraining image, r.m.s. per pixel",
}


@styled
def hole_scores(results: Mapping[str, xr.Dataset]) -> Figure:
    """Mid-points between codes and draws from a normal fitted to them, model by model.

    Bars are two standard errors. The solid line is the level of real held-out images, the
    dashed one that of pixel-wise averages of the pairs. High is good on the first two panels,
    low on the third.

    Parameters
    ----------
    results
        What ``inference.latents.hole_test`` returned for each model, by its name, on the same
        data.
    """
    names = list(results)
    rows = np.arange(len(names))
    figure = Figure(figsize=(8.4, 1.8 + 0.42 * len(names)))
    panels = figure.subplots(1, len(_SCORES), sharey=True)
    first = results[names[0]]
    for ax, (score, label) in zip(panels, _SCORES.items(), strict=True):
        for source, style in (("real", "-"), ("average", "--")):
            ax.axvline(
                float(first[f"{source}_{score}"].mean()),
                color="0.4",
                linewidth=1,
                linestyle=style,
                label={"real": "real images", "average": "pixel-wise averages"}[source],
            )
        for source, colour, marker, shift in (
            ("midpoint", BLUE, "o", -0.12),
            ("draw", VERMILION, "D", 0.12),
        ):
            values = [results[name][f"{source}_{score}"].values for name in names]
            ax.errorbar(
                [value.mean() for value in values],
                rows + shift,
                xerr=[2 * value.std(ddof=1) / len(value) ** 0.5 for value in values],
                fmt=marker,
                color=colour,
                markersize=4,
                label={"midpoint": "mid-points of codes", "draw": "draws"}[source],
            )
        ax.set_xlabel(label, fontsize=9)
        ax.tick_params(labelsize=8)
    panels[0].set_yticks(rows, names, fontsize=9)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
