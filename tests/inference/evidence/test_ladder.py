"""The ladder of bounds against enumeration, closed forms and repeated draws."""

import itertools
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.inference import ladder
from pyro_vae.inference.evidence import iwae_bound
from pyro_vae.inference.evidence.ladder import complete_iwae
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

ORACLE = LinearGaussian()


def by_enumeration(log_weights, k):
    subsets = itertools.combinations(range(len(log_weights)), k)
    means = [log_weights[list(subset)].logsumexp(0) - math.log(k) for subset in subsets]
    return float(torch.stack(means).mean())


@pytest.mark.parametrize("spread", [0.0, 0.1, 3.0, 80.0])
def test_every_subset_counts(spread):
    generator = torch.Generator().manual_seed(0)
    weights = spread * torch.randn(10, generator=generator, dtype=torch.double) - 700
    found, _ = complete_iwae(weights, range(1, 11))
    expected = [by_enumeration(weights, k) for k in range(1, 11)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_subsets_of_nothing_but_zeros():
    weights = torch.tensor([-math.inf, 0.0, -math.inf, 1.0, -3.0], dtype=torch.double)
    found, _ = complete_iwae(weights, range(1, 6))
    assert torch.isneginf(found[:2]).all()
    expected = [by_enumeration(weights, k) for k in (3, 4, 5)]
    np.testing.assert_allclose(found[2:], expected, atol=1e-12)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(-60, 60), min_size=2, max_size=40))
def test_the_ladder_never_falls(log_weights):
    """By Jensen, whatever the draws; its ends are the ELBO and log mean(w)."""
    weights = torch.tensor(log_weights, dtype=torch.double)
    found, _ = complete_iwae(weights, range(1, len(weights) + 1))
    assert (found.diff() >= -1e-11).all()
    assert found[0] == weights.mean()
    torch.testing.assert_close(found[-1], weights.logsumexp(0) - math.log(len(weights)))


@pytest.mark.slow
def test_standard_errors_are_those_of_repeated_draws():
    """Log-normal weights with E[w] = 1: 400 ladders, and the paired distance to log mean(w)."""
    ks, total, runs = [1, 2, 5, 20, 60, 79, 80], 80, 400
    generator = torch.Generator().manual_seed(1)
    values, errors, paired = [], [], []
    for _ in range(runs):
        weights = 0.6 * torch.randn(total, generator=generator, dtype=torch.double) - 0.18
        value, influence = complete_iwae(weights, ks)
        values.append(value)
        errors.append(influence.std(0) / math.sqrt(total))
        paired.append((influence - influence[:, -1:]).std(0) / math.sqrt(total))
    values = torch.stack(values)
    spread = values.std(0) / torch.stack(errors).pow(2).mean(0).sqrt()
    # A standard deviation of 400 runs is known to 1 / sqrt(800).
    assert ((spread - 1).abs() < 0.05 + 3 / math.sqrt(2 * runs)).all()
    distance = (values - values[:, -1:])[:, :3].std(0)
    ratio = distance / torch.stack(paired)[:, :3].pow(2).mean(0).sqrt()
    assert ((ratio - 1).abs() < 0.2).all()
    z = (values[:, 0] + 0.18).mean() / (values[:, 0].std() / math.sqrt(runs))
    assert abs(float(z)) < STANDARD_ERRORS


def test_bounds_of_the_linear_gaussian_model():
    x = ORACLE.draw(10)
    results = ladder(ORACLE.model, ORACLE.guide, x, 600, ks=[1, 5, 30, 600], seed=2)
    exact = ORACLE.log_px(x)
    assert (results["iwae"].sel(num_particles=1).values == results["elbo"].values).all()
    assert (np.diff(results["iwae"].values, axis=0) >= 0).all()
    for name, expected in (("elbo", exact - ORACLE.gap()), ("log_evidence", exact)):
        error = results["iwae_se"].values[0] if name == "elbo" else results["log_evidence_se"]
        assert np.abs((results[name].values - expected) / error).max() < STANDARD_ERRORS
    # Renyi bounds fall with alpha, between log p(x) and the ELBO; CUBO_2 lies above.
    chain = [results["cubo"], results["log_evidence"], *results["renyi"], results["elbo"]]
    assert (np.diff(np.stack([bound.values for bound in chain]), axis=0) < 0).all()
    # IWAE_30 has all but reached its asymptote, IWAE_1 has not.
    missed = np.abs(results["iwae"] - results["asymptote"]).max("datum")
    assert missed.sel(num_particles=30) < 1e-3 < missed.sel(num_particles=1)
    # The same draws as elsewhere; the groups of ``iwae_bound`` are some of the subsets.
    plain = iwae_bound(ORACLE.model, ORACLE.guide, x, [5, 600], seed=2)
    assert (plain["iwae"].values[1] == results["log_evidence"].values).all()
    distance = plain["iwae"].values[0] - results["iwae"].sel(num_particles=5).values
    assert np.abs(distance / plain["iwae_se"].values[0]).max() < STANDARD_ERRORS
    # Errors are estimates too, and steadier from all subsets, whichever draws PyTorch makes.
    x = ORACLE.draw(60)
    subsets = ladder(ORACLE.model, ORACLE.guide, x, 600, ks=[5], seed=2)["iwae_se"]
    groups = iwae_bound(ORACLE.model, ORACLE.guide, x, [5, 600], seed=2)["iwae_se"]
    assert subsets.values.std() < groups.values[0].std()


def test_renyi_bounds_and_cubo_of_a_normal_pair():
    """Posterior N(0, 1) and guide N(0, t^2): E_q[(p / q)^b] is a Gaussian integral."""
    t = 1.3

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(1, dtype=x.dtype), 1.0))
            pyro.sample("x", dist.Normal(0 * z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(1, dtype=x.dtype), t))

    x = torch.zeros(8, dtype=torch.double)
    results = ladder(model, guide, x, 800, alphas=[0.25, 0.5, 1.0], seed=3)
    exact = -0.5 * math.log(2 * math.pi)

    def bound(alpha):
        if alpha == 1:  # -KL(q || p)
            return exact - 0.5 * (t**2 - 1 - 2 * math.log(t))
        b = 1 - alpha
        # E_q[(p / q)^b] = t^b / sqrt(b t^2 + 1 - b)
        return exact + (b * math.log(t) - 0.5 * math.log(b * t**2 + 1 - b)) / b

    found = {
        alpha: (results["renyi"].sel(alpha=alpha), results["renyi_se"].sel(alpha=alpha))
        for alpha in (0.25, 0.5, 1.0)
    }
    found[-1.0] = results["cubo"], results["cubo_se"]
    for alpha, (value, error) in found.items():
        z_scores = (value - bound(alpha)) / error
        assert np.abs(z_scores).max() < STANDARD_ERRORS, alpha
        assert 0.2 < float((z_scores**2).mean()) < 3, alpha
    # What the common draws are for: the distance to log p(x) is far better known.
    distance = (results["cubo"] - results["log_evidence"]) - (bound(-1.0) - exact)
    z_scores = distance / results["cubo_paired_se"]
    assert np.abs(z_scores).max() < STANDARD_ERRORS
    assert float((z_scores**2).mean()) > 0.2
    assert (results["cubo_paired_se"] < results["cubo_se"]).all()


def test_bad_rungs_are_refused():
    with pytest.raises(ValueError, match="IWAE_k needs 1 <= k <= 10"):
        ladder(ORACLE.model, ORACLE.guide, ORACLE.draw(2), 10, ks=[1, 11])
    with pytest.raises(ValueError, match="num_particles got 1"):
        ladder(ORACLE.model, ORACLE.guide, ORACLE.draw(2), 1)
