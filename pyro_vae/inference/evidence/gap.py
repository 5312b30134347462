"""The gap log p(x) - ELBO, which is the KL from guide to posterior: measured, and taken apart.

Cremer, Li & Duvenaud (2018), "Inference suboptimality in variational autoencoders", arXiv
1801.03558: what the family of the guide cannot express, and what the encoder does not reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.inputs import encoder_side, run_program
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.evidence.evaluate import evaluate
from pyro_vae.inference.evidence.reductions import (
    elbo_reduction,
    evidence_reduction,
    gap_reduction,
    reduce_weights,
)
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.protocols import Facts, HasLogProb, HasUnamortised, offers
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    import xarray as xr

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program

__all__ = ["gap", "gap_parts"]


@verb
@takes_data("x", streams=True)
def gap(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 5000,
    *,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Gap log p(x) - L(q; x) = KL(q(z|x) || p(z|x)) per datum, and the parts of the ELBO.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``.
    progress
        Called with the number of data done and their total.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``gap``, ``elbo``, ``log_evidence``, ``reconstruction`` = E_q[log p(x|z)] and
        ``kl_to_prior`` = KL(q(z|x) || p(z)), each with ``_se``, in nats, dimension ``datum``;
        ``ess``, ``khat``, and why an error is withheld, ``doubt`` and ``gap_doubt``, keys of
        ``trust.DOUBTS`` with 0 for trusted. elbo = reconstruction - kl_to_prior, and gap =
        log_evidence - elbo, exactly. Never above the true KL in expectation, since log p(x) is a
        lower bound.
    """
    reductions = [elbo_reduction, evidence_reduction, gap_reduction]
    how = Sampling(**sampling)
    return reduce_weights(reductions, model, guide, x, num_particles, how, progress=progress)


@verb
@takes_data("x")
def gap_parts(
    model: Any,
    x: Inputs,
    num_particles: int = 5000,
    *,
    steps: int = 1000,
    learning_rate: float = 0.03,
    tolerance: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """The gap as approximation gap plus amortisation gap, per datum.

    With q the amortised guide and q* the best member of its family for the datum, found from q
    by gradient steps on all the data at once with the model held fixed,
    log p(x) - L(q) = [log p(x) - L(q*)] + [L(q*) - L(q)].

    Parameters
    ----------
    model
        Module with ``model``, ``guide`` and ``unamortised(x)``, such as ``VAE``; where it has
        ``log_prob``, its exact log p(x) is used.
    x
        Data, as for ``log_weights``.
    num_particles
        Draws per datum for each of the bounds.
    steps, learning_rate, tolerance
        As for ``fit_guide``.
    progress
        Called with the number of optimisation steps done and their largest number.
    **sampling
        Other arguments of ``log_weights``; discrete sites are summed out unless it says not to.

    Returns
    -------
    Dataset
        ``gap``, ``approximation_gap`` and ``amortisation_gap``, ``elbo`` = L(q), ``best_elbo``
        = L(q*), ``log_evidence``, each with ``_se`` (nats), and ``khat`` of the weights under
        q*, which log p(x) is estimated with. gap = approximation_gap + amortisation_gap
        exactly. The attributes say whether q* ``converged`` and its ``last_gain``. An
        amortisation gap below zero by more than its error means that q* was not found.

    Raises
    ------
    ProgramError
        If the model has no ``unamortised``, or it gives no parameters for each datum.
    """
    seed = sampling.get("seed", 0)
    if not offers(model, HasUnamortised):
        raise ProgramError(
            f"model got {Facts(model).name}, which has no unamortised(x): give it a method that "
            "returns the same pair with guide parameters for each datum (local_parameters), or "
            "take gap(...), which needs none"
        )
    local = run_program(model.unamortised, encoder_side(x))
    fitted = fit_guide(
        local,
        x,
        steps=steps,
        learning_rate=learning_rate,
        tolerance=tolerance,
        seed=seed,
        progress=progress,
    )
    sampling.setdefault("enumerate_discrete", True)
    amortised = evaluate((model.model, model.guide), x, num_particles, iwae=(1,), **sampling)
    best = evaluate((local.model, local.guide), x, num_particles, iwae=(1,), **sampling)
    evidence, evidence_se = best["log_evidence"].values, best["log_evidence_se"].values
    approximation_se = best["gap_se"].values
    if offers(model, HasLogProb):
        evidence = run_program(model.log_prob, x).detach().double().cpu().numpy()
        evidence_se, approximation_se = np.zeros_like(evidence), best["elbo_se"].values
    elbo, best_elbo = amortised["elbo"].values, best["elbo"].values
    elbo_se, best_se = amortised["elbo_se"].values, best["elbo_se"].values
    variables = {
        "log_evidence": (evidence, evidence_se),
        "elbo": (elbo, elbo_se),
        "best_elbo": (best_elbo, best_se),
        "approximation_gap": (evidence - best_elbo, approximation_se),
        # The draws from q and from q* are independent.
        "amortisation_gap": (best_elbo - elbo, np.hypot(elbo_se, best_se)),
        "gap": (evidence - elbo, np.hypot(evidence_se, elbo_se)),
    }
    results = best[["khat", "doubt", "gap_doubt"]]
    if offers(model, HasLogProb):
        results["doubt"].values[:] = results["gap_doubt"].values[:] = 0.0
    for name, (value, error) in variables.items():
        results[name] = ("datum", value)
        results[f"{name}_se"] = ("datum", error)
    results.attrs.update(
        units="nats per datum",
        particles=num_particles,
        seed=seed,
        converged=int(fitted.converged),
        steps=len(fitted.elbo),
        last_gain=fitted.last_gain,
    )
    return results
