"""Which latent dimension tells of which known factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import coordinate, styled

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["mutual_information_matrix"]


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
            f"{max(value, 0):.2f}",
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
