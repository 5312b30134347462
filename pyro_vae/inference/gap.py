"""The gap log p(x) - ELBO, which is the KL from guide to posterior, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyro_vae.inference.evaluate import (
    elbo_reduction,
    evidence_reduction,
    gap_reduction,
    reduce_weights,
)

if TYPE_CHECKING:
    import xarray as xr

    from pyro_vae.inference.inputs import Inputs
    from pyro_vae.inference.weights import Program

__all__ = ["gap"]


def gap(
    model: Program, guide: Program, x: Inputs, num_particles: int = 5000, **engine: Any
) -> xr.Dataset:
    """Gap log p(x) - L(q; x) = KL(q(z|x) || p(z|x)) per datum, and the parts of the ELBO.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``.
    **engine
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``gap``, ``elbo``, ``log_evidence``, ``reconstruction`` = E_q[log p(x|z)] and
        ``kl_to_prior`` = KL(q(z|x) || p(z)), each with ``_se``, in nats, dimension ``datum``;
        ``ess`` and ``khat``. elbo = reconstruction - kl_to_prior, and gap = log_evidence -
        elbo, exactly. Never above the true KL in expectation, since log p(x) is a lower bound.
    """
    reductions = [elbo_reduction, evidence_reduction, gap_reduction]
    return reduce_weights(reductions, model, guide, x, num_particles, **engine)
