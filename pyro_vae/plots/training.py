"""Training curves: the bound against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_vae.plots.style import styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["training_curves"]


@styled
def training_curves(
    metrics: pd.DataFrame,
    *,
    quantity: str = "ELBO",
    training: str = "training",
    validation: str = "validation",
) -> Figure:
    """Bound on training and validation data, and the epoch whose weights were kept.

    Parameters
    ----------
    metrics
        Columns ``epoch``, ``train_elbo`` and ``validation_elbo`` (nats per datum).
    quantity
        What was trained, where it is not the ELBO.
    training, validation
        Names of the curves: where the objective weights its terms, they are of two quantities.
    """
    figure = Figure(figsize=(6.4, 3.6))
    ax = figure.subplots()
    epoch = metrics["epoch"]
    ax.plot(epoch, metrics["train_elbo"], label=training)
    shown = [metrics["train_elbo"].to_numpy()]
    if metrics["validation_elbo"].notna().any():
        held_out = metrics["validation_elbo"]
        ax.plot(epoch, held_out, label=validation, linestyle="--")
        best = held_out.idxmax()
        ax.plot(
            epoch[best], held_out[best], "o", color="black", label=f"kept: epoch {epoch[best]}"
        )
        shown.append(held_out.to_numpy())
    # The first epochs are far below the rest, and would flatten it.
    values = np.concatenate(shown)
    low, high = np.nanquantile(values, 0.05), np.nanmax(values)
    margin = max(0.05 * (high - low), 1e-3)
    ax.set(
        xlabel="epoch", ylabel=f"{quantity} (nats per datum)", ylim=(low - margin, high + margin)
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return figure
