"""Models ranked by held-out log p(x): where they stand, and how sure the differences are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.figure import Figure

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
    names = [str(name) for name in table.index]
    rows = np.arange(len(names))
    figure = Figure(figsize=(7.2, 1.1 + 0.3 * len(names)))
    left, right = figure.subplots(1, 2, sharey=True)
    total = np.hypot(table["sampling_se"], table["mc_se"])
    left.hlines(rows, table["elbo"], table["log_evidence"], color="0.6", linewidth=1, zorder=1)
    left.errorbar(
        table["log_evidence"],
        rows,
        xerr=total,
        fmt="o",
        color=BLUE,
        markersize=4,
        label="log p(x), with its standard error",
    )
    left.plot(
        table["elbo"], rows, "D", color=VERMILION, markersize=4, fillstyle="none", label="ELBO"
    )
    left.set_yticks(rows, names)
    left.invert_yaxis()
    left.set_xlabel("nats per datum")
    right.axvline(0, color="0.6", linewidth=1)
    right.errorbar(
        table["difference"], rows, xerr=2 * table["dse"], fmt="o", color=BLUE, markersize=4
    )
    right.set_xlabel(
        "log p(x) minus the best's, nats per datum\n(paired; bars: two standard errors)"
    )
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
