"""Models ranked by held-out log p(x): where they stand, and how sure the differences are."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.plots.style import BLUE, VERMILION, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["model_comparison"]


class HasTable(Protocol):
    """What is drawn: the table of a comparison, the best model first."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a model, with the columns of ``Comparison.table``."""


@styled
def model_comparison(comparison: HasTable) -> Figure:
    """Log p(x) and ELBO of every model, and its paired difference to the best.

    Parameters
    ----------
    comparison
        What ``inference.compare`` returned.
    """
    table = comparison.table
    names = [textwrap.fill(str(name), 32) for name in table.index]
    lines = sum(1 + name.count("\n") for name in names)
    rows = np.arange(len(names))
    figure = Figure(figsize=(7.2, 1.4 + 0.24 * max(lines, len(names))))
    left, right = figure.subplots(1, 2, sharey=True)
    total = np.hypot(table["sampling_se"], table["mc_se"].fillna(0.0))
    left.hlines(rows, table["elbo"], table["log_evidence"], color="0.6", linewidth=1, zorder=1)
    dots: dict[str, Any] = {"fmt": "o", "color": BLUE, "markersize": 4}
    left.errorbar(table["log_evidence"].to_numpy(), rows, xerr=total, label="log p(x)", **dots)
    left.plot(
        table["elbo"], rows, "D", color=VERMILION, markersize=4, fillstyle="none", label="ELBO"
    )
    left.set_yticks(rows, names, fontsize=9)
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_xlabel("nats per datum\n(bars: one standard error)")
    right.axvline(0, color="0.6", linewidth=1)
    errors = 2 * table["dse"].to_numpy()
    right.errorbar(table["difference"].to_numpy(), rows, xerr=errors, **dots)
    right.set_xlabel("paired difference of log p(x)\nto the best (bars: two s.e.)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(4))
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
