"""Tables beside what a model makes of them: each column, and pairs of columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, VERMILION, styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["column_marginals", "column_pairs"]

_BINS, _PANELS_IN_A_ROW, _MOST_LEVELS, _MOST_POINTS = 20, 3, 12, 300


class _Scale(NamedTuple):
    """Where the values of a column stand on an axis; NaN for an empty cell of the data."""

    data: np.ndarray
    model: np.ndarray
    levels: list[str] | None
    dates: bool


@styled
def column_marginals(
    data: pd.DataFrame,
    model: pd.DataFrame,
    levels: Mapping[str, Sequence[str]],
    *,
    labels: tuple[str, str] = ("data", "draws of the model"),
    of: str = "share of rows",
) -> Figure:
    """Every column's distribution in the data (bars) and among draws of the model (steps, dots).

    Parameters
    ----------
    data, model
        Rows of the data, and draws, with the same columns, in the user's units; empty cells do
        not count.
    levels
        Of each column that has levels, all of them in order.
    labels
        What the two are called.
    of
        What the vertical axes show.
    """
    columns = list(data.columns)
    wide = min(_PANELS_IN_A_ROW, len(columns))
    high = math.ceil(len(columns) / wide)
    figure = Figure(figsize=(2.8 * wide, 0.5 + 2.1 * high))
    panels = figure.subplots(high, wide, squeeze=False).flatten()
    for ax, column in zip(panels, columns, strict=False):
        scale = _scale(data[column], model[column], levels.get(column))
        _distribution(ax, scale, labels)
        ax.set_xlabel(column, fontsize=9)
        ax.tick_params(labelsize=8)
        _ticks(ax.xaxis, scale)
    for ax in panels[len(columns) :]:
        ax.set_visible(False)
    figure.supylabel(of, fontsize=9)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2)
    return figure


@styled
def column_pairs(
    data: pd.DataFrame, model: pd.DataFrame, levels: Mapping[str, Sequence[str]]
) -> Figure:
    """Pairs of columns: the data below the diagonal, draws of the model above it.

    Parameters
    ----------
    data, model, levels
        As for ``column_marginals``; a few columns, as many rows as there are.
    """
    columns, rng = list(data.columns), np.random.default_rng(0)
    count = len(columns)
    scales = [_scale(data[c], model[c], levels.get(c)) for c in columns]
    figure = Figure(figsize=(1.4 + 1.75 * count, 1.2 + 1.6 * count))
    panels = figure.subplots(count, count, squeeze=False)
    for i in range(count):
        for j in range(count):
            ax: Axes = panels[i, j]
            if i == j:
                _distribution(ax, scales[i])
                ax.set_yticks([])
            else:
                of = "data" if i > j else "model"
                x, y = (_jittered(getattr(scales[k], of), scales[k], rng) for k in (j, i))
                colour = BLUE if i > j else VERMILION
                ax.plot(x, y, ".", color=colour, markersize=3, alpha=0.6, rasterized=True)
                ax.set_ylim(*_limits(scales[i]))
            ax.set_xlim(*_limits(scales[j]))
            ax.tick_params(labelsize=7)
            _ticks(ax.xaxis, scales[j])
            if i != j:
                _ticks(ax.yaxis, scales[i])
            ax.label_outer()
            if i == count - 1:
                ax.set_xlabel(columns[j], fontsize=9)
            if j == 0:
                ax.set_ylabel(columns[i], fontsize=9)
    figure.suptitle("below the diagonal: data; above: draws of the model", fontsize=10)
    return figure


def _scale(data: pd.Series, model: pd.Series, levels: Sequence[str] | None) -> _Scale:
    if levels is not None:
        place = {level: i for i, level in enumerate(levels)}
        found = [
            np.array(
                [
                    math.nan if empty else place[str(v)]
                    for v, empty in zip(c, c.isna(), strict=True)
                ]
            )
            for c in (data, model)
        ]
        return _Scale(found[0], found[1], list(levels), False)
    dates = data.dtype.kind == "M"
    pair = [
        mdates.date2num(c) if dates else c.to_numpy(float, na_value=math.nan)
        for c in (data, model)
    ]
    return _Scale(pair[0], pair[1], None, dates)


def _few_whole(scale: _Scale) -> bool:
    """Whether these are counts that have a bar each."""
    x = _there(np.concatenate([scale.data, scale.model]))
    return bool((x == np.rint(x)).all()) and np.ptp(x) <= _BINS and not scale.dates


def _distribution(
    ax: Axes, scale: _Scale, labels: tuple[str, str] = ("data", "draws of the model")
) -> None:
    draw = _histogram if scale.levels is None and not _few_whole(scale) else _bars
    draw(ax, scale, labels)


def _there(values: np.ndarray) -> np.ndarray:
    """Without those of empty cells."""
    return values[~np.isnan(values)]


def _bars(ax: Axes, scale: _Scale, labels: tuple[str, str]) -> None:
    """Shares of levels, or of whole numbers."""
    low, high = (0, len(scale.levels) - 1) if scale.levels else _ends(scale)
    at = np.arange(int(low), int(high) + 1)
    data, model = (_there(values) for values in (scale.data, scale.model))
    ax.bar(at, [np.mean(data == v) for v in at], color=BLUE, alpha=0.45, label=labels[0])
    ax.plot(
        at,
        [np.mean(model == v) for v in at],
        "D",
        color=VERMILION,
        markersize=4,
        label=labels[1],
    )


def _histogram(ax: Axes, scale: _Scale, labels: tuple[str, str]) -> None:
    """Shares of rows in bins of one width; what lies far out counts as at the end."""
    edges: list[float] = np.linspace(*_limits(scale), _BINS + 1).tolist()
    for values, how in (
        (scale.data, {"color": BLUE, "alpha": 0.45, "histtype": "stepfilled", "label": labels[0]}),
        (scale.model, {"color": VERMILION, "histtype": "step", "label": labels[1]}),
    ):
        inside = np.clip(_there(values), edges[0], edges[-1])
        style: dict[str, Any] = how
        ax.hist(inside, edges, weights=np.full(len(inside), 1 / len(inside)), **style)


def _ends(scale: _Scale) -> tuple[float, float]:
    x = np.concatenate([scale.data, scale.model])
    return float(np.nanmin(x)), float(np.nanmax(x))


def _limits(scale: _Scale) -> tuple[float, float]:
    """Both data and draws, without the farthest hundredth of the draws."""
    if scale.levels is not None:
        return -0.5, len(scale.levels) - 0.5
    ends = np.nanquantile(scale.model, [0.005, 0.995])
    low = min(float(np.nanmin(scale.data)), float(ends[0]))
    high = max(float(np.nanmax(scale.data)), float(ends[1]))
    if _few_whole(scale):
        low, high = _ends(scale)
        return low - 0.5, high + 0.5
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _jittered(values: np.ndarray, scale: _Scale, rng: np.random.Generator) -> np.ndarray:
    """Some of the values, levels and small counts moved a little, so that they can be told."""
    shown = values[:_MOST_POINTS].astype(float)
    apart = scale.levels is not None or _few_whole(scale)
    return shown + rng.uniform(-0.25, 0.25, len(shown)) if apart else shown


def _ticks(axis: Any, scale: _Scale) -> None:
    if scale.levels is not None and len(scale.levels) <= _MOST_LEVELS:
        crowded = sum(map(len, scale.levels)) > 18
        axis.set_ticks(range(len(scale.levels)), scale.levels)
        if crowded and axis.axis_name == "x":
            axis.set_tick_params(rotation=40)
    elif scale.dates:
        locator = mdates.AutoDateLocator(minticks=2, maxticks=4)
        axis.set_major_locator(locator)
        axis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    elif scale.levels is None:
        axis.get_major_locator().set_params(nbins=4, integer=_few_whole(scale))
