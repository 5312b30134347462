"""Measuring a (model, guide) pair on data: every bound from one set of weights per datum."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.bounds import (
    Estimate,
    elbo_of,
    gap_of,
    iwae_of,
    log_evidence_of,
    mean_of,
)
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT, effective_sample_size, pareto_khat
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import column_drawer, stream_draws
from pyro_vae.inference.evidence.trust import (
    PROBE_SHARE,
    RESULTS,
    doubts,
    error_of_mean,
    probe_size,
    trusted,
)
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from typing import Unpack

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.engine.weights import Draws, LogWeights, More
    from pyro_vae.inference.evidence.checkpoint import Checkpoint

__all__ = ["elbo", "evaluate", "iwae_bound", "reduce_weights", "summary"]

#: From the terms of one datum's weights, and a function that judges such terms, to what to keep.
Reduction = Callable[["LogWeights", "Judge"], dict[str, "Estimate | np.ndarray"]]

#: From one datum's terms and k-hat to why the errors of log p(x) and gap are withheld.
Judge = Callable[["LogWeights", np.ndarray], dict[str, np.ndarray]]

#: Seeds of the second set of draws are this far from those of the first.
_SECOND_SEED = 2**40


def reduce_weights(
    reductions: Iterable[Reduction],
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    sampling: Sampling,
    *,
    more: More | None = None,
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """Stream the weights once, one datum at a time, and keep what the reductions make of them.

    Parameters
    ----------
    reductions
        Functions of one datum's ``LogWeights`` and of what judges them: see ``trust.doubts``.
    model, guide, x, num_particles
        As for ``log_weights``.
    sampling
        How particles are drawn.
    more
        As for ``column_drawer``.
    progress
        Called with the number of data done and their total.
    checkpoint
        Where to keep what is done, and to go on from; Ctrl-C loses nothing.

    Returns
    -------
    Dataset
        Dimension ``datum``, and ``num_particles`` for bounds that depend on it.
    """
    reductions = list(reductions)
    rows = {} if checkpoint is None else checkpoint.load()
    before = len(next(iter(rows.values()), []))
    draws = stream_draws(model, guide, x, num_particles, sampling, start=before, more=more)
    judges = _judges(model, guide, x, num_particles, sampling, start=before)
    try:
        for done, (drawn, judge) in enumerate(zip(draws, judges, strict=True), before + 1):
            # A datum's numbers are added all at once, so that an interruption finds whole rows.
            for name, part in _reduce(reductions, drawn.terms, judge).items():
                rows.setdefault(name, []).append(part)
            if checkpoint is not None:
                checkpoint.save(rows)
            if progress is not None:
                progress(done, count(x))
    except KeyboardInterrupt:
        if checkpoint is not None:
            whole = min(len(parts) for parts in rows.values()) if rows else 0
            checkpoint.save({name: parts[:whole] for name, parts in rows.items()}, now=True)
        raise
    variables: dict[str, Any] = {}
    for name, values in rows.items():
        stacked = np.stack(values, axis=-1)
        if stacked.ndim == 2 and stacked.shape[0] == 1:
            stacked = stacked[0]
            variables[name] = ("datum", stacked)
        else:
            variables[name] = (("num_particles", "datum"), stacked[:, 0, :])
    results = xr.Dataset(variables, coords={"datum": np.arange(count(x))})
    results.attrs.update(
        units="nats per datum",
        particles=num_particles,
        seed=sampling.seed,
        bound="log_evidence is a stochastic lower bound, exact as the number of particles grows",
    )
    for variable in results.data_vars.values():
        if variable.name not in ("khat", "ess", *RESULTS):
            variable.attrs["units"] = "nats"
    return results


def _judges(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    sampling: Sampling,
    *,
    start: int,
) -> Iterator[Judge]:
    """For each datum a function that judges the terms of its weights, with a second set."""
    probing = sampling.but(prior_share=PROBE_SHARE, seed=sampling.seed + _SECOND_SEED)

    @functools.cache
    def second() -> Callable[[int], Draws]:
        return column_drawer(model, guide, x, probe_size(num_particles), probing)

    def judge(terms: LogWeights, khat: np.ndarray, *, row: int) -> dict[str, np.ndarray]:
        def probe() -> LogWeights | None:
            try:
                return second()(row).terms
            except (ProgramError, ValueError, NotImplementedError, KeyError):
                # It cannot be drawn from its prior, or its guide has no density there.
                return None

        size = probe_size(num_particles)
        found = doubts(terms, probe, size, khat=float(khat[0]), prior_share=sampling.prior_share)
        return {name: np.array([float(key)]) for name, key in found.items()}

    return (functools.partial(judge, row=row) for row in range(start, count(x)))


def _reduce(
    reductions: Sequence[Reduction], terms: LogWeights, judge: Judge
) -> dict[str, np.ndarray]:
    """What the reductions make of one datum's weights, an estimate and its error each a part."""
    parts = {}
    for reduction in reductions:
        for name, estimate in reduction(terms, judge).items():
            if isinstance(estimate, Estimate):
                parts[name] = estimate.value.cpu().numpy()
                parts[f"{name}_se"] = estimate.standard_error.cpu().numpy()
            else:
                parts[name] = estimate
    return parts


def elbo_reduction(terms: LogWeights, judge: Judge) -> dict[str, Estimate | np.ndarray]:
    """ELBO."""
    return {"elbo": elbo_of(terms.log_weights)}


def _iwae(ks: Sequence[int]) -> Reduction:
    def reduction(terms: LogWeights, judge: Judge) -> dict[str, Estimate | np.ndarray]:
        estimates = [iwae_of(terms.log_weights, k) for k in ks]
        value, error = (torch.stack(parts) for parts in zip(*estimates, strict=True))
        return {"iwae": Estimate(value, error)}

    return reduction


def evidence_reduction(terms: LogWeights, judge: Judge) -> dict[str, Estimate | np.ndarray]:
    """Log p(x) with its effective sample size and Pareto k-hat."""
    log_weights = terms.log_weights
    khat = pareto_khat(log_weights)
    return {
        "log_evidence": log_evidence_of(log_weights),
        "ess": effective_sample_size(log_weights).cpu().numpy(),
        "khat": khat,
        **judge(terms, khat),
    }


def gap_reduction(terms: LogWeights, judge: Judge) -> dict[str, Estimate | np.ndarray]:
    """Gap log p(x) - ELBO, and the two parts of the ELBO: reconstruction and KL to the prior."""
    return {
        "gap": gap_of(terms.log_weights),
        # L(q; x) = E_q[log p(x|z)] - KL(q(z|x) || p(z)),  KL = E_q[log q(z|x) - log p(z)]
        "reconstruction": mean_of(terms.log_likelihood),
        "kl_to_prior": mean_of(terms.log_guide - terms.log_prior),
    }


@verb
@takes_data("x")
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
@takes_data("x")
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
    results = reduce_weights([_iwae(ks)], model, guide, x, max(ks), how, progress=progress)
    return _label(results, ks)


@verb
@takes_data("x")
def evaluate(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 5000,
    *,
    iwae: Sequence[int] = (1, 5, 50, 500, 5000),
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """ELBO, IWAE bounds, log p(x), gap and diagnostics per datum, from one set of weights.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``.
    iwae
        Values of k for IWAE_k; those above ``num_particles`` are left out.
    progress
        Called with the number of data done and their total.
    checkpoint
        Where to keep what is done, and to go on from.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        All the variables of ``elbo``, ``iwae_bound``, ``log_evidence`` and ``gap``.
    """
    ks = [k for k in _ks(iwae) if k <= num_particles]
    reductions = [elbo_reduction, _iwae(ks), evidence_reduction, gap_reduction]
    results = reduce_weights(
        reductions,
        model,
        guide,
        x,
        num_particles,
        Sampling(**sampling),
        progress=progress,
        checkpoint=checkpoint,
    )
    return _label(results, ks)


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
