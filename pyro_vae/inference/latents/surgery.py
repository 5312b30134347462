"""The ELBO of a data set, cut where the aggregate posterior shows.

Hoffman & Johnson (2016), "ELBO surgery: yet another way to carve up the variational evidence
lower bound". With n uniform over the N data and q(z) = (1/N) sum_n q(z | x_n), the mean ELBO is
reconstruction - I(n; z) - KL(q(z) || p(z)).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.bounds import mean_of
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.weights import cross_log_guide
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["elbo_surgery"]


@verb
@takes_data("x")
def elbo_surgery(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 20,
    *,
    seed: int = 0,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Reconstruction, mutual information of index and code, and KL(q(z) || p(z)).

    The KL to the prior of a mean ELBO has two parts: what a code tells of which datum it came
    from, at most log N; and how far the codes of all the data are from the prior, which is
    what a better prior could still win.

    Parameters
    ----------
    model, guide, num_particles, seed, enumerate_discrete, data_plate
        As for ``log_weights``.
    x
        The N data that q(z) is the mixture over; every draw is scored under each of them.
    progress
        Called with the number of data done and their total.

    Returns
    -------
    Dataset
        ``elbo``, ``reconstruction``, ``kl_to_prior``, ``mutual_information`` and
        ``marginal_kl`` per datum, each with ``_se``, in nats. The means over data are the
        quantities; per datum they are its contributions. elbo = reconstruction -
        mutual_information - marginal_kl exactly.
    """
    size = count(x)
    rows: dict[str, list[float]] = {}
    scored = cross_log_guide(
        model,
        guide,
        x,
        num_particles,
        seed=seed,
        enumerate_discrete=enumerate_discrete,
        data_plate=data_plate,
        progress=progress,
    )
    for terms, cross in scored:
        # log q(z_k) = log (1/N) sum_c q(z_k | x_c)
        log_marginal = cross.logsumexp(1, keepdim=True) - math.log(size)
        parts = {
            "elbo": terms.log_weights,
            "reconstruction": terms.log_likelihood,
            "kl_to_prior": terms.log_guide - terms.log_prior,
            "mutual_information": terms.log_guide - log_marginal,
            "marginal_kl": log_marginal - terms.log_prior,
        }
        for name, draws in parts.items():
            estimate = mean_of(draws)
            rows.setdefault(name, []).append(float(estimate.value))
            rows.setdefault(f"{name}_se", []).append(float(estimate.standard_error))
    results = xr.Dataset(
        {name: ("datum", np.array(values)) for name, values in rows.items()},
        coords={"datum": np.arange(size)},
    )
    results.attrs.update(
        units="nats per datum",
        particles=num_particles,
        seed=seed,
        log_n=math.log(size),
    )
    return results
