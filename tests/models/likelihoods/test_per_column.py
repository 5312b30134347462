"""A table of mixed columns is the sum of its columns."""

import json

import pytest
import torch
from torch.distributions import biject_to

from pyro_vae.errors import DataError, SupportError
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import (
    Bernoulli,
    Beta,
    Categorical,
    Gamma,
    Likelihood,
    NegativeBinomial,
    Normal,
    PerColumn,
)


def columns():
    return [Normal(), Bernoulli(), Categorical(3), NegativeBinomial(), Gamma("latent")]


X = torch.tensor([[0.3, 1.0, 2.0, 4.0, 0.2], [-1.0, 0.0, 0.0, 0.0, 5.0]])


def test_log_prob_is_the_sum_over_columns():
    table = PerColumn(columns())
    table.build((5,))
    eta = torch.randn(7, 2, table.num_params((5,)))
    p = table(eta)
    each = p.column_log_prob(X)
    assert each.shape == (7, 2, 5)
    torch.testing.assert_close(p.log_prob(X), each.sum(-1))
    start = 0
    for d, column in enumerate(columns()):
        column.build((1,))
        stop = start + column.num_params((1,))
        expected = column(eta[..., start:stop]).log_prob(X[:, d : d + 1])
        torch.testing.assert_close(each[..., d], expected)
        start = stop
    assert start == eta.shape[-1]
    assert p.sample((4,)).shape == (4, 7, 2, 5)
    assert p.support.check(X).all()
    assert not p.has_rsample


def test_gradients_reach_the_parameters_of_every_column():
    vae = VAE((5,), 2, likelihood=PerColumn(columns()))
    learned = dict(vae.likelihood.named_parameters())
    assert set(learned) == {"columns.0.sigma.raw", "columns.3.theta.raw"}
    vae.likelihood(vae.decoder(torch.randn(2, 2))).log_prob(X).sum().backward()
    for key, parameter in [*learned.items(), *vae.decoder.named_parameters()]:
        assert parameter.grad.abs().sum() > 0, key


def test_measure_says_which_columns_are_masses():
    assert PerColumn([Bernoulli(), Categorical(2)]).measure == "counting"
    assert PerColumn([Normal(), Gamma()]).measure == "lebesgue"
    mixed = "mixed(lebesgue,counting,counting,counting,lebesgue)"
    assert PerColumn(columns()).measure == mixed


def test_nested_settings_survive_json():
    table = PerColumn([Normal("latent", min_scale=0.1), Categorical(7)])
    again = Likelihood.from_config(json.loads(json.dumps(table.to_config())))
    assert again.to_config() == table.to_config()
    assert repr(again) == repr(table)
    assert again.columns[0].min_scale == 0.1
    assert again.columns[1].num_classes == 7
    vae = VAE((2,), 1, likelihood=table)
    assert VAE.from_config(json.loads(json.dumps(vae.config))).config == vae.config


def test_errors_name_the_column():
    table = PerColumn(columns())
    table.build((5,))
    table.check(X)
    for d, value in ((1, 0.5), (2, 3.0), (3, -1.0), (4, 0.0)):
        bad = X.clone()
        bad[1, d] = value
        with pytest.raises(SupportError, match=rf"column {d} \({columns()[d].name}\).*{value:g}"):
            table.check(bad)
    bad = X.clone()
    bad[1, 0] = float("nan")
    with pytest.raises(DataError, match=r"column 0 \(normal\).*row 1"):
        table.check(bad)
    with pytest.raises(DataError, match="shape"):
        table.check(X[:, :4])


def test_as_many_likelihoods_as_columns():
    for shape in ((4,), (6,), (1, 5)):
        with pytest.raises(DataError, match="columns has 5 likelihoods"):
            PerColumn(columns()).build(shape)
    with pytest.raises(ValueError, match="columns is empty"):
        PerColumn([])
    with pytest.raises(ValueError, match="one likelihood object twice"):
        PerColumn([Normal()] * 2)


def test_formula_numbers_the_columns():
    formula = PerColumn([Normal("latent"), Categorical(3)]).formula()
    assert "x_0 | z ~ Normal(mu_0(z), sigma_0(z))" in formula
    assert "x_1 | z ~ Categorical(softmax(eta_c1(z)" in formula


def test_the_support_is_that_of_one_row():
    """Its map from the real line has one Jacobian a row: that of the columns, one by one."""
    likelihood = PerColumn([Normal(), Gamma(), Beta()])
    likelihood.build((3,))
    support = likelihood(torch.zeros(4, 5, likelihood.num_params((3,)))).support
    assert support.event_dim == 1
    u = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    x = biject_to(support)(u)
    jacobian = biject_to(support).log_abs_det_jacobian(u, x)
    share = u[..., 2].sigmoid()
    torch.testing.assert_close(jacobian, u[..., 1] + (share * (1 - share)).log())
    assert bool(support.check(x).all())
    assert not bool(support.check(-x).any())
