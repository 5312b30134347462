"""Integrals over one cell against distributions whose constant is known."""

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    ContinuousBernoulli,
    Gamma,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    constraints,
)

from pyro_vae.errors import ProgramError
from pyro_vae.pairs.normalisation import function_normalised, log_integrals
from pyro_vae.pairs.rows import grey_constant


def of(*values):
    return torch.tensor(values, dtype=torch.double)


DISTRIBUTIONS = {
    "narrow and far": Normal(of(5.0, -300.0), of(1e-3, 0.2)),
    "wide": Normal(of(0.0, 2.0), of(1e4, 30.0)),
    "heavy tails": StudentT(of(3.0, 5.0), of(0.0, 2.0), of(1.0, 0.1)),
    "heaviest tails": Cauchy(of(0.0, 4.0), of(1.0, 0.1)),
    "positive": Gamma(of(0.5, 20.0), of(3.0, 0.1)),
    "log-normal": LogNormal(of(0.0, 3.0), of(1.0, 2.0)),
    "unit interval": Beta(of(0.5, 20.0), of(0.6, 3.0)),
    "grey": ContinuousBernoulli(of(0.01, 0.7)),
    "counts": Poisson(of(0.1, 300.0)),
    "wide counts": NegativeBinomial(of(2.0, 0.5), probs=of(0.9, 0.5)),
    "bits": Bernoulli(of(0.2, 0.99)),
    "counts with a bound": Binomial(7, of(0.2, 0.99)),
    "classes": Categorical(torch.tensor([[0.2, 0.8, 0.0], [0.1, 0.6, 0.3]]).double()),
}


@pytest.mark.parametrize("made", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("constant", [0.0, 3.5])
def test_the_constant_of_a_cell_is_found(made, constant):
    found = log_integrals(lambda x: made.log_prob(x) + constant, of(0.3, 0.6), made.support)
    # Cauchy's tails beyond the last point hold 1e-6.
    assert (found - constant).abs().max() < 2e-6


@pytest.mark.parametrize("made", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_a_function_of_independent_cells_is_added_up(made):
    x = torch.stack([made.sample(), made.sample()])
    if torch.equal(x[0], x[1]):
        x[1] = 1 - x[1]
    if made.support is constraints.unit_interval:
        x = x.clamp(0.05, 0.95)

    def log_density(rows):
        return made.log_prob(rows).sum(-1)

    assert "adds up to one" in function_normalised(log_density, x, made.support, "f")
    with pytest.raises(ProgramError, match=r"f: .* C = -0\.5000"):
        function_normalised(lambda r: log_density(r) - 0.5, x, made.support, "f")


def test_dependent_cells_are_not_judged():
    def log_density(rows):
        return -((rows[:, 0] * rows[:, 1]) ** 2)

    said = function_normalised(
        log_density, of(0.1, 0.2, 1.0, 2.0).reshape(2, 2), constraints.real, "f"
    )
    assert "not checked" in said


def test_many_cells_are_judged_where_there_is_a_closed_form():
    size = 784
    x = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    mean = torch.linspace(-1, 1, size)

    def log_density(rows):
        return Normal(mean, 0.3).log_prob(rows).sum(-1)

    assert "adds up to one" in function_normalised(log_density, x, constraints.real, "f")
    with pytest.raises(ProgramError, match="no density"):
        # A mean over cells, where a sum belongs.
        function_normalised(lambda r: log_density(r) / size, x, constraints.real, "f")
    heavy = StudentT(4.0, mean, 0.3)
    said = function_normalised(lambda r: heavy.log_prob(r).sum(-1), x, constraints.real, "f")
    assert "784 cells" in said


def test_the_constant_of_grey_cells_is_that_of_the_continuous_bernoulli():
    for p in (0.1, 0.5, 0.9, 0.99):
        x = torch.linspace(0, 1, 100_001, dtype=torch.double)
        area = torch.trapezoid(p**x * (1 - p) ** (1 - x), x)
        assert abs(grey_constant(of(p)).item() - math.log(area)) < 1e-6
