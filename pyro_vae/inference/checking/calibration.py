"""Simulation-based calibration of a guide, without a refit.

Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv 1804.06788. Where z ~ p(z) and
x ~ p(x | z), the rank of z among draws of p(z | x) is uniform. An amortised guide gives its
draws for any x, so a thousand simulations take seconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from scipy import stats

from pyro_vae.errors import ProgramError
from pyro_vae.inference.checking.posterior import coordinates, resample
from pyro_vae.inference.checking.predictive import simulator
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT, pareto_khat
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.rows import Rows
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import stream_draws
from pyro_vae.inference.evidence.compare import holm
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.checking.predictive import Simulate
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program

__all__ = ["calibration_sentences", "sbc_ranks", "uniformity"]

_resample = resample


@verb
def sbc_ranks(
    model: Program,
    guide: Program,
    num_simulations: int = 1000,
    num_draws: int = 99,
    *,
    resample: bool = False,
    num_particles: int = 1000,
    simulate: Simulate | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Ranks of z ~ p(z) among draws of q(z | x), x ~ p(x | z), with a test of uniformity.

    What is tested is the guide against the posterior of the fitted model, on data from that
    model; not whether the model fits any data. Ranks of the guide's own draws show where the
    guide is wrong; ranks of draws resampled by their weights, whether importance sampling
    repairs it.

    Parameters
    ----------
    model, guide
        Pyro programs.
    num_simulations
        Number of pairs (z, x).
    num_draws
        Draws that z is ranked among: the ranks are 0 to ``num_draws``.
    resample
        Also rank z among ``num_draws`` of ``num_particles`` particles, resampled.
    num_particles
        Particles that are resampled, many times ``num_draws``.
    simulate
        From n to data of n rows and the values ``(n, ...)`` of the guide's sites;
        ``simulator(model, guide)`` unless given, which needs a model that takes ``num_data``.
        For any other, ``simulator(model, guide, x)``.
    **sampling
        Other arguments of ``log_weights``; the seed is that of the simulations, too.

    Returns
    -------
    Dataset
        ``rank`` over ``(source, simulation, latent)``, sources ``"guide"`` and, where asked
        for, ``"resampled"``, with the variables of ``uniformity``; ``khat`` over
        ``simulation`` where there are resampled ranks.

    Raises
    ------
    ProgramError
        If the model cannot be run without data, or the simulated sites are not the guide's.
    """
    for name, value in (("num_simulations", num_simulations), ("num_draws", num_draws)):
        if value < 2:
            raise ValueError(f"{name} got {value}: it must be at least 2")
    if resample and num_particles < num_draws:
        raise ValueError(
            f"num_particles got {num_particles}: it must be at least num_draws = {num_draws}, "
            "and better ten times that"
        )
    how = Sampling(**sampling)
    simulate = simulate or simulator(model, guide, data_plate=how.data_plate)
    with torch.no_grad(), isolated(how.seed):
        x, sites = simulate(num_simulations)
    if count(x) != num_simulations:
        raise ProgramError(f"simulate gave {count(x)} rows where {num_simulations} were asked for")
    generator = torch.Generator().manual_seed(how.seed)
    rows = Rows(num_simulations)
    names: list[str] = []
    draws = stream_draws(model, guide, x, num_particles if resample else num_draws, how)
    for row, particles in enumerate(draws):
        if set(particles.values) != set(sites):
            raise ProgramError(
                f"simulate gave the sites {sorted(sites)}, the guide has "
                f"{sorted(particles.values)}: give those of the guide"
            )
        first = {name: value[:num_draws] for name, value in particles.values.items()}
        sources, kept = {"guide": first}, {}
        if resample:
            kept["khat"] = pareto_khat(particles.terms.log_weights)[0]
            sources["resampled"] = _resample(particles, num_draws, generator).values
        truth = {name: sites[name][row].expand_as(value[:1]) for name, value in first.items()}
        names, true = coordinates(truth)
        for source, values in sources.items():
            kept[source] = _rank(true[0, 0], values, generator)
        rows.add(kept)
    ranks = rows.arrays()
    khat = ranks.pop("khat", None)
    results = xr.Dataset(
        {"rank": (("source", "simulation", "latent"), np.stack([*ranks.values()]))},
        coords={"source": list(ranks), "latent": names},
        attrs={"num_draws": num_draws, "num_particles": num_particles, "seed": how.seed},
    )
    if khat is not None:
        results["khat"] = ("simulation", khat)
    return uniformity(results)


def _rank(true: Tensor, values: dict[str, Tensor], generator: torch.Generator) -> np.ndarray:
    """Number of draws below the truth, ``(L,)``; equal ones, of a discrete site, count by lot."""
    _, drawn = coordinates(values)
    below = (drawn[:, 0] < true).sum(0).cpu()
    equal = (drawn[:, 0] == true).sum(0).cpu()
    lot = torch.rand(len(equal), generator=generator)
    return (below + (lot * (equal + 1)).floor().long()).numpy()


def uniformity(ranks: xr.Dataset) -> xr.Dataset:
    """Add to ranks how far they are from uniform.

    Parameters
    ----------
    ranks
        ``rank`` over ``(source, simulation, latent)``, with the attribute ``num_draws``.

    Returns
    -------
    Dataset
        With ``p_value`` of the chi-square test on bins of equal width, and ``p_holm``, Holm's
        (1979) adjustment over the latents of a source; ``shift`` and ``spread``, how many
        standard errors the mean and the variance of the ranks are from those of a uniform
        rank. A spread above zero is a U: the draws are too narrow. Below, a dome: too wide.
        A shift is a slope: draws too low (above zero) or too high. All over
        ``(source, latent)``; attribute ``bins``.
    """
    values = ranks["rank"].values
    top, size = int(ranks.attrs["num_draws"]), values.shape[1]
    bins = _number_of_bins(top + 1, size)
    p_value = np.empty((values.shape[0], values.shape[2]))
    p_holm = np.empty_like(p_value)
    for source in range(len(values)):
        for latent in range(values.shape[2]):
            # Bin b holds the ranks from b (top + 1) / bins up to the next.
            bin_of = values[source, :, latent] * bins // (top + 1)
            p_value[source, latent] = stats.chisquare(np.bincount(bin_of, minlength=bins)).pvalue
        p_holm[source] = holm(p_value[source])
    every = np.arange(top + 1) - top / 2
    centred = values - top / 2
    dims = ("source", "latent")
    shift = centred.mean(1) / (every.std() / math.sqrt(size))
    spread = (centred**2).mean(1) - (every**2).mean()
    spread /= (every**2).std() / math.sqrt(size)
    return ranks.assign(
        p_value=(dims, p_value), p_holm=(dims, p_holm), shift=(dims, shift), spread=(dims, spread)
    ).assign_attrs(bins=bins)


def _number_of_bins(ranks: int, simulations: int) -> int:
    """The most bins of equal width, at most 20, with five simulations expected in each."""
    most = max(2, min(20, simulations // 5))
    divisors = [bins for bins in range(2, most + 1) if ranks % bins == 0]
    if not divisors:
        raise ValueError(
            f"num_draws got {ranks - 1}: num_draws + 1 ranks must fall into 2 to {most} equal "
            "bins; take 99, or 19"
        )
    return divisors[-1]


@verb
def calibration_sentences(ranks: xr.Dataset, level: float = 0.01) -> list[str]:
    """What the ranks say, one sentence a source.

    Parameters
    ----------
    ranks
        What ``sbc_ranks`` returned.
    level
        Error rate, over all the latents of a source.
    """
    sentences = []
    for source in ranks["source"].values:
        part = ranks.sel(source=source)
        wrong = [str(name) for name in part["latent"].values[part["p_holm"].values < level]]
        if not wrong:
            sentences.append(f"{source}: no latent's ranks differ from uniform (Holm, {level}).")
            continue
        texts = []
        for name in wrong:
            shift, spread = (float(part[v].sel(latent=name)) for v in ("shift", "spread"))
            if abs(shift) > abs(spread):
                texts.append(f"{name} too {'low' if shift > 0 else 'high'}")
            else:
                texts.append(f"{name} too {'narrow' if spread > 0 else 'wide'}")
        sentences.append(f"{source}: draws are miscalibrated: {', '.join(texts)}.")
    if "khat" in ranks:
        share = float((ranks["khat"] > KHAT_LIMIT).mean())
        sentences.append(
            f"k-hat is above {KHAT_LIMIT} for {share:.0%} of the simulated data, where resampled "
            "draws are not to be relied on."
        )
    return sentences
