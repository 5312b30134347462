"""Grey levels, standardised features, and the Jacobian that makes densities comparable."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae.data import Dataset, load
from pyro_vae.errors import DataError, UnknownNameError
from tests.tolerances import STANDARD_ERRORS

SPLITS = ("train", "validation", "test")


def fitted_log_density(data, split="test"):
    """Mean log density under independent normals fitted to the training data, in nats."""
    train = data.train.flatten(1).double().numpy()
    x = getattr(data, split).flatten(1).double().numpy()
    return stats.norm(train.mean(0), train.std(0)).logpdf(x).sum(1)


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer", "moons"])
def test_densities_agree_once_the_jacobian_is_added(name):
    raw, standardised = load(name), load(name, standardise=True)
    assert (raw.log_jacobian, raw.standardise, standardised.standardise) == (0.0, False, True)
    ours = fitted_log_density(standardised) + standardised.log_jacobian
    np.testing.assert_allclose(ours.mean(), fitted_log_density(raw).mean(), rtol=1e-6)
    np.testing.assert_allclose(ours, fitted_log_density(raw), rtol=1e-4)
    assert raw.base_measure == standardised.base_measure == "as given"


def test_dequantised_densities_are_of_the_levels():
    unit = load("digits", values="dequantised", seed=4)
    both = load("digits", values="dequantised", standardise=True, seed=4)
    assert unit.log_jacobian == pytest.approx(-64 * math.log(17), rel=1e-12)
    # Pixels that are always blank vary too, by the noise.
    levels = Dataset.from_tensors(unit.original("train"), test=unit.original("test"), kind="real")
    expected = fitted_log_density(levels)
    for data in (unit, both):
        ours = fitted_log_density(data) + data.log_jacobian
        np.testing.assert_allclose(ours.mean(), expected.mean(), rtol=1e-6)
        assert data.base_measure == "dequantised levels 0 to 16"
    torch.testing.assert_close(both.original("test"), unit.original("test"), rtol=0, atol=2e-5)


def test_dequantised_levels_are_found_again():
    levels = load("digits")
    data = load("digits", values="dequantised", seed=1)
    assert (data.kind, data.maximum, data.values) == ("unit-interval", None, "dequantised")
    noise = []
    for split in SPLITS:
        assert torch.equal((17 * getattr(data, split)).floor(), getattr(levels, split))
        assert torch.equal(data.original(split).floor(), getattr(levels, split))
        noise.append((17 * getattr(data, split) - getattr(levels, split)).flatten())
    u = torch.cat(noise).double().numpy()
    assert 0 < u.min() < 1e-3
    assert 1 - 1e-3 < u.max() < 1
    # A Kolmogorov-Smirnov statistic beyond 5 standard errors of a mean is 1e-20 likely.
    assert stats.kstest(u, "uniform").statistic < STANDARD_ERRORS / math.sqrt(len(u))
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < STANDARD_ERRORS / math.sqrt(len(u))


def test_every_level_of_eight_bits_survives_float32():
    from pyro_vae.data.grey_levels import preprocess

    levels = torch.arange(256.0).repeat(8000, 1)
    form = preprocess({"train": levels}, 255, "dequantised", seed=0)
    assert torch.equal((256 * form.splits["train"]).floor(), levels)
    assert torch.equal(form.affine.inverse(form.splits["train"]).floor(), levels)


def test_dequantisation_is_drawn_once_with_the_seed():
    one, two, other = (load("digits", values="dequantised", seed=s) for s in (1, np.int64(1), 2))
    assert torch.equal(one.train, two.train)
    assert not torch.equal(one.train, other.train)
    assert torch.equal(one.epoch_train(0), one.epoch_train(5))
    noise = [17 * getattr(one, s)[:100] - getattr(load("digits"), s)[:100] for s in SPLITS]
    assert not torch.allclose(noise[0], noise[2], atol=0.1)
    assert "unit-interval, dequantised" in repr(one)


def test_forms_of_digits():
    default, levels = load("digits"), load("digits", values="levels")
    assert torch.equal(default.train, levels.train)
    assert default.values == levels.values == "levels"
    assert (levels.kind, levels.maximum, levels.log_jacobian) == ("counts", 16, 0.0)
    unit = load("digits", values="unit-interval")
    assert (unit.kind, unit.maximum, unit.log_jacobian) == ("unit-interval", None, 0.0)
    assert torch.equal(unit.train, levels.train / 16)
    assert {data.base_measure for data in (default, levels)} == {"levels 0 to 16"}
    assert unit.base_measure == "unit interval"
    binary = load("digits", binarisation="threshold")
    assert (binary.values, binary.base_measure) == (None, "as given")
    assert torch.equal(binary.original("test"), binary.test)


def test_settings_rebuild_the_data():
    data = load("digits", values="dequantised", standardise=True, seed=3)
    again = load(
        data.name,
        binarisation=data.binarisation,
        values=data.values,
        standardise=data.standardise,
        seed=data.seed,
    )
    assert all(torch.equal(getattr(data, s), getattr(again, s)) for s in SPLITS)
    dynamic = load("digits", binarisation="dynamic")
    load("digits", binarisation="dynamic", values=dynamic.values)


def test_standardised_by_the_training_data():
    train = torch.randn(50, 2, 3) * 4 + 100
    train[:, 0, 1] = 0.1
    test = torch.randn(20, 2, 3)
    data = Dataset.from_tensors(train, test=test, labels={"train": [1] * 50, "test": [0] * 20})
    ours = data.standardised()
    torch.testing.assert_close(ours.train.mean(0), torch.zeros(2, 3), rtol=0, atol=1e-6)
    sd = torch.ones(2, 3)
    sd[0, 1] = 0
    torch.testing.assert_close(ours.train.std(0, correction=0), sd, rtol=0, atol=1e-6)
    # The constant feature is moved, not stretched.
    torch.testing.assert_close(ours.test[:, 0, 1], test[:, 0, 1] - 0.1)
    x = train.flatten(1).double().numpy()
    stretch = np.log(np.delete(x, 1, axis=1).std(0)).sum()
    assert ours.log_jacobian == pytest.approx(-stretch)
    torch.testing.assert_close(ours.original("test"), test, rtol=1e-5, atol=1e-5)
    assert torch.equal(ours.labels["test"], data.labels["test"])
    assert ours.standardised() is ours
    assert "real, standardised" in repr(ours)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "moons", "values": "levels"}, "values got 'levels' for moons, .* no grey level"),
        ({"name": "pinwheel", "values": "dequantised"}, "no grey level: leave values out"),
        ({"name": "wine", "binarisation": "dynamic"}, "binarisation got 'dynamic' for wine"),
        ({"values": "dequantised", "binarisation": "dynamic"}, "leave one of the two out"),
        ({"values": "levels", "standardise": True}, "counts data cannot be .*'dequantised'"),
        ({"binarisation": "stochastic", "standardise": True}, "binary data cannot"),
    ],
)
def test_forms_that_make_no_sense(settings, message):
    with pytest.raises(DataError, match=message):
        load(**settings)


def test_names_are_checked():
    with pytest.raises(UnknownNameError, match="Did you mean 'dequantised'"):
        load("digits", values="dequantized")
    x = torch.zeros(2, 1)
    with pytest.raises(UnknownNameError, match="Did you mean 'levels'"):
        Dataset("mine", x, x, x, kind="binary", values="level")
    with pytest.raises(UnknownNameError, match="unknown split 'tests'"):
        load("moons").original("tests")


@pytest.mark.parametrize(
    ("name", "sizes", "classes"),
    [
        ("iris", [105, 15, 30], [50, 50, 50]),
        ("wine", [126, 17, 35], [59, 71, 48]),
        ("breast-cancer", [400, 56, 113], [212, 357]),
    ],
)
def test_tables(name, sizes, classes):
    data = load(name, seed=1)
    assert [len(getattr(data, split)) for split in SPLITS] == sizes
    # Class counts of the published sets.
    assert torch.bincount(torch.cat(list(data.labels.values()))).tolist() == classes
    assert torch.equal(data.test, load(name, seed=2).test)
    assert (data.kind, data.values) == ("real", None)
    if name == "iris":
        # Fisher's means in centimetres, of all species.
        whole = torch.cat([getattr(data, split) for split in SPLITS])
        np.testing.assert_allclose(whole.mean(0), [5.843, 3.057, 3.758, 1.199], atol=1e-3)
