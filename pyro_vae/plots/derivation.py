"""The ELBO's derivation in pictures: log p(x) as L_b plus the KL, and what training moves."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, VERMILION, number, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["em_phases", "evidence_bars", "evidence_over_training", "guide_phase"]


@styled
def evidence_bars(
    labels: Sequence[str],
    log_evidence: Sequence[float],
    elbo: Sequence[float],
    kl: Sequence[float],
) -> Figure:
    """L_b and the KL to the posterior, one on the other, up to the height log p(x).

    The numbers are mostly negative, so every bar stands on one floor, a round number below.

    Parameters
    ----------
    labels
        What each bar is, such as a guide.
    log_evidence, elbo, kl
        In nats, one for each bar.
    """
    figure = Figure(figsize=(6.4, 4.2))
    ax = figure.subplots()
    top, bottom = max(log_evidence), min(elbo)
    # The KLs take about half of the height.
    floor = bottom - max(top - bottom, 0.05)
    places = np.arange(len(labels))
    lower, upper = np.asarray(elbo), np.asarray(kl)
    ax.bar(places, lower - floor, 0.5, bottom=floor, color=BLUE, label="$L_b$")
    ax.bar(
        places,
        upper,
        0.5,
        bottom=lower,
        color=VERMILION,
        hatch="//",
        edgecolor="white",
        label="KL(q || posterior)",
    )
    for place, height in zip(places, log_evidence, strict=True):
        label = "log p(x)" if place == 0 else None
        ax.plot([place - 0.36, place + 0.36], [height] * 2, color="black", label=label)
    for place, low, high, height in zip(places, lower, upper, log_evidence, strict=True):
        ax.annotate(number(low, 3), (place, (low + floor) / 2), ha="center", color="white")
        ax.annotate(
            f"log p(x) {number(height, 3)}\nKL {number(high, 3)}",
            (place, max(height, low + high)),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=10,
        )
    ax.set_xticks(places, labels)
    ax.grid(visible=False, axis="x")
    ax.set(ylabel="nats (the axis does not start at 0)", xlim=(-0.6, len(labels) - 0.4))
    ax.set_ylim(floor, top + 0.2 * (top - floor))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def evidence_over_training(table: pd.DataFrame) -> Figure:
    """Log p(x), L_b and, below, the KL between them, over the steps of training.

    Parameters
    ----------
    table
        Columns ``step``, ``log_px``, ``elbo`` and ``kl``, means over data in nats.
    """
    figure = Figure(figsize=(6.4, 4.6))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _two_curves(top, table)
    top.set_ylabel("nats per datum")
    top.legend(loc="lower right")
    bottom.plot(table["step"], table["kl"], color=VERMILION)
    bottom.set(xlabel="step", ylabel="KL (nats)", yscale="log")
    return figure


@styled
def em_phases(table: pd.DataFrame) -> Figure:
    """Log p(x) and L_b while the guide alone and the model alone are trained in turn.

    Parameters
    ----------
    table
        Columns ``step``, ``moving`` (``"guide"`` or ``"model"``), ``log_px`` and ``elbo``.
    """
    figure = Figure(figsize=(7.2, 4.0))
    ax = figure.subplots()
    _two_curves(ax, table)
    step, moving = table["step"].to_numpy(), table["moving"].to_numpy()
    starts = [0, *(np.flatnonzero(moving[1:] != moving[:-1])).tolist(), len(step) - 1]
    for start, end in itertools.pairwise(starts):
        guide = moving[min(start + 1, len(step) - 1)] == "guide"
        if guide:
            ax.axvspan(step[start], step[end], color="0.93", zorder=0)
        ax.annotate(
            "E-step\n(guide)" if guide else "M-step\n(model)",
            ((step[start] + step[end]) / 2, 0.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=10,
        )
    ax.set(xlabel="step", ylabel="nats per datum", xlim=(step[0], step[-1]))
    low, high = _limits(table)
    ax.set_ylim(low - 0.25 * (high - low), high + 0.08 * (high - low))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def guide_phase(elbo: np.ndarray, *, before: float, after: float, log_evidence: float) -> Figure:
    """L_b of one datum while its own guide is trained, and log p(x), which stays.

    Parameters
    ----------
    elbo
        L_b at every step, by the draws of that step, in nats.
    before, after
        L_b of the encoder's guide and of the trained one, by many draws.
    log_evidence
        log p(x).
    """
    figure = Figure(figsize=(6.4, 3.8))
    ax = figure.subplots()
    step = np.arange(1, len(elbo) + 1)
    ax.plot(step, elbo, color=BLUE, alpha=0.35, linewidth=1, label="$L_b$ by the step's draws")
    ax.axhline(log_evidence, color="black", label=f"log p(x): {number(log_evidence, 3)}")
    above: dict[str, Any] = {"clip_on": False, "zorder": 3}
    ax.plot(0, before, "o", color=BLUE, label=f"encoder's guide: {number(before, 3)}", **above)
    ax.plot(step[-1], after, "s", color=GREEN, label=f"trained: {number(after, 3)}", **above)
    # By its few draws L_b may seem to be above log p(x).
    low, high = np.quantile(np.append(elbo, before), 0.02), max(log_evidence, after, elbo.max())
    room = max(high - low, 0.05)
    ax.set(xlabel="step of the guide alone", ylabel="nats", xlim=(0, step[-1]))
    ax.set_ylim(min(low, before) - 0.1 * room, high + 0.05 * room)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _two_curves(ax: Axes, table: pd.DataFrame) -> None:
    """Log p(x) above L_b, and the KL as the band between them."""
    step, log_px, elbo = (table[name] for name in ("step", "log_px", "elbo"))
    ax.plot(step, log_px, color="black", label="log p(x)")
    ax.plot(step, elbo, color=BLUE, linestyle="--", label="$L_b$")
    ax.fill_between(
        step, elbo, log_px, color=VERMILION, alpha=0.25, linewidth=0, label="KL(q || posterior)"
    )
    low, high = _limits(table)
    room = 0.08 * (high - low)
    ax.set_ylim(low - room, high + room)


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Heights that show the later steps, whatever the first ones were."""
    later = table["elbo"].iloc[min(5, len(table) - 1) :]
    low = min(float(later.quantile(0.03)), float(table["log_px"].min()))
    return low, float(table["log_px"].max())
