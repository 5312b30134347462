"""Data sets that are read from files: where they are looked for, and what is wrong with them."""

import struct

import numpy as np
import pytest
import torch

from pyro_vae.data import catalogue, load
from pyro_vae.errors import DataError, MissingDataError

FREY = (1965, 28, 20)


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root, *, counts=(60, 10), side=28, labels=None):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for split, count in zip(("train", "t10k"), counts, strict=True):
        write_idx(raw / f"{split}-images-idx3-ubyte", rng.integers(0, 256, (count, side, side)))
        write_idx(raw / f"{split}-labels-idx1-ubyte", rng.integers(0, 10, labels or count))
    return root


@pytest.fixture
def datasets():
    """Torchvision's, which cannot be imported beside a torch of another build."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision: {error}")
    return datasets


@pytest.fixture
def tiny_mnist(tmp_path, datasets):
    return write_mnist(tmp_path)


@pytest.fixture
def frey(tmp_path):
    (tmp_path / "freyfaces").mkdir()
    return tmp_path / "freyfaces" / "freyfaces.npz"


def test_missing_set_names_folder_file_and_command(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        load("mnist", data_root=tmp_path)
    message = str(caught.value)
    assert f"not in {tmp_path}, where" in message
    assert str(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte") in message
    assert f"`pyro-vae data --download mnist --data-root {tmp_path}`" in message
    assert "\n" not in message


def test_command_needs_no_data_root_where_none_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match="`pyro-vae data --download mnist` would"):
        load("mnist")


def test_default_root_is_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PYRO_VAE_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    with pytest.raises(MissingDataError, match=r"not in .*pyro_vae, where"):
        load("mnist")


@pytest.mark.parametrize("download", [False, True])
def test_frey_faces_cannot_be_downloaded(tmp_path, download):
    with pytest.raises(MissingDataError, match=r"freyfaces\.npz was expected: it cannot be down"):
        load("frey-faces", data_root=tmp_path, download=download)


def test_data_root_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(MissingDataError, match=r"data root .* does not exist"):
        load("mnist", data_root=tmp_path / "nowhere")
    monkeypatch.setenv("PYRO_VAE_DATA", str(tmp_path / "neither"))
    with pytest.raises(MissingDataError, match="neither does not exist"):
        load("mnist")
    assert load("digits").name == "digits"


def test_data_root_that_is_a_file(tmp_path):
    root = tmp_path / "file"
    root.touch()
    with pytest.raises(MissingDataError, match="is not a folder"):
        load("mnist", data_root=root)
    with pytest.raises(MissingDataError, match="cannot be made"):
        load("mnist", data_root=root, download=True)


def test_download_that_fails_is_told_in_one_sentence(tmp_path, monkeypatch, datasets):
    def no_network(self):
        raise RuntimeError("Error downloading:\nTried here, got:\nno network")

    monkeypatch.setattr(datasets.MNIST, "download", no_network)
    root = tmp_path / "a" / "new one"
    with pytest.raises(MissingDataError, match="Tried here, got: no network") as caught:
        load("mnist", data_root=root, download=True)
    assert root.is_dir()
    assert f"`pyro-vae data --download mnist --data-root '{root}'`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_download_fetches_what_is_missing(tmp_path, monkeypatch, datasets):
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: write_mnist(tmp_path / "new"))
    assert len(load("mnist", data_root=tmp_path / "new", download=True).train) == 50


def test_idx_files_are_read(tiny_mnist):
    data = load("mnist", data_root=tiny_mnist)
    assert [len(data.train), len(data.validation), len(data.test)] == [50, 10, 10]
    assert data.kind == "unit-interval"
    # The validation data are the last sixth, in the order of the file.
    rng = np.random.default_rng(0)
    pixels = torch.as_tensor(rng.integers(0, 256, (60, 28, 28)), dtype=torch.float32)
    assert torch.equal(torch.cat([data.train, data.validation]), pixels / 255)
    labels = torch.cat([data.labels["train"], data.labels["validation"]])
    assert labels.tolist() == rng.integers(0, 10, 60).tolist()


def test_levels_of_files(tiny_mnist):
    levels = load("mnist", values="levels", data_root=tiny_mnist)
    assert (levels.kind, levels.maximum, levels.base_measure) == ("counts", 255, "levels 0 to 255")
    dequantised = load("mnist", values="dequantised", data_root=tiny_mnist)
    for split in ("train", "validation", "test"):
        assert torch.equal((256 * getattr(dequantised, split)).floor(), getattr(levels, split))
    grey = load("mnist", data_root=tiny_mnist)
    assert (grey.values, grey.base_measure) == ("unit-interval", "unit interval")
    assert torch.equal(levels.test / 255, grey.test)


def test_catalogue_says_what_is_there(tiny_mnist):
    listed = {entry.name: entry for entry in catalogue(data_root=tiny_mnist)}
    there = {name for name, entry in listed.items() if entry.available}
    built_in = {"breast-cancer", "digits", "iris", "moons", "pinwheel", "wine"}
    built_in |= {"sprites", "moon-phases", "all-moon-phases"}
    assert there == built_in | {"mnist"}
    assert set(listed) - there == {"fashion-mnist", "kmnist", "frey-faces"}
    assert listed["mnist"].where == str(tiny_mnist)
    assert listed["digits"].where == "built in"
    assert "pyro-vae data --download kmnist" in listed["kmnist"].where
    assert (listed["moons"].event_shape, listed["moons"].kind) == ((2,), "real")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("length", [0, 6, 12])
def test_truncated_file_is_named(tiny_mnist, name, length):
    path = tiny_mnist / "MNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="is broken or truncated") as caught:
        load("mnist", data_root=tiny_mnist)
    assert f"{path} is broken" in str(caught.value)


@pytest.mark.usefixtures("datasets")
def test_idx_files_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte has images of shape \(20, 20\)"):
        load("mnist", data_root=write_mnist(tmp_path, side=20))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte has 7 labels for 60 images"):
        load("mnist", data_root=write_mnist(tmp_path, labels=7))


def test_frey_faces(frey):
    images = np.random.default_rng(0).integers(0, 256, FREY).astype(np.uint8)
    np.savez(frey, images=images)
    data = load("frey-faces", data_root=frey.parent.parent)
    parts = [data.train, data.validation, data.test]
    assert [tuple(part.shape) for part in parts] == [(n, 28, 20) for n in (1565, 200, 200)]
    # Frames of noise are all different: the sorted first pixels show that none was lost.
    ours, theirs = torch.cat(parts), torch.as_tensor(images) / 255
    assert torch.equal(ours.sum((1, 2)).sort().values, theirs.sum((1, 2)).sort().values)


def _flip_bits(path):
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 256, FREY, np.uint8))
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)


def _save_one_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b""), "is broken"),
        (lambda path: path.write_bytes(b"not an archive"), "is broken"),
        (lambda path: np.savez(path, faces=np.zeros(3)), "has no array `images`"),
        (_save_one_array, "is broken"),
        (_flip_bits, "is broken"),
        (lambda path: np.savez(path, images=np.zeros((3, 28, 20), np.uint8)), r"shape \(3, 28, 2"),
        (lambda path: np.savez(path, images=np.zeros(FREY, np.float32)), "type float32"),
    ],
)
def test_broken_archive_is_named(frey, spoil, message):
    spoil(frey)
    with pytest.raises(DataError, match=message) as caught:
        load("frey-faces", data_root=frey.parent.parent)
    assert str(frey) in str(caught.value)


def test_real_mnist():
    if not {entry.name: entry.available for entry in catalogue()}["mnist"]:
        pytest.skip("MNIST is not in the data root; PYRO_VAE_DATA names another")
    data = load("mnist")
    assert data.train.shape == (50000, 28, 28)
    assert [len(data.validation), len(data.test)] == [10000, 10000]
    assert float(data.train.max()) == 1
    # Counts of the digits in the files of LeCun, Cortes & Burges.
    whole = torch.cat([data.labels["train"], data.labels["validation"]])
    assert torch.bincount(whole).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]
    assert torch.bincount(data.labels["test"]).tolist()[:2] == [980, 1135]
