"""What the weights of data are reduced to, and the stream of weights that is reduced."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.bounds import (
    Estimate,
    elbo_of,
    gap_of,
    iwae_of,
    log_evidence_of,
    mean_of,
)
from pyro_vae.inference.engine.diagnostics import effective_sample_size, pareto_khat
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.rows import Rows
from pyro_vae.inference.engine.weights import DrawsByRow, LogWeights, OfRows, by_rows
from pyro_vae.inference.evidence.trust import (
    PROBE_SHARE,
    RESULTS,
    doubts,
    probe_size,
)

if TYPE_CHECKING:
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import Sampling
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.engine.weights import More
    from pyro_vae.inference.evidence.checkpoint import Checkpoint

__all__ = [
    "Judge",
    "JudgedRows",
    "Reduction",
    "elbo_reduction",
    "evidence_reduction",
    "gap_reduction",
    "iwae_reduction",
    "reduce_weights",
    "reduced",
]

#: From the terms of some data's weights, and a function that judges such terms, to what to keep.
Reduction = Callable[["LogWeights", "Judge"], dict[str, "Estimate | np.ndarray"]]

#: From some data's terms and k-hat to why the errors of log p(x) and gap are withheld.
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
    """Stream the weights once, a few data at a time, and keep what the reductions make of them.

    Parameters
    ----------
    reductions
        Functions of some data's ``LogWeights`` and of what judges them: see ``trust.doubts``.
    model, guide, x, num_particles
        As for ``log_weights``.
    sampling
        How particles are drawn.
    more
        As for ``DrawsByRow``.
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
    rows = Rows(count(x), None if checkpoint is None else checkpoint.load())
    work = _ReducedRows(model, guide, x, num_particles, sampling, more, reductions)
    try:
        for found in by_rows(work, rows.done, sampling.n_jobs):
            rows.add(found)
            if checkpoint is not None:
                checkpoint.save(rows.arrays())
            if progress is not None:
                progress(rows.done, count(x))
    except KeyboardInterrupt:
        if checkpoint is not None:
            checkpoint.save(rows.arrays(), now=True)
        raise
    variables: dict[str, Any] = {}
    for name, values in rows.arrays().items():
        stacked = np.moveaxis(values, 0, -1)
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


class JudgedRows(OfRows[dict[str, np.ndarray]]):
    """Numbers of every datum, beside its weights those that judge them."""

    @cached_property
    def judge(self) -> Callable[[range], Judge]:
        """From the rows of some data to what judges their weights."""
        return _judge_of(self.model, self.guide, self.x, self.num_particles, self.sampling)


@dataclass
class _ReducedRows(JudgedRows):
    """What the reductions make of the weights of every datum."""

    reductions: Sequence[Reduction]
    _rows: range = field(default=range(0), init=False)
    _parts: dict[str, np.ndarray] = field(default_factory=dict, init=False)

    def of_row(self, row: int) -> dict[str, np.ndarray]:
        if row not in self._rows:
            # Those that are drawn in one pass are reduced in one.
            self._rows = self.columns.drawn_with(row)
            terms = self.columns.terms(self._rows)
            self._parts = reduced(self.reductions, terms, self.judge(self._rows))
        place = row - self._rows.start
        return {name: values[..., place : place + 1] for name, values in self._parts.items()}


def _judge_of(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    sampling: Sampling,
) -> Callable[[range], Judge]:
    """From the rows of some data to what judges the terms of their weights, by a second set."""
    probing = sampling.but(prior_share=PROBE_SHARE, seed=sampling.seed + _SECOND_SEED)
    size = probe_size(num_particles)

    @functools.cache
    def second() -> DrawsByRow:
        return DrawsByRow(model, guide, x, size, probing)

    @functools.lru_cache(1)
    def probe(rows: range) -> LogWeights | None:
        try:
            return second().terms(rows)
        except (ProgramError, ValueError, NotImplementedError, KeyError):
            # It cannot be drawn from its prior, or its guide has no density there.
            return None

    def judge(terms: LogWeights, khat: np.ndarray, *, rows: range) -> dict[str, np.ndarray]:
        seen = functools.partial(probe, rows)
        found = doubts(terms, seen, size, khat=khat, prior_share=sampling.prior_share)
        if len(rows) > 1 and seen() is None:
            # One of them may be to blame, and the others be judged.
            alone = [
                judge(LogWeights(*(t[:, i : i + 1] for t in terms)), khat[i : i + 1], rows=one)
                for i, one in enumerate(range(row, row + 1) for row in rows)
            ]
            found = {name: np.concatenate([part[name] for part in alone]) for name in found}
        return found

    return lambda rows: functools.partial(judge, rows=rows)


def reduced(
    reductions: Sequence[Reduction], terms: LogWeights, judge: Judge
) -> dict[str, np.ndarray]:
    """What the reductions make of some data's weights, an estimate and its error each a part.

    The last axis of every part is that of the data.
    """
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


def iwae_reduction(ks: Sequence[int]) -> Reduction:
    """IWAE_k for each of these k."""

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
