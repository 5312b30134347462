"""Measuring on data: every bound from one set of weights per datum, and exactly where it can be.

A module may know more of itself than its two programs, as ``pyro_vae.protocols`` says: of that,
its exact log p(x), its codes and the base measure are used here. The last belongs to the number:
a log-mass and a log-density are in different units.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
import torch

from pyro_vae.conversion import pieces, streamed_part, takes_data
from pyro_vae.conversion.streamed import sample_of, sampled_of
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT, active_directions, active_units
from pyro_vae.inference.engine.inputs import count, encoder_side, run_program, take, tensors
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.traces import is_point_mass, latent_sites, trace_of
from pyro_vae.inference.evidence.reductions import (
    elbo_reduction,
    evidence_reduction,
    gap_reduction,
    iwae_reduction,
    reduce_weights,
)
from pyro_vae.inference.evidence.trust import error_of_mean, trusted
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.isolation import isolated
from pyro_vae.protocols import (
    Facts,
    HasCode,
    HasCodeUse,
    HasLogProb,
    HasParameters,
    Programs,
    offers,
)
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    import xarray as xr

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.evidence.checkpoint import Checkpoint

__all__ = ["elbo", "evaluate", "iwae_bound", "measure", "settle", "summary", "takes_one_model"]

P = ParamSpec("P")
R = TypeVar("R")

_BOUND_OF_ONE_VALUE = (
    "log_evidence is the lower bound of a deterministic guide, log p(x | z*) + log p(z*), and not "
    "an estimate of log p(x): more particles do not raise it"
)


def takes_one_model(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse what is neither a module nor a pair, before the data are looked at."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        name = function.__name__
        if "guide" in kwargs or (len(args) > 1 and callable(args[1])):
            raise ProgramError(
                f"{name} got a model and a guide as two arguments: they are one, so write "
                f"{name}((model, guide), x), or {name}(module, x) for a module that has both"
            )
        model: Any = args[0] if args else kwargs.get("model")
        programs = model
        if not isinstance(model, tuple):
            programs = (model.model, model.guide) if offers(model, Programs) else ()
        if len(programs) != 2 or not all(callable(program) for program in programs):
            raise ProgramError(
                f"model got {Facts(model).name}: it must be a module with Pyro programs model and "
                "guide, such as a VAE, or the two as a pair, (model, guide)"
            )
        return function(*args, **kwargs)

    return call


@verb
@takes_data("x", streams=True)
def elbo(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 100,
    *,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """ELBO per datum, L(q; x) = E_q[log p(x, z) - log q(z|x)] <= log p(x).

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``; ``num_particles`` draws average the expectation.
    progress
        Called with the number of data done and their total.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``elbo`` and ``elbo_se``, dimension ``datum``, in nats.
    """
    how = Sampling(**sampling)
    return reduce_weights([elbo_reduction], model, guide, x, num_particles, how, progress=progress)


@verb
@takes_data("x", streams=True)
def iwae_bound(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: Sequence[int] = (1, 5, 50, 500, 5000),
    *,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """IWAE_k per datum for several k, all from one set of max(k) weights.

    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519. IWAE_1 is the ELBO to the bit, and
    every IWAE_k is a lower bound on log p(x) in expectation.

    Parameters
    ----------
    model, guide, x
        As for ``log_weights``.
    num_particles
        The values of k.
    progress
        Called with the number of data done and their total.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``iwae`` and ``iwae_se``, dimensions ``(num_particles, datum)``, in nats.
    """
    ks = _ks(num_particles)
    how = Sampling(**sampling)
    results = reduce_weights(
        [iwae_reduction(ks)], model, guide, x, max(ks), how, progress=progress
    )
    return _label(results, ks)


@takes_one_model
@verb
@takes_data("x", streams=True)
def evaluate(
    model: Any,
    x: Inputs,
    num_particles: int = 5000,
    *,
    iwae: Sequence[int] = (1, 5, 50, 500, 5000),
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """ELBO, IWAE bounds, log p(x), gap and diagnostics per datum, from one set of weights.

    Of a pair, these are what the weights tell. Of a module they are exact where it can be:
    where it has ``log_prob``, so are log p(x) and the gap, whose only error is the ELBO's. An
    unamortised guide is first fitted to these data, the model held fixed. Where the guide has no
    site, every latent being summed out, ``reconstruction``, ``kl_to_prior``, ``ess`` and ``khat``
    are NaN.

    A guide with all its mass on one value of a discrete z has but one weight: ELBO, IWAE_K and
    ``log_evidence`` are the same lower bound, and for a module the gap, ``ess`` and ``khat`` are
    NaN, as nothing tells them. With ``prior_share`` above 0 the prior's draws see the other
    values, and the estimates are estimates again.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``; or a pair ``(model, guide)`` of them.
    x
        Held-out data, ``(n, ...)`` or named tensors of such; a split of ``data.stream``, too, of
        which active units are those of a random sample of 10,000 rows.
    num_particles
        Draws from the guide per datum.
    iwae
        Values of k for IWAE_k; those above ``num_particles`` are left out.
    progress
        Called with the number of data done and their total.
    checkpoint
        Where to keep what is done, and to go on from.
    **sampling
        Other arguments of ``log_weights``; discrete sites of a module are summed out unless it
        says not to, those of a pair only where it says so.

    Returns
    -------
    Dataset
        All the variables of ``elbo``, ``iwae_bound``, ``log_evidence`` and ``gap``, dimensions
        ``datum`` and ``num_particles``, in nats. For a module the attributes also hold ``exact``
        (1 or 0), ``base_measure``, ``num_features``, ``num_parameters``, ``latent_dim`` and, for
        a continuous code, ``active_units`` (Burda et al., 2016) and ``active_directions``, or
        for a module with ``code_use(x)``, what that has; ``deterministic_guide`` is 1 for the
        guide described above.

    Raises
    ------
    ProgramError
        If ``model`` is neither, or a model and a guide are given as two arguments.

    Examples
    --------
    >>> from pyro_vae.models import VAE
    >>> x = torch.ones(3, 4)
    >>> vae = VAE((4,), 1)
    >>> known = evaluate(vae, x, 50)
    >>> bool((known["elbo"] == evaluate((vae.model, vae.guide), x, 50)["elbo"]).all())
    True
    """
    sampling.setdefault("enumerate_discrete", not isinstance(model, tuple))
    how = Sampling(**sampling)
    model = settle(model, x, how.seed)
    return measure(
        model, x, num_particles, how, iwae=iwae, progress=progress, checkpoint=checkpoint
    )


def settle(model: Any, x: Inputs, seed: int) -> Any:
    """The pair or module itself; with an unamortised guide, that fitted to these data."""
    if isinstance(model, tuple) or Facts(model).amortised:
        return model
    if streamed_part(x) is not None:
        raise DataError(
            "x got data that are streamed, and the guide has parameters for each datum, which "
            "must fit into memory as these must: give some rows, as x[:1000]"
        )
    model = run_program(model.unamortised, encoder_side(x))
    fit_guide(model, x, seed=seed)
    return model


def measure(
    model: Any,
    x: Inputs,
    num_particles: int,
    how: Sampling,
    *,
    iwae: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """What ``evaluate`` returns, of a model that is ``settle``d."""
    if isinstance(model, tuple):
        program, guide = model
        return _of_pair(program, guide, x, num_particles, iwae, how, progress, checkpoint)
    exact = offers(model, HasLogProb)
    sites = _guide_sites(model.guide, x)
    summed_out = exact and not sites
    one_value = _point_mass(sites) and not how.prior_share
    # Where every particle has the same weight, two show it.
    enough = 2 if summed_out or one_value else num_particles
    results = _of_pair(model.model, model.guide, x, enough, iwae, how, progress, checkpoint)
    if exact and not summed_out:
        with torch.no_grad():
            parts = [run_program(model.log_prob, part).double().cpu() for _, part in pieces(x)]
        known = torch.cat(parts).numpy()
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
        base_measure=Facts(model).measure,
        num_features=int(tensors(x)[0][0].numel()),
        **_size(model, x),
    )
    return results


def summary(results: xr.Dataset) -> pd.DataFrame:
    """Means over data with their two standard errors.

    Sums over data are divided by their number. The Monte Carlo standard error says how far
    the mean would move with other particles, the sampling standard error with other data.

    Parameters
    ----------
    results
        What ``evaluate``, ``elbo``, ``log_evidence`` or ``gap`` returned.

    Returns
    -------
    DataFrame
        Rows by quantity; columns ``mean``, ``mc_se`` and ``sampling_se``, in nats, except
        ``ess`` (particles), ``khat > 0.7`` (share of the data; NaN where no weights are judged)
        and ``withheld`` (share of the data whose log p(x) has no error that can be trusted).
        ``mc_se`` of log p(x) and of the gap is NaN where it is withheld: see
        ``trust.error_of_mean``.
    """
    table: dict[str, tuple[float, float, float]] = {}
    for name in results.data_vars:
        values = results[name]
        if f"{name}_se" not in results and name != "ess":
            continue  # an error, a diagnostic, or what data they are
        errors = results.get(f"{name}_se")
        if "num_particles" in values.dims:
            for k in values["num_particles"].values:
                at_k = errors.sel(num_particles=k) if errors is not None else None
                table[f"{name}_{k}"] = _mean(values.sel(num_particles=k), at_k)
        else:
            mean, mc, sampling = _mean(values, errors)
            judged = "log_evidence_se" in results and name in ("log_evidence", "gap")
            table[str(name)] = mean, error_of_mean(results, str(name)) if judged else mc, sampling
    if "khat" in results:
        above = (results["khat"] > KHAT_LIMIT).astype(float)
        judged = bool(results["khat"].notnull().any())
        table[f"khat > {KHAT_LIMIT}"] = _mean(above if judged else results["khat"], None)
    if "doubt" in results:
        table["withheld"] = _mean(results["doubt"].copy(data=1.0 - trusted(results)), None)
    return pd.DataFrame.from_dict(table, orient="index", columns=["mean", "mc_se", "sampling_se"])


def _of_pair(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    iwae: Sequence[int],
    sampling: Sampling,
    progress: Callable[[int, int], None] | None,
    checkpoint: Checkpoint | None,
) -> xr.Dataset:
    """What the weights tell, and nothing else."""
    ks = [k for k in _ks(iwae) if k <= num_particles]
    reductions = [elbo_reduction, iwae_reduction(ks), evidence_reduction, gap_reduction]
    results = reduce_weights(
        reductions,
        model,
        guide,
        x,
        num_particles,
        sampling,
        progress=progress,
        checkpoint=checkpoint,
    )
    return _label(results, ks)


def _mean(values: xr.DataArray, errors: xr.DataArray | None) -> tuple[float, float, float]:
    count = values.sizes["datum"]
    mc = math.nan if errors is None else float(np.sqrt((errors.values**2).sum())) / count
    spread = float(values.values.std(ddof=1)) if count > 1 else math.nan
    return float(values.values.sum()) / count, mc, spread / math.sqrt(count)


def _ks(num_particles: Sequence[int]) -> list[int]:
    ks = sorted(set(num_particles))
    if not ks or ks[0] < 1:
        raise ValueError(
            f"num_particles got {list(num_particles)}: give positive integers, as in [1, 5, 50]"
        )
    return ks


def _label(results: xr.Dataset, ks: list[int]) -> xr.Dataset:
    if "num_particles" not in results.dims:
        # A single k came out without its own dimension.
        for name in ("iwae", "iwae_se"):
            results[name] = results[name].expand_dims("num_particles")
    return results.assign_coords(num_particles=ks)


def _guide_sites(guide: Program, x: Inputs) -> list[dict[str, Any]]:
    with torch.no_grad(), isolated():
        return latent_sites(trace_of(guide, take(x, slice(1))))


def _point_mass(sites: list[dict[str, Any]]) -> bool:
    """Whether the guide always gives the same value of discrete sites."""
    return bool(sites) and all(
        is_point_mass(site["fn"]) and not site["value"].is_floating_point() for site in sites
    )


def _size(model: Any, x: Inputs) -> dict[str, float]:
    """Number of parameters, length of the code, and how much of it is in use."""
    size: dict[str, float] = {}
    if offers(model, HasParameters):
        size["num_parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if Facts(model).latent_dim is not None and offers(model, HasCode):
        with torch.no_grad():
            parts = [encoder_side(x)] if streamed_part(x) is None else sampled_of(x)
            means = torch.cat([run_program(model.code, part) for part in parts])
        size["latent_dim"] = int(means.shape[-1])
        if offers(model, HasCodeUse):
            some = encoder_side(x) if streamed_part(x) is None else sample_of(x)
            size |= run_program(model.code_use, some)
        elif count(x) > 1:
            size["active_units"] = active_units(means)
            size["active_directions"] = active_directions(means)
    return size
