"""K-hat of the weights of many data: where an estimate by importance sampling can be relied on."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, VERMILION, styled

__all__ = ["khat_histogram"]


@styled
def khat_histogram(khat: np.ndarray, *, trusted: float = 0.3, limit: float = 0.7) -> Figure:
    """Histogram of Pareto k-hat, with the values above which weights are not relied on.

    Parameters
    ----------
    khat
        K-hat of each datum, ``(n,)``; what is not finite is left out.
    trusted
        Above it the error of an estimate is withheld.
    limit
        Above it the estimate itself is not to be relied on.
    """
    known = khat[np.isfinite(khat)]
    figure = Figure(figsize=(6.4, 2.8))
    ax = figure.subplots()
    ax.hist(known, bins=min(40, max(5, len(known) // 8)), color=BLUE, alpha=0.8)
    low, high = min([*known, 0.0]), max([*known, limit])
    ax.set_xlim(low - 0.1, high + 0.1)
    ax.axvline(trusted, color="0.4", linestyle="--", label=f"{trusted}: errors are withheld")
    ax.axvline(limit, color=VERMILION, label=f"{limit}: not to be relied on")
    ax.set(xlabel="k-hat of the weights", ylabel="number of data")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
