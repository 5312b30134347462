"""Labels, covariates and exposure, as a conditional model takes them."""

import numpy as np
import pytest
import torch

from pyro_vae.data import Dataset, load
from pyro_vae.errors import DataError, UnknownNameError


@pytest.fixture
def data():
    return Dataset.from_tensors(
        torch.tensor([[1, 3], [2, 2], [6, 4]]),
        test=torch.tensor([[9, 1], [1, 0]]),
        kind="counts",
        maximum=20,
        labels={"train": [0, 2, 1], "test": [2, 2]},
        covariates={"train": np.arange(6.0).reshape(3, 2), "test": [[7.0, 8.0], [9.0, 1.0]]},
        exposure={"train": [1, 2, 3], "test": [0.5, 0.25]},
    )


def test_inputs(data):
    assert list(data.inputs("train")) == ["x"]
    assert torch.equal(data.inputs("test")["x"], data.test)
    one_hot = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert torch.equal(data.inputs("train", ["labels"])["condition"], one_hot)
    covariates = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(data.inputs("train", "covariates")["condition"], covariates)
    both = data.inputs("train", iter(["exposure", "covariates", "labels"]))
    assert torch.equal(both["condition"], torch.cat([one_hot, covariates], dim=1))
    assert torch.equal(both["exposure"], torch.tensor([1.0, 2.0, 3.0]))
    # The classes are those of the training data, whichever split is asked for.
    assert data.inputs("test", ["labels"])["condition"].tolist() == [[0, 0, 1], [0, 0, 1]]
    empty = data.inputs("validation", ["labels", "covariates", "exposure"])
    assert [tuple(tensor.shape) for tensor in empty.values()] == [(0, 2), (0, 5), (0,)]
    assert all(tensor.dtype == torch.float32 for tensor in both.values())


def test_inputs_of_named_sets():
    assert load("digits").inputs("test", ["labels"])["condition"].shape == (360, 10)
    dynamic = load("digits", binarisation="dynamic")
    assert torch.equal(dynamic.inputs("train")["x"], dynamic.train)
    with pytest.raises(DataError, match=r"digits has no exposure: .*with_total_exposure"):
        dynamic.inputs("train", ["exposure"])
    with pytest.raises(DataError, match="digits has no covariates"):
        dynamic.inputs("train", ["covariates"])
    with pytest.raises(DataError, match="tensors has no labels"):
        Dataset.from_tensors(torch.zeros(2, 1)).inputs("train", ["labels"])


def test_names_are_checked(data):
    with pytest.raises(UnknownNameError, match="Did you mean 'labels'"):
        data.inputs("train", ["label"])
    with pytest.raises(UnknownNameError, match="Did you mean 'exposure'"):
        data.inputs("train", "exposures")
    with pytest.raises(UnknownNameError, match="Did you mean 'validation'"):
        data.inputs("validate")
    for what in ("covariates", "exposure"):
        with pytest.raises(UnknownNameError, match=f"split of {what} 'tests'"):
            Dataset.from_tensors(torch.zeros(1, 1), **{what: {"tests": torch.ones(1)}})


@pytest.mark.parametrize(("train", "row"), [([0, 1], 1), ([-1, 2], 0)])
def test_labels_outside_the_classes(train, row):
    x = torch.zeros(2, 1)
    labels = {"train": train, "test": [0, 2]}
    split = "test" if row else "train"
    data = Dataset.from_tensors(x, test=x, labels=labels)
    with pytest.raises(DataError, match=f"{split} has the label .* in row {row}"):
        data.inputs(split, ["labels"])


def test_total_exposure(data):
    ours = data.with_total_exposure()
    # Totals 4, 4 and 10 with mean 6.
    torch.testing.assert_close(ours.exposure["train"], torch.tensor([4, 4, 10]) / 6)
    torch.testing.assert_close(ours.exposure["test"], torch.tensor([10, 1]) / 6)
    assert float(ours.exposure["train"].mean()) == pytest.approx(1)
    assert torch.equal(ours.train, data.train)
    images = load("digits").with_total_exposure()
    assert images.exposure["test"].shape == (360,)
    empty = Dataset.from_tensors(torch.tensor([[1, 2], [0, 0]]), kind="counts")
    with pytest.raises(DataError, match="train has only zeros in row 1"):
        empty.with_total_exposure()
    with pytest.raises(DataError, match="are real, and only counts"):
        load("moons").with_total_exposure()


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ({"covariates": {"train": torch.ones(2)}}, r"shape \(2,\) for the 2 rows of train"),
        ({"covariates": {"train": torch.ones(3, 1)}}, r"of the same length .* shape \(2, 1\)"),
        ({"covariates": {"train": torch.ones(2, 1), "test": torch.ones(1, 2)}}, r"\(1, 1\)"),
        ({"covariates": {"test": torch.ones(1, 2)}}, r"the 2 rows of train"),
        ({"covariates": {"train": torch.ones(2, 1)}}, "for the 1 rows of test"),
        (
            {"covariates": {"train": [[0.0], [torch.nan]]}},
            "row 1 of the covariates of train has nan",
        ),
        ({"exposure": {"train": torch.ones(2, 1)}}, r"positive number each, shape \(2,\)"),
        ({"exposure": {"train": [1.0, 0.0]}}, "row 1 of the exposure of train has 0"),
        ({"exposure": {"train": [torch.inf, 1.0]}}, "row 0 of the exposure of train has inf"),
        ({"exposure": {"train": [1.0, 1.0]}}, "for the 1 rows of test"),
    ],
)
def test_what_does_not_fit(side, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_tensors(torch.zeros(2, 1), test=torch.zeros(1, 1), **side)


def test_it_is_immutable(data):
    with pytest.raises(TypeError):
        data.covariates["train"] = None
