"""Fitting and measuring data that are streamed: the numbers of the same rows in memory."""

import numpy as np
import pytest
import torch

from pyro_vae import data, inference
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, ProgramError, SupportError
from pyro_vae.inference import evaluate, fit
from pyro_vae.models import PCA, VAE, LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Normal
from pyro_vae.networks import Unamortised

SMALL = {"epochs": 3, "batch_size": 64, "progress": False}

#: Bytes of memory that hold a few of the blocks of these data.
LITTLE = 2**13


@pytest.fixture
def path(tmp_path):
    x = np.random.default_rng(0).normal(size=(900, 5)) @ np.diag([1, 2, 1, 0.5, 1])
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    return tmp_path / "x.npy"


def in_memory(streamed):
    splits = (streamed.train[:], streamed.validation[:], streamed.test[:])
    return Dataset.from_tensors(*splits, kind=streamed.kind)


def vae(seed=0):
    return VAE((5,), 2, likelihood=Normal(), encoder=(8,), decoder=(8,), seed=seed)


def same(one, two):
    one, two = one.state_dict(), two.state_dict()
    return all(torch.equal(one[key], two[key]) for key in one)


def same_results(one, two):
    assert set(one.data_vars) == set(two.data_vars)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=name)
    drop = {"seconds"}
    kept = [{k: v for k, v in r.attrs.items() if k not in drop} for r in (one, two)]
    assert kept[0] == kept[1]


def test_a_fit_is_that_in_memory_to_the_bit_where_memory_holds_all(path):
    streamed = data.stream(path)
    one, two = vae(), vae()
    first = fit(one, streamed, objective="iwae-5", seed=3, **SMALL)
    second = fit(two, in_memory(streamed), objective="iwae-5", seed=3, **SMALL)
    assert same(one, two)
    columns = ["train_elbo", "validation_elbo"]
    assert (first.metrics[columns] == second.metrics[columns]).all().all()


def test_a_fit_goes_through_blocks_where_memory_holds_a_few(path):
    streamed = data.stream(path, memory_limit=LITTLE)
    assert not streamed.train.fits
    one, two, other = vae(), vae(), vae()
    first = fit(one, streamed, seed=3, **SMALL)
    fit(two, data.stream(path, memory_limit=LITTLE), seed=3, **SMALL)
    assert same(one, two)
    whole = fit(other, in_memory(streamed), seed=3, **SMALL)
    assert not same(one, other)
    # Another order of the same data: as good within the noise of three epochs.
    ends = [result.metrics["validation_elbo"].iloc[-1] for result in (first, whole)]
    assert ends[0] == pytest.approx(ends[1], abs=0.2)


@pytest.mark.parametrize("memory_limit", [LITTLE, 2**28])
def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(path, tmp_path, memory_limit):
    def streamed():
        return data.stream(path, memory_limit=memory_limit)

    class Stopping(VAE):
        left = 20

        def guide(self, x):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return super().guide(x)

    def stopping():
        how = {"likelihood": Normal(), "encoder": (8,), "decoder": (8,), "seed": 0}
        return Stopping((5,), 2, **how)

    half, whole = stopping(), stopping()
    settings = {**SMALL, "compile": "off", "run": tmp_path / "run"}
    assert fit(half, streamed(), **settings).stopped == "interrupt"
    whole.left = half.left = -1
    fit(half, streamed(), resume=True, **settings)
    fit(whole, streamed(), **{**settings, "run": None})
    assert same(half, whole)


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_measuring_is_that_in_memory_to_the_bit(path, n_jobs):
    streamed = data.stream(path, memory_limit=LITTLE, shares=(0.6, 0.15, 0.25))
    whole = in_memory(streamed)
    model = vae()
    # In one process both have all its threads, or both have one.
    expected = evaluate(model, whole.test, 60, n_jobs=None if n_jobs is None else 1)
    same_results(evaluate(model, streamed.test, 60, n_jobs=n_jobs), expected)
    how = (model.model, model.guide)
    few = streamed.test.first(12)
    for verb in (inference.gap, inference.log_evidence):
        same_results(verb(*how, few, 30), verb(*how, few[:], 30))
    assert torch.equal(
        inference.log_weights(*how, few, 30), inference.log_weights(*how, few[:], 30)
    )


def test_an_exact_log_prob_is_had_by_blocks(path):
    streamed = data.stream(path, memory_limit=LITTLE)
    model = LinearVAE((5,), 2)
    fit(model, streamed, **SMALL)
    found, expected = evaluate(model, streamed.test, 5), evaluate(model, streamed.test[:], 5)
    assert found.attrs["exact"] == 1
    np.testing.assert_allclose(found["log_evidence"], expected["log_evidence"], rtol=1e-6)
    models = {"a": model, "b": LinearVAE((5,), 2, seed=1)}
    table = inference.compare(models, streamed, num_particles=5, limit=30).table
    other = inference.compare(models, in_memory(streamed), num_particles=5, limit=30).table
    np.testing.assert_allclose(
        table.select_dtypes("number"), other.select_dtypes("number"), rtol=1e-5
    )


def test_a_mixture_starts_from_a_sample(path):
    streamed = data.stream(path)
    one, two = (MixtureModel(3, Normal(), (5,)) for _ in range(2))
    fit(one, streamed, **SMALL)
    fit(two, in_memory(streamed), **SMALL)
    assert same(one, two)


def test_what_needs_all_data_at_once_is_refused(path, monkeypatch):
    streamed = data.stream(path)
    with pytest.raises(DataError, match=r"unamortised guide has parameters for each datum.*read"):
        fit(VAE((5,), 2, likelihood=Normal(), encoder=Unamortised(900)), streamed, **SMALL)
    with pytest.raises(DataError, match="one split of data that are streamed"):
        fit(vae(), streamed.train, **SMALL)
    with pytest.raises(DataError, match=r"certify needs all its rows in memory.*x\[:1000\]"):
        inference.certify(vae(), streamed.test)
    with pytest.raises(DataError, match="reconstruct needs all its rows in memory"):
        inference.reconstruct(vae(), streamed.test)
    assert fit(PCA((5,), 2), streamed, **SMALL).best_epoch == 1
    monkeypatch.setattr("pyro_vae.conversion.streamed.StreamedArray.sample.__defaults__", (100,))
    with pytest.raises(DataError, match="a PCA is fitted to all data at once"):
        fit(PCA((5,), 2), streamed, **SMALL)


def test_data_outside_the_support_are_refused_with_their_block(path):
    streamed = data.stream(path, memory_limit=LITTLE)
    binary = VAE((5,), 2, encoder=(8,), decoder=(8,))
    with pytest.raises(SupportError):
        evaluate(binary, streamed.test, 20)
    with pytest.raises(ProgramError):
        evaluate(streamed, binary)
    x = np.zeros((900, 5), dtype=np.float32)
    x[803, 2] = 0.5
    np.save(path, x)
    late = data.stream(path, memory_limit=LITTLE, shares=(1, 0, 0))
    with pytest.raises(SupportError, match=r"in the rows from 800 on, .* in row 3, column 2"):
        evaluate(binary, late.train, 20)
    with pytest.raises(SupportError, match="in the rows from 800 on"):
        fit(binary, late, **SMALL)


def test_a_model_in_float32_is_not_given_digits_that_it_loses(path):
    x = 1e9 + np.load(path).astype(np.float64)
    np.save(path, x)
    streamed = data.stream(path)
    with pytest.raises(DataError, match="standardise=True"):
        fit(vae(), streamed, **SMALL)
    fit(vae().double(), streamed, **SMALL)
    fit(vae(), data.stream(path, standardise=True), **SMALL)


def test_columns_of_odd_scales_are_noticed(path):
    np.save(path, np.load(path) * [1, 1, 1, 1, 1e4])
    with pytest.warns(UserWarning, match="column 4"):
        fit(vae(), data.stream(path), **SMALL)
