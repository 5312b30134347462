"""Confidence intervals for log p(x), and how many particles a given width takes.

By the delta method log mean(w) is near normal, with mean log p(x) - v / (2 K) and variance
v / K, where v = Var(w) / E[w]^2. Both stand on an estimate of that variance, so both are
withheld where it cannot be trusted: see ``trust``.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import xarray as xr
from scipy import stats

from pyro_vae.conversion import takes_data
from pyro_vae.inference.engine.bounds import log_evidence_of
from pyro_vae.inference.engine.diagnostics import FEWEST_DRAWS, effective_sample_size, pareto_khat
from pyro_vae.inference.engine.proposals import propose
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import LogWeights
from pyro_vae.inference.evidence.importance import MAX_PARTICLES
from pyro_vae.inference.evidence.reductions import reduce_weights
from pyro_vae.inference.evidence.result import evidence_result
from pyro_vae.inference.evidence.trust import (
    KHAT_TRUSTED,
    LARGEST_SHARE,
    largest_share,
    trusted,
    withheld_note,
)
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.inference.engine.bounds import Estimate
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.proposals import Proposal
    from pyro_vae.inference.engine.sampling import SamplingSettings
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.evidence.reductions import Judge

__all__ = ["ParticlePlan", "interval", "plan_particles", "reach"]

#: Confidence, one-sided, with which the width will be no larger than planned.
_ASSURANCE = 0.975

#: Rounds of a fixed-point iteration; near the root each at least halves the distance.
_ROUNDS = 50


class ParticlePlan(NamedTuple):
    """Particles that an interval of a given half-width takes.

    Attributes
    ----------
    particles
        Number per datum, ``(B,)``; NaN where none can be given.
    khat
        Pareto k-hat of the pilot, ``(B,)``.
    note
        A sentence on the data for which there is no plan; empty if there are none.
    """

    particles: np.ndarray
    khat: np.ndarray
    note: str


@verb
def interval(results: xr.Dataset, level: float = 0.95) -> xr.Dataset:
    """Confidence interval for log p(x) per datum, about importance sampling's estimate.

    L + s^2 / 2 -/+ z s, with s the standard error: what log mean(w) is low by is added, unless
    the estimate was corrected already. It accounts for the draws, not for the data.

    Parameters
    ----------
    results
        What ``log_evidence``, ``evaluate`` or ``reach`` returned.
    level
        Confidence, between 0 and 1.

    Returns
    -------
    Dataset
        ``lower`` and ``upper`` over ``datum``, in nats; NaN where ``trust`` withholds the error,
        as the attribute ``note`` then says in words.

    Raises
    ------
    ValueError
        If the level is out of range, or the results have no k-hat.
    """
    z = _quantile(level)
    if "khat" not in results:
        raise ValueError(
            "results have no khat, so they are not importance sampling's: give what "
            "log_evidence, evaluate or reach returned"
        )
    value, error = results["log_evidence"].values, results["log_evidence_se"].values
    given = trusted(results)
    corrected = results.attrs.get("bound") == "neither"
    centre = value if corrected else value + error**2 / 2
    ends = {
        name: ("datum", np.where(given, centre + sign * z * error, math.nan))
        for name, sign in (("lower", -1), ("upper", 1))
    }
    found = xr.Dataset(ends, coords={"datum": results["datum"].values})
    found.attrs.update(level=level, units="nats", note=withheld_note(results))
    return found


@verb
def plan_particles(log_weights: Tensor, target: float = 0.1, level: float = 0.95) -> ParticlePlan:
    """Particles per datum for which the interval's half-width is at most a target.

    z sd(w) / (sqrt(K) E[w]) <= target is solved for K. The variance is an estimate, in the
    pilot and in what is drawn after it, so its upper limit (97.5 %) over both stands in for it.

    Parameters
    ----------
    log_weights
        Pilot draws, ``(K, B)``, in nats; from a few hundred on.
    target
        Half-width of the interval, in nats.
    level
        Confidence of the interval.

    Returns
    -------
    ParticlePlan
        No number is given where the weights are heavy-tailed: the variance that the plan would
        rest on may not exist.

    Raises
    ------
    ValueError
        If there are fewer than 25 draws, or target or level is out of range.
    """
    z = _quantile(level)
    if not target > 0:
        raise ValueError(f"target got {target}: it must be a positive number of nats")
    count = len(log_weights)
    if count < FEWEST_DRAWS:
        raise ValueError(
            f"log_weights has {count} draws per datum: a plan needs at least {FEWEST_DRAWS}, "
            "and some hundreds to be any good"
        )
    khat = pareto_khat(log_weights)
    ratio = np.exp((log_weights - log_evidence_of(log_weights).value).double().cpu().numpy())
    square = (ratio**2).mean(0)
    # v = E[w^2] / E[w]^2 - 1, and the influence of a draw on it.
    influence = ratio**2 - square - 2 * square * (ratio - 1)
    spread = stats.norm.ppf(_ASSURANCE) * influence.std(0, ddof=1)
    particles = np.full(len(square), math.inf)
    # The variance will be read off K draws again: K stands on both sides.
    for _ in range(_ROUNDS):
        margin = spread * np.sqrt(1 / count + 1 / particles)
        particles = ((z / target) ** 2 * (square - 1 + margin)).clip(FEWEST_DRAWS)
    particles = np.ceil(particles)
    shares = largest_share(torch.from_numpy(ratio)).numpy()
    refused = (shares > LARGEST_SHARE) | ((khat > KHAT_TRUSTED) & np.isfinite(khat))
    note = _refusal(refused, "No number of particles is given")
    return ParticlePlan(np.where(refused, math.nan, particles), khat, note)


@verb
@takes_data("x")
def reach(
    model: Program,
    guide: Program,
    x: Inputs,
    target: float = 0.1,
    level: float = 0.95,
    *,
    pilot: int = 1000,
    max_particles: int = MAX_PARTICLES,
    proposal: Proposal = "guide",
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Log p(x) to a half-width that was asked for: a pilot, a plan, then fresh draws.

    The estimate is of the fresh draws alone, whose number the pilot decided, so mean(w) stays
    unbiased and log p(x) a stochastic lower bound. Where its weights are heavy-tailed
    there is no plan, and the estimate is the pilot's.

    Parameters
    ----------
    model, guide, x
        As for ``log_weights``.
    target, level
        Half-width, in nats, and confidence of the interval.
    pilot
        Draws per datum from which the plan is made, at least 25.
    max_particles
        Most fresh draws per datum.
    proposal
        As for ``log_evidence``.
    progress
        Called with the number of data done and their total.
    **sampling
        Other arguments of ``log_weights``.

    Returns
    -------
    Dataset
        As ``log_evidence``, with ``particles`` drawn afresh (0 where there was no plan) and
        ``half_width`` of the interval, in nats; ``note`` says how many data have no plan.
    """
    _quantile(level)
    if not (target > 0 and pilot >= FEWEST_DRAWS):
        raise ValueError(
            f"target got {target} and pilot {pilot}: the target must be a positive number of "
            f"nats, the pilot at least {FEWEST_DRAWS} draws"
        )

    def more(terms: LogWeights) -> int:
        if len(terms.log_weights) > pilot:
            return 0
        planned = plan_particles(terms.log_weights, target, level).particles[0]
        return 0 if math.isnan(planned) else int(min(planned, max_particles))

    def reduction(terms: LogWeights, judge: Judge) -> dict[str, Estimate | np.ndarray]:
        weights = terms.log_weights
        fresh = len(weights) - pilot
        start = pilot if fresh else 0
        used = weights[start:]
        khat = pareto_khat(used)
        judged = judge(LogWeights(*(term[start:] for term in terms)), khat)
        return {
            "log_evidence": log_evidence_of(used),
            "ess": effective_sample_size(used).cpu().numpy(),
            "khat": khat,
            "particles": np.array([float(fresh)]),
            "doubt": judged["doubt"],
            "top_share": judged["top_share"],
        }

    start = time.perf_counter()
    program, how = propose(guide, proposal, Sampling(**sampling))
    rows = reduce_weights([reduction], model, program, x, pilot, how, more=more, progress=progress)
    error, fresh = rows["log_evidence_se"].values, rows["particles"].values
    extra = {
        name: rows[name].values for name in ("ess", "khat", "particles", "doubt", "top_share")
    }
    return evidence_result(
        rows["log_evidence"].values,
        error,
        estimator=f"importance sampling, proposal {proposal}, planned from a pilot",
        bound="lower",
        num_particles=pilot,
        seconds=time.perf_counter() - start,
        seed=how.seed,
        extra={**extra, "half_width": _quantile(level) * error},
        target=target,
        level=level,
        note=_refusal(fresh == 0, "No number of particles is given"),
    )


def _quantile(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))


def _refusal(refused: np.ndarray, what: str) -> str:
    if not refused.any():
        return ""
    return (
        f"{what} for {int(refused.sum())} of {len(refused)} data, whose weights are heavy-tailed: "
        "their variance cannot be told, so take a longer pilot, a wider or defensive proposal, or "
        "an estimator other than importance sampling."
    )
