"""Posterior, predictions and data of a pair as one object of ArviZ's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.inference.checking.posterior import Method, named_axes, posterior_samples
from pyro_vae.inference.checking.predictive import (
    log_likelihood,
    posterior_predictive,
    prior_draws,
)
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.traces import observed_sites, trace_of, values_of
from pyro_vae.inference.engine.whole import layout_of_pair
from pyro_vae.isolation import isolated
from pyro_vae.on_demand import library
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from typing import Unpack

    import arviz as az

    from pyro_vae.inference.checking.posterior import DrawSettings
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["to_inference_data"]

_NOT_A_CHAIN = (
    "independent draws, not a Markov chain: R-hat and the effective sample size of a chain do not "
    "apply; see ess and khat, of the weights, in sample_stats"
)


@verb
@takes_data("x")
def to_inference_data(
    model: Program,
    guide: Program,
    x: Inputs,
    num_samples: int = 1000,
    method: Method = "importance",
    *,
    samples: xr.Dataset | None = None,
    **settings: Unpack[DrawSettings],
) -> az.InferenceData | xr.DataTree:
    """Everything that ArviZ draws and tabulates, with named dimensions.

    Parameters
    ----------
    model, guide, x, num_samples, method
        As for ``posterior_samples``.
    samples
        What ``posterior_samples`` returned, where it has been called already.
    **settings
        Other arguments of ``posterior_samples``; ``seed`` and ``data_plate`` also decide the
        predictive draws.

    Returns
    -------
    InferenceData or DataTree
        What the installed ArviZ works with: an ``arviz.InferenceData`` with 0.23, an
        ``xarray.DataTree`` with 1.x; ``found.posterior["z"]`` is the same on both. Groups
        ``posterior``, ``posterior_predictive``, ``log_likelihood`` (nats per datum),
        ``sample_stats``, ``prior``, ``prior_predictive``, ``observed_data`` and, for inputs
        that are not observed, ``constant_data``. Dimensions ``(chain, draw, datum, latent)``
        and ``(..., features)`` where there is one vector; else named by site. For draws that
        are no Markov chain, ``sample_stats`` holds their ``log_weights``, ``log_guide``,
        ``lp`` = log p(x, z), ``ess`` and ``khat``, and no diagnostic of MCMC.
    """
    arviz = library("arviz", "arviz", "to_inference_data")
    seed, data_plate = settings.get("seed", 0), settings.get("data_plate")
    if samples is None:
        samples = posterior_samples(model, guide, x, num_samples, method, **settings)
    latent = list(samples.attrs["latent_sites"])
    posterior = samples[latent]
    stats = samples.drop_vars(latent)
    if samples.attrs["method"] != "hmc":
        note = {"method": samples.attrs["method"], "mcmc_diagnostics": _NOT_A_CHAIN}
        posterior, stats = posterior.assign_attrs(note), stats.assign_attrs(note)
    prior, prior_predictive = prior_draws(
        model, guide, x, samples.sizes["draw"], seed=seed, data_plate=data_plate
    )
    groups: dict[str, Any] = {
        "posterior": posterior,
        "posterior_predictive": posterior_predictive(
            model, guide, x, samples, seed=seed, data_plate=data_plate
        ),
        "log_likelihood": log_likelihood(model, guide, x, samples, data_plate=data_plate),
        "sample_stats": stats,
        "prior": prior,
        "prior_predictive": prior_predictive,
        **_data(model, guide, x, data_plate),
    }
    if int(arviz.__version__.partition(".")[0]) < 1:
        return arviz.InferenceData(**groups)
    return xr.DataTree.from_dict(groups)


def _data(
    model: Program, guide: Program, x: Inputs, data_plate: str | None
) -> dict[str, xr.Dataset]:
    """What is observed, as the sites hold it, and what else was given."""
    with torch.no_grad(), isolated():
        structure, _ = layout_of_pair(model, guide, x, True, data_plate)
        sites = observed_sites(trace_of(model, x))
    values = values_of(sites, structure, 1, count(x))
    groups = {"observed_data": {name: value[0] for name, value in values.items()}}
    if not isinstance(x, torch.Tensor):
        given = {name: part for name, part in x.items() if name not in values}
        if given:
            groups["constant_data"] = given
    return {
        group: xr.Dataset(
            {
                name: (
                    ("datum", *named_axes(name, part.dim() - 1, "features", len(parts) == 1)),
                    part.detach().cpu().numpy(),
                )
                for name, part in parts.items()
            }
        )
        for group, parts in groups.items()
    }
