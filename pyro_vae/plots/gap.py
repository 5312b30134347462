"""The gap log p(x) - ELBO, datum by datum, and in its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, VERMILION, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["gap_in_parts", "gap_per_datum"]


@styled
def gap_per_datum(results: xr.Dataset) -> Figure:
    """Histogram of the gap, and ELBO against log p(x), each datum a point.

    Parameters
    ----------
    results
        ``gap``, ``elbo``, ``log_evidence`` (nats) and ``doubt``, 0 or 2 where its error is given,
        over ``datum``.
    """
    figure = Figure(figsize=(7.2, 3.4))
    left, right = figure.subplots(1, 2)
    gap = results["gap"].values
    left.hist(gap, bins=min(40, max(5, len(gap) // 8)), color=BLUE, alpha=0.8)
    left.axvline(gap.mean(), color=VERMILION, linestyle="--", label=f"mean {gap.mean():.2f} nats")
    left.set(xlabel="gap = KL(q || posterior) (nats)", ylabel="number of data")
    left.legend()

    unreliable = np.isin(results["doubt"].values, (0, 2), invert=True)
    x, y = results["log_evidence"].values, results["elbo"].values
    right.plot(x[~unreliable], y[~unreliable], ".", color=BLUE, alpha=0.6, markersize=5)
    if unreliable.any():
        many = f"no error bar: {unreliable.sum()} of {len(gap)}"
        look = {"color": VERMILION, "markersize": 4, "alpha": 0.6}
        right.plot(x[unreliable], y[unreliable], "x", **look, label=many)
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    right.plot(ends, ends, color="0.4", linewidth=1, label="ELBO = log p(x)")
    # No bound is above log p(x): this corner is free.
    right.legend(loc="upper left", fontsize=9)
    right.set(xlabel="log p(x) (nats)", ylabel="ELBO (nats)")
    return figure


@styled
def gap_in_parts(
    labels: Sequence[str],
    approximation: Sequence[float],
    amortisation: Sequence[float],
    errors: Sequence[float],
) -> Figure:
    """Mean gap of several guides, as what the family leaves and what the encoder does.

    Parameters
    ----------
    labels
        Names of the guides.
    approximation, amortisation
        The parts of the gap, in nats per datum.
    errors
        Standard errors of their sums.
    """
    figure = Figure(figsize=(6.4, 1.4 + 0.6 * len(labels)))
    ax = figure.subplots()
    places = np.arange(len(labels))[::-1]
    left, right = np.asarray(approximation, dtype=float), np.asarray(amortisation, dtype=float)
    ax.barh(places, left, 0.6, color=BLUE, label="approximation gap (the family)")
    ax.barh(
        places,
        right,
        0.6,
        left=left,
        color=VERMILION,
        hatch="//",
        edgecolor="white",
        label="amortisation gap (the encoder)",
        xerr=2 * np.asarray(errors, dtype=float),
        capsize=3,
    )
    ax.set_yticks(places, labels)
    ax.set_xlabel("gap = log p(x) \N{MINUS SIGN} ELBO (nats per datum)")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
