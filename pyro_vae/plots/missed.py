"""What one estimator of log p(x) misses of another's, datum by datum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, PURPLE, VERMILION, number, styled

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["missed_by_datum"]

_LOOKS = ((VERMILION, "-"), (BLUE, "--"), (GREEN, "-."), (PURPLE, ":"))


@styled
def missed_by_datum(missed: Mapping[str, np.ndarray]) -> Figure:
    """Share of the data of which at most so many nats are missed, for several estimators.

    Parameters
    ----------
    missed
        By the estimator's name, a better estimate of log p(x) minus its own, in nats, ``(B,)``.
    """
    figure = Figure(figsize=(6.4, 3.6))
    ax = figure.subplots()
    for (name, values), (colour, line) in zip(missed.items(), _LOOKS, strict=False):
        x = np.sort(values)
        share = np.arange(1, len(x) + 1) / len(x)
        label = f"{name}: mean {number(float(x.mean()))}"
        ax.step(x, share, where="post", color=colour, linestyle=line, label=label)
    ax.axvline(0.0, color="0.4", linewidth=1)
    ax.set(xlabel="nats missed of log p(x)", ylabel="share of the data", ylim=(0, 1))
    ax.legend(loc="lower right")
    return figure
