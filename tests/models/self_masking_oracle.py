"""Log p(x, m) of a linear-Gaussian story with self-masking, by quadrature, for tests.

z ~ Normal(0, 1), x_d | z ~ Normal(w_d z + b_d, s_d), m_d | x_d ~ Bernoulli(sigmoid(a_d + c_d x_d))
for chosen columns d. The integral over z is a sum over a grid, each missing cell's of its own.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import logsigmoid


class Story(NamedTuple):
    """Parameters, in float64: w, b, s of the D columns, a, c of the chosen ones."""

    weight: torch.Tensor
    bias: torch.Tensor
    scale: torch.Tensor
    intercept: torch.Tensor
    slope: torch.Tensor

    def simulate(self, rows, chosen, generator):
        """Whole data ``(rows, D)``, and which of their cells are observed."""
        z = torch.randn(rows, 1, generator=generator, dtype=torch.double)
        noise = torch.randn(rows, len(self.bias), generator=generator, dtype=torch.double)
        x = z * self.weight + self.bias + self.scale * noise
        observed = torch.ones_like(x, dtype=torch.bool)
        share = torch.sigmoid(self.intercept + self.slope * x[:, chosen])
        uniform = torch.rand(share.shape, generator=generator, dtype=torch.double)
        observed[:, chosen] = uniform < share
        return x, observed


def normal(x, loc, scale):
    """Log-density."""
    return -0.5 * ((x - loc) / scale) ** 2 - torch.log(scale) - 0.5 * math.log(2 * math.pi)


def log_missing(story, z, column, place, points, drawn=False):
    """Log P(m_d = 0 | z) of a chosen column, of the shape of z, by Gauss and Hermite.

    With ``drawn`` its bound E[log P(m_d = 0 | x_d)], x_d drawn from p(x_d | z).
    """
    nodes, weights = (torch.as_tensor(part) for part in np.polynomial.hermite_e.hermegauss(points))
    mean = story.weight[column] * z + story.bias[column]
    x = mean.unsqueeze(-1) + story.scale[column] * nodes
    logit = story.intercept[place] + story.slope[place] * x
    log_weights = weights.log() - 0.5 * math.log(2 * math.pi)
    if drawn:
        return (logsigmoid(-logit) * log_weights.exp()).sum(-1)
    return (logsigmoid(-logit) + log_weights).logsumexp(-1)


def given_z(story, x, observed, chosen, z, points=40, drawn=False):
    """Log p(x, m | z) of every datum, ``(n, G)``, at z ``(G,)`` or at its own, ``(n, G)``."""
    total = torch.zeros(len(x), z.shape[-1], dtype=torch.double)
    for column in range(x.shape[1]):
        there = observed[:, column].unsqueeze(1)
        cell = torch.where(observed[:, column], x[:, column], 0.0).unsqueeze(1)
        mean = story.weight[column] * z + story.bias[column]
        term = normal(cell, mean, story.scale[column])
        missing = torch.zeros_like(z)
        if column in chosen:
            place = chosen.index(column)
            term = term + logsigmoid(story.intercept[place] + story.slope[place] * cell)
            missing = log_missing(story, z, column, place, points, drawn)
        total = total + torch.where(there, term, missing)
    return total


def log_prob(story, x, observed, chosen, grid=201, points=40):
    """Log p(x, m) of every datum, ``(n,)``, differentiable in the story."""
    z = torch.linspace(-7, 7, grid, dtype=torch.double)
    prior = normal(z, torch.zeros(()).double(), torch.ones(()).double())
    joint = given_z(story, x, observed, chosen, z, points) + prior
    return joint.logsumexp(1) + math.log(14 / (grid - 1))


def standard_errors(story, x, observed, chosen):
    """Standard errors of maximum-likelihood estimates, as a story, by the scores' products."""
    sizes = [len(part) for part in story]
    flat, step = torch.cat(story), 1e-4

    def at(values):
        return log_prob(Story(*values.split(sizes)), x, observed, chosen, 81, 20)

    moves = step * torch.eye(len(flat), dtype=torch.double)
    scores = torch.stack([(at(flat + h) - at(flat - h)) / (2 * step) for h in moves], dim=1)
    errors = torch.linalg.inv(scores.T @ scores).diagonal().sqrt()
    return Story(*errors.split(sizes))
