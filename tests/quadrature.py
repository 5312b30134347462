"""The plane as a grid: integrals of densities of two dimensions, to compare with."""

import torch

#: Frequencies of the characteristic function by which draws are held against a density.
FREQUENCIES = torch.tensor([[0.7, 0.0], [0.0, 0.7], [1.0, 1.0], [0.5, -1.5]], dtype=torch.double)


def plane(half_width=12.0, points=601):
    """Points ``(points^2, 2)`` of a square grid about 0, and the area of its cells."""
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.double)
    step = float(axis[1] - axis[0])
    return torch.cartesian_prod(axis, axis), step**2


def waves(z):
    """cos(w z) and sin(w z) for every frequency w, ``(..., 8)``, from ``(..., 2)``."""
    angle = z @ FREQUENCIES.T
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
