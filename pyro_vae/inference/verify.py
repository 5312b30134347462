"""Does an objective, or an estimator of log p(x), do what it says? Named checks on known models.

Each check is an identity that every right implementation satisfies, tested where the exact
value is known. Tolerances are in standard errors, set so that all the checks of a report
together raise a false alarm with probability ``FALSE_ALARM``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from pyro.infer import ELBO
from scipy import stats

from pyro_vae.inference.known_models import known_models

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.known_models import KnownModel
    from pyro_vae.inference.weights import Program

__all__ = ["FALSE_ALARM", "Check", "Estimator", "Report", "verify"]

#: From (model, guide, x, num_particles) to estimates of log p(x) per datum, ``(n,)``.
Estimator: TypeAlias = Callable[["Program", "Program", "Tensor", int], "Tensor"]

#: Probability that a right implementation fails any check of a report, at most.
FALSE_ALARM = 1e-4

#: Evaluations of each quantity, and copies of the data in each.
_CALLS, _COPIES = 24, 37

#: Numbers of particles that few chunk sizes divide.
_AWKWARD = (1, 7, 100, 130, 257, 1000)

_TESTS = 64  # no report has more checks: the Bonferroni divisor of the false alarm

_ROUNDING = 1e-5


@dataclass(frozen=True)
class Check:
    """One identity on one model.

    Attributes
    ----------
    name
        Name of the identity.
    model
        Name of the known model.
    sentence
        What must hold, in words.
    passed
        Whether it does.
    value, expected
        What was found, and what is right, in nats.
    standard_error
        Of their difference; NaN where there is none.
    """

    name: str
    model: str
    sentence: str
    passed: bool
    value: float
    expected: float
    standard_error: float


@dataclass(frozen=True)
class Report:
    """The checks of one objective or estimator.

    Attributes
    ----------
    subject
        What was checked.
    checks
        All of them.
    seed
        Seed of the draws.
    """

    subject: str
    checks: list[Check]
    seed: int

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def __str__(self) -> str:
        good = sum(check.passed for check in self.checks)
        lines = [
            f"{self.subject}: {good} of {len(self.checks)} checks passed "
            f"(seed {self.seed}, false alarm below {FALSE_ALARM:g} in all)"
        ]
        for check in self.checks:
            mark = "passed" if check.passed else "FAILED"
            lines.append(f"  {mark}  {check.name} [{check.model}]: {check.sentence}")
            if not check.passed:
                lines.append(
                    f"          got {check.value:.5g}, expected {check.expected:.5g}, "
                    f"standard error {check.standard_error:.2g}"
                )
        return "\n".join(lines)


def verify(subject: ELBO | Estimator, *, num_particles: int = 5, seed: int = 0) -> Report:
    """Run an objective, or an estimator of log p(x), against models whose answer is known.

    Parameters
    ----------
    subject
        A Pyro ``ELBO``, whose ``loss(model, guide, x)`` is minus a lower bound on log p(x)
        summed over data, which is the ELBO at one particle; or a function of ``(model, guide,
        x, num_particles)`` that gives importance-sampled log p(x) per datum, so that its
        exponential is unbiased.
    num_particles
        Particles where the checks need several; at least 2.
    seed
        Seed of the draws.

    Returns
    -------
    Report
        Every check, passed or not, with its numbers. An objective that is no bound by design,
        such as one with an annealed KL, fails those checks that it is meant to.

    Examples
    --------
    >>> from pyro.infer import Trace_ELBO
    >>> verify(Trace_ELBO()).passed
    True
    """
    if num_particles < 2:
        raise ValueError(f"num_particles got {num_particles}: the checks need 2 or more")
    is_objective = isinstance(subject, ELBO)
    if not is_objective and not callable(subject):
        raise TypeError(
            f"subject got {type(subject).__name__}: give a pyro.infer.ELBO, or a function of "
            "(model, guide, x, num_particles)"
        )
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        checks = (
            _check_objective(subject, num_particles)
            if isinstance(subject, ELBO)
            else _check_estimator(subject, num_particles)
        )
    name = type(subject).__name__ if is_objective else getattr(subject, "__name__", "estimator")
    return Report(name, checks, seed)


# Objectives --------------------------------------------------------------------------------


def _check_objective(objective: ELBO, num_particles: int) -> list[Check]:
    checks = []
    for known in known_models():
        at = _Objective(objective, known)
        one, several = at(1), at(num_particles)
        log_px, elbo = float(known.log_px.sum()), float(known.elbo.sum())
        checks += [
            _equal(
                "one particle",
                known,
                one,
                elbo,
                "with one particle the expected value is the ELBO, summed over data",
            ),
            _below(
                "lower bound",
                known,
                several,
                log_px,
                f"with {num_particles} particles the expected value is at most log p(x)",
            ),
            _above(
                "never looser",
                known,
                several,
                elbo,
                f"with {num_particles} particles the expected value is at least the ELBO",
            ),
        ]
        if known.exact_posterior is not None:
            checks.append(
                _equal(
                    "tight at the posterior",
                    known,
                    at(num_particles, exact=True),
                    log_px,
                    "where the guide is the posterior, every bound is log p(x)",
                )
            )
    known = known_models()[0]
    at = _Objective(objective, known)
    first, second = slice(0, 4), slice(4, 8)
    for name, k, sentence in (
        ("sum over data", 1, "the value on all data is the sum of those on two halves"),
        (
            "independent data",
            num_particles,
            f"so it is with {num_particles} particles: weights are each datum's own",
        ),
    ):
        parts = at(k, rows=first) + at(k, rows=second)
        checks.append(_equal(name, known, at(k) - parts, 0.0, sentence))
    backwards = at(num_particles, rows=slice(None, None, -1))
    checks.append(
        _equal(
            "order of the data",
            known,
            at(num_particles) - backwards,
            0.0,
            "the value does not depend on the order of the data",
        )
    )
    halves = [at(num_particles, rows=rows, subsampled=True) for rows in (first, second)]
    checks.append(
        _equal(
            "scale outside the logarithm",
            known,
            (halves[0] + halves[1]) / 2 - at(num_particles),
            0.0,
            "averaged over subsamples, the value in a subsampled plate is that on all data",
        )
    )
    return checks


class _Objective:
    """Evaluations of an objective on one known model."""

    def __init__(self, objective: ELBO, known: KnownModel) -> None:
        self.objective = objective
        self.known = known

    def __call__(
        self,
        num_particles: int,
        *,
        rows: slice | None = None,
        exact: bool = False,
        subsampled: bool = False,
    ) -> Tensor:
        """Independent values, each the mean over copies of the data, ``(_CALLS,)``."""
        x = self.known.x
        if rows is not None:
            x = x[
                torch.arange(len(x))[:: rows.step or 1]
                if rows.step != -1
                else torch.arange(len(x) - 1, -1, -1)
            ][rows if rows.step is None else slice(None)]
        size = len(self.known.x) * _COPIES if subsampled else None
        model, guide = self.known.model(size), self.known.guide(size, exact=exact)
        # One after the other, so that a short last batch holds other data than the first.
        x = x.repeat_interleave(_COPIES, dim=0)
        objective = copy.copy(self.objective)
        objective.num_particles = num_particles
        values = [-objective.loss(model, guide, x) / _COPIES for _ in range(_CALLS)]
        return torch.tensor(values, dtype=torch.double)


# Estimators --------------------------------------------------------------------------------
