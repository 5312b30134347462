"""Whether the standard error of an importance-sampled log p(x) is to be printed, per datum.

The error comes from the same weights as the estimate, so where they have missed something both
are wrong together, and a k-hat below 0.7 does not exclude it. Three questions are asked of every
datum: a bad answer to the first two withholds its error, and to the third puts a condition on it.

1. Does one draw carry the error, or has the tail a k-hat above 0.3? Then larger weights are likely
   to be missing: they, and not the variance, set the number of draws that importance sampling
   takes (Chatterjee & Diaconis, 2018, arXiv 1511.01437). A limit of 0.7, above which an estimate
   cannot be relied on (Vehtari et al., 2024, arXiv 1507.02646), is too high for its error: where
   the true shape is above that, k-hat is below it when the tail was missed.
2. Does a second proposal agree? Half of a further, smaller set of draws comes from the prior
   (Hesterberg, 1995, "Weighted average importance sampling and defensive mixture distributions").
   Neither may it find mass where the weights are above all those that the estimate rests on, nor
   may the estimate from both sets together, by the balance heuristic (Owen & Zhou, 2000, "Safe
   and effective importance sampling"), be further away than the error. A guide that is the
   posterior is spared the latter: its weights are one number at all draws, the prior's too.
3. Could it have disagreed? Where too few of the prior's draws would fall on the posterior that
   the guide knows, they would not fall on another mode of its kind either: the error is given on
   the condition that the guide misses no mode.

Where the errors of nine in ten data are withheld, so are the others: the weights of one guide have
much the same tail at all of them, and these are the ones in which it happened not to show.

Errors of many data average out, and so do their faults: that of a mean over data is judged by the
draws of all of them together.

What is promised, and what is not: a mode that neither guide nor prior reaches is seen by nobody.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_vae.inference.engine.diagnostics import FEWEST_DRAWS, KHAT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from torch import Tensor

    from pyro_vae.inference.engine.weights import LogWeights

__all__ = [
    "DOUBTS",
    "KHAT_TRUSTED",
    "LARGEST_SHARE",
    "PROBE_SHARE",
    "RESULTS",
    "doubts",
    "error_of_mean",
    "khat_note",
    "largest_share",
    "probe_size",
    "together",
    "trusted",
    "withheld_note",
]

#: Largest share of the variance of a mean that one draw may carry.
LARGEST_SHARE = 0.08

#: The same of a mean over data, which has so many more draws.
_LARGEST_SHARE_OF_MEAN = 0.03

#: Share of the data at which the second set may contradict the first by chance.
_CONTRADICTED = 0.25

#: Largest k-hat of weights whose error is trusted.
KHAT_TRUSTED = 0.3

#: Share of the second set of draws that comes from the prior.
PROBE_SHARE = 0.5

#: Draws of the prior that must be expected on the posterior for their silence to mean anything.
_FEWEST_HITS = 10.0

#: Mass that the second set may find above all weights, in standard errors of the estimate: a bias
#: of half an error takes the coverage of a 95 % interval to 92 %, and rarely is it as large.
_UNSEEN_MASS = 0.5

#: Why an error is withheld, by the number that results keep of it as ``doubt``.
DOUBTS = {
    0: "trusted",
    1: "the weights are heavy-tailed, or fewer than 25",
    2: "given on the condition that the guide misses no mode",
    3: "draws from the prior contradict the guide's",
    4: "the model cannot be drawn from its prior, so nothing tells what the guide misses",
    5: "nothing judged it: measure again",
    6: "the errors of nearly all other data are withheld, so this one's tail hides by chance",
}

#: What results keep of the judgement, in the order in which ``doubts`` finds it.
RESULTS = ("doubt", "gap_doubt", "top_share", "gap_top_share")

#: Those with which an error is given.
_GIVEN = (0, 2)

#: Share of the data below which those that would be given are chosen by chance: the weights of
#: one guide have much the same tail at all data, and k-hat is low where it happened not to show.
_FEWEST_GIVEN = 0.1


def probe_size(num_particles: int) -> int:
    """Draws of the second set: a fifth of the first, and at least 200."""
    return max(200, num_particles // 5)


def doubts(
    terms: LogWeights,
    probe: Callable[[], LogWeights | None],
    size: int,
    *,
    khat: np.ndarray,
    prior_share: float = 0.0,
) -> dict[str, np.ndarray]:
    """Why the errors of each datum's log p(x) and of its gap are withheld.

    Parameters
    ----------
    terms
        Terms of the weights that the estimates are made of, ``(K, B)``, in nats; their proposal
        has ``prior_share`` of the prior.
    probe
        Gives the terms of the second set, ``(size, B)``, drawn apart from the first from the same
        guide with ``PROBE_SHARE`` of the prior, or None where the prior cannot be drawn from.
    size
        Draws of the second set.
    khat
        Pareto k-hat of the weights, ``(B,)``.
    prior_share
        As for ``log_weights``.

    Returns
    -------
    dict
        ``doubt`` for log p(x) and ``gap_doubt``, keys of ``DOUBTS``; and ``top_share`` and
        ``gap_top_share``, what ``largest_share`` gives of their errors; each ``(B,)``.
    """
    first = _Terms(terms, prior_share)
    ratio = (first.own - first.value).exp()
    shares = [largest_share(part, first.rounding) for part in (ratio, ratio - first.own)]
    doubt = torch.ones_like(first.value)
    if len(ratio) >= FEWEST_DRAWS:
        doubt = _second_opinion(first, probe, size, prior_share)
    # Ties, as of a discrete z, have no tail to fit: there k-hat is infinite and tells nothing. Nor
    # does that of weights which differ by rounding alone.
    fitted = torch.as_tensor(khat).to(doubt)
    tail = (fitted > KHAT_TRUSTED) & (fitted < math.inf) & (shares[0] > 0)
    heavy = [tail | (share > LARGEST_SHARE) for share in shares]
    heavy[1] = heavy[1] | heavy[0]
    given = torch.isin(doubt, doubt.new_tensor(_GIVEN))
    found = [torch.where(given & part, 1.0, doubt) for part in heavy]
    return {
        name: values.cpu().numpy() for name, values in zip(RESULTS, (*found, *shares), strict=True)
    }


def largest_share(influence: Tensor, rounding: Tensor | float = 0.0) -> Tensor:
    """Largest squared deviation from the mean over the sum of all.

    Parameters
    ----------
    influence
        Influences of the draws on an estimate, ``(K, B)``: w / mean(w) on log p(x), w / mean(w) -
        log w on the gap.
    rounding
        Deviations up to this are none, ``(B,)``, and where there are no others the share is 0.

    Returns
    -------
    Tensor
        Shape ``(B,)``.
    """
    squares = (influence - influence.mean(0)) ** 2
    largest = squares.amax(0)
    return torch.where(largest > rounding**2, largest / squares.sum(0), 0.0)


def _second_opinion(
    first: _Terms, probe: Callable[[], LogWeights | None], size: int, prior_share: float
) -> Tensor:
    """Keys of ``DOUBTS`` from what another set of draws finds."""
    error = (first.own - first.value).exp().std(0) / math.sqrt(len(first.own))
    terms = probe()
    if terms is None:
        return torch.full_like(first.value, 4)
    second = _Terms(terms, PROBE_SHARE)
    # Mass where the weights of the first set would be above its largest, over p(x).
    weight = second.log_joint - second.under(prior_share)
    beyond = weight > first.own.amax(0) + first.rounding
    found = (second.own - first.value).exp()
    unseen = (found * beyond).mean(0) > torch.maximum(_UNSEEN_MASS * error, first.rounding)
    # Where every draw finds the mass that the guide has there, the guide is the posterior, and the
    # joint estimate differs by its own noise alone: by two of its errors at one datum in twenty.
    there = (second.under(prior_share) - second.under(PROBE_SHARE)).exp()
    exact = ((found - there).abs() <= second.roundings).all(0)
    contradicted = unseen | ~(exact | _agree(first, second, error, prior_share))
    # The prior's draws expected on the posterior: M a / R, R = E_posterior[p(x | z)] / p(x).
    log_r = _log_mean(first.own + first.log_likelihood) - 2 * first.value
    out_of_sight = math.log(size * PROBE_SHARE) - log_r < math.log(_FEWEST_HITS)
    return torch.where(contradicted, 3.0, torch.where(out_of_sight, 2.0, 0.0)).to(first.value)


def _agree(first: _Terms, second: _Terms, error: Tensor, prior_share: float) -> Tensor:
    """Whether the estimate from both sets is no further from the first's than the error."""
    count, size = len(first.own), len(second.own)
    # All draws as if from the mixture of both proposals, whichever drew them.
    shares = math.log(count / (count + size)), math.log(size / (count + size))
    both = torch.cat(
        [
            part.log_joint
            - torch.logaddexp(
                shares[0] + part.under(prior_share), shares[1] + part.under(PROBE_SHARE)
            )
            for part in (first, second)
        ]
    )
    value = _log_mean(both)
    joint_error = (both - value).exp().std(0) / math.sqrt(len(both))
    # Where the joint estimate is the noisier it cannot tell more than its own noise.
    noisier = torch.maximum(error, 2 * joint_error)
    return (value - first.value).abs() <= torch.where(joint_error <= error, error, noisier)


def _log_mean(log_weights: Tensor) -> Tensor:
    return log_weights.logsumexp(0) - math.log(len(log_weights))


class _Terms:
    """Draws of each datum, and their density under the guide mixed with any share of the prior."""

    def __init__(self, terms: LogWeights, prior_share: float) -> None:
        self.log_likelihood, self._log_prior, self._log_proposal = (
            part.double() for part in terms
        )
        self.log_joint = self.log_likelihood + self._log_prior
        self.own = self.log_joint - self._log_proposal
        self.value = _log_mean(self.own)
        # Programs run in float32: the sum that a weight is has lost so much.
        self.roundings = 1e-6 * (1 + self.log_joint.abs())
        self.rounding = self.roundings.amax(0)
        self._log_guide = self._log_proposal
        if prior_share:
            # (mixture - a p) / (1 - a), or nothing where that is rounding.
            part = (math.log(prior_share) + self._log_prior - self._log_proposal).clamp(max=0)
            self._log_guide = self._log_proposal + (-torch.expm1(part)).log()
            self._log_guide = self._log_guide - math.log1p(-prior_share)

    def under(self, prior_share: float) -> Tensor:
        if not prior_share:
            return self._log_guide
        return torch.logaddexp(
            math.log1p(-prior_share) + self._log_guide, math.log(prior_share) + self._log_prior
        )


def trusted(results: xr.Dataset, of: str = "log_evidence") -> np.ndarray:
    """Whether the standard error of each datum's log p(x) or gap may be printed, ``(n,)``.

    Parameters
    ----------
    results
        What ``evaluate``, ``log_evidence``, ``gap`` or ``reach`` returned.
    of
        ``"log_evidence"`` or ``"gap"``.

    Returns
    -------
    ndarray
        Booleans; all True where log p(x) is exact, or is not importance sampling's.
    """
    return np.isin(_doubts_of(results, of), _GIVEN)


def _doubts_of(results: xr.Dataset, of: str) -> np.ndarray:
    name = "gap_doubt" if of == "gap" else "doubt"
    if name in results:
        return together(results[name].values)
    # What has a k-hat is importance sampling's.
    return np.full(results.sizes["datum"], 5.0 if "khat" in results else 0.0)


def together(found: np.ndarray) -> np.ndarray:
    """Doubts of many data, ``(n,)``, with those withheld that nearly all others speak against."""
    let = np.isin(found, _GIVEN)
    return np.where(let & (let.mean() < _FEWEST_GIVEN), 6, found)


def error_of_mean(results: xr.Dataset, of: str = "log_evidence") -> float:
    """Monte Carlo error of the mean over data of log p(x) or of the gap, in nats.

    sqrt(s^2 + b^2), with s the standard error and b = mean(s_i^2) / 2 what the logarithm is low
    by on average: that falls with the particles but, unlike s, not with the number of data. NaN
    where it is withheld: the errors of some data are, and one draw carries more than 3 %
    of the mean's variance, or the second sets contradict the first at more than a quarter of them.
    """
    errors, log_errors = (results[f"{name}_se"].values for name in (of, "log_evidence"))
    if not (trusted(results, of).all() or _mean_trusted(results, of, errors)):
        return math.nan
    error = math.sqrt(float((errors**2).sum())) / len(errors)
    corrected = results.attrs.get("bound") == "neither"
    return math.hypot(error, 0.0 if corrected else float((log_errors**2).mean()) / 2)


def _mean_trusted(results: xr.Dataset, of: str, errors: np.ndarray) -> bool:
    """Whether the draws of all data together carry the error of the mean."""
    name = "gap_top_share" if of == "gap" else "top_share"
    if name not in results or not np.isfinite(errors).all():
        return False
    if np.isin(_doubts_of(results, of), (0, 1, 2, 6), invert=True).mean() > _CONTRADICTED:
        return False
    squares = errors**2
    return float((results[name].values * squares).max()) <= _LARGEST_SHARE_OF_MEAN * squares.sum()


def withheld_note(results: xr.Dataset, of: str = "log_evidence") -> str:
    """Sentences on the data whose error is withheld or conditional; empty if there are none."""
    found, count = _doubts_of(results, of), results.sizes["datum"]
    what = "gap" if of == "gap" else "log p(x)"
    notes = []
    held = ~np.isin(found, _GIVEN)
    if held.any():
        kinds, numbers = np.unique(found[held], return_counts=True)
        reasons = "; ".join(f"{n}: {DOUBTS[int(k)]}" for k, n in zip(kinds, numbers, strict=True))
        notes.append(
            f"The error of {what} is withheld for {int(held.sum())} of {count} data ({reasons}): "
            "take it as a lower bound there."
        )
    if conditional := int((found == 2).sum()):
        notes.append(
            f"For {conditional} of {count} data the error holds on the condition that the guide "
            "misses no mode: the prior's draws hardly reach the posterior, so none would show."
        )
    return " ".join(notes)


def khat_note(results: xr.Dataset) -> str:
    """A sentence on the data whose weights are not to be relied on; empty if there are none.

    What is averaged or resampled by weights rests on a few of them where k-hat is above 0.7.
    """
    if above := int((results["khat"] > KHAT_LIMIT).sum()):
        return (
            f"For {above} of {results.sizes['datum']} data k-hat is above {KHAT_LIMIT}: a few "
            "particles carry what is said of them; take more, or prior_share=0.5."
        )
    return ""
