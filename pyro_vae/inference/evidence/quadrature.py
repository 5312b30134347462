"""Log p(x) by quadrature, for one or two latent dimensions: an oracle for the estimators.

The trapezoidal rule on a grid that covers both the prior's draws and the guide's, which for
smooth integrands that vanish at the ends converges faster than any power of the spacing
(Trefethen & Weideman, 2014). The grid is refined until log p(x) no longer moves.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.inference.evidence.result import evidence_result
from pyro_vae.inference.inputs import count, take
from pyro_vae.inference.latent_space import LatentSpace
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor

    from pyro_vae.inference.inputs import Inputs
    from pyro_vae.inference.traces import Program

__all__ = ["GridIntegrals", "grid_integrals", "quadrature"]

#: Draws that say how far the grid reaches, and how far beyond the outermost it goes.
_PILOT, _MARGIN = 2000, 0.5

#: Points of the grid at a time.
_CHUNK = 2**14


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
    """
    began = time.perf_counter()
    values, points = [], 0
    for row in range(count(x)):
        datum = take(x, slice(row, row + 1))
        with isolated(seed), torch.no_grad():
            space = LatentSpace(
                model, guide, datum, enumerate_discrete=enumerate_discrete, data_plate=data_plate
            )
            if space.size > 2:
                raise ProgramError(
                    f"the latent sites have {space.size} dimensions: quadrature takes one or two; "
                    "use importance sampling or annealed importance sampling"
                )
            value, used = _integrate(space, tolerance, max_points)
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
        low, high = _box(space)
        side, before = 65, GridIntegrals(math.nan, math.nan, math.nan, 0)
        while side**space.size <= max_points:
            found = _guide_on_grid(space, low, high, side)
            if all(abs(a - b) < tolerance for a, b in zip(found[:3], before[:3], strict=True)):
                return found
            before, side = found, 2 * side - 1
    raise ProgramError(f"an integral over z still moves on a grid of {before.points} points")


def _guide_on_grid(space: LatentSpace, low: Tensor, high: Tensor, side: int) -> GridIntegrals:
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
    return GridIntegrals(float(log_evidence), kl, mass, len(grid))


def _integrate(space: LatentSpace, tolerance: float, max_points: int) -> tuple[float, int]:
    """Log of the integral for one datum, and the number of points that it took."""
    low, high = _box(space)
    side, before = 65, float("nan")
    while side**space.size <= max_points:
        value = _trapezoid(space, low, high, side)
        if abs(value - before) < tolerance:
            return value, side**space.size
        before, side = value, 2 * side - 1
    raise ProgramError(
        f"log p(x) still moves by {abs(value - before):g} nats on a grid of {max_points} points: "
        "the posterior is too narrow for its grid; raise max_points or tolerance"
    )


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


def _trapezoid(space: LatentSpace, low: Tensor, high: Tensor, side: int) -> float:
    grid, log_cell = _grid(low, high, side)
    parts = [
        (found.log_prior + found.log_likelihood + found.log_det).double().logsumexp(0)
        for found in (space.densities(part) for part in grid.split(_CHUNK))
    ]
    return float(torch.cat(parts).logsumexp(0) + log_cell)
