"""What cannot be converted is refused by its place, and the advice works when it is followed."""

import datetime
import decimal
import re
import warnings

import numpy as np
import numpy.lib.recfunctions
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch

import pyro_vae
from pyro_vae import inference, models
from pyro_vae.conversion import convert, convert_labels
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, SupportError
from pyro_vae.models.likelihoods import Binomial, Normal, Poisson
from tests.conversion.test_every_function import CASES, OF_ONE

TIMES = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-04"])
STRUCTURED = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f4")])
MASKED = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, False], [False, True]])
RAGGED = [[1.0, 2.0], [3.0, 4.0], [5.0]]


def refusal(given):
    with pytest.raises(DataError) as caught:
        convert(given, "x")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    # The same at the doors that people come in by.
    for door in (Dataset.from_tensors, lambda x: inference.fit(small(), x, epochs=1)):
        with pytest.raises(DataError) as caught:
            door(given)
        assert "Traceback" not in str(caught.value)
    return message


def small():
    return models.VAE((2,), 1, likelihood=Normal(), encoder=(4,), decoder=(4,))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (RAGGED, ["shape (1,) in row 2", "shape (2,) in row 0"]),
        ([torch.ones(2), torch.ones(3)], ["shape (3,) in row 1"]),
        ([np.ones(2), np.ones(2), np.ones((2, 1))], ["shape (2, 1) in row 2"]),
        ([[1.0, 2.0], [3.0, "high"]], ["'high' in row 1, column 1"]),
        ([[1.0, None]], ["None in row 0, column 1"]),
        (np.array([[1, "a"]], dtype=object), ["'a' in row 0, column 1"]),
        (np.array([["a", "b"]]), ["'a' in row 0, column 0", "labels"]),
        (np.array([[1, 2], [3]], dtype=object), ["in row 0"]),
        ([[1.0, 1j]], ["in row 0, column 1", "real number"]),
        (torch.ones(2, 2, dtype=torch.cfloat), ["complex", "abs(x)"]),
        (np.ones((2, 2), dtype=complex), ["complex", "abs(x)"]),
        (torch.ones(2, 2, device="meta"), ["meta"]),
        (STRUCTURED, ["structured", "'a', 'b'"]),
        (TIMES.to_numpy()[:, None], ["times", "timedelta64"]),
        ([[datetime.date(2020, 1, 1)]], ["time 2020-01-01 in row 0"]),
        (MASKED, ["masked value in row 1, column 1"]),
        ({"a": [1.0]}, ["a dict", "pandas.DataFrame"]),
        ("data.csv", ["a str"]),
        (None, ["a NoneType"]),
        (object(), ["an object"]),
        (
            pd.DataFrame({"n": [1.0], "city": ["Oslo"]}),
            ["text in column 'city' ('Oslo' in row 0)"],
        ),
        (pd.DataFrame({"n": [1.0], "c": pd.Categorical(["u"])}), ["column 'c'"]),
        (pd.DataFrame({"n": [1, 2], "when": TIMES[:2]}), ["times in column 'when'"]),
        (
            pd.DataFrame({"n": pd.array([1, None], "Int64")}),
            ["missing value in row 1, column 'n'"],
        ),
        (pd.DataFrame({"n": [1.0, np.nan]}), ["missing value in row 1, column 'n'"]),
        (pd.DataFrame({"n": [1j]}), ["complex"]),
        (pd.DataFrame({"n": [[1], [2]]}), ["row 0, column 'n'"]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ["two columns of one name"]),
        (pd.DataFrame(index=[0, 1]), ["without columns"]),
        (pl.DataFrame({"n": [1.0], "city": ["Oslo"]}), ["column 'city'", "to_dummies"]),
        (pl.DataFrame({"n": [1, None]}), ["missing value in row 1, column 'n'", "drop_nulls"]),
        (pl.DataFrame({"n": [[1], [2]]}), ["List(Int64)", "column 'n'"]),
        (pl.DataFrame({"when": [datetime.date(2020, 1, 1)]}), ["times in column 'when'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_what_is_refused_is_named(given, words):
    message = refusal(given)
    for word in words:
        assert word in message


def test_nested_tensors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls them a prototype
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(1)])
    assert "torch.nested.to_padded_tensor(x, 0.0)" in refusal(nested)
    padded = torch.nested.to_padded_tensor(nested, 0.0)
    assert convert(padded, "x").values.tolist() == [[1, 1], [1, 0]]


def test_quantized_tensors_are_read():
    x = torch.tensor([[0.0, 0.5], [1.0, 0.25]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch moves its quantization elsewhere
        quantized = torch.quantize_per_tensor(x, 0.25, 0, torch.quint8)
        assert torch.equal(convert(quantized, "x").values, x)


ADVICE = [
    # What is refused, the words of the advice, and the same followed.
    (pd.DataFrame({"n": [1.0, 2.0], "city": ["Oslo", "Rome"]}), "pandas.get_dummies"),
    (pl.DataFrame({"n": [1.0, 2.0], "city": ["Oslo", "Rome"]}), "x.to_dummies"),
    (pd.DataFrame({"n": [1.0, 2.0, 3.0], "when it was": TIMES}), "x.assign"),
    (pl.DataFrame({"n": [1, 2, 3], "when": list(TIMES)}), "x.with_columns"),
    (
        pl.DataFrame({"day": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 3)]}),
        "x.with_columns",
    ),
    (pd.DataFrame({"wait": TIMES - TIMES[0]}), "x.assign"),
    (pd.Series(TIMES), "(x - x.min())"),
    (pl.Series("when", list(TIMES)), "(x - x.min())"),
    (pd.Series(["u", "v"]), "pandas.get_dummies"),
    (pl.Series("s", ["u", "v"]), "x.to_dummies"),
    (TIMES.to_numpy()[:, None], "(x - x.min())"),
    ((TIMES - TIMES[0]).to_numpy()[:, None], "(x - x.min())"),
    (pd.DataFrame({"n": [1.0, np.nan]}), "x.dropna"),
    (pl.DataFrame({"n": [1.0, None]}), "x.drop_nulls"),
    (pl.DataFrame({"n": [1.0, 2.0], "l": [[1], [2]]}), "x.drop("),
    (MASKED, "x.filled"),
    (MASKED, "numpy.ma.compress_rows"),
    (STRUCTURED, "numpy.lib.recfunctions.structured_to_unstructured"),
    (STRUCTURED, "pandas.DataFrame"),
    (torch.ones(2, 2, dtype=torch.cfloat), "abs("),
    (torch.ones(2, 2, dtype=torch.cfloat), "torch.view_as_real"),
    (np.ones((2, 2), dtype=complex), "abs("),
    (np.array([["1", "2.5"]]), "x.astype(float)"),
    ({"a": [1.0], "b": [2.0]}, "pandas.DataFrame"),
    (np.array([np.ones(2), np.ones(2), None], dtype=object)[:2], "numpy.stack"),
]


def expression(message, start):
    """The expression in a message that begins with these words."""
    end = r"(?= does| reads| makes|, or|, and| for both|$)"
    return re.search(re.escape(start) + ".*?" + end, message)[0]


@pytest.mark.parametrize(("given", "start"), ADVICE, ids=[start for _, start in ADVICE])
def test_the_advice_works_when_it_is_followed(given, start):
    message = refusal(given)
    text = expression(message, start)
    names = {"x": given, "pandas": pd, "numpy": np, "torch": torch, "pl": pl}
    values = convert(eval(text, names), "x").values
    assert len(values) > 0
    assert torch.isfinite(values.double()).all()


@pytest.mark.parametrize("name", [name for name in CASES if name not in OF_ONE])
@pytest.mark.parametrize("form", ["tensor", "frame", "list"])
def test_nan_is_reported_by_its_row(name, form):
    rows = torch.zeros(60, 3)
    rows[::2, 1] = 1.0
    rows[37, 2] = torch.nan
    given = {
        "tensor": rows,
        "list": rows.tolist(),
        "frame": pl.DataFrame(rows.numpy(), schema=["a", "b", "age"]),
    }[form]
    with pytest.raises(DataError) as caught:
        CASES[name](given)
    message = str(caught.value)
    assert "row 37, column " + ("'age'" if form == "frame" else "2") in message
    assert "Trace" not in message


def test_infinity_too():
    x = torch.zeros(4, 2)
    x[3, 0] = -torch.inf
    for call in (
        lambda: inference.evaluate((small().model, small().guide), x, 5),
        lambda: inference.fit(small(), x),
        lambda: small().code(x),
    ):
        with pytest.raises(DataError, match=r"row 3, column 0 \(-inf\)"):
            call()


def test_counts_that_are_none():
    def counts(*rows, **settings):
        return Dataset.from_tensors([[0, row] for row in rows], kind="counts", **settings)

    with pytest.raises(DataError, match=r"holds 1\.5 in row 1, column 1, .* round them"):
        counts(1, 1.5)
    with pytest.raises(DataError, match=r"holds -1 in row 2, column 1, .* not negative"):
        counts(1, 2, -1)
    with pytest.raises(DataError, match=r"holds 9 in row 1, column 1.*maximum=8; raise the max"):
        counts(1, 9, maximum=8)
    # What the advice leads to.
    assert Dataset.from_tensors([[0, 1.5], [0, -1]], kind="real").kind == "real"
    assert counts(1, 9, maximum=9).maximum == 9


def test_a_count_above_those_in_training():
    data = Dataset.from_tensors([[0], [1], [3]] * 4, test=[[2], [9]], kind="counts")
    assert data.maximum == 3
    unbounded = models.VAE((1,), 1, likelihood=Poisson(), encoder=(4,), decoder=(4,))
    inference.fit(unbounded, data, epochs=1, batch_size=6)
    assert np.isfinite(
        inference.compare({"m": unbounded}, data, num_particles=20).table["elbo"].item()
    )
    bounded = models.VAE((1,), 1, likelihood=Binomial(3), encoder=(4,), decoder=(4,))
    inference.fit(bounded, data, epochs=1, batch_size=6)
    with pytest.raises(SupportError, match=r"9 in row 1, column 0.*total_count=3"):
        inference.compare({"m": bounded}, data, num_particles=20)
    # A maximum that was given holds for every split.
    with pytest.raises(DataError, match=r"test holds 9 in row 1, column 0"):
        Dataset.from_tensors([[0], [3]], test=[[2], [9]], kind="counts", maximum=5)


def test_every_row_is_checked_against_the_support_before_the_work():
    x = torch.zeros(60, 3)
    x[37, 1] = 0.5
    vae = models.VAE((3,), 1, encoder=(4,), decoder=(4,))
    for call in (
        lambda: inference.elbo(vae.model, vae.guide, x, 3),
        lambda: inference.evaluate(vae, x, 3),
        lambda: inference.evidence.ais(vae.model, vae.guide, x, num_temperatures=3, num_chains=2),
        lambda: inference.quadrature(vae.model, vae.guide, x),
        lambda: pyro_vae.explain(vae, x),
    ):
        with pytest.raises(SupportError, match="row 37, column 1"):
            call()


def test_empty_data_and_single_numbers():
    for empty in ([], torch.empty(0, 2), pd.DataFrame({"a": []}), np.empty((0, 2))):
        with pytest.raises(DataError, match="empty"):
            inference.elbo(small().model, small().guide, empty, 3)
        with pytest.raises(DataError, match=r"empty|must be"):
            inference.fit(small(), empty)
    with pytest.raises(DataError, match="single number"):
        inference.elbo(small().model, small().guide, 3.0, 3)


def test_columns_are_matched_by_name():
    train = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    test = pl.DataFrame({"b": [30.0], "a": [10.0]})
    data = Dataset.from_tensors(train, test=test)
    assert data.test.tolist() == [[10.0, 30.0]]
    assert data.columns == ("a", "b")
    with pytest.raises(DataError, match="test lacks 'b' and has beside them 'c' of the columns"):
        Dataset.from_tensors(train, test=test.rename({"b": "c"}))
    with pytest.raises(DataError, match="holds 3 in row 0, column 'b'"):
        Dataset.from_tensors(train.assign(a=0.5), kind="unit-interval")


def test_labels_keep_their_names_and_order():
    ordered = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    forms = [
        pd.Series(["high", "low", "high"], dtype=ordered),
        pd.Series(["high", "low", "high"], dtype=pd.CategoricalDtype(["low", "mid", "high"])),
        pl.Series("y", ["high", "low", "high"], dtype=pl.Enum(["low", "mid", "high"])),
        pd.Categorical(["high", "low", "high"], dtype=ordered),
        pd.DataFrame({"y": pd.Series(["high", "low", "high"], dtype=ordered)}),
    ]
    x = torch.zeros(3, 1)
    for form in forms:
        data = Dataset.from_tensors(x, labels=form)
        assert data.levels == ("low", "mid", "high")
        assert data.labels["train"].tolist() == [2, 0, 2]
    # Strings have the alphabet's order; a name that training lacks comes behind, and is refused
    # by its row where a model would need it.
    for form in (["b", "a", "b"], np.array(["b", "a", "b"]), pl.Series(["b", "a", "b"])):
        data = Dataset.from_tensors(x, test=x[:2], labels={"train": form, "test": ["a", "A"]})
        assert data.levels == ("a", "b", "A")
        assert data.labels["train"].tolist() == [1, 0, 1]
        with pytest.raises(DataError, match=r"test has the label 2 .'A'. in row 1"):
            data.inputs("test", ["labels"])
    assert Dataset.from_tensors(x, labels=[3, 1, 2]).levels is None
    assert convert_labels({"train": np.array([True, False])}, "y")[0]["train"].dtype == torch.bool


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"train": ["a", None, "b"]}, "missing value in row 1"),
        ({"train": pd.Series(["a", None, "b"])}, "missing value in row 1"),
        ({"train": ["a", 1, "b"]}, "1 in row 1 among strings"),
        ({"train": ["a", "b", "a"], "test": [0]}, "names"),
        ({"train": pd.DataFrame({"a": ["u"] * 3, "b": ["v"] * 3})}, r"one column, as x\['a'\]"),
        ({"train": [0, 1.5, 2]}, "row 1 of the labels of train has 1.5"),
    ],
)
def test_labels_that_are_refused(labels, words):
    with pytest.raises(DataError, match=words):
        Dataset.from_tensors(torch.zeros(3, 1), test=torch.zeros(1, 1), labels=labels)


def test_covariates_and_exposure_as_frames():
    frame = pd.DataFrame({"age": [1, 2, 3], "sex": [True, False, True]})
    data = Dataset.from_tensors(
        torch.zeros(3, 1),
        kind="counts",
        covariates=frame,
        exposure=pl.Series([1, 2, 3]),
    )
    assert data.covariates["train"].tolist() == [[1, 1], [2, 0], [3, 1]]
    assert data.exposure["train"].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="covariates of train got text in column 'sex'"):
        Dataset.from_tensors(torch.zeros(3, 1), covariates=frame.assign(sex=["m", "f", "m"]))
    followed = pd.get_dummies(frame.assign(sex=["m", "f", "m"]), columns=["sex"], dtype=float)
    data = Dataset.from_tensors(torch.zeros(3, 1), covariates=followed)
    assert data.covariates["train"].shape == (3, 3)


def test_a_conditional_model_takes_frames_beside_the_data():
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    c = torch.tensor([[0.5], [1.5], [2.5]])
    vae = models.VAE((2,), 1, condition=models.Covariates(1), encoder=(4,), decoder=(4,))
    plain = inference.elbo(vae.model, vae.guide, {"x": x, "condition": c}, 5)
    forms = {"x": pd.DataFrame(x.numpy()), "condition": pl.DataFrame({"c": c[:, 0].numpy()})}
    assert plain.equals(inference.elbo(vae.model, vae.guide, forms, 5))
    assert torch.equal(vae.code(x, c), vae.code(forms["x"], forms["condition"]))
    with pytest.raises(DataError, match=r"different numbers of rows .x 3, condition 2"):
        inference.elbo(vae.model, vae.guide, {"x": x, "condition": c[:2]}, 5)


def test_numbers_are_read_whole():
    exact = convert(np.array([[2**53 + 1]], dtype=np.int64), "x").values
    assert exact.item() == 2**53 + 1
    assert convert([[decimal.Decimal("0.5"), True]], "x").values.tolist() == [[0.5, 1.0]]
    assert convert([[1, 2.5], [np.float32(3), torch.tensor(4)]], "x").values.tolist() == [
        [1, 2.5],
        [3, 4],
    ]
    assert convert(scipy.sparse.eye_array(2), "x").values.tolist() == [[1, 0], [0, 1]]
    changed = np.ones((2, 2))
    data = Dataset.from_tensors(changed)
    changed[:] = 7
    assert data.train.max() == 1
