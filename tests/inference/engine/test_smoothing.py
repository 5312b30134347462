"""Pareto-smoothed weights against ArviZ 0.23, SciPy's law, and numbers that were written down."""

import arviz as az
import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.inference.engine.diagnostics import pareto_smoothed
from pyro_vae.inference.engine.smoothing import generalised_pareto, smoothed_weights
from tests.tolerances import STANDARD_ERRORS

RNG = np.random.default_rng(0)
#: Log-weights of every kind that may come.
KINDS = {
    "normal": RNG.normal(size=500),
    "few": RNG.normal(size=25),
    "many": RNG.normal(size=20_000) * 3 - 700,
    "heavy": RNG.standard_cauchy(300) * 20,
    "one carries all": np.r_[np.zeros(99), 800.0] - 1e4,
    "ties": np.repeat([0.0, 1.0, 2.0], 40),
    "bounded": np.log(RNG.uniform(size=400)),
    "nearly equal": 1e-6 * RNG.normal(size=200),
    "underflow": np.linspace(-1e5, 0, 200),
}
LEGACY = hasattr(az, "psislw")


def of_one(log_weights):
    """Of the weights of one datum."""
    smoothed, khat = smoothed_weights(log_weights[None])
    return smoothed[0], khat[0]


@pytest.mark.skipif(not LEGACY, reason="ArviZ 1.x cuts the tail otherwise")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_khat_are_those_of_arviz_to_the_bit(kind):
    with np.errstate(over="ignore", invalid="ignore"):
        theirs, their_khat = az.psislw(KINDS[kind], normalize=False)
        ours, khat = of_one(KINDS[kind])
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(khat, float(their_khat))


@pytest.mark.skipif(LEGACY, reason="ArviZ 0.23 has no arviz_stats")
@pytest.mark.parametrize("kind", ["normal", "many", "bounded"])
def test_khat_is_near_that_of_arviz_stats(kind):
    """It takes one point more or less into the tail, so not the same number."""
    from arviz_stats.base import array_stats

    _, their_khat = array_stats.psislw(-KINDS[kind])  # its sign is that of log-likelihoods
    assert of_one(KINDS[kind])[1] == pytest.approx(float(their_khat), abs=0.1)


EXPECTED_KHAT = 0.714565726952413
EXPECTED = [
    0.002002504174495101,
    0.5585277779067912,
    1.5265568329682049,
    2.9599129477441446,
    4.553688694615836,
]


def test_numbers_of_arviz_0_23_stay():
    """Of weights in closed form, whatever is installed."""
    log_weights = -0.8 * np.log1p(-np.arange(0.5, 200) / 200)  # a Pareto tail of shape 0.8
    smoothed, khat = of_one(log_weights)
    assert khat == pytest.approx(EXPECTED_KHAT, abs=1e-9)
    np.testing.assert_allclose(smoothed[[0, 100, 170, 195, 199]], EXPECTED, rtol=1e-9)


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.5, 0.9])
def test_shape_and_scale_of_a_sample_of_scipys_law(shape):
    count = 5000
    law = stats.genpareto(shape, scale=2.0)
    found, scale = generalised_pareto(np.sort(law.rvs((1, count), random_state=1)))
    # Asymptotic errors of maximum likelihood (Smith, 1984), and the pull of ten points to 1/2.
    error = (1 + shape) / count**0.5
    pull = 10 * abs(0.5 - shape) / count
    assert abs(found - shape) < STANDARD_ERRORS * max(error, 0.01) + pull
    assert abs(scale - 2) < STANDARD_ERRORS * 2 * (2 * (1 + shape) / count) ** 0.5


def test_what_is_given_is_left_alone():
    before = KINDS["heavy"].copy()
    smoothed, _ = of_one(KINDS["heavy"])
    np.testing.assert_array_equal(KINDS["heavy"], before)
    assert smoothed.max() <= before.max()
    weights = torch.tensor(np.c_[KINDS["normal"], np.zeros(500)])
    both, khat = pareto_smoothed(weights)
    assert np.isnan(khat).tolist() == [False, True]
    assert torch.equal(both[:, 1], weights[:, 1])


def test_several_data_are_each_what_they_are_alone():
    """Tails of several lengths, one of them too short to be fitted."""
    rows = np.stack([np.resize(KINDS[kind], 200) for kind in ("heavy", "ties", "bounded", "few")])
    rows[1, 3:] = np.minimum(rows[1, 3:], 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        smoothed, khat = smoothed_weights(rows)
        alone = [of_one(row) for row in rows]
    assert np.isinf(khat).any()
    assert np.isfinite(khat).any()
    np.testing.assert_array_equal(smoothed, [row for row, _ in alone])
    np.testing.assert_array_equal(khat, [each for _, each in alone])
