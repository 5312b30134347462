"""Whether a user's objective, estimator of log p(x), or likelihood does what it says."""

from __future__ import annotations

import inspect
import math
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from pyro.infer import ELBO
from scipy import stats

from pyro_vae.errors import ProgramError
from pyro_vae.inference import verify
from pyro_vae.inference.checking.verify import FALSE_ALARM, Check, Report
from pyro_vae.isolation import isolated
from pyro_vae.marginals import column_log_prob
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.pairs.normalisation import function_log_z, log_integrals
from pyro_vae.user_files.named import reference_of, value_at

if TYPE_CHECKING:
    from pyro_vae.user_files.named import Reference

__all__ = ["mark", "mark_apart", "verify_likelihood"]

#: Shape of the data that a likelihood is tried on, outputs of a decoder, and draws of each.
_EVENT, _OUTPUTS, _DRAWS = (3,), 8, 500
_CELLS = "three cells"

#: What integration by points may make of log Z of a cell.
_ROUNDING = 1e-4

#: What an estimator of log p(x) is called with.
_ARGUMENTS = ("model", "guide", "x", "num_particles")


def mark(reference: Reference, *, num_particles: int = 5, seed: int = 0) -> Report:
    """Check what a name in a file stands for, by what it is.

    Parameters
    ----------
    reference
        An ``ELBO`` of Pyro's kind; a function of ``(model, guide, x, num_particles)``; a
        ``Likelihood``; or a class or function without arguments that makes the first or the last.
    num_particles, seed
        As for ``inference.verify``.

    Raises
    ------
    ProgramError
        If it is none of them.
    """
    found = value_at(reference)
    if _is_estimator(found):
        return verify(found, num_particles=num_particles, seed=seed)
    if not isinstance(found, ELBO | Likelihood) and callable(found) and not _needed(found):
        found = found()
    if isinstance(found, ELBO):
        return verify(found, num_particles=num_particles, seed=seed)
    if isinstance(found, Likelihood):
        return verify_likelihood(found, seed=seed)
    raise ProgramError(
        f"{reference} is of type {type(found).__name__}: it must be a pyro.infer.ELBO, a function "
        f"of ({', '.join(_ARGUMENTS)}) that gives log p(x) of each datum, a Likelihood, or what "
        "makes one without arguments"
    )


def verify_likelihood(likelihood: Likelihood, *, seed: int = 0) -> Report:
    """Check that a likelihood is a distribution, on the support and the measure that it names.

    Parameters
    ----------
    likelihood
        One that no model has built; it is tried on data of three numbers.
    seed
        Seed of the decoder's outputs and of the draws.

    Returns
    -------
    Report
        That it adds up to one over each cell, that a cell's terms add up to its log-probability,
        that its draws are in its support and follow its density, and that its measure is that of
        its distribution. Of cells that depend on each other only support and measure are checked.
    """
    with isolated(seed), torch.no_grad():
        if not likelihood.built:
            likelihood.build(_EVENT)
        # Half the spread of a normal: of a beta with more, most lies beyond the last number < 1.
        eta = 0.5 * torch.randn(_OUTPUTS, likelihood.num_params(_EVENT), dtype=torch.double)
        family = likelihood(eta)
        drawn = family.sample((_DRAWS,))
        checks = [_check("event shape", float(tuple(family.event_shape) == _EVENT), 1.0, _EVENTS)]
        if not checks[0].passed:
            return Report(f"{likelihood!r}", checks, seed)
        checks += [
            _check("measure", float(_measure(family) == likelihood.measure), 1.0, _MEASURES),
            _check("draws", float(_inside(likelihood, drawn)), 1.0, _SUPPORTS),
        ]
        terms = column_log_prob(family, drawn)
        if terms is not None:
            whole = family.log_prob(drawn)
            apart = (terms.double().sum(-1) - whole.double()).abs().max()
            checks.append(_check("sum over cells", float(apart), 0.0, _SUMS))
            checks.append(_check("adds up to one", _log_z(family, drawn[0]), 0.0, _ONES))
            checks.append(_check_draws(family, drawn))
        elif (log_z := _log_z_of_data(likelihood, eta, drawn)) is not None:
            checks.append(_check("adds up to one", log_z, 0.0, _ONE))
    return Report(f"{likelihood!r}", checks, seed)


_EVENTS = "log p(x | z) is one number for a datum: all of its cells are one event"
_MEASURES = "the measure that it names is that of its distribution's support (1 if so)"
_SUPPORTS = "its own draws are in its support, as in_support has it (1 if all are)"
_SUMS = "log p(x | z) is the sum of the terms of its cells"
_ONE = "exp(log p(x | z)) adds up to one over x: the worst log of the integral, in nats"
_DRAWN = (
    "its draws follow its density: the mean of p(x_d | z) / (p(x_d | z) + c) over them is that "
    "by integration (the cell furthest from it)"
)
_ONES = "exp(log p(x_d | z)) adds up to one over x_d: the worst log of the integral, in nats"


def mark_apart(job: dict[str, Any]) -> dict[str, Any]:
    """Check in this process, which is its own, and return the report."""
    reference = reference_of(job["subject"])
    assert reference is not None
    report = mark(reference, num_particles=job["num_particles"], seed=job["seed"])
    return {
        "subject": report.subject,
        "seed": report.seed,
        "checks": [asdict(check) for check in report.checks],
    }


def _is_estimator(found: Any) -> bool:
    return inspect.isfunction(found) and len(_needed(found)) >= len(_ARGUMENTS) - 1


def _needed(found: Any) -> list[str]:
    """Arguments that have no default."""
    parameters = inspect.signature(found).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


def _check(name: str, value: float, expected: float, sentence: str) -> Check:
    passed = abs(value - expected) <= _ROUNDING
    return Check(name, _CELLS, sentence, passed, value, expected, math.nan)


def _measure(family: Any) -> str:
    return "counting" if family.support.is_discrete else "lebesgue"


def _inside(likelihood: Likelihood, drawn: torch.Tensor) -> bool:
    return bool(likelihood.in_support(drawn).all())


def _check_draws(family: Any, drawn: torch.Tensor) -> Check:
    """Hold draws ``(S, 8, 3)`` against the density, by a function of it between 0 and 1.

    The density of the first draw is the constant c.
    """

    def log_share(power: float, values: torch.Tensor) -> torch.Tensor:
        log_p = _terms(family, values)
        return log_p + power * torch.nn.functional.logsigmoid(log_p - level)

    level = _terms(family, drawn[0])
    log_z, mean, square = (
        log_integrals(partial(log_share, power), drawn[0].double(), family.support)
        for power in (0.0, 1.0, 2.0)
    )
    # Of a density that does not add up to one, the shape: what is wrong is said once.
    mean, square = (mean - log_z).exp(), (square - log_z).exp()
    found = torch.sigmoid(_terms(family, drawn[1:]) - level).mean(0)
    error = ((square - mean**2).clamp_min(0.0) / (len(drawn) - 1)).sqrt()
    allowed = error * stats.norm.isf(FALSE_ALARM / (2 * mean.numel())) + _ROUNDING
    # Not a number is no pass.
    worst = ((found - mean).abs() / allowed).nan_to_num(nan=math.inf).argmax()
    value, expected, spread, most = (
        float(t.flatten()[worst]) for t in (found, mean, error, allowed)
    )
    passed = abs(value - expected) <= most
    return Check("draws follow the density", _CELLS, _DRAWN, passed, value, expected, spread)


def _log_z_of_data(likelihood: Likelihood, eta: torch.Tensor, drawn: torch.Tensor) -> float | None:
    """Logarithm of the integral over a datum, where it is furthest from zero.

    For a distribution that has no terms of cells; None if they depend on each other.
    """
    found = []
    for output, rows in zip(eta, drawn[:2].double().unbind(1), strict=True):
        family: Any = likelihood(output)
        log_z = function_log_z(family.log_prob, rows, family.support)
        if log_z is None:
            return None
        found.append(log_z)
    return max(found, key=abs)


def _terms(family: Any, values: torch.Tensor) -> torch.Tensor:
    terms = column_log_prob(family, values)
    assert terms is not None
    return terms.double()


def _log_z(family: Any, here: torch.Tensor) -> float:
    """Logarithm of the integral over a cell, of the cell where it is furthest from zero."""

    def log_prob(values: torch.Tensor) -> torch.Tensor:
        return _terms(family, values)

    found = log_integrals(log_prob, here.double(), family.support).flatten()
    return float(found[found.abs().argmax()])
