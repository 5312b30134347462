"""Log p(x) by importance sampling with the guide, or a safer relative of it, as proposal.

Rubinstein & Kroese (2016), chapter 5; for VAEs, Rezende, Mohamed & Wierstra (2014), arXiv
1401.4082, appendix E.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.bounds import jackknife_of, log_evidence_of
from pyro_vae.inference.engine.diagnostics import (
    effective_sample_size,
    pareto_khat,
    pareto_smoothed,
)
from pyro_vae.inference.engine.proposals import propose
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.evidence.reductions import reduce_weights
from pyro_vae.inference.evidence.result import evidence_result
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    import xarray as xr

    from pyro_vae.inference.engine.bounds import Estimate
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.proposals import Proposal
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.engine.weights import LogWeights
    from pyro_vae.inference.evidence.checkpoint import Checkpoint
    from pyro_vae.inference.evidence.reductions import Judge

__all__ = ["MAX_PARTICLES", "log_evidence"]

#: Most particles per datum that an adaptive number may reach, unless given.
MAX_PARTICLES = 2**20


@verb
@takes_data("x", streams=True)
def log_evidence(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int = 5000,
    *,
    proposal: Proposal = "guide",
    smooth: bool = False,
    jackknife: bool = False,
    target_error: float | None = None,
    max_particles: int = MAX_PARTICLES,
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Log p(x) = log (1/K) sum_k p(x, z_k) / q(z_k | x), per datum.

    Parameters
    ----------
    model, guide, x, num_particles
        As for ``log_weights``.
    proposal
        What draws z_k: the ``"guide"``; the guide ``"widened"`` by 1.2 about its means; or
        ``"defensive"``, the guide with a tenth of the particles from the prior, for posteriors
        of which the guide may have missed a mode.
    smooth
        Pareto-smoothed weights (Vehtari et al., 2024, arXiv 1507.02646): less variance.
    jackknife
        Bias of order 1 / K taken off (Nowozin, 2018).
    target_error
        Double a datum's particles until its standard error is at most this, in nats, or
        ``max_particles`` is reached. The rule looks at the weights themselves, so mean(w) is
        no longer exactly unbiased, nor the estimate strictly a lower bound; ``reach`` draws
        afresh and keeps both.
    max_particles
        Most particles per datum with ``target_error``.
    progress
        Called with the number of data done and their total.
    checkpoint
        Where to keep what is done, and to go on from.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        ``log_evidence`` and its Monte Carlo ``log_evidence_se`` in nats, the effective sample
        size ``ess``, Pareto ``khat``, and ``doubt``, 0 where the error can be trusted and else a
        key of ``trust.DOUBTS``; with ``target_error`` also ``particles``, the number drawn;
        dimension ``datum``. In expectation a lower bound, unless smoothed or corrected; nothing
        else where ``doubt`` is not 0.

    Raises
    ------
    UnknownNameError
        If there is no proposal of that name.
    ValueError
        If both ``smooth`` and ``jackknife`` are asked for, or a target is out of range.
    """
    if smooth and jackknife:
        raise ValueError(
            "smooth and jackknife exclude each other: smoothed weights are not independent "
            "draws, so leaving one out says nothing of the bias; choose one"
        )
    if target_error is not None and not (target_error > 0 and max_particles >= num_particles):
        raise ValueError(
            f"target_error got {target_error} with max_particles {max_particles}: it must be "
            f"positive, in nats, and the maximum at least num_particles {num_particles}"
        )

    def estimate(terms: LogWeights) -> tuple[Estimate, np.ndarray]:
        weights = terms.log_weights
        if smooth:
            smoothed, khat = pareto_smoothed(weights)
            return log_evidence_of(smoothed), khat
        of = jackknife_of if jackknife else log_evidence_of
        return of(weights), pareto_khat(weights)

    def reduction(terms: LogWeights, judge: Judge) -> dict[str, Estimate | np.ndarray]:
        value, khat = estimate(terms)
        ess = effective_sample_size(terms.log_weights).cpu().numpy()
        found: dict[str, Estimate | np.ndarray] = {"log_evidence": value, "ess": ess, "khat": khat}
        judged = judge(terms, khat)
        found |= {name: judged[name] for name in ("doubt", "top_share")}
        if target_error is not None:
            found["particles"] = np.array([float(len(terms.log_weights))])
        return found

    def more(terms: LogWeights) -> int:
        drawn = len(terms.log_weights)
        if float(log_evidence_of(terms.log_weights).standard_error) <= (target_error or 0.0):
            return 0
        return min(drawn, max_particles - drawn)

    start = time.perf_counter()
    program, how = propose(guide, proposal, Sampling(**sampling))
    rows = reduce_weights(
        [reduction],
        model,
        program,
        x,
        num_particles,
        how,
        more=None if target_error is None else more,
        progress=progress,
        checkpoint=checkpoint,
    )
    names = [name for name in rows.data_vars if not str(name).startswith("log_evidence")]
    return evidence_result(
        rows["log_evidence"].values,
        rows["log_evidence_se"].values,
        estimator=f"importance sampling, proposal {proposal}"
        + (", Pareto-smoothed" if smooth else ", jackknife" if jackknife else ""),
        bound="neither" if smooth or jackknife or target_error is not None else "lower",
        num_particles=num_particles,
        seconds=time.perf_counter() - start,
        seed=how.seed,
        extra={str(name): rows[name].values for name in names},
    )
