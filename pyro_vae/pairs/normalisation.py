"""Whether what is called log p(x | z) adds up to one over x: by integrals over one cell at a time.

The cells of most likelihoods are independent given z, log p(x | z) = sum_j l_j(x_j), and then the
logarithm of the integral over x is a sum of logarithms of integrals over a cell. What is no
density, such as minus a squared error, is told by how much.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import constraints

from pyro_vae.errors import ProgramError
from pyro_vae.pairs.rows import innermost

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.pairs.given import Given

__all__ = [
    "cells_normalised",
    "function_log_z",
    "function_normalised",
    "log_integrals",
    "of_library",
]

#: What rounding, and integration by points, may make of log Z, and of each cell of it, in nats.
_SLACK, _SLACK_OF_A_CELL = 1e-3, 1e-4

#: Cells that are integrated over point by point; of more, only what has a closed form.
_CELLS = 256

#: Points that go through a function at once.
_AT_ONCE = 4096

#: Pairs of cells that say whether cells are independent, and cells that say what form they have.
_PAIRS, _LOOKED_AT = 8, 8

#: The class of whole numbers between two bounds.
_BOUNDED = type(constraints.integer_interval(0, 1))

#: Newton steps to the highest point of a density.
_NEWTON = 8

#: Counts are added up until they are so small beside the sum, and at most so many.
_TAIL, _COUNTS = 1e-9, 2**14


def of_library(whole: Any) -> bool:
    """Whether a distribution is PyTorch's or Pyro's own, which are normalised."""
    return type(whole).__module__.startswith(("torch.distributions.", "pyro.distributions."))


def cells_normalised(likelihood: Given, x: Tensor) -> str:
    """Hold a distribution whose cells are independent against its integrals.

    Parameters
    ----------
    likelihood
        That of these rows, with a log-probability for each cell.
    x
        Rows, where the integrals are centred.

    Returns
    -------
    str
        What was seen, as a sentence.

    Raises
    ------
    ProgramError
        If it does not add up to one.
    """
    whole = likelihood.whole
    if likelihood.inside < len(likelihood.event_shape):
        return (
            f"p(x | z) is {type(whole).__name__}, whose cells depend on each other: whether it "
            "adds up to one was not checked"
        )
    found = log_integrals(whole.log_prob, x, whole.support)
    total = found.reshape(len(x), -1).sum(1)
    return _judged(total[0].item(), found[0].numel(), "decode")


def function_normalised(
    log_density: Callable[[Tensor], Tensor], x: Tensor, support: Any, name: str
) -> str:
    """Hold a function log p(x | z), at one z, against its integral over x.

    Parameters
    ----------
    log_density
        From rows ``(N, ...)`` to log p(x | z) at one z, ``(N,)``, in nats.
    x
        Two rows, between which it is looked at.
    support
        Support of a cell, a constraint of PyTorch.
    name
        The argument that gave it.

    Returns
    -------
    str
        What was seen, as a sentence.

    Raises
    ------
    ProgramError
        If it does not add up to one.
    """
    cells = _cells_of(log_density, x, support)
    if cells is None:
        return (
            f"{name}: the cells of x depend on each other given z, so that whether p(x | z) adds "
            "up to one was not checked"
        )
    total = _over_all(cells, support)
    if total is None:
        return (
            f"{name}: whether p(x | z) of {len(cells.here)} cells adds up to one was not "
            "checked, having no closed form"
        )
    return _judged(total, len(cells.here), name)


def function_log_z(
    log_density: Callable[[Tensor], Tensor], x: Tensor, support: Any
) -> float | None:
    """Logarithm of the integral of exp(log_density) over whole rows, in nats.

    Parameters
    ----------
    log_density, x, support
        As for ``function_normalised``.

    Returns
    -------
    float or None
        None where the cells depend on each other, or are too many.
    """
    cells = _cells_of(log_density, x, support)
    return None if cells is None else _over_all(cells, support)


def _cells_of(log_density: Callable[[Tensor], Tensor], x: Tensor, support: Any) -> _Cells | None:
    """The function by cells, where they do not depend on each other."""
    cells = _Cells(log_density, x[0].reshape(-1), x)
    other = _other_values(cells.here, x[1].reshape(-1), support)
    if not _independent(cells.at, cells.here, other):
        return None
    if innermost(support) is constraints.real:
        # From the highest point rounding is least, which is relative to log p.
        return _Cells(log_density, _highest(cells), x)
    return cells


def _over_all(cells: _Cells, support: Any) -> float | None:
    """Logarithm of the integral over all cells; None of too many without a closed form."""
    found = _closed(cells, support)
    if found is None:
        if len(cells.here) > _CELLS:
            return None
        every = torch.arange(len(cells.here))
        found = log_integrals(lambda values: cells.moved(every, values), cells.here, support)
    return float(cells.level + found.sum())


class _Cells:
    """A function of whole rows as one of its cells, l_j(x_j) - l_j(here_j).

    Parameters
    ----------
    log_density
        Of rows ``(N, ...)``.
    here
        A datum, ``(D,)``.
    like
        Rows whose shape and type the function takes.

    Attributes
    ----------
    level
        Its value here.
    """

    def __init__(
        self, log_density: Callable[[Tensor], Tensor], here: Tensor, like: Tensor
    ) -> None:
        self.log_density, self.here, self.like = log_density, here.double(), like
        self.level = self.at(self.here.unsqueeze(0))[0]

    def at(self, rows: Tensor) -> Tensor:
        """Values at rows ``(N, D)``, in nats."""
        given = rows.to(self.like.dtype).reshape(-1, *self.like.shape[1:])
        return self.log_density(given).double()

    def moved(self, cells: Tensor, values: Tensor) -> Tensor:
        """What it gains by values ``(G, J)`` of cells ``(J,)``, one cell at a time."""
        found = []
        bunch = max(1, _AT_ONCE // len(values))
        for some, given in zip(cells.split(bunch), values.split(bunch, dim=1), strict=True):
            rows = self.here.expand(*given.shape, -1).clone()
            rows.scatter_(2, some.expand(given.shape).unsqueeze(2), given.unsqueeze(2))
            gained = self.at(rows.reshape(-1, len(self.here))) - self.level
            found.append(gained.reshape(given.shape))
        return torch.cat(found, dim=1)

    def of_every(self, values: Tensor) -> Tensor:
        """The same for all cells, values ``(G, D)``."""
        return self.moved(torch.arange(len(self.here)), values)


def _judged(log_z: float, cells: int, name: str) -> str:
    """A sentence on log Z, or its refusal."""
    if not math.isfinite(log_z):
        raise ProgramError(
            f"{name}: p(x | z) has no finite integral over x: say what values x may have, "
            "as in support=torch.distributions.constraints.unit_interval, or give a density"
        )
    if abs(log_z) > _SLACK + cells * _SLACK_OF_A_CELL:
        raise ProgramError(
            f"{name}: p(x | z) is no density: over x it adds up to exp(C) with C = {log_z:.4f} "
            "nats at the first row, so that what it gives is not log p(x); subtract C, which may "
            "hang on z, for example by taking a distribution such as Normal(mean, sigma), with "
            "its normalising constant, in the place of a squared error"
        )
    return f"p(x | z) adds up to one over x ({log_z:+.1e} nats at the first row)"


def _other_values(here: Tensor, there: Tensor, support: Any) -> Tensor:
    """A value of every cell that is not the one it has."""
    if innermost(support) is constraints.boolean:
        return 1 - here
    step = torch.ones_like(here)
    if isinstance(innermost(support), _BOUNDED):
        step = torch.where(here < innermost(support).upper_bound, 1, -1).to(here)
    if innermost(support) is constraints.unit_interval:
        step = torch.where(here > 0.5, -0.25, 0.25).to(here)
    return torch.where(there == here, here + step, there)


def _independent(at: Callable[[Tensor], Tensor], here: Tensor, other: Tensor) -> bool:
    """Whether l(x_i, x_j) - l(x_i) - l(x_j) + l = 0 for some pairs of cells."""
    size = len(here)
    if size == 1:
        return True
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(_PAIRS):
        i, j = torch.randperm(size, generator=generator)[:2].tolist()
        for cells in ([], [i], [j], [i, j]):
            row = here.clone()
            row[cells] = other[cells]
            rows.append(row)
    none, first, second, both = at(torch.stack(rows)).reshape(_PAIRS, 4).unbind(1)
    mixed = (both - first - second + none).abs()
    return bool((mixed <= 1e-5 * (1 + none.abs() + both.abs())).all())


def _parabola(cells: _Cells) -> tuple[Tensor, Tensor]:
    """Slope and curvature of every cell, as far as it is a parabola."""
    low, middle, high = cells.of_every(cells.here + _spread(-1.0, 1.0, 3, len(cells.here)))
    return (high - low) / 2, 2 * middle - low - high


def _highest(cells: _Cells) -> Tensor:
    """The datum at which every cell is highest, if all are parabolas; else where they were."""
    slope, precision = _parabola(cells)
    return torch.where(precision > 0, cells.here + slope / precision, cells.here)


def _closed(cells: _Cells, support: Any) -> Tensor | None:
    """Logarithms of the integrals over each cell where they have a closed form, else None.

    Two values are added; over the line, a parabola a normal density is; over [0, 1], a line is.
    """
    inner, size = innermost(support), len(cells.here)
    some = torch.arange(min(size, _LOOKED_AT))
    if inner is constraints.boolean:
        return cells.of_every(_spread(0.0, 1.0, 2, size)).logsumexp(0)
    if inner is constraints.unit_interval:
        if not _is_polynomial(cells.moved(some, _spread(0.1, 0.9, 5, len(some))), 1):
            return None
        low, high = cells.of_every(_spread(0.0, 1.0, 2, size))
        slope = high - low
        # log of the integral of exp(slope t): (e^slope - 1) / slope, and 1 at slope 0.
        safe = torch.where(slope.abs() < 1e-6, torch.ones_like(slope), slope)
        area = torch.where(slope.abs() < 1e-6, slope / 2, (torch.expm1(safe) / safe).log())
        return low + area
    if inner is constraints.real:
        looked = cells.moved(some, cells.here[some] + _spread(-1.0, 1.0, 5, len(some)))
        if not _is_polynomial(looked, 2):
            return None
        slope, precision = _parabola(cells)
        if not bool((precision > 0).all()):
            return torch.full_like(slope, math.inf)
        # slope t - precision t^2 / 2 integrates to a normal density's constant.
        return slope**2 / (2 * precision) + 0.5 * (2 * math.pi / precision).log()
    return None


def _is_polynomial(values: Tensor, degree: int) -> bool:
    """Whether values at equal steps, ``(G, J)``, are of a polynomial of such a degree."""
    left = values.diff(n=degree + 1, dim=0).abs()
    return bool((left <= 1e-4 * (1 + values.abs().max())).all())


def _spread(start: float, stop: float, points: int, cells: int) -> Tensor:
    return torch.linspace(start, stop, points, dtype=torch.double).unsqueeze(1).expand(-1, cells)


def log_integrals(log_prob: Callable[[Tensor], Tensor], here: Tensor, support: Any) -> Tensor:
    """Logarithm of the sum, or the integral, of exp(log_prob) over each cell.

    Parameters
    ----------
    log_prob
        From values ``(G, *cells)`` to as many log-densities, in nats.
    here
        Values where a density over the line is centred, ``(*cells)``.
    support
        Support of a cell.
    """
    inner = innermost(support)

    def at(values: Tensor) -> Tensor:
        values = values.reshape(-1, *(1,) * here.dim()).expand(-1, *here.shape)
        return log_prob(values.to(here.dtype)).double()

    if inner is constraints.boolean:
        return at(torch.tensor([0.0, 1.0])).logsumexp(0)
    if isinstance(inner, _BOUNDED):
        lower, upper = (torch.as_tensor(bound) for bound in (inner.lower_bound, inner.upper_bound))
        terms = at(torch.arange(int(lower.min()), int(upper.max()) + 1, dtype=torch.double))
        return terms.logsumexp(0)
    if inner.is_discrete:
        size = 64
        while True:
            terms = at(torch.arange(size, dtype=torch.double))
            total = terms.logsumexp(0)
            if size >= _COUNTS or bool((terms[-1] < total + math.log(_TAIL / size)).all()):
                return total
            size *= 2
    # The integral of f(t(u)) t'(u) by the trapezium rule, exact to rounding for smooth f.
    u = torch.linspace(-30.0, 30.0, 2401, dtype=torch.double)
    width = math.log(float(u[1] - u[0]))
    if inner is constraints.unit_interval:
        log_slope = torch.nn.functional.logsigmoid(u) + torch.nn.functional.logsigmoid(-u)
        t = torch.sigmoid(u)
    elif inner in (constraints.positive, constraints.nonnegative):
        t, log_slope = u.exp(), u
    else:
        return _over_the_line(log_prob, here)
    column = (-1, *(1,) * here.dim())
    inside = ((t > 0) & (t < 1)) if inner is constraints.unit_interval else t > 0
    terms = at(t[inside]) + log_slope[inside].reshape(column)
    return terms.nan_to_num(nan=-math.inf).logsumexp(0) + width


def _over_the_line(log_prob: Callable[[Tensor], Tensor], here: Tensor) -> Tensor:
    """The same over the whole line: about the highest point, on the scale of its curvature."""

    def at(values: Tensor) -> Tensor:
        return log_prob(values.to(here.dtype)).double()

    column = (-1, *(1,) * here.dim())
    u = torch.linspace(-10.0, 10.0, 201, dtype=torch.double).reshape(column)
    t = here.double() + torch.sinh(u)
    best = t.gather(0, at(t).argmax(0, keepdim=True))[0]
    step = 0.1 * (1 + (best - here).abs())
    for _ in range(_NEWTON):
        low, middle, high = at(torch.stack([best - step, best, best + step]))
        curvature = (2 * middle - low - high) / step**2
        curved = curvature > 0
        safe = torch.where(curved, curvature, torch.ones_like(curvature))
        newton = ((high - low) / (2 * step) / safe).clamp(-step, step)
        best = torch.where(curved, best + newton, best)
        scale = torch.where(curved, safe.rsqrt(), step)
        step = torch.minimum(step, scale)
    u = torch.linspace(-16.0, 16.0, 1601, dtype=torch.double)
    t = best + scale * torch.sinh(u).reshape(column)
    log_slope = (scale * torch.cosh(u).reshape(column)).log()
    return (at(t) + log_slope).logsumexp(0) + math.log(float(u[1] - u[0]))
