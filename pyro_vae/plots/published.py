"""Published numbers beside ours, and how the models behind ours were trained."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.plots.style import BLUE, VERMILION, plain_ticks, styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["bound_against_samples", "learning_curves", "published_and_ours"]

#: Half the width of an axis, at least, relative to its numbers.
_NARROWEST = 2e-3

#: Share of the epochs of a curve whose low bounds are left out of sight.
_STEEP = 0.25


@styled
def published_and_ours(
    labels: Sequence[str],
    published: Sequence[float],
    ours: Sequence[float],
    errors: Sequence[float],
) -> Figure:
    """Each published number, and ours with two standard errors, on a scale of its own.

    Parameters
    ----------
    labels
        What each number is, with its unit where it is not in nats.
    published
        Published numbers; NaN where there is none.
    ours, errors
        Our numbers, and their standard errors.
    """
    size = len(labels)
    figure = Figure(figsize=(7.2, 0.7 + 0.62 * size))
    axes = figure.subplots(size, 1, squeeze=False)[:, 0]
    for ax, label, theirs, value, error in zip(axes, labels, published, ours, errors, strict=True):
        ax.errorbar([value], [0.25], xerr=[2 * error], fmt="o", color=BLUE, label="ours")
        if np.isfinite(theirs):
            ax.plot([theirs], [-0.25], "D", color=VERMILION, label="published", zorder=3)
        ax.set_yticks([0.0], [textwrap.fill(label, 30)])
        ax.set_ylim(-0.8, 0.8)
        ax.set_xlim(*_limits(theirs, value, error))
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.ticklabel_format(axis="x", useOffset=False, style="plain")
        ax.tick_params(axis="y", length=0)
    first = next((ax for ax, t in zip(axes, published, strict=True) if np.isfinite(t)), axes[0])
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    axes[-1].set_xlabel("nats per datum, unless the label says otherwise (bars: two s.e.)")
    return figure


def _limits(theirs: float, ours: float, error: float) -> tuple[float, float]:
    """Both numbers and the bar; numbers that agree to rounding lie on each other."""
    ends = [ours - 2 * error, ours + 2 * error]
    ends += [theirs] if np.isfinite(theirs) else []
    low, high = min(ends), max(ends)
    room = max(0.25 * (high - low), _NARROWEST * max(abs(low), abs(high)), 1e-6)
    return low - room, high + room


@styled
def learning_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """The training bound of several models against the epoch, on a logarithmic scale.

    Parameters
    ----------
    curves
        By the model's name, a frame with columns ``epoch`` and ``train_elbo`` (nats per datum).
    """
    figure = Figure(figsize=(6.4, 3.6))
    ax = figure.subplots()
    seen = []
    for (name, frame), style in zip(curves.items(), _styles(len(curves)), strict=True):
        label = textwrap.fill(name, 30)
        ax.plot(frame["epoch"], frame["train_elbo"], label=label, linestyle=style)
        seen.append(frame["train_elbo"])
    ax.set(xscale="log", xlabel="epoch", ylabel="training bound (nats per datum)")
    ax.set_ylim(*_late(seen))
    plain_ticks(ax.xaxis)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


@styled
def bound_against_samples(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Training and held-out bound of several models against the samples seen, logarithmic.

    Parameters
    ----------
    curves
        By the model's name, a frame with columns ``samples``, ``train_elbo`` and
        ``validation_elbo`` (nats per datum).
    """
    figure = Figure(figsize=(7.2, 4.2))
    ax = figure.subplots()
    seen = []
    for name, frame in curves.items():
        (line,) = ax.plot(frame["samples"], frame["train_elbo"], label=f"{name}, training")
        ax.plot(
            frame["samples"],
            frame["validation_elbo"],
            linestyle="--",
            color=line.get_color(),
            label=f"{name}, held out",
        )
        seen += [frame["train_elbo"], frame["validation_elbo"]]
    ax.set(xscale="log", xlabel="training samples seen", ylabel="bound (nats per datum)")
    ax.set_ylim(*_late(seen))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _late(curves: Sequence[pd.Series]) -> tuple[float, float]:
    """Limits in which curves are seen but for their steep beginning."""
    known = [curve.dropna().to_numpy(dtype=float) for curve in curves if curve.notna().any()]
    low = min(float(np.quantile(values, _STEEP)) for values in known)
    high = max(float(values.max()) for values in known)
    margin = max(0.05 * (high - low), 1e-3)
    return low - margin, high + margin


def _styles(count: int) -> list[str]:
    styles = ["-", "--", "-.", ":"]
    return [styles[index % len(styles)] for index in range(count)]
