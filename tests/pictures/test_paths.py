"""Paths through a latent space against SciPy and geometry."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import geometric_slerp

from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.pictures.paths import grid_of_quantiles, path_named, spherical, straight, traversal


@pytest.mark.parametrize("size", [2, 3, 20])
def test_unit_codes_against_scipy(size):
    start, end = torch.nn.functional.normalize(torch.randn(2, size, dtype=torch.double), dim=1)
    expected = geometric_slerp(start.numpy(), end.numpy(), np.linspace(0, 1, 7))
    np.testing.assert_allclose(spherical(start, end, 7), expected, atol=1e-12)


def test_ends_are_exact_angles_equal_and_norms_linear():
    start, end = 3 * torch.randn(5), 0.2 * torch.randn(5)
    for path in (straight, spherical):
        points = path(start, end, 9)
        assert torch.equal(points[0], start)
        assert torch.equal(points[-1], end)
    points = spherical(start.double(), end.double(), 9)
    norms = points.norm(dim=1)
    np.testing.assert_allclose(norms.diff(), (norms[-1] - norms[0]) / 8, atol=1e-12)
    units = points / norms.unsqueeze(1)
    angles = (units[1:] * units[:-1]).sum(1).clamp(-1, 1).acos()
    np.testing.assert_allclose(angles, angles.mean(), rtol=1e-7)
    total = (units[0] @ units[-1]).acos()
    assert angles.sum() == pytest.approx(float(total))
    steps = straight(start, end, 9).diff(dim=0)
    torch.testing.assert_close(steps, ((end - start) / 8).expand(8, 5))


def test_codes_of_one_direction_and_of_none():
    start = torch.tensor([1.0, 2.0])
    for end in (start, 3 * start, torch.zeros(2), start + 1e-6):
        torch.testing.assert_close(spherical(start, end, 5), straight(start, end, 5))
    for end in (-start, -0.5 * start):
        with pytest.raises(DataError, match="opposite directions"):
            spherical(start, end, 5)


def test_the_arc_tends_to_the_line_as_the_angle_closes():
    start, end = torch.tensor([1.0, 0.0]).double(), torch.tensor([1.0, 2e-4]).double()
    torch.testing.assert_close(
        spherical(start, end, 5), straight(start, end, 5), atol=1e-7, rtol=0
    )


def test_quantiles_against_scipy():
    grid = grid_of_quantiles(6)
    quantiles = stats.norm.ppf((np.arange(6) + 0.5) / 6)
    assert grid.shape == (6, 6, 2)
    for row in range(6):
        np.testing.assert_allclose(grid[row, :, 0], quantiles, rtol=1e-6)
        np.testing.assert_allclose(grid[:, row, 1], quantiles[::-1], rtol=1e-6)


def test_a_traversal_moves_one_coordinate():
    code = torch.tensor([0.5, -1.0, 2.0])
    points = traversal(code, 1, 2.0, 5)
    torch.testing.assert_close(points[:, 1], torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]))
    assert torch.equal(points[:, [0, 2]], code[[0, 2]].expand(5, 2))
    assert torch.equal(code, torch.tensor([0.5, -1.0, 2.0]))


def test_refusals():
    one = torch.ones(3)
    for call, message in (
        (lambda: straight(one, one, 1), "steps got 1"),
        (lambda: spherical(one, torch.ones(2), 3), r"\(3,\) and \(2,\)"),
        (lambda: traversal(one, 3, 1.0, 5), "dimension got 3"),
        (lambda: traversal(one, 0, math.nan, 5), "span got nan"),
        (lambda: grid_of_quantiles(0), "n got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(UnknownNameError, match="spherical"):
        path_named("sphere")
