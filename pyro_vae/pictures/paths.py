"""Where in a latent space to look: lines and arcs between codes, grids, and walks along one axis.

Tensors of codes in, tensors of codes out; no model. Arcs are those of Shoemake (1985),
"Animating rotation with quaternion curves", SIGGRAPH; the grid is that of Kingma & Welling
(2014), arXiv 1312.6114, figure 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["grid_of_quantiles", "path_named", "spherical", "straight", "traversal"]

# Below it, in radians, rounding decides on the arc.
_SMALLEST_ANGLE = 1e-4


def straight(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points at equal distances on the line between two codes, ends included.

    Parameters
    ----------
    start, end
        Codes ``(L,)``.
    steps
        Number of points, at least 2.

    Returns
    -------
    Tensor
        Shape ``(steps, L)``.
    """
    _check(start, end, steps)
    share = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device).unsqueeze(-1)
    return _with_ends((1 - share) * start + share * end, start, end)


def spherical(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points at equal angles on the arc between two codes, ends included.

    The direction turns at constant speed (Shoemake, 1985), and the norm goes linearly from one
    code's to the other's: between two draws of a wide normal, whose norms are close to
    sqrt(L), the path keeps to that shell, which a straight line leaves. Codes of one direction
    are joined by the straight line, which is the limit of the arc; so is a code of zero.

    Parameters
    ----------
    start, end, steps
        As for ``straight``.

    Returns
    -------
    Tensor
        Shape ``(steps, L)``.

    Raises
    ------
    DataError
        If the codes are opposite: every half-circle is then an arc between them.
    """
    _check(start, end, steps)
    norms = start.norm(), end.norm()
    if min(norms) == 0:
        return straight(start, end, steps)
    directions = start / norms[0], end / norms[1]
    # Kahan's angle, exact to rounding where the cosine is flat.
    angle = 2 * torch.atan2(
        (directions[0] - directions[1]).norm(), (directions[0] + directions[1]).norm()
    )
    if angle < _SMALLEST_ANGLE:
        return straight(start, end, steps)
    if torch.pi - angle < _SMALLEST_ANGLE:
        raise DataError(
            "start and end are codes in opposite directions, between which no arc is shorter "
            "than the others: take the straight path, or another pair"
        )
    share = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device).unsqueeze(-1)
    turned = ((1 - share) * angle).sin() * directions[0] + (share * angle).sin() * directions[1]
    norm = (1 - share) * norms[0] + share * norms[1]
    return _with_ends(norm * turned / angle.sin(), start, end)


def path_named(name: str) -> Callable[[Tensor, Tensor, int], Tensor]:
    """``straight`` or ``spherical``, by its name."""
    paths = {"straight": straight, "spherical": spherical}
    if name not in paths:
        raise UnknownNameError("path", name, paths)
    return paths[name]


def grid_of_quantiles(n: int) -> Tensor:
    """Grid of two-dimensional codes that divides the standard normal into equal masses.

    Coordinates are the normal's quantiles at (i - 1/2) / n, i = 1, ..., n.

    Parameters
    ----------
    n
        Number of points along each axis.

    Returns
    -------
    Tensor
        Shape ``(n, n, 2)``: z_1 rises along a row, z_2 from the last row to the first, as on the
        axes of a plot.
    """
    if n < 1:
        raise ValueError(f"n got {n}: it must be at least 1, and 15 fills a page")
    quantiles = torch.special.ndtri((torch.arange(n, dtype=torch.double) + 0.5) / n).float()
    vertical, horizontal = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    return torch.stack([horizontal, vertical], dim=-1)


def traversal(code: Tensor, dimension: int, span: float, steps: int) -> Tensor:
    """A code with one coordinate set to equally spaced values from -span to span.

    Parameters
    ----------
    code
        Shape ``(L,)``.
    dimension
        Which coordinate moves, from 0.
    span
        Largest value of that coordinate; positive.
    steps
        Number of values, at least 2.

    Returns
    -------
    Tensor
        Shape ``(steps, L)``.
    """
    _check(code, code, steps)
    if not 0 <= dimension < len(code):
        raise ValueError(f"dimension got {dimension}: the code has 0 to {len(code) - 1}")
    if not span > 0:
        raise ValueError(f"span got {span}: it must be positive; 3 is wide for a standard normal")
    points = code.repeat(steps, 1)
    points[:, dimension] = torch.linspace(-span, span, steps).to(code)
    return points


def _check(start: Tensor, end: Tensor, steps: int) -> None:
    if start.dim() != 1 or start.shape != end.shape:
        raise DataError(
            f"codes got shapes {tuple(start.shape)} and {tuple(end.shape)}: both must be (L,), "
            "one code each"
        )
    if steps < 2:
        raise ValueError(f"steps got {steps}: it must be at least 2, the two ends")


def _with_ends(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The ends to the bit, whatever was rounded."""
    return torch.cat([start[None], points[1:-1], end[None]])
