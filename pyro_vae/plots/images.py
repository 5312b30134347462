"""Pictures: reconstructions, samples and interpolations of grey-level images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["image_grid", "interpolation", "prior_samples", "reconstructions"]


@styled
def image_grid(images: np.ndarray, *, columns: int = 10, title: str | None = None) -> Figure:
    """Images in rows, one grey scale for all.

    Parameters
    ----------
    images
        Shape ``(n, height, width)``.
    columns
        Images in a row.
    title
        Title of the figure.
    """
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:]
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = image
    figure = Figure(figsize=(6.8, 6.8 * canvas.shape[0] / canvas.shape[1] + 0.4))
    _show(figure.subplots(), canvas)
    if title is not None:
        figure.suptitle(title, fontsize=11)
    return figure


def reconstructions(originals: np.ndarray, reconstructed: np.ndarray) -> Figure:
    """Data above, their reconstructions E[x | z = code(x)] below.

    Parameters
    ----------
    originals, reconstructed
        Shape ``(n, height, width)``.
    """
    both = np.concatenate([originals, reconstructed])
    title = "top: data; bottom: mean of p(x | z) at the code"
    return image_grid(both, columns=len(originals), title=title)


def prior_samples(images: np.ndarray) -> Figure:
    """Draws of the generative story, ``(n, height, width)``."""
    return image_grid(images, title="draws: z from the prior, x from p(x | z)")


def interpolation(images: np.ndarray) -> Figure:
    """Walks between the codes of two data, one a row.

    Parameters
    ----------
    images
        Shape ``(rows, steps, height, width)``.
    """
    flat = images.reshape(-1, *images.shape[2:])
    title = "mean of p(x | z) along straight lines between the codes of two data"
    return image_grid(flat, columns=images.shape[1], title=title)


def _show(ax: Axes, canvas: np.ndarray) -> None:
    ax.imshow(canvas, interpolation="nearest")
    ax.set_axis_off()
