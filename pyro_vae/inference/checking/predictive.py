"""Data that the model would draw: from its posterior, from its prior, and what they say of x.

Gelman, Meng & Stern (1996), "Posterior predictive assessment of model fitness via realized
discrepancies".
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from pyro import poutine

from pyro_vae.conversion import check_finite, convert, takes_data
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.checking.posterior import named_axes
from pyro_vae.inference.engine.inputs import count, device_of, take
from pyro_vae.inference.engine.traces import (
    latent_sites,
    observed_sites,
    run_at,
    structure_of,
    sum_sites,
    trace_of,
    values_of,
)
from pyro_vae.inference.engine.whole import layout_of_pair
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program, Structure

__all__ = [
    "Simulate",
    "log_likelihood",
    "posterior_predictive",
    "predictive_p_values",
    "prior_draws",
    "simulator",
]

#: From a number n, data of n rows and the latent sites, ``(n, ...)``, that they came from.
Simulate: TypeAlias = Callable[[int], "tuple[Inputs, dict[str, Tensor]]"]

#: Rows, draws times data, that a model is run on at once.
_ROWS = 2**14


@verb
@takes_data("x")
def posterior_predictive(
    model: Program,
    guide: Program,
    x: Inputs,
    samples: xr.Dataset,
    *,
    seed: int = 0,
    data_plate: str | None = None,
) -> xr.Dataset:
    """Replicates of every datum: x_rep ~ p(x | z), z a draw of p(z | x).

    Parameters
    ----------
    model, guide, x
        The pair and the data that the samples are of.
    samples
        What ``posterior_samples`` returned.
    seed
        Seed of the replicates.
    data_plate
        As for ``log_weights``.

    Returns
    -------
    Dataset
        Each observed site, ``(chain, draw, datum, ...)``.

    Raises
    ------
    ProgramError
        If the model has a site that the samples have not.
    """
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad(), isolated(seed):
        structure = _complete_structure(model, guide, x, data_plate)
        for values in _blocks(samples, x):
            size = len(next(iter(values.values())))
            trace = run_at(model, x, values, structure, draw_observed=True)
            replicates = values_of(_was_observed(latent_sites(trace)), structure, size, count(x))
            for name, value in replicates.items():
                parts.setdefault(name, []).append(value)
    return _by_chain({name: torch.cat(part) for name, part in parts.items()}, samples, "features")


@verb
@takes_data("x")
def log_likelihood(
    model: Program,
    guide: Program,
    x: Inputs,
    samples: xr.Dataset,
    *,
    data_plate: str | None = None,
) -> xr.Dataset:
    """Log p(x | z) of every datum at every draw, in nats.

    Parameters
    ----------
    model, guide, x, samples, data_plate
        As for ``posterior_predictive``.

    Returns
    -------
    Dataset
        Each observed site, ``(chain, draw, datum)``, summed over what is in one datum.
    """
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad(), isolated():
        structure = _complete_structure(model, guide, x, data_plate)
        for values in _blocks(samples, x):
            size = len(next(iter(values.values())))
            for site in observed_sites(run_at(model, x, values, structure)):
                terms = sum_sites([site], structure, size, count(x))
                parts.setdefault(site["name"], []).append(terms.expand(size, count(x)))
    return _by_chain({name: torch.cat(part) for name, part in parts.items()}, samples, "features")


@verb
@takes_data("x")
def prior_draws(
    model: Program,
    guide: Program,
    x: Inputs,
    num_samples: int = 1000,
    *,
    seed: int = 0,
    data_plate: str | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """The model run without its data: z ~ p(z), x_rep ~ p(x | z), for every datum.

    Parameters
    ----------
    model, guide, x, data_plate
        As for ``log_weights``. Inputs that are not observed, such as labels, are kept.
    num_samples
        Number S of draws.
    seed
        Seed of the draws.

    Returns
    -------
    Dataset
        Latent sites, ``(chain, draw, datum, ...)``, of one chain.
    Dataset
        Observed sites.
    """
    latent: list[dict[str, Tensor]] = []
    observed: list[dict[str, Tensor]] = []
    with torch.no_grad(), isolated(seed):
        structure, _ = layout_of_pair(model, guide, x, True, data_plate)
        step = max(1, _ROWS // count(x))
        for start in range(0, num_samples, step):
            size = min(step, num_samples - start)
            trace = run_at(model, x, {}, structure, num_particles=size, draw_observed=True)
            sites = latent_sites(trace)
            drawn = values_of(sites, structure, size, count(x))
            names = {site["name"] for site in _was_observed(sites)}
            observed.append({name: drawn[name] for name in drawn if name in names})
            latent.append({name: drawn[name] for name in drawn if name not in names})
    one_chain = xr.Dataset(coords={"chain": [0], "draw": np.arange(num_samples)})
    prior, predictive = (
        {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        for parts in (latent, observed)
    )
    return _by_chain(prior, one_chain, "latent"), _by_chain(predictive, one_chain, "features")


def predictive_p_values(
    x: Any,
    replicates: xr.DataArray,
    statistics: Mapping[str, Callable[[np.ndarray], float]],
) -> xr.Dataset:
    """Bayesian p-values P(T(x_rep) > T(x) | x) + P(T(x_rep) = T(x) | x) / 2.

    Near 0 or 1 the model does not reproduce the statistic. The data are used twice, once to
    find z, so that under a true model the p-values crowd about 1/2 and are not uniform
    (Gelman, Meng & Stern, 1996): take them as a description, not as an error rate.

    Parameters
    ----------
    x
        Observed data, ``(n, ...)``.
    replicates
        One observed site of ``posterior_predictive``, ``(chain, draw, datum, ...)``.
    statistics
        Functions of a data set ``(n, ...)``, by name.

    Returns
    -------
    Dataset
        ``observed``, ``p_value`` and its Monte Carlo ``p_value_se`` over ``statistic``, and
        ``replicated`` over ``(statistic, sample)``.
    """
    drawn = replicates.values.reshape(-1, *replicates.shape[2:])
    # In the type of the replicates, so that what is equal compares so.
    values, columns = convert(x, "x")
    check_finite(values, "x", columns)
    data = values.double().cpu().numpy().astype(drawn.dtype)
    if drawn.shape[1:] != data.shape:
        raise DataError(
            f"replicates are of data of shape {drawn.shape[1:]}, x has {data.shape}: give the "
            "data that they were drawn for"
        )
    observed = np.array([float(function(data)) for function in statistics.values()])
    replicated = np.array([[float(f(part)) for part in drawn] for f in statistics.values()])
    above = (replicated > observed[:, None]) + 0.5 * (replicated == observed[:, None])
    return xr.Dataset(
        {
            "observed": ("statistic", observed),
            "replicated": (("statistic", "sample"), replicated),
            "p_value": ("statistic", above.mean(1)),
            "p_value_se": ("statistic", above.std(1) / math.sqrt(len(drawn))),
        },
        coords={"statistic": list(statistics)},
    )


@verb
@takes_data("x")
def simulator(
    model: Program, guide: Program, x: Inputs | None = None, *, data_plate: str | None = None
) -> Simulate:
    """A function that draws z ~ p(z), x ~ p(x | z) by running the model without its data.

    Parameters
    ----------
    model, guide
        Pyro programs.
    x
        Rows that give the shape of a datum, and the inputs that are not observed (labels,
        covariates), drawn with replacement. Not needed by a model that takes ``num_data`` and
        returns x, as those of this package do.
    data_plate
        As for ``log_weights``.

    Returns
    -------
    callable
        From n to x and the values ``(n, ...)`` of the guide's sites.

    Raises
    ------
    ProgramError
        If the model has no argument ``num_data`` and no ``x`` is given, if an observed site is
        none of the inputs, or if missing cells are drawn by a mechanism.
    """
    if x is None and "num_data" not in inspect.signature(model).parameters:
        raise ProgramError(
            "the model does not take num_data, so it cannot be run without x: give "
            "simulate=simulator(model, guide, x), x some data of the right shape"
        )

    @torch.no_grad()
    def simulate(size: int) -> tuple[Inputs, dict[str, Tensor]]:
        if x is None:
            trace = trace_of(lambda _: model(num_data=size), torch.empty(0))
            drawn: Inputs = trace.nodes["_RETURN"]["value"]
            _refuse_drawn_as_the_model(guide, take(drawn, slice(1)))
        else:
            rows = torch.randint(count(x), (size,), device=device_of(x))
            template = take(x, rows)
            _refuse_drawn_as_the_model(guide, take(template, slice(1)))
            trace = trace_of(poutine.uncondition(model), template)
            drawn = _replace_observed(template, _was_observed(latent_sites(trace)))
        structure = structure_of(model, guide, take(drawn, slice(1)), True, data_plate)
        kept = {site["name"] for site in latent_sites(trace_of(guide, take(drawn, slice(1))))}
        sites = [site for site in latent_sites(trace) if site["name"] in kept]
        values = values_of(sites, structure, 1, size)
        return drawn, {name: value[0] for name, value in values.items()}

    return simulate


def _refuse_drawn_as_the_model(guide: Program, x: Inputs) -> None:
    """Refuse a guide with missing cells of x: what stands in the others has no truth."""
    for site in latent_sites(trace_of(guide, x)):
        if site["infer"].get("from_model"):
            raise ProgramError(
                f"guide site {site['name']!r} holds cells that count only where x is missing, "
                "which the simulated data decide anew: its values cannot be simulated beside "
                "them; check the guide of the model without its mechanism"
            )


def _replace_observed(template: Inputs, sites: list[dict[str, Any]]) -> Inputs:
    """The inputs, with what the observed sites have drawn in their places."""
    if isinstance(template, torch.Tensor):
        if len(sites) != 1:
            raise ProgramError(
                f"the model observes {', '.join(s['name'] for s in sites)}, and x is one tensor: "
                "give a function simulate of your own"
            )
        return sites[0]["value"].reshape(template.shape).to(template)
    drawn = dict(template)
    for site in sites:
        if site["name"] not in drawn:
            raise ProgramError(
                f"observed site {site['name']!r} is none of the inputs {', '.join(drawn)}: name "
                "the site as the argument it observes, or give a function simulate of your own"
            )
        old = drawn[site["name"]]
        drawn[site["name"]] = site["value"].reshape(old.shape).to(old)
    return drawn


def _complete_structure(
    model: Program, guide: Program, x: Inputs, data_plate: str | None
) -> Structure:
    """Structure of a pair with every latent site in the guide."""
    structure, _ = layout_of_pair(model, guide, x, True, data_plate)
    if structure.summed_out:
        raise ProgramError(
            f"latent site {min(structure.summed_out)!r} is summed out, so there are no draws of "
            "it to predict from: put it in the guide"
        )
    return structure


def _was_observed(sites: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [site for site in sites if site["infer"].get("was_observed")]


def _blocks(samples: xr.Dataset, x: Inputs) -> list[dict[str, Tensor]]:
    """Draws ``(S, B, ...)`` in blocks, chain after chain."""
    if samples.sizes["datum"] != count(x):
        raise DataError(
            f"samples are of {samples.sizes['datum']} data, x has {count(x)}: give the data that "
            "they were drawn for"
        )
    values = {
        name: torch.as_tensor(samples[name].values, device=device_of(x)).flatten(0, 1)
        for name in samples.attrs["latent_sites"]
    }
    parts = [value.split(max(1, _ROWS // count(x))) for value in values.values()]
    return [dict(zip(values, block, strict=True)) for block in zip(*parts, strict=True)]


def _by_chain(values: dict[str, Tensor], samples: xr.Dataset, kind: str) -> xr.Dataset:
    """Values ``(S, B, ...)`` as variables ``(chain, draw, datum, ...)``."""
    variables = {}
    for name, value in values.items():
        split = value.reshape(samples.sizes["chain"], samples.sizes["draw"], *value.shape[1:])
        axes = named_axes(name, value.dim() - 2, kind, len(values) == 1)
        variables[name] = (("chain", "draw", "datum", *axes), split.cpu().numpy())
    results = xr.Dataset(variables)
    return results.assign_coords({dim: np.arange(n) for dim, n in results.sizes.items()})
