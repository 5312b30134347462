"""Codes of the data in the plane."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from pyro_vae.plots.style import CLASS_COLOURS, styled

__all__ = ["latent_scatter"]


@styled
def latent_scatter(codes: np.ndarray, *, labels: np.ndarray | None = None) -> Figure:
    """Means of q(z | x); of more than two dimensions, the first two principal components.

    Parameters
    ----------
    codes
        Shape ``(n, L)``.
    labels
        Classes ``(n,)``: their colours, and their names at the class means.
    """
    if codes.shape[1] > 2:
        pca = PCA(2).fit(codes)
        names = [
            f"principal component {i + 1} of E[z|x] ({share:.0%} of variance)"
            for i, share in enumerate(pca.explained_variance_ratio_)
        ]
        codes = pca.transform(codes)
    else:
        names = [f"E[z_{i + 1} | x]" for i in range(codes.shape[1])]
    if codes.shape[1] == 1:
        codes, names = np.column_stack([codes, np.zeros(len(codes))]), [*names, ""]
    figure = Figure(figsize=(6.0, 5.2))
    ax = figure.subplots()
    if labels is None:
        ax.plot(*codes.T, ".", alpha=0.6)
    else:
        for index, label in enumerate(np.unique(labels)):
            members = codes[labels == label]
            colour = CLASS_COLOURS[index % len(CLASS_COLOURS)]
            for point in members:
                ax.text(
                    point[0],
                    point[1],
                    str(label),
                    color=colour,
                    fontsize=7,
                    ha="center",
                    va="center",
                )
            ax.text(
                members[:, 0].mean(),
                members[:, 1].mean(),
                str(label),
                color="white",
                fontsize=11,
                fontweight="bold",
                ha="center",
                va="center",
                bbox={"boxstyle": "circle", "facecolor": colour, "edgecolor": "black"},
            )
        # Texts do not move the limits of the axes by themselves.
        ax.update_datalim(codes)
        ax.autoscale_view()
    ax.set(xlabel=names[0], ylabel=names[1])
    return figure
