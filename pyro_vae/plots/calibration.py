"""Simulation-based calibration: where the truth ranks among the draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from pyro_vae.plots.style import BLUE, VERMILION, coordinate, styled

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["posterior_predictive_checks", "sbc_histograms"]


@styled
def sbc_histograms(ranks: xr.Dataset, *, max_latents: int = 8) -> Figure:
    """Histogram of the ranks of every latent, with the band of 99 % of uniform counts.

    A row a source of draws, the guide's above those resampled. A U says that the draws are too
    narrow, a dome too wide, a slope that they are too low or too high.

    Parameters
    ----------
    ranks
        What ``inference.sbc_ranks`` returned.
    max_latents
        Columns; of more latents, those with the smallest p-values are drawn.
    """
    sources = [str(source) for source in ranks["source"].values]
    worst = np.argsort(ranks["p_value"].values.min(0))[:max_latents]
    shown = ranks.isel(latent=np.sort(worst))
    latents = shown["latent"].values
    width = max(3.8, 1.9 * len(latents))
    figure = Figure(figsize=(width, 0.6 + 1.9 * len(sources)))
    grid = figure.subplots(len(sources), len(latents), sharex=True, sharey=True, squeeze=False)
    top, bins = int(ranks.attrs["num_draws"]), int(ranks.attrs["bins"])
    size = ranks.sizes["simulation"]
    edges = np.linspace(-0.5, top + 0.5, bins + 1)
    low, high = stats.binom(size, 1 / bins).interval(0.99)
    for row, source in enumerate(sources):
        for column, latent in enumerate(latents):
            ax = grid[row, column]
            part = shown.sel(source=source, latent=latent)
            uniform = float(part["p_holm"]) >= 0.01
            ax.axhspan(low, high, color="0.85", zorder=0)
            ax.axhline(size / bins, color="0.5", linewidth=1, zorder=0)
            ax.hist(part["rank"].values, edges, color=BLUE if uniform else VERMILION, alpha=0.85)
            ax.set_title(
                f"{coordinate(str(latent))}: {_p_value(float(part['p_holm']))}", fontsize=9
            )
            ax.grid(visible=False)
        grid[row, 0].set_ylabel(f"{source}\nsimulations", fontsize=9)
    ticks = [0, top // 2, top]
    for ax in grid[-1]:
        ax.set_xticks(ticks)
    figure.supxlabel(
        f"rank of the true z among {top} draws\n(band: 99 % of counts if uniform; p by Holm)",
        fontsize=9,
    )
    return figure


def _p_value(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


@styled
def posterior_predictive_checks(checks: xr.Dataset) -> Figure:
    """Each statistic of the data against those of its replicates.

    Parameters
    ----------
    checks
        What ``inference.checking.predictive_p_values`` returned.
    """
    names = [str(name) for name in checks["statistic"].values]
    figure = Figure(figsize=(max(3.2, 2.4 * len(names)), 2.6))
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(grid, names, strict=True):
        part = checks.sel(statistic=name)
        ax.hist(part["replicated"].values, 30, color=BLUE, alpha=0.8)
        ax.axvline(float(part["observed"]), color=VERMILION)
        ax.set_title(f"{name}   p = {float(part['p_value']):.2f}", fontsize=10)
        ax.set_yticks([])
    figure.supxlabel("statistic of the replicates; line: of the data", fontsize=9)
    return figure
