"""Data sets: splits, binarisation, and what is said when something is wrong."""

import numpy as np
import pytest
import torch

from pyro_vae.data import Dataset, load
from pyro_vae.data.sources import split_by_seed
from pyro_vae.errors import DataError, UnknownNameError
from tests.tolerances import STANDARD_ERRORS


def test_digits_are_the_counts_of_scikit_learn():
    data = load("digits")
    assert (data.kind, data.maximum, data.event_shape) == ("counts", 16, (8, 8))
    assert [len(data.train), len(data.validation), len(data.test)] == [1257, 180, 360]
    from sklearn.datasets import load_digits

    ours = torch.cat([data.train, data.validation, data.test]).flatten(1)
    theirs = torch.as_tensor(load_digits().data, dtype=torch.float32)
    # The same rows, in another order.
    assert torch.equal(
        torch.unique(ours, dim=0, return_counts=True)[0], torch.unique(theirs, dim=0)
    )
    assert ours.sum() == theirs.sum()
    assert torch.bincount(data.labels["test"]).min() > 15


def test_splits_are_disjoint_and_sum_to_the_whole():
    rows = torch.arange(10.0)[:, None]
    raw = split_by_seed(rows, rows[:, 0].long(), {"train": 6, "validation": 3, "test": 1})
    assert torch.cat(list(raw.splits.values())).flatten().sort().values.tolist() == list(range(10))
    for split, labels in raw.labels.items():
        assert torch.equal(raw.splits[split][:, 0], labels.float())


def test_the_split_does_not_depend_on_the_seed():
    assert torch.equal(load("digits", seed=1).test, load("digits", seed=2).test)


def test_the_number_of_validation_data_is_as_asked_for():
    """The last of those that are no test data, with their labels; test data are as they were."""
    own, ours = load("digits"), load("digits", num_validation=37)
    assert [len(ours.train), len(ours.validation), len(ours.test)] == [1400, 37, 360]
    assert torch.equal(ours.test, own.test)
    for of in (lambda data: vars(data), lambda data: data.labels):
        whole = torch.cat([of(own)["train"], of(own)["validation"]])
        assert torch.equal(whole[:1400], of(ours)["train"])
        assert torch.equal(whole[1400:], of(ours)["validation"])
    assert len(load("digits", num_validation=0).validation) == 0
    with pytest.raises(DataError, match="num_validation got 1437 for digits, which has 1437"):
        load("digits", num_validation=1437)


def test_stochastic_binarisation_is_drawn_once_with_the_seed():
    one, two, other = (load("digits", binarisation="stochastic", seed=s) for s in (1, 1, 2))
    assert one.kind == "binary"
    assert torch.equal(one.train, two.train)
    assert not torch.equal(one.train, other.train)
    assert torch.equal(one.epoch_train(0), one.epoch_train(5))


def test_integers_of_numpy_draw_as_those_of_python():
    one, two = (load("digits", binarisation="dynamic", seed=s) for s in (1, np.int64(1)))
    assert type(two.seed) is int
    assert torch.equal(one.test, two.test)
    assert torch.equal(one.epoch_train(2), two.epoch_train(np.int64(2)))


def test_dynamic_binarisation_draws_the_grey_levels_afresh():
    data = load("digits", binarisation="dynamic", seed=3)
    assert data.kind == "binary"
    assert ((data.train > 0) & (data.train < 1)).any()
    assert torch.equal(data.epoch_train(4), data.epoch_train(4))
    assert not torch.equal(data.epoch_train(4), data.epoch_train(5))
    assert ((data.test == 0) | (data.test == 1)).all()
    epochs = 400
    mean = sum(data.epoch_train(e)[:50] for e in range(epochs)) / epochs
    grey = load("digits").train[:50] / 16
    error = (grey * (1 - grey) / epochs).sqrt()
    assert ((mean - grey).abs() <= STANDARD_ERRORS * error + 1e-6).all()


def test_threshold():
    data = load("digits", binarisation="threshold")
    assert torch.equal(data.train, (load("digits").train > 8).float())


def test_loading_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    load("digits", binarisation="dynamic").epoch_train(1)
    load("moons")
    load("pinwheel")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "classes"), [("moons", 2), ("pinwheel", 5)])
def test_simulated_sets(name, classes):
    data = load(name, seed=1)
    assert data.train.shape == (2000, 2)
    assert set(data.labels["train"].tolist()) == set(range(classes))
    assert torch.equal(data.train, load(name, seed=1).train)
    assert not torch.equal(data.train, load(name, seed=2).train)
    assert not torch.equal(data.train[:500], data.test)
    if name == "moons":
        upper = data.train[data.labels["train"] == 0]
        radius = upper.norm(dim=1)
        assert abs(float(radius.mean()) - 1) < 0.02
        assert abs(float(upper[:, 1].mean()) - 2 / np.pi) < 5 * 0.32 / 1000**0.5


def test_names_and_binarisations_are_checked():
    with pytest.raises(UnknownNameError, match="Did you mean 'digits'"):
        load("digitz")
    with pytest.raises(UnknownNameError, match="Did you mean 'dynamic'"):
        load("digits", binarisation="dinamic")
    with pytest.raises(DataError, match="no grey level"):
        load("moons", binarisation="threshold")


def test_own_tensors():
    data = Dataset.from_tensors((torch.rand(5, 3) < 0.5).float())
    assert data.kind == "binary"
    assert data.validation.shape == (0, 3)
    assert Dataset.from_tensors(torch.randn(5, 3)).kind == "real"
    assert "5 train" in repr(data)
    labelled = Dataset.from_tensors(
        torch.tensor([[2], [7]]), kind="counts", labels={"train": [0, 1]}
    )
    assert (labelled.train.dtype, labelled.maximum) == (torch.float32, 7)
    assert labelled.labels["train"].dtype == torch.long
    assert labelled.labels["test"].shape == (0,)


def test_names_in_a_constructor_are_checked():
    x = torch.zeros(2, 1)
    with pytest.raises(UnknownNameError, match="Did you mean 'counts'"):
        Dataset.from_tensors(x, kind="count")
    with pytest.raises(UnknownNameError, match="Did you mean 'dynamic'"):
        Dataset("mine", x, x, x, kind="binary", binarisation="dynamics")
    with pytest.raises(UnknownNameError, match="split of labels 'valid'"):
        Dataset.from_tensors(x, labels={"train": [0, 1], "valid": []})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dataset.from_tensors(torch.zeros(0, 2)), "empty"),
        (lambda: Dataset.from_tensors(torch.zeros(3)), "event_shape"),
        (lambda: Dataset.from_tensors(torch.tensor([[0.0], [float("nan")]])), "first in row 1"),
        (lambda: Dataset.from_tensors(torch.tensor([[float("inf")]])), "infinite"),
        (lambda: Dataset.from_tensors(torch.zeros(3, 2), torch.zeros(3, 4)), "events of shape"),
        (lambda: Dataset.from_tensors(torch.full((1, 1), 0.5), kind="binary"), "0.5"),
        (lambda: Dataset.from_tensors(torch.full((1, 1), 2.0), kind="unit-interval"), "0 to 1"),
        (
            lambda: Dataset.from_tensors(torch.full((1, 1), 9.0), kind="counts", maximum=8),
            "maximum=8",
        ),
        (
            lambda: Dataset.from_tensors(
                torch.zeros(2, 1),
                labels={"train": torch.zeros(1), "validation": [], "test": []},
            ),
            r"labels of shape \(1,\) for the 2 rows of train",
        ),
        (lambda: Dataset.from_tensors(torch.tensor(1.0)), "event_shape"),
        (lambda: Dataset.from_tensors(torch.zeros(3, 0)), "empty"),
        (lambda: Dataset.from_tensors(torch.full((2, 1), torch.nan), kind="counts"), "row 0"),
        (lambda: Dataset.from_tensors(torch.full((1, 1), 1.5), kind="counts"), "holds 1.5 in row"),
        (lambda: Dataset.from_tensors(torch.randn(3, 1), maximum=3), "for counts alone"),
        (
            lambda: Dataset(
                "mine", torch.ones(1, 1), torch.ones(0, 1), torch.ones(0, 1), kind="counts"
            ),
            "counts need a whole number",
        ),
        (
            lambda: Dataset(
                "mine", torch.ones(1, 1).double(), torch.ones(0, 1), torch.ones(0, 1), kind="real"
            ),
            "float64, and must be a float32",
        ),
        (
            lambda: Dataset.from_tensors(
                torch.zeros(2, 1), labels={"train": torch.tensor([0.5, 1])}
            ),
            "whole numbers",
        ),
        (
            lambda: Dataset.from_tensors(torch.zeros(2, 1), torch.tensor([[0.0], [torch.inf]])),
            "validation has NaN or infinite values, first in row 1",
        ),
    ],
)
def test_bad_tensors(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_it_is_immutable():
    data = load("moons")
    with pytest.raises(AttributeError):
        data.name = "suns"
    with pytest.raises(TypeError):
        data.labels["train"] = None


def test_the_scale_to_the_unit_interval_is_that_of_the_counts():
    digits = load("digits")
    assert float((digits.unit_scale * digits.train).max()) == 1.0
    assert load("digits", binarisation="threshold").unit_scale == 1.0
