"""What a referee measures of a pair, one measurement a function of the same three arguments.

Each returns the columns and numbers that it adds to the card, or raises: what does not apply to a
pair is left out of its card with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from pyro import distributions as dist

from pyro_vae import inference
from pyro_vae.cards.card import Number, error_over_data, listed, over_data
from pyro_vae.errors import ProgramError, PyroVAEError, message_of
from pyro_vae.inference.checking import calibration_sentences, sbc_ranks, simulator
from pyro_vae.inference.checking.calibration import uniformity
from pyro_vae.inference.engine.inputs import take
from pyro_vae.inference.engine.traces import trace_of
from pyro_vae.inference.evidence import Certificate, bdmc
from pyro_vae.inference.evidence.certify import ESTIMATORS, estimate
from pyro_vae.inference.evidence.trust import error_of_mean
from pyro_vae.isolation import isolated
from pyro_vae.protocols import Facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.inference.checking.predictive import Simulate
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.evidence.checkpoint import Checkpoint
    from pyro_vae.referee.settings import Settings

    Progress = Callable[[int, int], None] | None

__all__ = [
    "Measured",
    "TwoPrograms",
    "about_evidence",
    "certified",
    "importance_sampled",
    "measure_of",
    "parts_of_gap",
    "ranked",
    "ranks_of",
    "reason_of",
    "sandwiched",
]

#: Decimals of what a card keeps of a datum, in nats.
_DECIMALS = 6

#: Draws among which the truth is ranked: its ranks fall into 2, 4, 5, 10 or 20 equal bins.
_RANKED_AMONG = 99

#: Error rate of calibration, over all latents.
_LEVEL = 0.01

#: Latents whose ranks a card keeps, the furthest from uniform; and how their columns begin.
_RANKS_KEPT, RANK = 8, "rank of "


@dataclass(frozen=True)
class TwoPrograms:
    """Two Pyro programs that were given as a pair ``(model, guide)``."""

    model: Callable[..., Any]
    guide: Callable[..., Any]


@dataclass
class Measured:
    """What one measurement adds to a card.

    Attributes
    ----------
    numbers, per_datum, certificate, notes
        As on a ``Found``.
    """

    numbers: dict[str, Number] = field(default_factory=dict)
    per_datum: dict[str, list[float | None]] = field(default_factory=dict)
    certificate: str = ""
    notes: list[str] = field(default_factory=list)

    def keep(self, name: str, values: np.ndarray, errors: np.ndarray, drawn: float) -> None:
        """Keep an estimate of every datum, and its mean, whose error of the draws is given."""
        self.per_datum[name] = listed(values, _DECIMALS)
        self.per_datum[f"{name}_se"] = listed(errors, _DECIMALS)
        self.numbers[name] = _mean(values, drawn)


def measure_of(pair: Any, x: Inputs) -> str:
    """Base measure of log p(x): what the pair says, else that of what its model observes.

    ``"counting"``, ``"lebesgue"``, ``"counting and lebesgue"`` where it observes both, or
    ``"unknown"`` where it observes nothing by a distribution that says its support.
    """
    said = Facts(pair).measure
    if said != "unknown":
        return said
    with torch.no_grad(), isolated():
        trace = trace_of(pair.model, take(x, slice(1)))
    kinds = set()
    for site in trace.nodes.values():
        if site["type"] == "sample" and site["is_observed"]:
            # A factor is a number of any origin.
            if isinstance(site["fn"], dist.Unit):
                continue
            try:
                discrete = site["fn"].support.is_discrete
            except (AttributeError, NotImplementedError):
                continue
            kinds.add("counting" if discrete else "lebesgue")
    return " and ".join(sorted(kinds)) or "unknown"


def about_evidence(
    pair: Any,
    x: Inputs,
    settings: Settings,
    progress: Progress = None,
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """What ``evaluate`` gives, with the measure that log p(x) is taken against."""
    results = inference.evaluate(
        pair,
        x,
        settings.num_particles,
        iwae=settings.iwae,
        seed=settings.seed,
        progress=progress,
        checkpoint=checkpoint,
    )
    results.attrs["base_measure"] = measure_of(pair, x)
    return results


def importance_sampled(
    pair: Any, x: Inputs, settings: Settings, progress: Progress = None
) -> Measured:
    """Log p(x) by importance sampling of a pair whose log p(x) is exact."""
    found = estimate(
        "importance", pair, x, num_particles=settings.num_particles, seed=settings.seed
    )
    measured = Measured()
    _keep_estimate(measured, "importance", found)
    measured.per_datum["importance_khat"] = listed(found["khat"].values, 2)
    return measured


def certified(pair: Any, x: Inputs, settings: Settings, progress: Progress = None) -> Measured:
    """Every estimate of log p(x) of the first data, by ``certify``'s estimators.

    What annealing finds of log p(x) that importance sampling does not is ``missed``.
    """
    some = take(x, slice(settings.num_annealed))
    found: dict[str, xr.Dataset] = {}
    left_out: dict[str, str] = {}
    for done, name in enumerate(ESTIMATORS, start=1):
        try:
            found[name] = estimate(
                name,
                pair,
                some,
                num_particles=settings.num_particles,
                num_temperatures=settings.num_temperatures,
                num_chains=settings.num_chains,
                seed=settings.seed,
            )
        # Anybody's program may fail in its own way, where another estimator serves.
        except Exception as error:
            left_out[name] = reason_of(error)
        if progress is not None:
            progress(done, len(ESTIMATORS))
    text = str(Certificate(found, left_out))
    # Behind the table: where estimates disagree, or that they agree.
    said = [line for line in text.splitlines()[1 + len(found) :] if "left out " not in line[:9]]
    measured = Measured(certificate=text, notes=said)
    for name, results in found.items():
        _keep_estimate(measured, f"certify_{name}", results)
    if {"ais", "importance"} <= found.keys():
        ais, weighed = found["ais"], found["importance"]
        apart = ais["log_evidence"].values - weighed["log_evidence"].values
        drawn = math.hypot(error_of_mean(ais), error_of_mean(weighed))
        measured.numbers["missed"] = _mean(apart, drawn)
    return measured


def sandwiched(pair: Any, x: Inputs, settings: Settings, progress: Progress = None) -> Measured:
    """Bounds of log p(x) from both sides, of data that are simulated from the model.

    Importance sampling of the same data misses at most the upper bound less its own estimate.
    """
    with torch.no_grad(), isolated(settings.seed):
        simulated, latents = _simulate(pair, x)(settings.num_simulated)
    found = bdmc(
        pair.model,
        pair.guide,
        simulated,
        latents,
        num_temperatures=settings.num_temperatures,
        num_chains=settings.num_chains,
        start="guide",
        seed=settings.seed,
        enumerate_discrete=True,
        progress=progress,
    )
    weighed = estimate(
        "importance", pair, simulated, num_particles=settings.num_particles, seed=settings.seed
    )
    measured, drawn = Measured(), {}
    for name in ("lower", "upper"):
        errors = found[f"{name}_se"].values
        drawn[name] = error_over_data(errors)
        measured.keep(name, found[name].values, errors, drawn[name])
    upper = found["upper"].values
    measured.numbers["sandwich"] = _mean(
        upper - found["lower"].values, math.hypot(*drawn.values())
    )
    error = math.hypot(drawn["upper"], error_of_mean(weighed))
    measured.numbers["sandwich_missed"] = _mean(upper - weighed["log_evidence"].values, error)
    return measured


def parts_of_gap(pair: Any, x: Inputs, settings: Settings, progress: Progress = None) -> Measured:
    """The gap of the first data as what the guide's family leaves, and what the encoder does."""
    found = inference.gap_parts(
        pair,
        take(x, slice(settings.num_annealed)),
        settings.num_particles,
        steps=settings.steps,
        seed=settings.seed,
        progress=progress,
    )
    measured = Measured()
    given = math.isfinite(error_of_mean(found))
    for name in ("approximation_gap", "amortisation_gap"):
        errors = found[f"{name}_se"].values
        # The encoder's share is a difference of two bounds, which no weights decide.
        known = given or name == "amortisation_gap"
        measured.keep(
            name, found[name].values, errors, error_over_data(errors) if known else math.nan
        )
    if not found.attrs["converged"]:
        measured.notes.append(
            f"The best guide of each datum was not reached in {settings.steps} steps: the "
            "encoder's share of the gap may be larger, and that of the family smaller."
        )
    return measured


def ranked(pair: Any, x: Inputs, settings: Settings, progress: Progress = None) -> Measured:
    """Whether the guide is calibrated: ranks of z among its draws, on simulated data."""
    ranks = sbc_ranks(
        pair.model,
        pair.guide,
        settings.num_ranked,
        _RANKED_AMONG,
        simulate=_simulate(pair, x),
        seed=settings.seed,
        enumerate_discrete=True,
    )
    measured = Measured(notes=calibration_sentences(ranks))
    p_values = ranks["p_holm"].values[0]
    measured.numbers["smallest_p"] = Number(value=float(p_values.min()))
    measured.numbers["miscalibrated"] = Number(value=float((p_values < _LEVEL).sum()))
    for latent in np.sort(np.argsort(p_values, kind="stable")[:_RANKS_KEPT]):
        name = f"{RANK}{ranks['latent'].values[latent]}"
        measured.per_datum[name] = listed(ranks["rank"].values[0, :, latent])
    return measured


def ranks_of(per_datum: Mapping[str, list[float | None]]) -> xr.Dataset | None:
    """The ranks that ``ranked`` put on a card, as ``sbc_ranks`` gives them, if any."""
    kept = {name.removeprefix(RANK): v for name, v in per_datum.items() if name.startswith(RANK)}
    if not kept:
        return None
    values = np.array(list(kept.values()), dtype=int).T
    return uniformity(
        xr.Dataset(
            {"rank": (("source", "simulation", "latent"), values[None])},
            coords={"source": ["guide"], "latent": list(kept)},
            attrs={"num_draws": _RANKED_AMONG},
        )
    )


def reason_of(error: Exception) -> str:
    """Why a measurement was left out, in a line."""
    text = " ".join(message_of(error).split())
    return text if isinstance(error, PyroVAEError) else f"{type(error).__name__}: {text}"


def _simulate(pair: Any, x: Inputs) -> Simulate:
    """What draws from the model: by itself, or on rows that give the shape of a datum."""
    if not isinstance(x, Mapping):
        try:
            return simulator(pair.model, pair.guide)
        except ProgramError:
            pass
    return simulator(pair.model, pair.guide, x)


def _keep_estimate(measured: Measured, name: str, found: xr.Dataset) -> None:
    values, errors = found["log_evidence"].values, found["log_evidence_se"].values
    measured.keep(name, values, errors, error_of_mean(found))


def _mean(values: np.ndarray, drawn: float) -> Number:
    """``over_data``, of a single datum too."""
    if len(values) > 1:
        return over_data(values, drawn)
    return Number(
        value=float(values.mean()), monte_carlo_error=drawn if math.isfinite(drawn) else None
    )
