"""Which latent dimension tells of which known factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, VERMILION, coordinate, styled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import xarray as xr

__all__ = ["gap_against_elbo", "mutual_information_matrix"]


@styled
def gap_against_elbo(families: Mapping[str, pd.DataFrame]) -> Figure:
    """Mutual information gap against the ELBO, a line for each family of objectives.

    Parameters
    ----------
    families
        By name, a frame with a row for each weight: columns ``beta``; ``elbo`` and ``mig``, means
        over runs, and ``elbo_se`` and ``mig_se``, their standard errors.
    """
    figure = Figure(figsize=(6.4, 4.0))
    ax = figure.subplots()
    looks = (("o", "-", BLUE, 8), ("s", "--", VERMILION, -14), ("^", "-.", GREEN, 8))
    for (name, frame), (marker, line, colour, above) in zip(families.items(), looks, strict=False):
        ax.errorbar(
            frame["elbo"],
            frame["mig"],
            xerr=2 * frame["elbo_se"],
            yerr=2 * frame["mig_se"],
            marker=marker,
            linestyle=line,
            color=colour,
            label=name,
        )
        for beta, x, y in frame[["beta", "elbo", "mig"]].itertuples(index=False):
            ax.annotate(
                f"{beta:g}",
                (x, y),
                xytext=(5, above),
                textcoords="offset points",
                color=colour,
                fontsize=9,
            )
    ax.set(
        xlabel="ELBO (nats per datum)",
        ylabel="mutual information gap (share of entropy)",
    )
    ax.margins(0.1)
    figure.legend(
        *ax.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=len(families),
        title="beta beside the points; bars: two s.e. over runs",
    )
    return figure


@styled
def mutual_information_matrix(results: xr.Dataset) -> Figure:
    """Mutual information of every latent and factor; below each factor its entropy and its gap.

    Parameters
    ----------
    results
        What ``inference.latents.mutual_information_gap`` returned.
    """
    information = results["mutual_information"].transpose("latent", "factor").values
    entropy, gap = results["entropy"].values, results["gap"].values
    rows, columns = information.shape
    figure = Figure(figsize=(2.2 + 1.1 * columns, 1.9 + 0.42 * rows))
    ax = figure.subplots()
    top = float(entropy.max())
    image = ax.imshow(information, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    for row, column in np.ndindex(rows, columns):
        value = information[row, column]
        ax.text(
            column,
            row,
            f"{max(float(value), 0.0) + 0.0:.2f}",  # no -0.00
            ha="center",
            va="center",
            fontsize=9,
            # Dark ink on the light half of the colours.
            color="white" if value < top / 2 else "black",
        )
    names = [
        f"{name}\nentropy {h:.2f}\ngap {share:.2f}"
        for name, h, share in zip(results["factor"].values, entropy, gap, strict=True)
    ]
    ax.set_xticks(range(columns), names)
    ax.set_yticks(range(rows), [coordinate(str(name)) for name in results["latent"].values])
    ax.grid(visible=False)
    ax.set_ylabel("latent dimension")
    ax.set_title(
        f"mutual information gap {float(results['mig']):.3f} (s.e. {float(results['mig_se']):.3f})"
    )
    figure.colorbar(image, ax=ax, label="mutual information (nats)")
    return figure
