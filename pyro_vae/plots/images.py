"""Pictures: reconstructions, samples, interpolations and walks through the latent space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import number, styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

#: Colour of what lies between images.
_BETWEEN = "#C3D5E4"

__all__ = [
    "image_grid",
    "image_grid_by_rows",
    "interpolation",
    "manifold_grid",
    "morph_strip",
    "path_comparison",
    "prior_samples",
    "reconstructions",
    "traversals",
    "walks",
]


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
    canvas = _tiled(images, columns)
    figure = Figure(figsize=(6.8, 6.8 * canvas.shape[0] / canvas.shape[1] + 0.4))
    _show(figure.subplots(), canvas)
    if title is not None:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def image_grid_by_rows(rows: Mapping[str, np.ndarray], *, title: str) -> Figure:
    """Rows of images, each with its name; NaN is a pixel that is not there.

    Parameters
    ----------
    rows
        By name, images ``(n, height, width)``.
    title
        Title of the figure.
    """
    images = np.stack(list(rows.values()))
    canvas = _tiled(images.reshape(-1, *images.shape[2:]), images.shape[1])
    figure = Figure(figsize=(6.8, 5.9 * canvas.shape[0] / canvas.shape[1] + 0.5))
    ax = figure.subplots()
    _show(ax, canvas)
    _open_frame(ax)
    height = images.shape[2]
    ax.set_yticks(np.arange(len(rows)) * (height + 1) + (height - 1) / 2, list(rows))
    ax.set_xticks([])
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


@styled
def path_comparison(paths: Mapping[str, np.ndarray]) -> Figure:
    """The same walks along several kinds of path, side by side.

    Parameters
    ----------
    paths
        By the name of the path, images ``(rows, steps, height, width)``.
    """
    canvases = {
        name: _tiled(images.reshape(-1, *images.shape[2:]), images.shape[1])
        for name, images in paths.items()
    }
    widest = max(canvas.shape[0] / canvas.shape[1] for canvas in canvases.values())
    figure = Figure(figsize=(8.4, 8.2 / len(paths) * widest + 0.7))
    # The end of a walk must not look like the start of the one beside it.
    figure.set_layout_engine("constrained", wspace=0.08)
    panels = figure.subplots(1, len(paths), squeeze=False)[0]
    for ax, (name, canvas) in zip(panels, canvases.items(), strict=True):
        _show(ax, canvas)
        ax.set_title(f"{name} path", fontsize=10)
    figure.suptitle("mean of p(x | z) between the codes of two data", fontsize=11)
    return figure


@styled
def manifold_grid(images: np.ndarray, z: np.ndarray) -> Figure:
    """Decoded grid of a two-dimensional latent space (Kingma & Welling, 2014, figure 4).

    Parameters
    ----------
    images
        Shape ``(n, n, height, width)``.
    z
        Codes of the images, ``(n, n, 2)``: z_1 along a row, z_2 along a column.
    """
    n, (height, width) = len(images), images.shape[2:]
    canvas = _tiled(images.reshape(-1, height, width), n)
    # The labels take their part of the width.
    figure = Figure(figsize=(6.0, 5.4 * canvas.shape[0] / canvas.shape[1] + 0.55))
    ax = figure.subplots()
    _show(ax, canvas)
    _label_columns(ax, z[0, :, 0], width)
    _label_rows(ax, [number(value, 1) for value in z[:, 0, 1]], height)
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    return figure


@styled
def traversals(images: np.ndarray, dimensions: Sequence[int], values: np.ndarray) -> Figure:
    """Mean of p(x | z) as one coordinate of a code moves, a row a coordinate.

    Parameters
    ----------
    images
        Shape ``(rows, steps, height, width)``.
    dimensions
        Which coordinate moves in each row, from 0; labelled from z_1.
    values
        Its values, ``(steps,)``.
    """
    height, width = images.shape[2:]
    canvas = _tiled(images.reshape(-1, height, width), images.shape[1])
    figure = Figure(figsize=(6.8, 6.4 * canvas.shape[0] / canvas.shape[1] + 0.7))
    ax = figure.subplots()
    _show(ax, canvas)
    _label_columns(ax, values, width)
    _label_rows(ax, [f"$z_{{{dimension + 1}}}$" for dimension in dimensions], height)
    ax.set_xlabel("value of the coordinate; the others stay at the datum's code")
    return figure


@styled
def morph_strip(originals: np.ndarray, images: np.ndarray) -> Figure:
    """One datum turning into another and another, a row a pair.

    Parameters
    ----------
    originals
        The data, ``(n, height, width)``; the two of a row stand at its ends, set apart.
    images
        Decoded paths between them, ``(n - 1, steps, height, width)``.
    """
    legs, steps, height, width = images.shape
    canvas = np.full((legs * (height + 1) - 1, (steps + 2) * (width + 1) + 3), np.nan)
    middle = _tiled(images.reshape(-1, height, width), steps)
    canvas[:, width + 2 : width + 2 + middle.shape[1]] = middle
    canvas[:, :width] = _tiled(originals[:-1], 1)
    canvas[:, -width:] = _tiled(originals[1:], 1)
    figure = Figure(figsize=(6.8, 6.8 * canvas.shape[0] / canvas.shape[1] + 0.4))
    _show(figure.subplots(), canvas)
    figure.suptitle("ends: data; between them: mean of p(x | z) along the path", fontsize=11)
    return figure


@styled
def walks(walks: Mapping[str, np.ndarray]) -> Figure:
    """Walks of several models one below the other, the model's name at its rows.

    Parameters
    ----------
    walks
        By the model's name, images ``(rows, steps, height, width)``: rows may differ, steps not.
    """
    rows = np.concatenate(list(walks.values()))
    names = [name if i == 0 else "" for name, lines in walks.items() for i in range(len(lines))]
    canvas = _tiled(rows.reshape(-1, *rows.shape[2:]), rows.shape[1])
    figure = Figure(figsize=(6.8, 5.3 * canvas.shape[0] / canvas.shape[1] + 0.7))
    # Names reach out to the edge, and must not be cut there.
    figure.set_layout_engine("constrained", w_pad=0.1)
    ax = figure.subplots()
    _show(ax, canvas)
    _open_frame(ax)
    places = np.arange(len(names)) * (rows.shape[2] + 1) + (rows.shape[2] - 1) / 2
    ax.set_yticks(places, names)
    ends = np.array([0, (rows.shape[1] - 1) / 2, rows.shape[1] - 1])
    middles = ends * (rows.shape[3] + 1) + (rows.shape[3] - 1) / 2
    ax.set_xticks(middles, ["start", "half-way", "end"])
    ax.set_xlabel("mean of p(x | z) along straight lines between two codes", fontsize=10)
    return figure


def _tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Images in rows on one canvas, a pixel of nothing between them."""
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:]
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = image
    return canvas


def _label_columns(ax: Axes, values: np.ndarray, width: int) -> None:
    every = max(1, len(values) // 8)
    # The middle column keeps its label, and the others are counted from it.
    shown = np.arange(len(values) // 2 % every, len(values), every)
    ax.set_xticks(shown * (width + 1) + (width - 1) / 2, [number(values[i], 1) for i in shown])
    _open_frame(ax)


def _label_rows(ax: Axes, names: Sequence[str], height: int) -> None:
    every = max(1, len(names) // 12)
    shown = np.arange(len(names) // 2 % every, len(names), every)
    ax.set_yticks(shown * (height + 1) + (height - 1) / 2, [names[int(i)] for i in shown])
    _open_frame(ax)


def _open_frame(ax: Axes) -> None:
    ax.set_axis_on()
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=9)


def _show(ax: Axes, canvas: np.ndarray) -> None:
    # What lies between the images is tinted, so that each can be seen to its edge.
    grey = matplotlib.colormaps["gray_r"].with_extremes(bad=_BETWEEN)
    ax.imshow(canvas, interpolation="nearest", cmap=grey)
    ax.set_axis_off()
