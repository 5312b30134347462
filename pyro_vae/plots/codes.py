"""How evenly a codebook is used."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import entropy

from pyro_vae.plots.style import styled

__all__ = ["code_usage"]


@styled
def code_usage(usage: np.ndarray) -> Figure:
    """Share of each code, the commonest first, beside that of codes used alike.

    Parameters
    ----------
    usage
        How often each code was taken, ``(K,)``.
    """
    share = np.sort(usage / usage.sum())[::-1]
    places = np.arange(1, len(share) + 1)
    figure = Figure(figsize=(6.4, 3.2))
    ax = figure.subplots()
    ax.bar(places, share, width=0.8)
    ax.axhline(1 / len(share), color="black", linestyle="--", linewidth=1, label="all codes alike")
    ax.set(xlabel="code, from the commonest to the rarest", ylabel="share of the codes taken")
    ax.set_title(
        f"{np.count_nonzero(usage)} of {len(share)} codes in use, perplexity "
        f"{np.exp(entropy(share)):.1f}"
    )
    ax.grid(visible=False, axis="x")
    ax.legend()
    return figure
