"""Numbers of float64 on their way to float32: standardised first, or refused, never changed."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from pyro_vae import inference, models
from pyro_vae.conversion import cast
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError
from pyro_vae.models.likelihoods import Normal, Poisson


def unix_times(size=200):
    generator = np.random.default_rng(0)
    return 1.7e9 + np.sort(generator.uniform(0, 600, size))[:, None]


def two_columns(size=400):
    """Normal columns near 1.7e9 with standard deviations 1 and 2."""
    return 1.7e9 + np.random.default_rng(1).normal(size=(size, 2)) * [1.0, 2.0]


def small(features, **settings):
    return models.VAE((features,), 1, likelihood=Normal(), encoder=(4,), decoder=(4,), **settings)


def test_times_within_minutes_stay_apart():
    times = unix_times()
    assert len(np.unique(times.astype(np.float32))) < 10
    data = Dataset.from_tensors(times).standardised()
    assert data.train.dtype == torch.float32
    assert len(data.train.unique()) == 200
    expected = (times - times.mean()) / times.std()
    np.testing.assert_allclose(data.train.numpy(), expected, rtol=1e-5, atol=1e-6)
    # And back: what was given, to the last digit.
    assert np.array_equal(data.original("train").numpy(), times)
    assert math.isclose(data.log_jacobian, -math.log(times.std()), rel_tol=1e-12)
    back = data.in_original_units(data.train).numpy()
    assert np.abs(back - times).max() < 1e-4


def test_the_density_is_that_of_the_raw_numbers():
    x = two_columns()
    data = Dataset.from_tensors(x[:300], test=x[300:]).standardised()
    model = models.MixtureModel(1, Normal("latent"), (2,))
    model.initialise(data.train)  # one component starts at the moments
    ours = model.log_prob(data.test).detach().double().numpy() + data.log_jacobian
    train = x[:300]
    theirs = stats.norm(train.mean(0), train.std(0)).logpdf(x[300:]).sum(1)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    # The expected log-density of these normals, and not that of the few values of float32.
    expected = -math.log(2) - math.log(2 * math.pi) - 1
    assert abs(ours.mean() - expected) < 5 / math.sqrt(100)
    # The same number where results are compared, which is done in the original units.
    table = inference.compare({"m": model}, data).table
    assert table["log_evidence"].item() == pytest.approx(float(theirs.mean()), abs=1e-4)


def test_harmless_rounding_is_not_refused_but_standardised_without_it():
    x = 1000 + np.random.default_rng(2).normal(size=(500, 1))
    data = Dataset.from_tensors(x)
    assert data.train.dtype == torch.float32
    assert np.array_equal(data.original("train").numpy(), x)
    standardised = data.standardised()
    expected = (x - x.mean()) / x.std()
    assert np.abs(standardised.train.numpy() - expected).max() < 3e-7
    # A float32 in between would be off by up to 3e-5.
    assert np.abs(((x.astype(np.float32) - x.mean()) / x.std()) - expected).max() > 1e-5


@pytest.mark.parametrize("give", [lambda x: x, Dataset.from_tensors, pd.DataFrame, torch.tensor])
def test_rounding_that_matters_is_refused_wherever_it_would_happen(give):
    times = unix_times()
    with pytest.raises(DataError, match=r"row \d+, column '?0'?, .*thousandth.*standardise first"):
        inference.fit(small(1), give(times), epochs=1)
    given = give(times)
    x = given.train if isinstance(given, Dataset) else given
    model = small(1)
    for call in (
        lambda: inference.evaluate((model.model, model.guide), x, 5),
        lambda: inference.evaluate(model, x, 5),
        lambda: model.code(x),
    ):
        with pytest.raises(DataError, match="thousandth of their standard deviation"):
            call()


def test_what_the_refusal_advises_works():
    times = unix_times()
    with pytest.raises(DataError) as caught:
        inference.fit(small(1), times, epochs=1)
    message = str(caught.value)
    assert "Dataset.from_tensors(x).standardised()" in message
    assert "subtract an offset, such as the first row" in message
    inference.fit(small(1), Dataset.from_tensors(times).standardised(), epochs=1)
    with pytest.warns(UserWarning, match="standard deviations of the columns"):
        inference.fit(small(1), times - times[0], epochs=1)


def test_whole_numbers_of_seconds_and_nanoseconds():
    seconds = unix_times().round().astype(np.int64)
    assert Dataset.from_tensors(seconds).train.dtype == torch.float64
    nanoseconds = seconds * 1_000_000_000
    data = Dataset.from_tensors(nanoseconds).standardised()
    expected = (seconds - seconds.mean()) / seconds.std()
    np.testing.assert_allclose(data.train.numpy(), expected, atol=1e-5)
    # Whole numbers beyond 2^53 that lie too near each other for float64 as well.
    near = (10**18 + np.arange(20))[:, None]
    with pytest.raises(DataError, match="thousandth of their standard deviation"):
        cast(torch.as_tensor(near), torch.float64, "x")
    with pytest.raises(DataError, match="subtract an offset"):
        Dataset.from_tensors(near)
    assert Dataset.from_tensors(near - near[0]).train.flatten().tolist() == list(range(20))


def test_rounding_is_judged_by_the_training_data():
    train = np.linspace(1e6, 2e6, 50)[:, None]
    near = np.array([[1.5e6], [1.5e6 + 0.01]])  # near each other, on a wide scale
    assert Dataset.from_tensors(train, test=near).test.dtype == torch.float32
    far = np.array([[1e60], [2e60]])
    with pytest.raises(DataError, match=r"has 1e.60 in row 0, column 0, which is inf in float32"):
        inference.evaluate((small(1).model, small(1).guide), far, 5)


def test_two_rows_that_are_near_by_chance_are_not_refused():
    x = torch.tensor([[1.7], [1.70001]], dtype=torch.double)
    assert cast(x, torch.float32, "x").shape == (2, 1)
    constant = torch.full((20, 1), 0.1, dtype=torch.double)
    assert torch.equal(cast(constant, torch.float32, "x"), constant.float())


def test_counts_are_exact_or_refused():
    counts = [[1], [16_777_217]] * 6
    data = Dataset.from_tensors(counts, kind="counts")
    assert data.train.max() == 16_777_217
    assert data.maximum == 16_777_217
    model = models.VAE((1,), 1, likelihood=Poisson(), encoder=(4,), decoder=(4,))
    for call in (
        lambda: inference.fit(model, data, epochs=1, batch_size=4),
        lambda: inference.elbo(model.model, model.guide, np.array(counts), 3),
    ):
        with pytest.raises(DataError, match=r"count 16777217 in row 1, column 0.*model\.double"):
            call()
    # As it advises.
    wide = model.double()
    inference.fit(wide, data, epochs=1, batch_size=12, precision="64-true", learning_rate=1e-9)
    assert inference.elbo(wide.model, wide.guide, np.array(counts), 3)["elbo"].notnull().all()
    # Those that float32 has are as before.
    assert Dataset.from_tensors([[1], [16_777_216]], kind="counts").train.dtype == torch.float32


def test_covariates_are_held_to_the_same_rule():
    times = unix_times(20)
    with pytest.raises(DataError, match=r"covariates of train has 1700.*subtract an offset"):
        Dataset.from_tensors(torch.zeros(20, 1), covariates=times)
    data = Dataset.from_tensors(torch.zeros(20, 1), covariates=times - times[0])
    assert data.covariates["train"].dtype == torch.float32


def test_originals_of_other_data_are_forgotten():
    from dataclasses import replace

    x = np.random.default_rng(0).normal(size=(30, 2))
    data = Dataset.from_tensors(x)
    assert data.originals is not None
    part = replace(data, train=data.train[:10])
    assert part.originals is None
    assert torch.equal(part.standardised().original("train"), data.train[:10])


def test_a_fingerprint_tells_data_apart_beside_an_offset():
    x = two_columns()
    one = Dataset.from_tensors(x[:300], test=x[300:350]).standardised()
    other = Dataset.from_tensors(x[:300], test=x[350:]).standardised()
    models_ = {"a": small(2, seed=0), "b": small(2, seed=1)}
    with pytest.raises(Exception, match="different test data"):
        inference.compare(models_, {"a": one, "b": other}, num_particles=5)
    assert len(inference.compare(models_, {"a": one, "b": one}, num_particles=5).results) == 2
