"""How the grid of quadrature is refined, and what is said where it cannot be fine enough."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.errors import ProgramError
from pyro_vae.inference import quadrature
from pyro_vae.inference.evidence.quadrature import grid_integrals


def model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 0.5), obs=x)


def guide(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(x / 2, 0.6))


X = torch.tensor([0.3, -1.2])
EXACT = dist.Normal(0.0, math.sqrt(1.25)).log_prob(X)


def test_the_grid_is_refined_until_nothing_moves():
    found = quadrature(model, guide, X, tolerance=1e-6)
    assert found["log_evidence"].values == pytest.approx(EXACT.numpy(), abs=1e-5)
    known = grid_integrals(model, guide, X[:1], tolerance=1e-6)
    posterior = dist.Normal(X[0] / 1.25, math.sqrt(0.2))
    kl = torch.distributions.kl_divergence(dist.Normal(X[0] / 2, 0.6), posterior)
    assert known.log_evidence == pytest.approx(float(EXACT[0]), abs=1e-5)
    assert known.kl == pytest.approx(float(kl), abs=1e-5)
    assert known.mass == pytest.approx(1.0, abs=1e-5)
    assert known.points in (129, 257)


def test_a_grid_that_is_too_coarse_says_by_how_much_it_moves():
    with pytest.raises(ProgramError, match=r"still moves by [0-9.e-]+ nats on a grid of 129"):
        quadrature(model, guide, X, tolerance=1e-30, max_points=200)
    with pytest.raises(ProgramError, match="an integral over z still moves on a grid of 129"):
        grid_integrals(model, guide, X[:1], tolerance=1e-30, max_points=200)
    with pytest.raises(ValueError, match="max_points got 64: the coarsest grid"):
        quadrature(model, guide, X, max_points=64)
