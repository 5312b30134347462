"""What is withheld, and that intervals which are given cover; the zoo has the pairs."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from torch import nn

from pyro_vae import evaluate, fit
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT
from pyro_vae.inference.engine.weights import LogWeights
from pyro_vae.inference.evidence.trust import (
    doubts,
    error_of_mean,
    together,
    trusted,
    withheld_note,
)
from tests.cases import a_few_always
from tests.inference.evidence.zoo import HELD_OUT, OUT_OF_REACH, ZOO, covered, given, replications
from tests.tolerances import STANDARD_ERRORS


@a_few_always(
    ("name", "particles"),
    [
        ("1.5 as wide, 2 dims", 1000),
        ("shifted by 0.5 sd", 1000),
        ("discrete, flat guide", 1000),
        ("bounded, Beta(30, 20)", 1000),
    ],
    [("discrete, flat guide", 1000)],
)
def test_intervals_that_are_given_cover(name, particles):
    found = replications(ZOO[name], particles, 200, seed=1)
    let = given(found)
    assert let.mean() > 0.5
    slack = STANDARD_ERRORS * math.sqrt(0.05 * 0.95 / let.sum())
    assert covered(found)[let].mean() > 0.95 - slack


@pytest.mark.parametrize("particles", [50, 1000])
def test_a_guide_that_is_the_posterior_is_always_trusted(particles):
    """Neither the noise of a second set nor the k-hat of rounding withholds an error."""
    found = replications(ZOO["exact, 2 dims"], particles, 100, seed=7)
    assert given(found).all()


@a_few_always(
    "name",
    [
        "0.5 as wide, 2 dims",
        "shifted by 3 sd",
        "correlated 0.95, mean field",
        "hierarchical, x = 6",
        "Student t(5)",
        "discrete, mass 0.3 at 0.00001",
        "near mode, 10 %",
        "far mode, 50 %",
        "far mode, 1 %",
    ],
    5,
)
def test_pairs_that_do_not_cover_are_withheld(name):
    found = replications(ZOO[name], 1000, 100, seed=2)
    assert not given(found).any()


@pytest.mark.slow
def test_few_errors_among_many_that_are_withheld_are_withheld_too():
    """At K = 1,000 one in twenty passes alone, and 72 % of these cover."""
    found = replications(ZOO["skewed, log Gamma(5), 5 dims"], 1000, 400, seed=7)
    alone = np.isin(found["doubt"], (0, 2))
    assert 0 < alone.mean() < 0.1
    assert covered(found)[alone].mean() < 0.9
    assert not given(found).any()
    results = xr.Dataset({"doubt": ("datum", found["doubt"])})
    assert f"{alone.sum()}: the errors of nearly all other data" in withheld_note(results)
    # A tenth of the data is no chance.
    assert np.isin(together(np.array([0.0, *[1.0] * 9])), (0, 2)).sum() == 1


def test_khat_alone_lets_a_far_mode_through():
    found = replications(ZOO["far mode, 50 %"], 1000, 50, seed=3)
    usual = ~(found["khat"] > 0.6)
    assert usual.mean() > 0.9
    assert not covered(found)[usual].any()


def test_a_mode_that_no_draw_reaches_is_not_seen():
    """The limit of the promise: neither guide nor prior draws five deviations away."""
    found = replications(OUT_OF_REACH["far mode, out of sight"], 10_000, 20, seed=4)
    assert (found["doubt"] == 0).any()
    assert not covered(found).any()


@pytest.mark.parametrize("name", ["far mode, 50 %, 10 dims", "far mode, 1 %, 10 dims"])
def test_where_the_prior_cannot_look_an_error_is_conditional(name):
    found = replications(OUT_OF_REACH[name], 1000, 50, seed=6)
    assert given(found).any()
    assert not (found["doubt"] == 0).any()


@pytest.mark.parametrize(("ones", "doubt"), [(500, 0), (800, 3)])
def test_an_estimate_that_a_second_set_does_not_bear_out_is_contradicted(ones, doubt):
    """z is 0 or 1, guide and prior are even, weights 0.6 and 1.4: 800 ones are 19 errors off."""

    def terms(ones, size):
        z = torch.arange(size)[:, None] < ones
        even = torch.full((size, 1), 0.5, dtype=torch.double).log()
        return LogWeights(torch.where(z, 1.4, 0.6).double().log(), even, even)

    found = doubts(terms(ones, 1000), lambda: terms(100, 200), 200, khat=np.array([math.inf]))
    assert found["doubt"].tolist() == [doubt]


class TwoSites(nn.Module):
    """mu ~ N(0, tau), theta ~ N(mu, 1), four measurements of theta; a guide linear in x."""

    tau = 3.0

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.theta, self.mu = nn.Linear(4, 2), nn.Linear(5, 2)

    def model(self, x):
        with pyro.plate("data", len(x)):
            mu = pyro.sample("mu", dist.Normal(torch.zeros(()), self.tau))
            theta = pyro.sample("theta", dist.Normal(mu, 1.0))
            pyro.sample("x", dist.Normal(theta.unsqueeze(-1), 1.0).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            loc, log_scale = self.theta(x).unbind(-1)
            theta = pyro.sample("theta", dist.Normal(loc, log_scale.exp()))
            given = torch.cat([x.expand(*theta.shape, 4), theta.unsqueeze(-1)], dim=-1)
            loc, log_scale = self.mu(given).unbind(-1)
            pyro.sample("mu", dist.Normal(loc, log_scale.exp()))

    def log_px(self, x):
        covariance = torch.eye(4, dtype=torch.double) + self.tau**2 + 1
        zero = torch.zeros(4, dtype=torch.double)
        return dist.MultivariateNormal(zero, covariance).log_prob(x.double()).numpy()

    def draw(self, size):
        theta = math.sqrt(self.tau**2 + 1) * torch.randn(size, 1)
        return theta + torch.randn(size, 4)


@pytest.mark.slow
def test_a_hierarchical_program_whose_guide_is_half_trained():
    """By ``evaluate``: k-hat lets errors through that are too small by far, and trust does not."""
    pair = TwoSites()
    train, x = pair.draw(500), pair.draw(300)
    fit(pair, train, epochs=60, learning_rate=3e-3, progress=False)
    found = evaluate((pair.model, pair.guide), x, 1000)
    z = (found["log_evidence"].values - pair.log_px(x)) / found["log_evidence_se"].values
    usual, let = found["khat"].values < KHAT_LIMIT, trusted(found)
    assert np.abs(z[usual]).max() > 4
    assert 20 < let.sum() < usual.sum()
    slack = STANDARD_ERRORS * math.sqrt(0.05 * 0.95 / let.sum())
    assert (np.abs(z[let]) < 1.96).mean() > 0.95 - slack
    assert np.abs(z[let]).max() < STANDARD_ERRORS


def means(name, runs):
    """Errors of means over 30 data at K = 1,000 and their standard errors, NaN where withheld."""
    found = replications(ZOO[name], 1000, runs, seed=8)
    columns = {"doubt": "doubt", "top_share": "top_share", "log_evidence_se": "se"}
    rows = np.split(np.arange(runs), runs // 30)
    results = [
        xr.Dataset({key: ("datum", found[name][part]) for key, name in columns.items()})
        for part in rows
    ]
    errors = np.array([found["error"][part].mean() for part in rows])
    return errors, np.array([error_of_mean(result) for result in results])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1.5 as wide, 2 dims", "1.5 as wide, 10 dims"])
def test_the_error_of_a_mean_covers_where_it_is_given(name):
    """Most data have an error of their own in the first pair, one in seven in the second."""
    errors, standard_errors = means(name, 3000)
    let = np.isfinite(standard_errors)
    assert let.mean() > 0.8
    inside = np.abs(errors[let]) < 1.96 * standard_errors[let]
    assert inside.mean() > 0.95 - STANDARD_ERRORS * math.sqrt(0.05 * 0.95 / let.sum())


def test_a_mean_of_data_whose_draws_contradict_it_is_withheld():
    assert np.isnan(means("near mode, 10 %", 90)[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ZOO, *HELD_OUT])
@pytest.mark.parametrize("particles", [100, 1000, 10_000])
def test_every_cell_of_the_zoo(name, particles):
    found = replications(
        (ZOO | HELD_OUT)[name], particles, 800 if particles < 10_000 else 200, seed=5
    )
    for of in ("log_evidence", "gap"):
        let = given(found, of)
        if let.mean() < 0.01:
            continue
        slack = 3 * math.sqrt(0.07 * 0.93 / let.sum())
        assert covered(found, of)[let].mean() > 0.93 - slack
    assert np.isfinite(found["error"]).all()
