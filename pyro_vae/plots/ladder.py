"""Lower and upper bounds closing on log p(x) as the number of particles grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, PURPLE, VERMILION, number, plain_ticks, styled

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["bound_ladder"]


@styled
def bound_ladder(results: xr.Dataset, *, exact: float | None = None) -> Figure:
    """Mean bounds over data against k, with bands of two Monte Carlo standard errors.

    Parameters
    ----------
    results
        What ``inference.ladder`` returned, in nats.
    exact
        Exact mean log p(x), where it is known.
    """
    figure = Figure(figsize=(7.2, 4.2))
    ax = figure.subplots()
    k = results["num_particles"].values
    ends = k[[0, -1]]

    def mean_and_band(name: str) -> tuple[np.ndarray, np.ndarray]:
        error = np.sqrt((results[f"{name}_se"] ** 2).sum("datum").values)
        return results[name].mean("datum").values, 2 * error / results.sizes["datum"]

    def line(name: str, colour: str, label: str) -> np.ndarray:
        mean, band = mean_and_band(name)
        ax.plot(ends, [mean, mean], color=colour, label=f"{label}: {number(float(mean))}")
        ax.fill_between(ends, mean - band, mean + band, color=colour, alpha=0.15, linewidth=0)
        return mean + band

    top = line("cubo", VERMILION, "CUBO$_2$, an upper bound")
    line("log_evidence", "0.3", "log p(x)")
    if exact is not None:
        ax.axhline(exact, color="black", linestyle=":", label=f"exact log p(x): {number(exact)}")
    iwae, band = mean_and_band("iwae")
    ax.plot(k, iwae, "o-", color=BLUE, markersize=4, label="IWAE$_k$, from the ELBO at k = 1")
    ax.fill_between(k, iwae - band, iwae + band, color=BLUE, alpha=0.15, linewidth=0)
    ax.plot(
        k,
        results["asymptote"].mean("datum"),
        "--",
        color=PURPLE,
        label=r"asymptote log p(x) $-$ Var(w) / (2k E[w]$^2$)",
    )
    renyi, _ = mean_and_band("renyi")
    for alpha, mean in zip(results["alpha"].values, renyi, strict=True):
        ax.plot(ends, [mean, mean], ":", color=GREEN, linewidth=1.2)
        ax.annotate(
            rf"Rényi $\alpha$ = {alpha:g}",
            (ends[1], mean),
            (-2, 2),
            textcoords="offset points",
            color=GREEN,
            ha="right",
            fontsize=9,
        )
    lowest = float(min(iwae[0] - band[0], renyi.min(initial=np.inf)))
    room = 0.08 * (float(top) - lowest)
    ax.set_ylim(lowest - room, float(top) + room)
    ax.set(xscale="log", xlabel="particles k", ylabel="bound (nats per datum)")
    plain_ticks(ax.xaxis)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
