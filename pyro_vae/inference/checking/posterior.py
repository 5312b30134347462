"""Draws from the posterior p(z | x), per datum: importance resampling of the guide, or NUTS.

Rubin (1988), "Using the SIR algorithm to simulate posterior distributions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.inference.checking.nuts import nuts
from pyro_vae.inference.engine.diagnostics import effective_sample_size, pareto_khat
from pyro_vae.inference.engine.sampling import Sampling, SamplingSettings
from pyro_vae.inference.engine.weights import Draws, LogWeights, stream_draws
from pyro_vae.on_demand import library
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.checking.nuts import Chain
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["DrawSettings", "Method", "coordinates", "named_axes", "posterior_samples", "resample"]

Method = Literal["importance", "guide", "hmc"]


class DrawSettings(SamplingSettings, total=False):
    """Keywords of ``posterior_samples``, as those of a function that hands them on."""

    num_particles: int
    num_chains: int
    warmup_steps: int


@verb
@takes_data("x")
def posterior_samples(
    model: Program,
    guide: Program,
    x: Inputs,
    num_samples: int = 1000,
    method: Method = "importance",
    *,
    num_particles: int = 5000,
    num_chains: int = 4,
    warmup_steps: int = 500,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Draws from p(z | x) for every datum.

    Parameters
    ----------
    model, guide, x
        As for ``log_weights``. With ``"hmc"`` the guide only says which sites there are.
    num_samples
        Draws per datum, and per chain with ``"hmc"``.
    method
        ``"importance"`` resamples the guide's particles by their weights: to be believed where
        ``khat`` is below 0.7, with as many distinct draws as ``ess``. ``"hmc"`` runs NUTS on
        the model conditioned on x: exact in the limit, to be believed where ``rhat`` is below
        1.01. ``"guide"`` is q(z | x) itself, an approximation.
    num_particles
        Particles that are resampled, several times ``num_samples``.
    num_chains, warmup_steps
        Chains of NUTS, each started from its own draw of the prior, and their warm-up.
    **sampling
        Other arguments of ``log_weights``. A discrete site that ``enumerate_discrete`` sums
        out has no draws.

    Returns
    -------
    Dataset
        Each latent site, ``(chain, draw, datum, ...)``; the chain has length 1 but for NUTS.
        Where there are weights, ``ess`` and ``khat`` per datum, and for every draw ``lp`` =
        log p(x, z), ``log_guide`` and ``log_weights``, in nats. For NUTS, ``{site}_ess`` of
        every coordinate, ``{site}_rhat`` of two chains or more, and whether a draw is
        ``diverging``.

    Raises
    ------
    UnknownNameError
        If there is no such method.
    ProgramError
        If NUTS meets a discrete site, or the guide has no site to draw.
    """
    if method not in get_args(Method):
        raise UnknownNameError("method", method, get_args(Method))
    how = Sampling(**sampling)
    attributes = {"method": method, "seed": how.seed, "num_samples": num_samples}
    if method == "hmc":
        chains = nuts(model, guide, x, num_samples, num_chains, warmup_steps, how)
        results = _of_chains(chains)
        attributes["warmup_steps"] = warmup_steps
        return results.assign_attrs(attributes)
    resampled = method == "importance"
    if not resampled:
        num_particles = num_samples
    generator = torch.Generator().manual_seed(how.seed)
    columns, ess, khat = [], [], []
    for draws in stream_draws(model, guide, x, num_particles, how):
        log_weights = draws.terms.log_weights
        ess.append(effective_sample_size(log_weights))
        khat.append(pareto_khat(log_weights))
        columns.append(resample(draws, num_samples, generator) if resampled else draws)
    if not columns[0].values:
        raise ProgramError("the guide has no site, so there is nothing to draw from p(z | x)")
    results = _dataset(
        {
            name: torch.cat([column.values[name] for column in columns], dim=1).unsqueeze(0)
            for name in columns[0].values
        }
    )
    terms = [torch.cat(parts, dim=1) for parts in zip(*(c.terms for c in columns), strict=True)]
    log_likelihood, log_prior, log_guide = (term.unsqueeze(0).cpu().numpy() for term in terms)
    dims = ("chain", "draw", "datum")
    results["lp"] = (dims, log_likelihood + log_prior)
    results["log_guide"] = (dims, log_guide)
    results["log_weights"] = results["lp"] - results["log_guide"]
    results["ess"] = ("datum", torch.cat(ess).cpu().numpy())
    results["khat"] = ("datum", np.concatenate(khat))
    return results.assign_attrs(attributes, num_particles=num_particles)


def resample(draws: Draws, num_samples: int, generator: torch.Generator | None = None) -> Draws:
    """Draw particles in proportion to their weights, by strata (Kitagawa, 1996).

    Particle k is chosen ``num_samples * w_k / sum(w)`` times in expectation, and with far less
    variance than by independent draws. The result is shuffled, so that any part of it is a
    sample too.

    Parameters
    ----------
    draws
        K particles of one datum.
    num_samples
        Number S of draws.
    generator
        Source of randomness; PyTorch's own unless given.

    Returns
    -------
    Draws
        The chosen particles, ``(S, 1, ...)``.
    """
    share = draws.terms.log_weights[:, 0].softmax(0).cpu()
    jitter = torch.rand(num_samples, generator=generator, dtype=share.dtype)
    points = (torch.arange(num_samples, dtype=share.dtype) + jitter) / num_samples
    # Rounding may leave the last cumulated share below one.
    chosen = torch.searchsorted(share.cumsum(0), points).clamp_max(len(share) - 1)
    chosen = chosen[torch.randperm(num_samples, generator=generator)]
    chosen = chosen.to(draws.terms.log_guide.device)
    values = {name: value[chosen] for name, value in draws.values.items()}
    return Draws(values, LogWeights(*(term[chosen] for term in draws.terms)))


def _of_chains(chains: Sequence[Chain]) -> xr.Dataset:
    """The draws of NUTS, and what says whether they can be trusted."""
    names = chains[0].values
    values = {name: torch.stack([chain.values[name] for chain in chains]) for name in names}
    results = _dataset(values)
    arviz = library("arviz", "arviz", "method='hmc'")
    for name in values:
        if len(chains) > 1:  # it compares chains
            results[f"{name}_rhat"] = arviz.rhat(results[[name]])[name]
        results[f"{name}_ess"] = arviz.ess(results[[name]])[name]
    results["diverging"] = (("chain", "draw"), np.stack([chain.diverging for chain in chains]))
    return results


def named_axes(name: str, rank: int, kind: str, alone: bool) -> list[str]:
    """Names of the dimensions of one datum: ``latent`` for the only vector there is."""
    if rank == 1 and alone:
        return [kind]
    return [f"{name}_{kind}_{axis}" for axis in range(rank)]


def _dataset(values: Mapping[str, Tensor]) -> xr.Dataset:
    """Draws ``(chain, draw, datum, ...)`` by site."""
    variables = {}
    for name, value in values.items():
        axes = named_axes(name, value.dim() - 3, "latent", len(values) == 1)
        variables[name] = (("chain", "draw", "datum", *axes), value.detach().cpu().numpy())
    results = xr.Dataset(variables)
    results.attrs["latent_sites"] = list(values)
    return results.assign_coords({dim: np.arange(n) for dim, n in results.sizes.items()})


def coordinates(values: Mapping[str, Tensor]) -> tuple[list[str], Tensor]:
    """Every scalar latent of a datum by name: ``z[0]``, ``z[1]``, ... from ``(K, B, ...)``.

    Returns
    -------
    list of str
        Names of the L coordinates.
    Tensor
        Shape ``(K, B, L)``.
    """
    names, columns = [], []
    for name, value in values.items():
        flat = value.reshape(*value.shape[:2], -1)
        scalar = value.dim() == 2
        names += [name if scalar else f"{name}{_index(i, value)}" for i in range(flat.shape[-1])]
        columns.append(flat.to(torch.float64))
    return names, torch.cat(columns, dim=-1)


def _index(position: int, value: Tensor) -> str:
    return str([int(i) for i in np.unravel_index(position, value.shape[2:])])
