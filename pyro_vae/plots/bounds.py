"""The IWAE bound rising with the number of particles to log p(x)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import GREEN, PURPLE, VERMILION, number, plain_ticks, styled

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["iwae_against_k"]


@styled
def iwae_against_k(results: xr.Dataset, *, exact: float | None = None) -> Figure:
    """Mean IWAE_k over data against k, with Monte Carlo standard errors.

    Parameters
    ----------
    results
        ``iwae`` and ``iwae_se`` over ``(num_particles, datum)``, ``log_evidence`` over
        ``datum``, in nats.
    exact
        Exact mean log p(x), where it is known.
    """
    figure = Figure(figsize=(6.4, 3.6))
    ax = figure.subplots()
    k = results["num_particles"].values
    mean = results["iwae"].mean("datum").values
    total = np.sqrt((results["iwae_se"] ** 2).sum("datum").values)
    error = total / results.sizes["datum"]
    evidence = float(results["log_evidence"].mean())
    particles = int(results.attrs.get("particles", k[-1]))
    ax.errorbar(k, mean, error, fmt="o-", capsize=3, label="IWAE$_K$, the ELBO at K = 1")
    label = f"log p(x), {particles:,} particles: {number(evidence)}"
    ax.axhline(evidence, color=VERMILION, linestyle="--", label=label)
    if exact is not None:
        ax.axhline(exact, color=GREEN, linestyle=":", label=f"exact log p(x): {number(exact)}")
    elbo = float(mean[0])
    ax.annotate(
        "", (k[0], evidence), (k[0], elbo), arrowprops={"arrowstyle": "<->", "color": PURPLE}
    )
    text = f"gap {evidence - elbo:.2f} nats"
    ax.text(k[0] * 1.15, evidence - 0.25 * (evidence - elbo), text, va="center")
    ax.set(xscale="log", xlabel="particles K", ylabel="bound (nats per datum)")
    ax.set_ylim(top=evidence + 0.12 * (evidence - elbo) + float(error.max()))
    plain_ticks(ax.xaxis, k)
    ax.legend(loc="lower right")
    return figure
