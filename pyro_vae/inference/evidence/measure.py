"""``evaluate`` for a module that knows more of itself than its two programs: exact where it can.

A module may have ``log_prob(x)``, its exact log p(x); ``code(x)``, the means of q(z | x); and
``measure``, the base measure of its log p(x). The last belongs to the number: a log-mass and a
log-density are in different units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.diagnostics import active_directions, active_units
from pyro_vae.inference.engine.inputs import count, encoder_side, run_program, take, tensors
from pyro_vae.inference.engine.traces import is_point_mass, latent_sites, trace_of
from pyro_vae.inference.evidence.evaluate import evaluate
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    import xarray as xr

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.evidence.checkpoint import Checkpoint

__all__ = ["measure"]

_BOUND_OF_ONE_VALUE = (
    "log_evidence is the lower bound of a deterministic guide, log p(x | z*) + log p(z*), and not "
    "an estimate of log p(x): more particles do not raise it"
)


@verb
@takes_data("x")
def measure(
    model: Any,
    x: Inputs,
    num_particles: int = 5000,
    *,
    iwae: Sequence[int] = (1, 5, 50, 500, 5000),
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """ELBO, IWAE bounds, log p(x) and the gap of a module, with what it knows exactly.

    Where the module has ``log_prob``, log p(x) and the gap are exact: the gap's only error is
    the ELBO's. An unamortised guide is first fitted to these data, the model held fixed. Where
    the guide has no site, every latent being summed out, ``reconstruction``, ``kl_to_prior``,
    ``ess`` and ``khat`` are NaN.

    A guide with all its mass on one value of a discrete z has but one weight: ELBO, IWAE_K and
    ``log_evidence`` are the same lower bound, and the gap, ``ess`` and ``khat`` are NaN, as
    nothing tells them. With ``prior_share`` above 0 the prior's draws see the other values, and
    the estimates are estimates again.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``.
    x
        Held-out data, ``(n, ...)`` or named tensors of such.
    num_particles
        Draws from the guide per datum.
    iwae, progress, checkpoint
        As for ``evaluate``.
    **sampling
        Other arguments of ``log_weights``; discrete sites are summed out.

    Returns
    -------
    Dataset
        As ``evaluate``; its attributes also hold ``exact`` (1 or 0), ``base_measure``,
        ``num_features``, ``num_parameters``, ``latent_dim`` and, for a continuous code,
        ``active_units`` (Burda et al., 2016) and ``active_directions``, or for a module with
        ``code_use(x)``, what that has; ``deterministic_guide`` is 1 for the guide described
        above.
    """
    if not getattr(model, "amortised", True):
        model = run_program(model.unamortised, encoder_side(x))
        fit_guide(model, x, seed=sampling.get("seed", 0))
    exact = hasattr(model, "log_prob")
    sites = _guide_sites(model.guide, x)
    summed_out = exact and not sites
    one_value = _point_mass(sites) and not sampling.get("prior_share")
    sampling["enumerate_discrete"] = True
    results = evaluate(
        model.model,
        model.guide,
        x,
        # Where every particle has the same weight, two show it.
        2 if summed_out or one_value else num_particles,
        iwae=iwae,
        progress=progress,
        checkpoint=checkpoint,
        **sampling,
    )
    if exact and not summed_out:
        with torch.no_grad():
            known = run_program(model.log_prob, x).double().cpu().numpy()
        results["log_evidence"].values[:] = known
        results["log_evidence_se"].values[:] = 0.0
        results["gap"].values[:] = known - results["elbo"].values
        results["gap_se"].values[:] = results["elbo_se"].values
        results["khat"].values[:] = np.nan
    if exact:
        results["doubt"].values[:] = results["gap_doubt"].values[:] = 0.0
    if summed_out:
        # What was weighed is p(x), not p(x | z) and p(z): the ELBO has no such parts here.
        for name in ("reconstruction", "kl_to_prior"):
            results[name].values[:] = results[f"{name}_se"].values[:] = np.nan
    if summed_out or one_value:
        # They would be of the two particles that were enough.
        results["ess"].values[:] = results["khat"].values[:] = np.nan
    if one_value and not exact:
        results["gap"].values[:] = results["gap_se"].values[:] = np.nan
        results.attrs.update(bound=_BOUND_OF_ONE_VALUE, deterministic_guide=1)
    if exact:
        results.attrs["bound"] = "log_evidence is exact"
    results.attrs.update(
        exact=int(exact),
        base_measure=_base_measure(model),
        num_features=int(tensors(x)[0][0].numel()),
        **_size(model, x),
    )
    return results


def _guide_sites(guide: Program, x: Inputs) -> list[dict[str, Any]]:
    with torch.no_grad(), isolated():
        return latent_sites(trace_of(guide, take(x, slice(1))))


def _point_mass(sites: list[dict[str, Any]]) -> bool:
    """Whether the guide always gives the same value of discrete sites."""
    return bool(sites) and all(
        is_point_mass(site["fn"]) and not site["value"].is_floating_point() for site in sites
    )


def _base_measure(model: Any) -> str:
    return str(getattr(model, "measure", "unknown"))


def _size(model: Any, x: Inputs) -> dict[str, float]:
    """Number of parameters, length of the code, and how much of it is in use."""
    size: dict[str, float] = {}
    if hasattr(model, "parameters"):
        size["num_parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if hasattr(model, "latent_dim") and hasattr(model, "code"):
        with torch.no_grad():
            means = run_program(model.code, encoder_side(x))
        size["latent_dim"] = int(means.shape[-1])
        if hasattr(model, "code_use"):
            size |= run_program(model.code_use, encoder_side(x))
        elif count(x) > 1:
            size["active_units"] = active_units(means)
            size["active_directions"] = active_directions(means)
    return size
