"""Log p(x) = L_b + KL of one datum with one latent number: densities, the bound, the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, GREEN, VERMILION, number, styled

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bound_over_means", "densities_over_z", "log_weight_histogram"]

_LOOKS = (("0.45", ":"), (BLUE, "--"), (GREEN, "-"))


@styled
def densities_over_z(
    z: np.ndarray, densities: Mapping[str, np.ndarray], *, title: str | None = None
) -> Figure:
    """Up to three densities of one latent number, such as prior, guide and posterior.

    Parameters
    ----------
    z
        Grid ``(n,)``.
    densities
        By name, ``(n,)``.
    title
        Title of the figure.
    """
    figure = Figure(figsize=(6.4, 3.6))
    ax = figure.subplots()
    for (name, density), (colour, style) in zip(densities.items(), _LOOKS, strict=False):
        ax.plot(z, density, color=colour, linestyle=style, label=name)
        ax.fill_between(z, density, color=colour, alpha=0.12, linewidth=0)
    ax.set(xlabel="z", ylabel="density", xlim=(z[0], z[-1]))
    ax.set_ylim(bottom=0)
    if title is not None:
        ax.set_title(title)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def bound_over_means(
    means: np.ndarray, elbo: np.ndarray, *, log_evidence: float, best: float
) -> Figure:
    """The ELBO against the mean of the guide, and the KL as what is left up to log p(x).

    Parameters
    ----------
    means
        Means of the guide, ``(n,)``.
    elbo
        ELBO at each, in nats.
    log_evidence
        log p(x).
    best
        Mean of the posterior.
    """
    figure = Figure(figsize=(6.4, 3.8))
    ax = figure.subplots()
    ax.axhline(log_evidence, color="black", label=f"log p(x) = {number(log_evidence)}")
    ax.plot(means, elbo, color=BLUE, linestyle="--", label="ELBO")
    ax.fill_between(
        means,
        elbo,
        log_evidence,
        color=VERMILION,
        alpha=0.25,
        linewidth=0,
        label="KL(q || posterior)",
    )
    ax.axvline(best, color="0.4", linestyle=":", linewidth=1.2, label="posterior mean")
    room = log_evidence - float(elbo.min())
    ax.set(xlabel="mean of the guide", ylabel="nats", xlim=(means[0], means[-1]))
    ax.set_ylim(top=log_evidence + 0.1 * room)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def log_weight_histogram(log_weights: np.ndarray, *, elbo: float, log_evidence: float) -> Figure:
    """Log-weights of draws from the guide; their mean, and the log of the weights' mean.

    Parameters
    ----------
    log_weights
        log p(x, z) - log q(z | x) at draws of z from q, ``(n,)``, in nats. The lowest half
        per cent is left out of sight.
    elbo, log_evidence
        E[log w], and log E[w] = log p(x).
    """
    figure = Figure(figsize=(6.4, 3.8))
    ax = figure.subplots()
    low = min(float(np.quantile(log_weights, 0.005)), elbo)
    high = max(float(log_weights.max()), log_evidence)
    room = 0.04 * (high - low)
    ax.hist(log_weights, bins=60, range=(low, high), density=True, color=BLUE, alpha=0.45)
    ax.axvline(elbo, color=BLUE, linestyle="--", label=f"E[log w], the ELBO: {number(elbo)}")
    ax.axvline(log_evidence, color="black", label=f"log E[w] = log p(x): {number(log_evidence)}")
    ax.set(xlabel="log w (nats)", ylabel="density", xlim=(low - room, high + room))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
