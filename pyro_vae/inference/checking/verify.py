"""Does an objective, or an estimator of log p(x), do what it says? Named checks on known models.

Each check is an identity that every right implementation satisfies, tested where the exact
value is known. Tolerances are in standard errors, set so that all the checks of a report
together raise a false alarm with probability ``FALSE_ALARM``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from pyro.infer import ELBO
from scipy import stats

from pyro_vae.inference.checking.known_models import far_from_the_prior, known_models
from pyro_vae.isolation import isolated
from pyro_vae.protocols import Facts
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.checking.known_models import KnownModel
    from pyro_vae.inference.engine.traces import Program

__all__ = ["FALSE_ALARM", "Check", "Estimator", "Report", "verify"]

#: From (model, guide, x, num_particles) to estimates of log p(x) per datum, ``(n,)``.
Estimator: TypeAlias = Callable[["Program", "Program", "Tensor", int], "Tensor"]

#: Probability that a right implementation fails any check of a report, at most.
FALSE_ALARM = 1e-4

#: Evaluations of each quantity, and copies of the data in each: 264 rows, of which few batch
#: sizes leave nothing over.
_CALLS, _COPIES = 24, 33

#: Repeats of an estimate per datum.
_REPEATS = 100

#: Particles of a check that passes over several chunks, and that clipped weights do not survive.
_MANY = 1000

#: Numbers of particles that few chunk sizes divide.
_AWKWARD = (1, 7, 100, 130, 257, 1000)

_TESTS = 64  # no report compares more numbers: the Bonferroni divisor of the false alarm

_ROUNDING = 1e-5

_SHAPE = "one number per datum"


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


@verb
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
    with torch.no_grad(), isolated(seed):
        checks = (
            _check_objective(subject, num_particles)
            if isinstance(subject, ELBO)
            else _check_estimator(subject, num_particles)
        )
    name = Facts(subject).name
    return Report(name, checks, seed)


def _check_objective(objective: ELBO, num_particles: int) -> list[Check]:
    checks = []
    several = f"with {num_particles} particles the expected value is"
    for known in known_models():
        test = _Tests(known)
        log_px, elbo = float(known.log_px.sum()), float(known.elbo.sum())
        one = _values(objective, known, 1)
        many = _values(objective, known, num_particles)
        sentence = "with one particle the expected value is the ELBO, summed over data"
        checks += [
            test.equal("one particle", one, elbo, sentence),
            test.at_most("lower bound", many, log_px, f"{several} at most log p(x)"),
            test.at_least("never looser", many, elbo, f"{several} at least the ELBO"),
        ]
        if known.exact_posterior is not None:
            exact = _values(objective, known, num_particles, exact=True)
            sentence = "where the guide is the posterior, every bound is log p(x)"
            checks.append(test.equal("tight at the posterior", exact, log_px, sentence))
    return checks + _check_composition(objective, num_particles)


def _check_composition(objective: ELBO, num_particles: int) -> list[Check]:
    """How the value on all data is made of those on some."""
    known = known_models()[0]
    test = _Tests(known)
    rows = torch.arange(len(known.x))
    halves = rows.chunk(2)
    one, many = (_values(objective, known, k) for k in (1, num_particles))
    in_parts = sum(_values(objective, known, 1, half) for half in halves)
    # Weights shared by a batch loosen the bound slowly: many particles show it best.
    alone = _values(objective, known, 4 * num_particles, copies=1, calls=4 * _CALLS)
    crowded = _values(objective, known, 4 * num_particles, calls=4 * _CALLS)
    backwards = _values(objective, known, num_particles, rows.flip(0))
    subsampled = [_values(objective, known, num_particles, h, subsampled=True) for h in halves]
    return [
        test.equal(
            "sum over data",
            one - in_parts,
            0.0,
            "the value on all data is the sum of those on two halves",
        ),
        test.equal(
            "independent data",
            alone - crowded,
            0.0,
            f"with {4 * num_particles} particles, what a datum adds does not depend on how many "
            "others are in the batch",
        ),
        test.equal(
            "order of the data",
            many - backwards,
            0.0,
            "the value does not depend on the order of the data",
        ),
        test.equal(
            "scale outside the logarithm",
            (subsampled[0] + subsampled[1]) / 2 - many,
            0.0,
            "averaged over subsamples, the value in a subsampled plate is that on all data",
        ),
    ]


def _values(
    objective: ELBO,
    known: KnownModel,
    num_particles: int,
    rows: Tensor | None = None,
    *,
    exact: bool = False,
    subsampled: bool = False,
    copies: int = _COPIES,
    calls: int = _CALLS,
) -> Tensor:
    """Independent values of an objective, each the mean over copies of the data, ``(calls,)``."""
    x = known.x if rows is None else known.x[rows]
    # Copies of a datum stand together: a short last batch holds other data than the first.
    x = x.repeat_interleave(copies, dim=0)
    size = len(known.x) * copies if subsampled else None
    model, guide = known.model(size), known.guide(size, exact=exact)
    objective = _with_particles(objective, num_particles)
    values = [-objective.loss(model, guide, x) / copies for _ in range(calls)]
    return torch.tensor(values, dtype=torch.double)


def _with_particles(objective: ELBO, num_particles: int) -> ELBO:
    """The same objective with another number of particles."""
    twin = copy.copy(objective)
    if objective.vectorize_particles and objective.num_particles == 1 < num_particles:
        twin.max_plate_nesting += 1  # as ELBO's constructor makes room for a plate of particles
    twin.num_particles = num_particles
    return twin


def _check_estimator(estimator: Estimator, num_particles: int) -> list[Check]:
    checks = []
    for known in known_models(discrete=True):
        test = _Tests(known)
        size = len(known.x)
        x = known.x.repeat_interleave(_REPEATS, dim=0)
        estimate = torch.as_tensor(estimator(known.model(), known.guide(), x, num_particles))
        shape = tuple(estimate.shape)
        good = shape == (len(x),) and bool(estimate.isfinite().all())
        sentence = f"{len(x)} data give {len(x)} finite numbers (here shape {shape})"
        checks.append(test.exactly(_SHAPE, float(good), 1.0, sentence))
        if not good:
            continue
        # Independent repeats ``(R,)`` of what is summed over data.
        estimate = estimate.double().reshape(size, _REPEATS)
        many = torch.as_tensor(estimator(known.model(), known.guide(), x, _MANY)).double()
        ratio, ratio_many = (
            (values.reshape(size, _REPEATS) - known.log_px.unsqueeze(-1)).exp().mean(0)
            for values in (estimate, many)
        )
        total = estimate.sum(0)
        log_px, elbo = float(known.log_px.sum()), float(known.elbo.sum())
        few = f"with {num_particles} particles"
        nearer = abs(total.mean() - log_px) < abs(total.mean() + log_px)
        checks += [
            test.exactly("sign", float(nearer), 1.0, "estimates are near log p(x), not minus it"),
            test.equal("unbiased", ratio, 1.0, f"exp(estimate) / p(x) is 1 on average, {few}"),
            test.equal(
                "unbiased with many",
                ratio_many,
                1.0,
                f"exp(estimate) / p(x) is 1 on average, with {_MANY} particles",
            ),
            test.at_most("lower bound", total, log_px, f"on average at most log p(x), {few}"),
            test.at_least("never looser", total, elbo, f"on average at least the ELBO, {few}"),
        ]
        if known.exact_posterior is not None:
            checks += _check_exact(estimator, known)
    if all(check.passed for check in checks if check.name == _SHAPE):
        checks.append(_check_far(estimator))
    return checks


def _check_exact(estimator: Estimator, known: KnownModel) -> list[Check]:
    """Where the guide is the posterior, every weight is p(x): no noise to hide behind."""
    name = "number of particles"
    found = {k: _at_posterior(estimator, known, name, k) for k in _AWKWARD}
    worst = max(found, key=lambda k: _severity(found[k]))
    sentence = (
        f"log p(x) at the posterior with {', '.join(map(str, _AWKWARD))} particles "
        f"(worst: {worst}), whatever divides them"
    )
    order = _at_posterior(estimator, known, "order of the data", 7, flipped=True)
    each = "each datum keeps its own estimate when the order changes"
    return [replace(found[worst], sentence=sentence), replace(order, sentence=each)]


def _check_far(estimator: Estimator) -> Check:
    """A density that no float holds, the logarithm of which is an ordinary number."""
    known = far_from_the_prior()
    sentence = f"log p(x) at the posterior where it is near {float(known.log_px.mean()):.0f} nats"
    return replace(_at_posterior(estimator, known, "underflow", 7), sentence=sentence)


def _at_posterior(
    estimator: Estimator,
    known: KnownModel,
    name: str,
    num_particles: int,
    *,
    flipped: bool = False,
) -> Check:
    """What an estimator errs by where the guide is the posterior, in nats.

    Nothing, where all draws are the guide's. One that also draws elsewhere, as a defensive one
    does, has noise here too: then it is its mean over many repeats that must be right. With
    ``flipped`` each datum is held to it by itself, the data in the other order.
    """
    test, model, guide = _Tests(known), known.model(), known.guide(exact=True)

    def errors(repeats: int) -> Tensor:
        x = known.x.repeat_interleave(repeats, dim=0)
        found = torch.as_tensor(estimator(model, guide, x, num_particles))
        if flipped:  # after the usual order, which an estimator may have kept in mind
            found = torch.as_tensor(estimator(model, guide, x.flip(0), num_particles)).flip(0)
        return found.double().reshape(-1, repeats) - known.log_px.unsqueeze(-1)

    once = errors(1).flatten()
    worst = float(once[once.abs().argmax()])
    if abs(worst) <= _ROUNDING or not math.isfinite(worst):
        return test.exactly(name, worst, 0.0, "")
    ratios = errors(_REPEATS).exp()
    rows = ratios if flipped else ratios.mean(0, keepdim=True)
    return max((test.equal_in_nats(name, row) for row in rows), key=_severity)


def _severity(check: Check) -> tuple[bool, float]:
    """What the worst of several checks is the largest by."""
    return not check.passed, abs(check.value)


@dataclass(frozen=True)
class _Tests:
    """Comparisons of independent values with a number, at the level of the whole report."""

    known: KnownModel

    def equal(self, name: str, values: Tensor, expected: float, sentence: str) -> Check:
        return self._compare(name, values, expected, sentence, below=True, above=True)

    def at_most(self, name: str, values: Tensor, expected: float, sentence: str) -> Check:
        return self._compare(name, values, expected, sentence, above=True)

    def at_least(self, name: str, values: Tensor, expected: float, sentence: str) -> Check:
        return self._compare(name, values, expected, sentence, below=True)

    def equal_in_nats(self, name: str, ratios: Tensor) -> Check:
        """Whether ratios are one on average; said of the logarithm of their mean."""
        check = self.equal(name, ratios, 1.0, "")
        error = check.standard_error / check.value if check.value else math.nan
        value = float(ratios.mean().log())
        return replace(check, value=value, expected=0.0, standard_error=error)

    def exactly(self, name: str, value: float, expected: float, sentence: str) -> Check:
        passed = abs(value - expected) <= _ROUNDING
        return Check(name, self.known.name, sentence, passed, value, expected, math.nan)

    def _compare(
        self,
        name: str,
        values: Tensor,
        expected: float,
        sentence: str,
        *,
        below: bool = False,
        above: bool = False,
    ) -> Check:
        """Student's t test; ``below`` and ``above`` say which departures fail."""
        value = float(values.mean())
        error = float(values.std()) / math.sqrt(len(values))
        level = FALSE_ALARM / _TESTS / (below + above)
        allowed = float(stats.t(len(values) - 1).isf(level)) * error
        allowed += _ROUNDING * max(1.0, abs(expected))
        departure = value - expected
        # Not a number is no pass.
        passed = (departure <= allowed or not above) and (departure >= -allowed or not below)
        passed = passed and math.isfinite(value)
        return Check(name, self.known.name, sentence, passed, value, expected, error)
