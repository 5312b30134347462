"""Which latent units carry information: KL to the prior per unit, and posterior collapse.

Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, section 5.2, for active units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyro.distributions as dist
import torch
import xarray as xr
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from pyro_vae.conversion import takes_data
from pyro_vae.inference.checking.posterior import coordinates
from pyro_vae.inference.checking.predictive import prior_draws
from pyro_vae.inference.engine.diagnostics import ACTIVE_VARIANCE
from pyro_vae.inference.engine.inputs import count, take
from pyro_vae.inference.engine.rows import Rows
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.traces import (
    latent_sites,
    run_at,
    run_in_plate,
    values_of,
)
from pyro_vae.inference.engine.weights import stream_draws
from pyro_vae.inference.engine.whole import layout_of_pair
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program

__all__ = ["latent_report", "normal_marginals"]

#: Cells of equal prior probability, where the KL is taken from draws.
_CELLS = 100


@verb
@takes_data("x")
def latent_report(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 5000,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """KL(q(z_u | x) || p(z_u)) of each latent unit u, and which units are active.

    In closed form where the guide has one site, and guide and prior are normal there: of the
    marginals, whose sum over units is KL(q(z | x) || p(z)) where both are products of their
    marginals. Otherwise from draws, over 100 cells of equal prior probability: a lower bound
    of the KL (no function of z_u tells q from p better than z_u), of at most log 100 = 4.6
    nats.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``; at least two data.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        Over ``latent``: ``kl``, the mean over data in nats; ``mean_variance``, the variance
        over data of E_q[z_u | x]; and ``active``, whether that is above 0.01. Attributes
        ``kl_method`` and ``conclusion``, a sentence.

    Raises
    ------
    ValueError
        If there are fewer than two data, which have no variance.
    """
    if count(x) < 2:
        raise ValueError("x has one datum: a variance over data needs two or more")
    how = Sampling(**sampling)
    with torch.no_grad(), isolated(how.seed):
        closed = _closed_form(model, guide, x, how.data_plate)
    if closed is None:
        names, kl, means = _from_draws(model, guide, x, num_particles, how)
        method = f"{num_particles} draws in {_CELLS} cells: a lower bound"
    else:
        names, kl, means = closed
        method = "closed form"
    variance = means.double().var(0)
    active = variance > ACTIVE_VARIANCE
    results = xr.Dataset(
        {
            "kl": ("latent", kl.double().mean(0).cpu().numpy()),
            "mean_variance": ("latent", variance.cpu().numpy()),
            "active": ("latent", active.cpu().numpy()),
        },
        coords={"latent": names},
        attrs={"kl_method": method, "units": "nats per datum", "seed": how.seed},
    )
    idle = [name for name, on in zip(names, active.tolist(), strict=True) if not on]
    return results.assign_attrs(conclusion=_conclusion(idle, len(names)))


def _conclusion(idle: list[str], size: int) -> str:
    if not idle:
        return f"No posterior collapse: all {size} latent units are active."
    which = ", ".join(idle)
    return (
        f"Posterior collapse: {len(idle)} of {size} latent units ({which}) are inactive; the "
        f"variance of their posterior mean over the data is at most {ACTIVE_VARIANCE}, so they "
        "tell nothing of x."
    )


def _closed_form(
    model: Program, guide: Program, x: Inputs, data_plate: str | None
) -> tuple[list[str], Tensor, Tensor] | None:
    """Names, KL and means ``(B, L)``; None where guide or prior is not one normal site."""
    structure, _ = layout_of_pair(model, guide, x, True, data_plate)
    sites = latent_sites(run_in_plate(guide, x, structure, 1))
    if len(sites) != 1 or structure.summed_out or structure.max_plate_nesting > 1:
        return None
    site = sites[0]
    value = values_of([site], structure, 1, count(x))
    trace = run_at(model, x, value, structure)
    q, p = (normal_marginals(fn) for fn in (site["fn"], trace.nodes[site["name"]]["fn"]))
    if q is None or p is None:
        return None
    names, means = coordinates({site["name"]: q.mean.expand_as(value[site["name"]])})
    kl = kl_divergence(q, p).expand_as(value[site["name"]][0])
    return names, kl.reshape(count(x), -1), means[0]


def normal_marginals(fn: Any) -> dist.Normal | None:
    """Normal marginals of a distribution, unit by unit; None where they are not normal."""
    while isinstance(fn, Independent):
        fn = fn.base_dist
    if isinstance(fn, Normal | MultivariateNormal | LowRankMultivariateNormal):
        return dist.Normal(fn.mean, fn.variance.sqrt())
    return None


def _from_draws(
    model: Program, guide: Program, x: Inputs, num_particles: int, sampling: Sampling
) -> tuple[list[str], Tensor, Tensor]:
    """Names, KL and means ``(B, L)`` by counting draws between quantiles of the prior."""
    names: list[str] = []
    rows = Rows(count(x))
    for row, draws in enumerate(stream_draws(model, guide, x, num_particles, sampling)):
        datum = take(x, slice(row, row + 1))
        prior, _ = prior_draws(
            model,
            guide,
            datum,
            num_particles,
            seed=sampling.seed + row,
            data_plate=sampling.data_plate,
        )
        names, particles = coordinates(draws.values)
        at_prior = {name: torch.as_tensor(prior[name].values[0]) for name in draws.values}
        _, reference = coordinates(at_prior)
        columns = zip(particles[:, 0].T.cpu().numpy(), reference[:, 0].T.numpy(), strict=True)
        kl = np.array([_binned_kl(q, p) for q, p in columns], dtype=np.float32)
        rows.add({"kl": kl, "mean": particles[:, 0].mean(0).cpu().numpy()})
    found = rows.arrays()
    return names, torch.from_numpy(found["kl"]), torch.from_numpy(found["mean"])


def _binned_kl(q: np.ndarray, p: np.ndarray) -> float:
    """KL between two samples over cells between quantiles of the second."""
    edges = np.unique(np.quantile(p, np.arange(1, _CELLS) / _CELLS, method="lower"))
    size = len(edges) + 1
    q_share, p_share = (
        np.bincount(np.searchsorted(edges, part), minlength=size) / len(part) for part in (q, p)
    )
    p_share = np.maximum(p_share, 1 / len(p))
    held = q_share > 0
    ratio = q_share[held] / p_share[held]
    # What counting adds on average: (cells - 1) / (2 n) of q, and sum q / (2 n p) of p.
    bias = (held.sum() - 1) / (2 * len(q)) + (ratio.sum() - 1) / (2 * len(p))
    return float((q_share[held] * np.log(ratio)).sum() - bias)
