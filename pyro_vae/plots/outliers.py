"""Rows that a model knows least: where they stand among others, and which columns say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.plots.style import BLUE, VERMILION, number, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

__all__ = ["outliers"]

#: Rows in the heat map, names beside the histogram, and columns up to which cells have numbers.
_ROWS, _LABELLED, _WRITTEN = 10, 5, 8

#: Letters of a name that are shown, and letters of all columns that stand side by side.
_LETTERS, _LEVEL = 18, 36

#: A log p(x) this many spans of the middle half below it is drawn at the edge of the panel.
_FAR = 8.0


@styled
def outliers(
    log_evidence: ArrayLike,
    contribution: ArrayLike | None = None,
    *,
    reference: ArrayLike | None = None,
    reference_contribution: ArrayLike | None = None,
    rows: Sequence[object] | None = None,
    columns: Sequence[object] | None = None,
    num_rows: int = _ROWS,
) -> Figure:
    """Log p(x) of scored rows among that of reference rows, and the columns of the lowest.

    Left, the histogram of the reference with a stroke for every scored row; the lowest are named.
    What lies far beyond all others stands at the left edge, with its number. Right, for the rows
    of lowest log p(x), each column's contribution minus the column's mean over the reference rows,
    in standard deviations of them: what is far below zero is where the row is odd. A missing cell
    is grey.

    Parameters
    ----------
    log_evidence
        Log p(x) of the scored rows, ``(n,)``, in nats: of ``inference.score``.
    contribution
        Their ``contribution``, ``(n, D)``, in nats, NaN for a missing cell; without it the right
        panel is left out.
    reference
        Log p(x) of other rows, such as the training data, ``(m,)``; the scored rows unless given.
    reference_contribution
        Contributions of other rows, ``(m, D)``; those of the scored rows unless given.
    rows, columns
        Names of rows and columns; their numbers unless given.
    num_rows
        Rows of the heat map, the lowest.
    """
    values = np.asarray(log_evidence, dtype=float)
    others = values if reference is None else np.asarray(reference, dtype=float)
    names = [str(name) for name in (range(len(values)) if rows is None else rows)]
    order = np.argsort(values, kind="stable")
    lowest = order[: min(num_rows, len(values))]
    if contribution is None:
        figure = Figure(figsize=(4.6, 3.6))
        _histogram(figure.subplots(), values, others, names, order, given=reference is not None)
        return figure
    cells = np.asarray(contribution, dtype=float)
    base = cells if reference_contribution is None else np.asarray(reference_contribution, float)
    there = np.ma.masked_invalid(base)
    mean, spread = there.mean(0).filled(np.nan), there.std(0).filled(1.0)
    deviation = (cells[lowest] - mean) / np.where(spread > 0, spread, 1.0)
    labels = [str(name) for name in (range(cells.shape[1]) if columns is None else columns)]
    figure = Figure(figsize=(8.4, max(3.6, 1.7 + 0.26 * len(lowest))))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _histogram(left, values, others, names, order, given=reference is not None)
    _heat_map(right, deviation, [names[row] for row in lowest], labels)
    return figure


def _histogram(
    ax: Axes,
    values: np.ndarray,
    others: np.ndarray,
    names: list[str],
    order: np.ndarray,
    *,
    given: bool,
) -> None:
    low, middle, high = np.quantile(others, (0.25, 0.5, 0.75))
    edge = middle - _FAR * max(high - low, 1e-9)
    floor = max(edge, min(others.min(), values.min()))
    shown = np.maximum(values, floor)
    label = "reference rows" if given else "all rows"
    counts, *_ = ax.hist(
        np.maximum(others, floor), bins=30, color="0.75", label=f"{label} ({len(others)})"
    )
    top = float(np.max(counts))
    # Scored rows as strokes below the histogram, the lowest with their names.
    ax.plot(
        shown,
        np.full(len(shown), -0.05 * top),
        "|",
        color=BLUE,
        markersize=8,
        markeredgewidth=1,
        label=f"scored rows ({len(values)})",
    )
    named = order[:_LABELLED]
    ax.plot(
        shown[named],
        np.full(len(named), -0.05 * top),
        "v",
        color=VERMILION,
        markersize=5,
        label=f"the lowest {len(named)}",
    )
    ax.set_xlim(*_margins(floor, max(others.max(), values.max())))
    width = float(np.ptp(ax.get_xlim()))
    place = -np.inf
    for row in named:
        # Side by side, whatever the distance of the rows themselves.
        place = max(place + 0.05 * width, shown[row])
        beyond = f" ({number(float(values[row]), 0)})" if values[row] < floor else ""
        ax.annotate(
            _short(names[row]) + beyond,
            (shown[row], -0.05 * top),
            xytext=(place, 0.1 * top),
            fontsize=8,
            rotation=90,
            color=VERMILION,
            ha="center",
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": VERMILION, "linewidth": 0.6, "shrinkB": 0},
        )
    ax.set_ylim(-0.12 * top, 1.05 * top)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("log p(x), nats")
    ax.set_ylabel("number of rows")
    ax.legend(loc="upper left", fontsize=8)


def _margins(low: float, high: float) -> tuple[float, float]:
    beside = 0.04 * max(high - low, 1e-9)
    return low - beside, high + beside


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _heat_map(ax: Axes, deviation: np.ndarray, rows: list[str], columns: list[str]) -> None:
    far = float(np.abs(deviation[~np.isnan(deviation)]).max(initial=0.0))
    limit = float(np.clip(far, 1.0, 10.0))
    ax.set_facecolor("0.85")  # seen where a cell is missing
    image = ax.imshow(deviation, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    if len(columns) <= _WRITTEN:
        for row, column in np.ndindex(deviation.shape):
            value = deviation[row, column]
            if np.isnan(value):
                continue
            ax.text(
                column,
                row,
                number(float(value), 1),
                ha="center",
                va="center",
                fontsize=7,
                # Dark ink on the light middle of the colours.
                color="white" if abs(value) > 0.6 * limit else "black",
            )
    ax.set_yticks(range(len(rows)), [_short(name) for name in rows], fontsize=8)
    every = -(-len(columns) // 20)
    shown = [_short(name) for name in columns[::every]]
    level = sum(map(len, shown)) < _LEVEL
    ax.set_xticks(
        range(0, len(columns), every),
        shown,
        fontsize=8,
        rotation=0 if level else 45,
        ha="center" if level else "right",
        rotation_mode="anchor",
    )
    ax.grid(visible=False)
    ax.set_ylabel("row, lowest log p(x) first")
    ax.set_xlabel("column")
    bar = ax.figure.colorbar(
        image,
        ax=ax,
        extend="both" if far > limit else "neither",
    )
    bar.set_label(
        "contribution in nats: distance from the mean\nof its column, in standard deviations",
        fontsize=9,
    )
    bar.ax.tick_params(labelsize=8)
