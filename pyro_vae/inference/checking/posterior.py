"""Draws from the posterior p(z | x), per datum: importance resampling of the guide, or NUTS.

Rubin (1988), "Using the SIR algorithm to simulate posterior distributions"; Hoffman & Gelman
(2014), arXiv 1111.4246. The data are independent given the parameters, so one chain over the
latents of all data is a chain for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_args

import numpy as np
import torch
import xarray as xr
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_sample
from pyro.poutine.messenger import Messenger

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.inference.engine.diagnostics import effective_sample_size, pareto_khat
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.sampling import Sampling, SamplingSettings
from pyro_vae.inference.engine.traces import latent_sites, trace_of, values_of
from pyro_vae.inference.engine.weights import Draws, LogWeights, stream_draws
from pyro_vae.inference.engine.whole import layout_of_pair
from pyro_vae.isolation import isolated
from pyro_vae.on_demand import library
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["DrawSettings", "Method", "coordinates", "named_axes", "posterior_samples", "resample"]

P = ParamSpec("P")
R = TypeVar("R")

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
        results = _nuts(model, guide, x, num_samples, num_chains, warmup_steps, how)
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


def _nuts(
    model: Program,
    guide: Program,
    x: Inputs,
    num_samples: int,
    num_chains: int,
    warmup_steps: int,
    sampling: Sampling,
) -> xr.Dataset:
    """Chains over the latents of all data at once, one after the other."""
    with torch.no_grad(), isolated():
        structure, _ = layout_of_pair(
            model, guide, x, sampling.enumerate_discrete, sampling.data_plate
        )
        sites = latent_sites(trace_of(model, x))
    discrete = {s["name"] for s in sites if s["fn"].support.is_discrete}
    if discrete:
        # Summed out in parallel, it would give a site below it one value for each of its states.
        raise ProgramError(
            f"latent site {min(discrete)!r} is discrete, and NUTS needs gradients: take "
            "method='importance', or marginalise it in the model, as with MixtureSameFamily"
        )
    chains: list[dict[str, Tensor]] = []
    diverging = np.zeros((num_chains, num_samples), dtype=bool)
    for chain in range(num_chains):
        with isolated(sampling.seed * num_chains + chain):
            kernel = NUTS(
                _typed(model, {site["name"]: site["value"].dtype for site in sites}),
                max_plate_nesting=structure.max_plate_nesting,
                init_strategy=init_to_sample(),
            )
            mcmc = MCMC(kernel, num_samples, warmup_steps, disable_progbar=True)
            if isinstance(x, torch.Tensor):
                mcmc.run(x)
            else:
                mcmc.run(**x)
        drawn = mcmc.get_samples()
        # A sample lies as its trace does, with the draws to the left.
        stacked = [{**site, "value": _pad(drawn[site["name"]], site, structure)} for site in sites]
        chains.append(values_of(stacked, structure, num_samples, count(x)))
        diverging[chain, mcmc.diagnostics()["divergences"]["chain 0"]] = True
    values = {name: torch.stack([chain[name] for chain in chains]) for name in chains[0]}
    results = _dataset(values)
    arviz = library("arviz", "arviz", "method='hmc'")
    for name in values:
        if num_chains > 1:  # it compares chains
            results[f"{name}_rhat"] = arviz.rhat(results[[name]])[name]
        results[f"{name}_ess"] = arviz.ess(results[[name]])[name]
    results["diverging"] = (("chain", "draw"), diverging)
    return results


class _Cast(Messenger):
    """Gives a program its draws in the types that they would have had.

    NUTS moves in the type of the log-density, which is float64 for networks in float32.
    """

    def __init__(self, types: dict[str, torch.dtype]) -> None:
        super().__init__()
        self.types = types

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] in self.types:
            msg["value"] = msg["value"].to(self.types[msg["name"]])


def _typed(program: Callable[P, R], types: dict[str, torch.dtype]) -> Callable[P, R]:
    def typed(*args: P.args, **kwargs: P.kwargs) -> R:
        with _Cast(types):
            return program(*args, **kwargs)

    return typed


def _pad(value: Tensor, site: dict[str, Any], structure: Any) -> Tensor:
    """Put the leading dimension of draws where a plate of particles would be."""
    missing = -structure.particle_dim - (value.dim() - site["fn"].event_dim)
    return value.reshape(value.shape[0], *(1,) * missing, *value.shape[1:])


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
