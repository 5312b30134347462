"""Codes of the data in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from pyro_vae.plots.style import CLASS_COLOURS, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["latent_scatter"]


@styled
def latent_scatter(
    codes: np.ndarray, *, labels: np.ndarray | None = None, means: bool = True
) -> Figure:
    """Codes of data; of more than two dimensions, the first two principal components.

    Parameters
    ----------
    codes
        Shape ``(n, L)``.
    labels
        Classes ``(n,)``: their colours, and their names at the class means.
    means
        Whether codes are means of q(z | x); without a guide that is drawn from, z is the code.
    """
    if codes.shape[1] > 2:
        whole = "E[z | x]" if means else "z"
        pca = PCA(2).fit(codes)
        names = [
            f"principal component {i + 1} of {whole} ({share:.0%} of variance)"
            for i, share in enumerate(pca.explained_variance_ratio_)
        ]
        codes = pca.transform(codes)
    else:
        names = [f"E[$z_{i + 1}$ | x]" if means else f"$z_{i + 1}$" for i in range(codes.shape[1])]
    if codes.shape[1] == 1:
        codes, names = np.column_stack([codes, np.zeros(len(codes))]), [*names, ""]
    figure = Figure(figsize=(6.0, 5.2))
    ax = figure.subplots()
    if labels is None:
        ax.plot(*codes.T, ".", alpha=0.6)
    else:
        _scatter_classes(ax, codes, labels)
    ax.set(xlabel=names[0], ylabel=names[1])
    if not names[1]:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    return figure


def _scatter_classes(ax: Axes, codes: np.ndarray, labels: np.ndarray) -> None:
    """Every datum as the name of its class, and one disc a class, tied to the class's mean."""
    classes = np.unique(labels)
    colours = [_readable(CLASS_COLOURS[i % len(CLASS_COLOURS)]) for i in range(len(classes))]
    middle: dict[str, Any] = {"ha": "center", "va": "center_baseline"}
    for label, colour in zip(classes, colours, strict=True):
        for point in codes[labels == label]:
            ax.text(
                point[0], point[1], str(label), color=colour, fontsize=7, clip_on=True, **middle
            )
    means = np.array([codes[labels == label].mean(0) for label in classes])
    extent = np.maximum(np.ptp(codes, axis=0), 1e-9)
    places = _apart(means / extent) * extent
    for label, colour, mean, place in zip(classes, colours, means, places, strict=True):
        ax.plot(*np.stack([mean, place]).T, color="black", linewidth=1, zorder=3)
        ax.text(
            place[0],
            place[1],
            str(label),
            color="white",
            fontsize=11,
            fontweight="bold",
            zorder=4,
            bbox={"boxstyle": "circle", "facecolor": colour, "edgecolor": "black"},
            **middle,
        )
    # Texts do not move the limits of the axes by themselves.
    ax.update_datalim(np.concatenate([codes, places]))
    ax.autoscale_view()


def _apart(places: np.ndarray, least: float = 0.075) -> np.ndarray:
    """Places ``(n, 2)`` moved as little as will keep every two at ``least`` from each other."""
    # Two at one place must part in some direction: each has its own.
    angles = np.arange(len(places)) * 2.4
    moved = places + 1e-6 * np.column_stack([np.cos(angles), np.sin(angles)])
    for _ in range(200):
        offset = moved[:, None] - moved[None]
        distance = np.linalg.norm(offset, axis=-1) + np.eye(len(moved))
        push = np.clip(least - distance, 0, None)
        if push.max() < 1e-4:
            break
        moved = moved + ((0.5 * push / distance)[..., None] * offset).sum(1)
    return moved


def _readable(colour: str) -> tuple[float, float, float]:
    """A colour, darkened where small print in it would be lost on white."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    red, green, blue = rgb * min(1.0, 0.38 / luminance) ** (1 / 2.4)
    return float(red), float(green), float(blue)
