"""Data sets: splits, binarisation, and what is said when something is wrong."""

import os
import struct

import numpy as np
import pytest
import torch

from pyro_vae.data import Dataset, catalogue, load
from pyro_vae.errors import DataError, MissingDataError, UnknownNameError
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


def test_stochastic_binarisation_is_drawn_once_with_the_seed():
    one, two, other = (load("digits", binarisation="stochastic", seed=s) for s in (1, 1, 2))
    assert one.kind == "binary"
    assert torch.equal(one.train, two.train)
    assert not torch.equal(one.train, other.train)
    assert torch.equal(one.epoch_train(0), one.epoch_train(5))


def test_dynamic_binarisation_draws_the_grey_levels_afresh():
    data = load("digits", binarisation="dynamic", seed=3)
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


def test_missing_set_names_folder_file_and_command(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        load("mnist", data_root=tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "train-images-idx3-ubyte" in message
    assert "pyro-vae data --download mnist" in message
    with pytest.raises(MissingDataError, match=r"freyfaces\.npz"):
        load("frey-faces", data_root=tmp_path)


def test_data_root_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(MissingDataError, match=r"data root .* does not exist"):
        load("mnist", data_root=tmp_path / "nowhere")
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path / "neither"))
    with pytest.raises(MissingDataError, match="neither does not exist"):
        load("mnist")
    assert load("digits").name == "digits"


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def tiny_mnist(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("t10k", 10)):
        write_idx(raw / f"{split}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{split}-labels-idx1-ubyte", rng.integers(0, 10, count))
    return tmp_path


def test_idx_files_are_read(tiny_mnist):
    data = load("mnist", data_root=tiny_mnist)
    assert [len(data.train), len(data.validation), len(data.test)] == [50, 10, 10]
    assert data.kind == "unit-interval"
    assert float(data.train.max()) <= 1
    listed = {entry.name: entry for entry in catalogue(data_root=tiny_mnist)}
    assert listed["mnist"].available
    assert listed["digits"].available
    assert not listed["kmnist"].available


@pytest.mark.filterwarnings("ignore")
def test_truncated_file_is_named(tiny_mnist):
    path = tiny_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="broken or truncated"):
        load("mnist", data_root=tiny_mnist)


def test_frey_faces(tmp_path):
    (tmp_path / "freyfaces").mkdir()
    path = tmp_path / "freyfaces" / "freyfaces.npz"
    np.savez(path, images=np.zeros((1965, 28, 20), np.uint8))
    data = load("frey-faces", data_root=tmp_path)
    assert [len(data.train), len(data.validation), len(data.test)] == [1565, 200, 200]
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="broken"):
        load("frey-faces", data_root=tmp_path)


@pytest.mark.skipif("PYRO_VAE_DATA" not in os.environ, reason="PYRO_VAE_DATA is not set")
def test_real_mnist():
    data = load("mnist")
    assert [len(data.train), len(data.validation), len(data.test)] == [50000, 10000, 10000]
    assert torch.bincount(data.labels["test"]).tolist()[:2] == [980, 1135]


def test_own_tensors():
    data = Dataset.from_tensors((torch.rand(5, 3) < 0.5).float())
    assert data.kind == "binary"
    assert data.validation.shape == (0, 3)
    assert Dataset.from_tensors(torch.randn(5, 3)).kind == "real"
    assert "5 train" in repr(data)


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
            "1 labels for the 2 rows",
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
