"""Parquet files that are streamed: the schema, the numbers and the refusals of data read whole."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae import data
from pyro_vae.data.schema.numbers import NumbersOfArray
from pyro_vae.data.streamed.column_census import NumbersOfBlocks
from pyro_vae.errors import DataError, SettingError
from pyro_vae.inference import evaluate, fit
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import PerColumn

ROWS = 600


def columns(rows=ROWS, seed=0):
    """A column of every kind that can be told, and of some that nearly are another."""
    rng = np.random.default_rng(seed)
    days = pd.to_datetime("2020-02-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D")
    return {
        "real": rng.normal(50, 3, rows),
        "single": rng.normal(0, 3, rows).astype(np.float32),
        "heavy": rng.standard_t(2, rows),
        "gamma": rng.gamma(2.0, 3.0, rows),
        "log normal": rng.lognormal(0, 1, rows),
        "share": rng.beta(2, 3, rows),
        "small": rng.uniform(0.1, 0.2, rows),
        "yes no": rng.integers(0, 2, rows),
        "truth": rng.random(rows) < 0.3,
        "rating": rng.integers(1, 6, rows),
        "count": rng.poisson(4, rows),
        "nullable": pd.array(rng.poisson(2, rows), dtype="Int64"),
        "overdispersed": rng.negative_binomial(2, 0.1, rows),
        "years": rng.integers(1950, 2000, rows),
        "level": rng.poisson(100, rows),
        "signed": rng.integers(-5, 6, rows),
        "steady": 5 + rng.integers(0, 2, rows),
        "whole floats": rng.poisson(3, rows).astype(float),
        "two words": rng.choice(["on", "off"], rows),
        "words": rng.choice(["red", "green", "blue", "12"], rows),
        "category": pd.Categorical(rng.choice(["b", "a", "c"], rows)),
        "ordered": pd.Categorical(
            rng.choice(["low", "high", "mid"], rows), ["low", "mid", "high"], ordered=True
        ),
        "days": days,
        "times": days + pd.to_timedelta(rng.integers(0, 10**5, rows), "s"),
        "date objects": [day.date() for day in days],
        "date words": [str(day.date()) for day in days],
    }


def saved(tmp_path, table, name="t.parquet", group=70):
    path = tmp_path / name
    pd.DataFrame(table).to_parquet(path, row_group_size=group)
    return path


def same_schema(one, two, exact=False):
    """Equal but for the last digits of what was summed, and where the training rows are others."""
    assert [c.name for c in one.columns] == [c.name for c in two.columns]
    for a, b in zip(one.columns, two.columns, strict=True):
        for name in ("kind", "role", "likelihood", "levels", "type", "unit", "empty", "why"):
            assert vars(a)[name] == vars(b)[name], (a.name, name)
        for name in ("least", "largest"):
            expected = None if vars(b)[name] is None else pytest.approx(vars(b)[name], rel=1e-15)
            assert vars(a)[name] == expected, (a.name, name)
        if exact:
            for name in ("location", "scale"):
                expected = pytest.approx(vars(b)[name], rel=1e-11, abs=1e-12)
                assert vars(a)[name] == expected, (a.name, name)


@pytest.mark.parametrize("group", [1, 70, ROWS])
def test_the_schema_is_that_of_the_table_read_whole(tmp_path, group):
    path = saved(tmp_path, columns(), group=group)
    other = saved(tmp_path, columns(50, seed=1), "other.parquet")
    # All rows are for training then, in both.
    streamed = data.stream(path, validation=other, test=other)
    read = data.read(path, validation=other, test=other)
    same_schema(streamed.schema, read.schema, exact=True)
    assert (streamed.kind, streamed.standardise) == (read.kind, read.standardise)
    assert streamed.columns == read.columns
    assert streamed.log_jacobian == pytest.approx(read.log_jacobian, rel=1e-12)
    torch.testing.assert_close(streamed.train[:], read.train, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(streamed.test[:], read.test, rtol=1e-6, atol=1e-6)
    pd.testing.assert_frame_equal(
        streamed.first_rows().to_frame("test"), read.to_frame("test"), rtol=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_scale_is_that_of_the_training_rows(tmp_path, seed):
    path = saved(tmp_path, {name: columns(seed=seed)[name] for name in ("real", "gamma", "days")})
    streamed = data.stream(path, seed=seed)
    x = streamed.train[:].double()
    torch.testing.assert_close(x[:, 0].mean(), torch.tensor(0.0).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0)[::2], torch.ones(2).double())
    torch.testing.assert_close(x[:, 1].log().mean(), torch.tensor(0.0).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "text",
    [
        "real=student-t, count=negative-binomial, share=real, years=positive",
        "count=category, rating=category, two words=category, steady=count",
        "count=binomial, rating=count, yes no=real, truth=drop, words=drop, level=count",
        "words=ordinal(levels=[red, 12, green, blue]), real=laplace, nullable=drop",
        {"date words": "category", "gamma": "gamma", "log normal": "log-normal"},
    ],
)
def test_what_is_said_of_columns_is_heard_as_in_read(tmp_path, text):
    table = columns()
    table["date words"] = [word[:4] + "-01-01" for word in table["date words"]]
    path = saved(tmp_path, table)
    streamed, read = data.stream(path, columns=text), data.read(path, columns=text)
    same_schema(streamed.schema, read.schema)


@pytest.mark.parametrize(
    ("x", "whole"),
    [
        (np.arange(2500)[::-1], True),
        (np.r_[np.arange(2500), 7], True),
        (np.r_[np.arange(2499), 7], True),
        (np.random.default_rng(0).permutation(2500) - 900, True),
        (np.random.default_rng(0).integers(0, 2500, 2500), True),
        (np.arange(2500) / 2, False),
        (np.random.default_rng(0).lognormal(0, 2, 3000), False),
        (1e8 + np.random.default_rng(0).gamma(0.1, 1, 3000), False),
    ],
)
def test_numbers_of_blocks_are_those_of_the_array(x, whole):
    x = x.astype(np.float64)
    expected, found = NumbersOfArray(x, whole), NumbersOfBlocks()
    for part in np.array_split(x, [1, 3, 700, 1900]):
        if len(part):
            found.add(part, whole_type=whole)
    for name in ("size", "least", "largest", "whole", "zeros_and_ones"):
        assert getattr(found, name) == getattr(expected, name), name
    if expected.whole:
        both = [numbers.gapless and numbers.all_different for numbers in (found, expected)]
        assert both[0] == both[1]
        assert found.gapless <= expected.gapless
    for name in ("mean", "variance", "skewness", "excess_kurtosis"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-6, abs=1e-9)
    if expected.least > 0:
        for name in ("log_mean", "log_variance", "log_skewness"):
            close = pytest.approx(getattr(expected, name), rel=1e-6, abs=1e-9)
            assert getattr(found, name) == close
    assert (found.outside(0, 1) is None) == (expected.outside(0, 1) is None)


def test_a_fit_and_its_measurement_are_those_in_memory_to_the_bit(tmp_path):
    table = columns()
    kept = ("real", "gamma", "count", "words", "rating", "yes no")
    streamed = data.stream(saved(tmp_path, {name: table[name] for name in kept}))
    whole = streamed.first_rows()
    assert len(whole.train) == len(streamed.train)
    models = []
    for given in (streamed, whole):
        likelihood = PerColumn(given.schema.likelihoods)
        vae = VAE((6,), 2, likelihood=likelihood, encoder=(8,), decoder=(8,), seed=0)
        fit(vae, given, epochs=2, batch_size=64, progress=False)
        models.append(vae)
    one, two = (model.state_dict() for model in models)
    assert all(torch.equal(one[key], two[key]) for key in one)
    found = evaluate(models[0], streamed.test.first(20), 10)["log_evidence"]
    expected = evaluate(models[0], whole.test[:20], 10)["log_evidence"]
    np.testing.assert_array_equal(found, expected)


def holed(name, row, value):
    table = columns()
    table[name] = pd.Series(table[name])
    table[name][row] = value
    return table


@pytest.mark.parametrize(
    ("table", "settings", "error", "message"),
    [
        (holed("real", 317, np.inf), {}, DataError, "column 'real' has inf in row 317"),
        ({"id": np.arange(600), "x": columns()["real"]}, {}, DataError, "'id'.*columns=.id=drop"),
        (
            {"t": [f"word {k}" for k in range(600)], "x": columns()["real"]},
            {},
            DataError,
            "'t' .a word of its own in every row.*t=drop",
        ),
        (
            {"t": [f"word {k}" for k in range(1600)], "x": columns(1600)["real"]},
            {},
            DataError,
            "more than 1,000 different words.*t=drop",
        ),
        (
            {"n": np.arange(1600) * 2.5, "x": columns(1600)["real"]},
            {"columns": "n=category"},
            DataError,
            "more than 1,000 levels",
        ),
        ({"x": np.ones(300), "y": np.zeros(300)}, {}, DataError, "one value in all rows, '1.0'"),
        (columns(), {"columns": "real=share"}, DataError, "share is for numbers strictly"),
        (columns(), {"columns": "real=covariate"}, DataError, "is covariate, and data.*data.read"),
        (columns(), {"columns": "none=drop"}, SettingError, "columns names 'none'"),
        (columns(), {"kind": "real"}, DataError, "kind and maximum are for arrays"),
        (columns(), {"memory_limit": 1000}, DataError, "rows in one row group.*row_group_size"),
        (
            {"big": np.r_[2**25, np.zeros(300)]},
            {"columns": "big=count"},
            DataError,
            "counts above",
        ),
    ],
)
def test_what_cannot_be_streamed_is_refused(tmp_path, table, settings, error, message):
    with pytest.raises(error, match=message):
        data.stream(saved(tmp_path, table), **settings)


def test_other_files_must_be_of_the_schema(tmp_path):
    path = saved(tmp_path, {"a": columns()["words"], "b": columns()["real"]})
    odd = {"a": np.array(["red"] * 20 + ["pink"]), "b": np.zeros(21)}
    with pytest.raises(DataError, match="'pink' in row"):
        data.stream(path, test=saved(tmp_path, odd, "odd.parquet"))
    lacking = {"b": columns()["real"]}
    with pytest.raises(DataError, match="has no column 'a'"):
        data.stream(path, test=saved(tmp_path, lacking, "lacking.parquet"))
    np.save(tmp_path / "x.npy", np.zeros((30, 2)))
    with pytest.raises(DataError, match="give a table here too"):
        data.stream(path, test=tmp_path / "x.npy")
    with pytest.raises(DataError, match="has no names of columns"):
        data.stream(tmp_path / "x.npy", columns="a=drop")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        data.stream(tmp_path / "broken.parquet")
