"""Several independent estimates of log p(x) side by side, and whether they agree."""

from __future__ import annotations

import html
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError, UnknownNameError, message_of
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT
from pyro_vae.inference.engine.inputs import run_program
from pyro_vae.inference.engine.traces import latent_sites, trace_of
from pyro_vae.inference.evidence.ais import ais
from pyro_vae.inference.evidence.evaluate import takes_one_model
from pyro_vae.inference.evidence.importance import log_evidence
from pyro_vae.inference.evidence.quadrature import quadrature
from pyro_vae.inference.evidence.result import evidence_result
from pyro_vae.inference.evidence.trust import error_of_mean, trusted
from pyro_vae.isolation import isolated
from pyro_vae.protocols import HasLogProb, offers
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["ESTIMATORS", "Certificate", "Disagreement", "certify"]

#: Standard errors between two estimates at which they disagree.
LIMIT = 4.0

#: Where an estimator's draws start: those that share it share its blind spots.
_STARTS = {
    "exact": "none",
    "quadrature": "none",
    "importance": "guide",
    "widened": "guide",
    "ais": "guide",
    "defensive": "prior",
    "ais-from-prior": "prior",
}


@dataclass(frozen=True)
class Disagreement:
    """Two estimates whose means, or bounds in the wrong order, noise does not explain.

    Attributes
    ----------
    first, second
        Names of the estimators.
    difference
        Mean of first minus second over the data, in nats.
    standard_error
        Monte Carlo standard error of the difference.
    reason
        What it means, in a sentence.
    """

    first: str
    second: str
    difference: float
    standard_error: float
    reason: str


@dataclass(frozen=True)
class Certificate:
    """What ``certify`` found.

    Attributes
    ----------
    estimates
        Results per datum by name of the estimator.
    left_out
        Estimators that do not apply, with the reason.
    """

    estimates: dict[str, xr.Dataset]
    left_out: dict[str, str]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    @property
    def table(self) -> pd.DataFrame:
        """Mean log p(x) with its Monte Carlo error by estimator, what it is, cost and k-hat.

        The error is NaN where it is withheld: see ``trust.error_of_mean``.
        """
        rows = {}
        for name, found in self.estimates.items():
            count = found.sizes["datum"]
            khat = found["khat"].values if "khat" in found else np.full(count, np.nan)
            rows[name] = {
                "log_evidence": float(found["log_evidence"].values.mean()),
                "mc_se": error_of_mean(found),
                "is": found.attrs["bound"],
                "particles": found.attrs["particles"],
                "khat > 0.7": float((khat > KHAT_LIMIT).mean()),
                "seconds": found.attrs["seconds"],
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    @property
    def disagreements(self) -> list[Disagreement]:
        """Pairs that differ by more than four standard errors.

        A lower bound below another estimate is no contradiction, but says that the bound is
        loose; above it, one of the two is wrong.
        """
        table, names, found = self.table, list(self.estimates), []
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                a, b = table.loc[first], table.loc[second]
                difference = a["log_evidence"] - b["log_evidence"]
                # Rounding of sums in float32 is part of no standard error.
                floor = 1e-5 * (1 + abs(a["log_evidence"]))
                # What is withheld is too small, if anything, and still tells the two apart.
                error = math.hypot(
                    _raw_error(self.estimates[first]), _raw_error(self.estimates[second])
                )
                if abs(difference) <= LIMIT * error + floor:
                    continue
                low, high = (first, second) if difference < 0 else (second, first)
                loose = table.loc[low, "is"] == "lower"
                reason = (
                    f"{low} is a lower bound, and here a loose one: believe {high}"
                    if loose
                    else f"{low} is no lower bound, so one of the two is wrong"
                )
                found.append(Disagreement(first, second, float(difference), error, reason))
        return found

    @property
    def agree(self) -> bool:
        """Whether all the estimates agree, and not all of them rest on the guide's draws.

        Estimates by importance sampling whose error is withheld for more than half of the data
        confirm nothing.
        """
        return not self.disagreements and self.confirmed

    @property
    def confirmed(self) -> bool:
        """Whether an oracle, or estimates of different starts, stand behind an agreement."""
        starts = {
            _STARTS[name] for name, found in self.estimates.items() if trusted(found).mean() > 0.5
        }
        return "none" in starts or len(starts) > 1

    @property
    def _tried(self) -> set[str]:
        return {*self.estimates, *self.left_out}

    def __str__(self) -> str:
        if not self.estimates:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
            return f"Nothing estimates log p(x) of this model. {reasons}".rstrip()
        lines = [self.table.round(3).to_string()]
        lines += [
            f"{d.first} - {d.second} = {d.difference:.3f} (s.e. {d.standard_error:.3f}): "
            f"{d.reason}."
            for d in self.disagreements
        ]
        if self.agree:
            lines.append(f"All {len(self.estimates)} estimates agree.")
        elif not self.disagreements:
            others = [name for name in ("ais-from-prior", "quadrature") if name not in self._tried]
            remedy = f"add {' or '.join(others)}" if others else "take more particles"
            lines.append(
                "Nothing confirms the estimates: those whose errors can be trusted all start from "
                f"the same draws, and would miss the same mode; {remedy}."
            )
        lines += [f"left out {name}: {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines)


def _raw_error(found: xr.Dataset) -> float:
    """Monte Carlo error of the mean over data as the weights have it, withheld or not."""
    errors = found["log_evidence_se"].values
    return float(np.sqrt((errors**2).sum())) / len(errors)


@dataclass(frozen=True)
class _Pair:
    """Two programs as what has them."""

    model: Program
    guide: Program


@takes_one_model
@verb
@takes_data("x")
def certify(
    model: Any,
    x: Inputs,
    *,
    estimators: Sequence[str] | None = None,
    num_particles: int = 2000,
    num_temperatures: int = 200,
    num_chains: int = 16,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Certificate:
    """Estimate log p(x) in every way that applies, and compare.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``, and ``log_prob`` where its log p(x)
        is exact; or a pair ``(model, guide)`` of them.
    x
        Held-out data.
    estimators
        Names out of ``ESTIMATORS``; all of them unless given. Those that do not apply are left
        out, with the reason.
    num_particles
        Draws per datum for importance sampling.
    num_temperatures, num_chains
        For annealed importance sampling.
    seed
        Seed of the draws.
    n_jobs
        Processes that the data are shared out to, as for ``log_weights``.
    progress
        Called with the number of estimators done and their total.

    Returns
    -------
    Certificate
        The estimates, their table, and where they disagree.

    Raises
    ------
    UnknownNameError
        If an estimator is unknown.
    """
    names = list(ESTIMATORS) if estimators is None else list(estimators)
    for name in names:
        if name not in ESTIMATORS:
            raise UnknownNameError("estimator", name, ESTIMATORS)
    if isinstance(model, tuple):
        model = _Pair(*model)
    found, left_out = {}, {}
    settings: dict[str, Any] = {
        "num_particles": num_particles,
        "num_temperatures": num_temperatures,
        "num_chains": num_chains,
        "seed": seed,
        "n_jobs": n_jobs,
    }
    for done, name in enumerate(names, start=1):
        try:
            found[name] = estimate(name, model, x, **settings)
        except ProgramError as error:
            left_out[name] = message_of(error)
        if progress is not None:
            progress(done, len(names))
    return Certificate(found, left_out)


@verb
@takes_data("x")
def estimate(
    name: str,
    model: Any,
    x: Inputs,
    *,
    num_particles: int = 2000,
    num_temperatures: int = 200,
    num_chains: int = 16,
    seed: int = 0,
    n_jobs: int | None = None,
) -> xr.Dataset:
    """Log p(x) by one estimator, by its name: what ``certify`` does for each of its own.

    Parameters
    ----------
    name
        One of ``ESTIMATORS``.
    model, x, num_particles, num_temperatures, num_chains, seed, n_jobs
        As for ``certify``.

    Raises
    ------
    ProgramError
        If the estimator does not apply to the model.
    """
    if name not in ESTIMATORS:
        raise UnknownNameError("estimator", name, ESTIMATORS)
    numbers = {
        "num_particles": num_particles,
        "num_temperatures": num_temperatures,
        "num_chains": num_chains,
        "seed": seed,
        "n_jobs": n_jobs,
    }
    if name != "exact":
        _require_site(model, x)
    return ESTIMATORS[name](model, x, numbers)


def _require_site(model: Any, x: Inputs) -> None:
    """Refuse a guide that draws nothing, as that of a mixture."""
    # All the data, where the guide may have parameters by the position of a datum.
    with torch.no_grad(), isolated():
        trace = trace_of(model.guide, x)
    if not latent_sites(trace):
        raise ProgramError(
            "the guide has no site to draw: every latent is summed out, so the ELBO is log p(x) "
            "already; take the estimator exact"
        )


def _exact(model: Any, x: Inputs, numbers: Mapping[str, Any]) -> xr.Dataset:
    if not offers(model, HasLogProb):
        raise ProgramError("the model has no exact log_prob")
    began = time.perf_counter()
    with torch.no_grad():
        value = run_program(model.log_prob, x).double().cpu().numpy()
    return evidence_result(
        value,
        np.zeros_like(value),
        estimator="closed form",
        bound="exact",
        num_particles=0,
        seconds=time.perf_counter() - began,
    )


def _of_pair(
    method: Callable[..., xr.Dataset], *names: str, **choice: str
) -> Callable[..., xr.Dataset]:
    """An estimator of a pair: its method, the numbers that it takes, and a choice of its own."""

    def run(model: Any, x: Inputs, numbers: Mapping[str, Any]) -> xr.Dataset:
        taken = {name: numbers[name] for name in (*names, "seed")} | choice
        return method(model.model, model.guide, x, enumerate_discrete=True, **taken)

    return run


_importance = partial(_of_pair, log_evidence, "num_particles", "n_jobs")
_ais = partial(_of_pair, ais, "num_temperatures", "num_chains", "n_jobs")


#: Estimators by name: each takes a module, data, its numbers and other settings.
ESTIMATORS: dict[str, Callable[..., xr.Dataset]] = {
    "exact": _exact,
    "quadrature": _of_pair(quadrature),
    "importance": _importance(proposal="guide"),
    "widened": _importance(proposal="widened"),
    "defensive": _importance(proposal="defensive"),
    "ais": _ais(start="guide"),
    "ais-from-prior": _ais(start="prior"),
}
