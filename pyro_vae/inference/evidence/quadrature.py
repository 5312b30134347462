"""Log p(x) by quadrature, for one or two latent dimensions: an oracle for the estimators.

The trapezoidal rule on a grid that covers both the prior's draws and the guide's, which for
smooth integrands that vanish at the ends converges faster than any power of the spacing
(Trefethen & Weideman, 2014). The grid is refined until log p(x) no longer moves.
"""

from __future__ import annotations

import functools
import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.inputs import count, take
from pyro_vae.inference.evidence.latent_space import LatentSpace
from pyro_vae.inference.evidence.result import evidence_result
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["GridIntegrals", "grid_integrals", "quadrature"]

#: Draws that say how far the grid reaches, and how far beyond the outermost it goes.
_PILOT, _MARGIN = 2000, 0.5

#: Points of the coarsest grid along each dimension, and of any grid that are taken at a time.
_COARSEST, _CHUNK = 65, 2**14


@verb
@takes_data("x")
def quadrature(
    model: Program,
    guide: Program,
    x: Inputs,
    *,
    tolerance: float = 1e-4,
    max_points: int = 2**20,
    seed: int = 0,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
) -> xr.Dataset:
    """Log p(x) = log of the integral of p(x, z) over one or two latent coordinates.

    Parameters
    ----------
    model, guide, x, enumerate_discrete, data_plate
        As for ``log_weights``; together the latent sites have one or two dimensions.
    tolerance
        Largest change of any log p(x), in nats, when the spacing is halved, at which the grid
        counts as fine enough.
    max_points
        Most points of the grid.
    seed
        Seed of the draws that say how far the grid reaches.

    Returns
    -------
    Dataset
        ``log_evidence``, exact to ``tolerance``, and ``log_evidence_se`` of zero, dimension
        ``datum``.

    Raises
    ------
    ProgramError
        If there are more than two latent dimensions, or the grid has ``max_points`` and
        log p(x) still moves.
    ValueError
        If ``max_points`` is fewer than the coarsest grid has.
    """
    began = time.perf_counter()
    values, points = [], 0
    of_row = _spaces(model, guide, x, enumerate_discrete, data_plate)
    for row in range(count(x)):
        with isolated(seed), torch.no_grad():
            space = of_row(row)
            if space.size > 2:
                raise ProgramError(
                    f"the latent sites have {space.size} dimensions: quadrature takes one or two; "
                    "use importance sampling or annealed importance sampling"
                )
            (value,), used, change = _refined(space, _trapezoid, tolerance, max_points)
        if not change < tolerance:
            raise ProgramError(
                f"log p(x) still moves by {change:g} nats on a grid of {used} points: the "
                "posterior is too narrow for its grid; raise max_points or tolerance"
            )
        values.append(value)
        points = max(points, used)
    return evidence_result(
        np.array(values),
        np.zeros(len(values)),
        estimator="quadrature",
        bound="exact",
        num_particles=points,
        seconds=time.perf_counter() - began,
        seed=seed,
        tolerance=tolerance,
    )


def _spaces(
    model: Program, guide: Program, x: Inputs, enumerate_discrete: bool, data_plate: str | None
) -> Callable[[int], LatentSpace]:
    """From the row of a datum to its latent space."""
    make = functools.partial(
        LatentSpace,
        model,
        guide,
        enumerate_discrete=enumerate_discrete,
        data_plate=data_plate,
    )
    with isolated(), torch.no_grad():
        of_all = make(x)
    if of_all.whole:
        return of_all.of_row
    return lambda row: make(take(x, slice(row, row + 1)))


class GridIntegrals(NamedTuple):
    """What a grid over the latent space knows of one datum and a guide, in nats.

    Attributes
    ----------
    log_evidence
        log p(x) = log of the integral of p(x, z).
    kl
        KL(q(z|x) || p(z|x)).
    mass
        The integral of q(z|x), which is 1 for a density.
    points
        Points of the grid.
    """

    log_evidence: float
    kl: float
    mass: float
    points: int


def grid_integrals(
    model: Program,
    guide: Program,
    x: Inputs,
    *,
    tolerance: float = 1e-5,
    max_points: int = 2**19,
    seed: int = 0,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
) -> GridIntegrals:
    """Log p(x), the KL from guide to posterior and the mass of the guide, by one grid.

    The arguments are those of ``quadrature``, for one datum; the grid is refined until none of
    the three moves by ``tolerance``.

    Raises
    ------
    ProgramError
        If there are more than two latent dimensions, or the grid has ``max_points`` and one of
        the integrals still moves.
    """
    with isolated(seed), torch.no_grad():
        space = LatentSpace(
            model, guide, x, enumerate_discrete=enumerate_discrete, data_plate=data_plate
        )
        if not 1 <= space.size <= 2:
            raise ProgramError(f"the latent sites have {space.size} dimensions, not one or two")
        integrals, points, change = _refined(space, _guide_on_grid, tolerance, max_points)
    if not change < tolerance:
        raise ProgramError(f"an integral over z still moves on a grid of {points} points")
    log_evidence, kl, mass = integrals
    return GridIntegrals(log_evidence, kl, mass, points)


def _guide_on_grid(
    space: LatentSpace, low: Tensor, high: Tensor, side: int
) -> tuple[float, float, float]:
    """Log p(x), the KL and the mass of the guide."""
    grid, log_cell = _grid(low, high, side)
    log_joint, log_guide = [], []
    for part in grid.split(_CHUNK):
        found = space.densities(part)
        log_joint.append((found.log_prior + found.log_likelihood + found.log_det).double())
        log_guide.append((space.log_guide(part) + found.log_det).double())
    log_p, log_q = torch.cat(log_joint), torch.cat(log_guide)
    log_evidence = log_p.logsumexp(0) + log_cell
    q = log_q.exp()
    # Far out q is 0 while log p(x, z) may be -inf: 0 log 0 = 0.
    ratio = torch.where(q > 0, log_q - log_p + log_evidence, 0.0)
    kl, mass = ((term.sum() * log_cell.exp()).item() for term in (q * ratio, q))
    return float(log_evidence), kl, mass


def _refined(
    space: LatentSpace,
    on_grid: Callable[[LatentSpace, Tensor, Tensor, int], tuple[float, ...]],
    tolerance: float,
    max_points: int,
) -> tuple[tuple[float, ...], int, float]:
    """Integrals for one datum, on grids that are refined until none of them moves.

    Returns
    -------
    tuple of float
        What ``on_grid`` gave of the finest grid.
    int
        Its points.
    float
        The largest change from the grid before, infinite where there was none.
    """
    low, high = _box(space)
    side, change = _COARSEST, math.inf
    if side**space.size > max_points:
        raise ValueError(
            f"max_points got {max_points}: the coarsest grid over {space.size} dimensions has "
            f"{side**space.size} points"
        )
    found = on_grid(space, low, high, side)
    while not change < tolerance and (2 * side - 1) ** space.size <= max_points:
        side = 2 * side - 1
        before, found = found, on_grid(space, low, high, side)
        changes = [abs(a - b) for a, b in zip(found, before, strict=True)]
        change = math.nan if any(map(math.isnan, changes)) else max(changes)
    return found, side**space.size, change


def _box(space: LatentSpace) -> tuple[Tensor, Tensor]:
    """Ends of the grid, from where the draws of prior and guide lie."""
    pilot = torch.cat([space.draw(_PILOT, prior=prior) for prior in (True, False)]).squeeze(1)
    low, high = pilot.min(0).values, pilot.max(0).values
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def _grid(low: Tensor, high: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Points ``(side^L, 1, L)``, and the log of the volume that belongs to each."""
    ends = zip(low.tolist(), high.tolist(), strict=True)
    axes = [torch.linspace(start, stop, side).to(low) for start, stop in ends]
    # Both ends are so far out that their half weights do not matter.
    log_cell = ((high - low) / (side - 1)).log().sum().double()
    return torch.cartesian_prod(*axes).reshape(-1, 1, len(low)), log_cell


def _trapezoid(space: LatentSpace, low: Tensor, high: Tensor, side: int) -> tuple[float]:
    """Log p(x) alone."""
    grid, log_cell = _grid(low, high, side)
    parts = [
        (found.log_prior + found.log_likelihood + found.log_det).double().logsumexp(0)
        for found in (space.densities(part) for part in grid.split(_CHUNK))
    ]
    return (float(torch.cat(parts).logsumexp(0) + log_cell),)
