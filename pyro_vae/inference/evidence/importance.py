"""Log p(x) by importance sampling with the guide as proposal.

Rubinstein & Kroese (2016), chapter 5; for VAEs, Rezende, Mohamed & Wierstra (2014), arXiv
1401.4082, appendix E.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyro_vae.inference.evaluate import evidence_reduction, reduce_weights

if TYPE_CHECKING:
    import xarray as xr

    from pyro_vae.inference.inputs import Inputs
    from pyro_vae.inference.weights import Program

__all__ = ["log_evidence"]


def log_evidence(
    model: Program, guide: Program, x: Inputs, num_particles: int = 5000, **engine: Any
) -> xr.Dataset:
    """Log p(x) = log (1/K) sum_k p(x, z_k) / q(z_k | x), per datum.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``.
    **engine
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``log_evidence`` and its Monte Carlo ``log_evidence_se`` in nats, the effective sample
        size ``ess``, and Pareto ``khat``; dimension ``datum``. In expectation a lower bound;
        not to be believed where ``khat`` is above 0.7.
    """
    return reduce_weights([evidence_reduction], model, guide, x, num_particles, **engine)
