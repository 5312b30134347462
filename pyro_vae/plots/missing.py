"""Missing cells: what is missing where, and what was put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pyro_vae.plots.images import image_grid_by_rows
from pyro_vae.plots.style import VERMILION, styled
from pyro_vae.plots.tables import column_marginals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["completions", "imputed_marginals", "missing_cells"]

#: Names of columns below the figure, at most, and letters of one.
_MOST_NAMES, _LETTERS = 24, 14


@styled
def missing_cells(observed: np.ndarray, columns: Sequence[object] | None = None) -> Figure:
    """What is missing where: each cell of each row, and the share of every column.

    Rows with the same cells missing stand together, those that miss fewest first. Of images, a
    map of the share of rows in which each pixel is missing.

    Parameters
    ----------
    observed
        Which cells are there, bool ``(n, D)``; or ``(n, height, width)`` of images.
    columns
        Names of the D columns; their numbers unless given.
    """
    there = np.asarray(observed, dtype=bool)
    if there.ndim > 2:
        return _missing_pixels(there)
    names = [str(name) for name in (range(there.shape[1]) if columns is None else columns)]
    figure = Figure(figsize=(6.8, 5.2))
    top, cells = figure.subplots(2, 1, height_ratios=(1, 2.4), sharex=True)
    share = 100 * (1 - there.mean(0))
    top.bar(range(len(names)), share, color=VERMILION)
    top.set_ylabel("missing, %")
    top.set_ylim(0, max(1.0, 1.15 * share.max()))
    top.set_title(
        f"{100 * (1 - there.mean()):.3g} % of the cells are missing; "
        f"{int(there.all(1).sum())} of {len(there)} rows are whole",
        fontsize=10,
    )
    cells.imshow(
        _by_pattern(there),
        cmap=ListedColormap([VERMILION, "0.85"]),
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
    )
    cells.set_ylabel("rows, by what they miss")
    cells.grid(visible=False)
    _name_columns(cells, names)
    handles = [
        Patch(color=VERMILION, label="missing"),
        Patch(color="0.85", label="observed"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=9)
    return figure


def imputed_marginals(
    observed: pd.DataFrame, imputed: pd.DataFrame, levels: Mapping[str, Sequence[str]]
) -> Figure:
    """Each column's observed cells (bars) and draws for its missing ones (steps, dots).

    They need not agree: where what is missing depends on other columns they should not. Draws
    where no observed cell is are a reason to look at the model.

    Parameters
    ----------
    observed
        Rows with empty cells, in the user's units.
    imputed
        Draws for the empty cells, with the same columns; the others are empty.
    levels
        Of each column that has levels, all of them in order.
    """
    shown = [c for c in observed.columns if imputed[c].notna().any() and observed[c].notna().any()]
    labels = ("observed cells", "imputations of the missing ones")
    return column_marginals(
        observed[shown], imputed[shown], levels, labels=labels, of="share of cells"
    )


def completions(
    seen: np.ndarray, mean: np.ndarray, draws: np.ndarray, truth: np.ndarray | None = None
) -> Figure:
    """Images with a part missing, and what may have been there.

    Parameters
    ----------
    seen
        The images, NaN where a pixel is missing, ``(n, height, width)``.
    mean
        E[x | observed pixels], likewise, whole.
    draws
        Draws of whole images given the observed pixels, ``(S, n, height, width)``.
    truth
        What the images were, where that is known.
    """
    rows = {"observed": seen, "mean": mean}
    rows |= {f"draw {s + 1}": images for s, images in enumerate(draws)}
    if truth is not None:
        rows["truth"] = truth
    return image_grid_by_rows(rows, title="images given their observed pixels: mean and draws")


@styled
def _missing_pixels(there: np.ndarray) -> Figure:
    figure = Figure(figsize=(4.6, 3.9))
    ax = figure.subplots()
    image = ax.imshow(100 * (1 - there.mean(0)), cmap="cividis", vmin=0, interpolation="nearest")
    ax.set_title(f"{100 * (1 - there.mean()):.3g} % of the pixels are missing", fontsize=10)
    ax.set(xlabel="column of the image", ylabel="row of the image")
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax).set_label("missing in % of the images")
    return figure


def _by_pattern(there: np.ndarray) -> np.ndarray:
    """Rows sorted by how many cells they miss, those with one pattern together."""
    patterns, which, counts = np.unique(there, axis=0, return_inverse=True, return_counts=True)
    order = np.lexsort((-counts, -patterns.sum(1)))
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    return there[np.argsort(place[which.reshape(-1)], kind="stable")]


def _name_columns(ax: Axes, names: list[str]) -> None:
    every = -(-len(names) // _MOST_NAMES)
    more = "\N{HORIZONTAL ELLIPSIS}"
    short = [n if len(n) <= _LETTERS else n[: _LETTERS - 1] + more for n in names]
    level = sum(map(len, short[::every])) < 60
    ax.set_xticks(
        range(0, len(names), every),
        short[::every],
        rotation=0 if level else 60,
        ha="center" if level else "right",
        rotation_mode="anchor",
        fontsize=8,
    )
    ax.set_xlabel("column")
