"""Data that are streamed: their rows, kinds, scales and refusals are those of data in memory."""

import contextlib
import pickle

import numpy as np
import pytest
import torch
import zarr

from pyro_vae import data
from pyro_vae.conversion import StreamedArray
from pyro_vae.data import Dataset
from pyro_vae.data.affine import Affine
from pyro_vae.data.streamed.census import Moments
from pyro_vae.data.streamed.selection import place_of_rows
from pyro_vae.errors import DataError, MissingDataError, UnknownNameError
from pyro_vae.inference.engine.weights import occurrences

#: Bytes of memory in which the arrays of these tests have several blocks, and not all at once.
LITTLE = 2**12


def saved(tmp_path, x, name="x.npy"):
    np.save(tmp_path / name, x)
    return tmp_path / name


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def in_memory(streamed):
    """The same rows as a data set in memory, made by other code."""
    splits = (streamed.train[:], streamed.validation[:], streamed.test[:])
    return Dataset.from_tensors(*splits, kind=streamed.kind)


def zarr_saved(tmp_path, x, chunks, name="x.zarr"):
    array = zarr.create_array(tmp_path / name, shape=x.shape, dtype=x.dtype, chunks=chunks)
    array[:] = x
    return tmp_path / name


@pytest.mark.parametrize("chunks", [(7, 5), (64, 2), (500, 5)])
def test_a_zarr_array_is_streamed_as_a_numpy_file_is(tmp_path, chunks):
    x = normal(500, 5)
    path = zarr_saved(tmp_path, x, chunks)
    expected = data.stream(saved(tmp_path, x), memory_limit=LITTLE)
    for source in (path, zarr.open_array(path, mode="r")):
        streamed = data.stream(source, memory_limit=LITTLE)
        for split in ("train", "validation", "test"):
            assert torch.equal(getattr(streamed, split)[:], getattr(expected, split)[:])
        # Whole chunks, that none is decoded twice.
        ends = streamed.train.source.source.ends
        assert (ends[:-1] % chunks[0] == 0).all()
    again = pickle.loads(pickle.dumps(streamed.train))
    assert torch.equal(again[:9], streamed.train[:9])
    seal = data.stream(path).origin.checksums
    assert seal == data.stream(path).origin.checksums
    zarr.open_array(path, mode="r+")[3, 3] = 7.0
    assert seal != data.stream(path).origin.checksums


def test_a_broken_zarr_array_is_refused(tmp_path):
    path = zarr_saved(tmp_path, normal(50, 5), (10, 5))
    (path / "zarr.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        data.stream(path)
    with pytest.raises(DataError, match=r"a single column is \(n, 1\)"):
        data.stream(zarr_saved(tmp_path, normal(50), (10,), "y.zarr"))


@pytest.mark.parametrize("memory_limit", [1, LITTLE, 2**28])
def test_every_row_is_in_one_split_and_rows_are_had_by_slice_and_number(tmp_path, memory_limit):
    x = normal(500, 3, 2)
    streamed = data.stream(saved(tmp_path, x), memory_limit=memory_limit)
    parts = [streamed.train[:], streamed.validation[:], streamed.test[:]]
    whole = torch.cat(parts).numpy()
    assert sorted(map(bytes, whole)) == sorted(map(bytes, x))
    train = parts[0]
    assert len(streamed.train) == len(train)
    assert streamed.train.fits == (memory_limit == 2**28)
    for rows in (slice(3, 40), slice(0, 0), slice(5, None, 3), slice(-4, None), slice(2, 3)):
        assert torch.equal(streamed.train[rows], train[rows])
    numbers = torch.randint(len(train), (200,), generator=torch.Generator().manual_seed(0))
    for batch in numbers.split(64):
        assert torch.equal(streamed.train[batch], train[batch])
    assert torch.equal(streamed.train[7], train[7])
    assert torch.equal(streamed.train[-1], train[-1])
    assert torch.equal(streamed.train[np.int64(3)], train[3])
    assert torch.equal(streamed.train[[5, -2, 5]], train[[5, -2, 5]])
    odd = torch.arange(len(train)) % 2 == 1
    assert torch.equal(streamed.train[odd], train[odd])
    with pytest.raises(IndexError, match="by a slice or by numbers of rows"):
        streamed.train[3, 2]
    with pytest.raises(IndexError):
        streamed.train[torch.tensor([len(train)])]
    with pytest.raises(IndexError):
        streamed.train[len(train)]


def test_where_a_row_goes_depends_on_its_number_and_the_seed_alone(tmp_path):
    x = normal(400, 2)
    one = data.stream(saved(tmp_path, x), memory_limit=LITTLE, seed=5)
    # Of another type, cut into other blocks, with rows after it.
    longer = np.concatenate([x, normal(300, 2, seed=1)]).astype(np.float64)
    other = data.stream(saved(tmp_path, longer, "y.npy"), memory_limit=300, seed=5)
    assert torch.equal(one.train[:], other.train[: len(one.train)])
    again = place_of_rows(137, 391, (0.7, 0.1, 0.2), 5)
    assert (place_of_rows(0, 400, (0.7, 0.1, 0.2), 5)[137:391] == again).all()
    assert (place_of_rows(137, 391, (0.7, 0.1, 0.2), 6) != again).any()


def test_shares_are_met_in_every_stretch_of_a_sorted_file():
    shares = (0.5, 0.3, 0.2)
    for start in (0, 10**6, 10**12):
        found = np.bincount(place_of_rows(start, start + 10_000, shares, 0), minlength=3)
        # Five standard errors of a binomial share.
        errors = np.sqrt(10_000 * np.array(shares) * (1 - np.array(shares)))
        assert (np.abs(found - 10_000 * np.array(shares)) < 5 * errors).all()


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.random.default_rng(0).integers(0, 2, (300, 4)).astype(np.uint8), "binary"),
        (np.random.default_rng(0).poisson(3.0, (300, 4)), "counts"),
        (np.random.default_rng(0).integers(-3, 4, (300, 4)), "real"),
        (np.random.default_rng(0).random((300, 4)), "real"),
        (np.random.default_rng(0).integers(0, 256, (300, 4, 4)).astype(np.uint8), "unit-interval"),
    ],
)
def test_kind_type_and_values_are_those_of_data_read_whole(tmp_path, x, kind):
    path = saved(tmp_path, x)
    streamed = data.stream(path, memory_limit=LITTLE)
    read = data.read(path)
    assert (streamed.kind, streamed.base_measure) == (kind, read.base_measure)
    assert streamed.kind == read.kind
    assert streamed.train.dtype == read.train.dtype
    assert not streamed.bounded
    whole = torch.cat([streamed.train[:], streamed.validation[:], streamed.test[:]])
    of_read = torch.cat([read.train, read.validation, read.test])
    assert sorted(map(bytes, whole.numpy())) == sorted(map(bytes, of_read.numpy()))
    if kind == "counts":
        assert streamed.maximum == int(streamed.train[:].max())


def test_digits_that_float32_has_not_keep_float64_as_in_memory(tmp_path):
    x = 1e9 + normal(300, 3).astype(np.float64)
    streamed = data.stream(saved(tmp_path, x), memory_limit=LITTLE)
    assert streamed.train.dtype == in_memory(streamed).train.dtype == torch.float64
    scaled = data.stream(saved(tmp_path, x), memory_limit=LITTLE, standardise=True)
    assert scaled.train.dtype == torch.float32
    assert data.stream(saved(tmp_path, x - 1e9)).train.dtype == torch.float32


@pytest.mark.parametrize("memory_limit", [LITTLE, 2**28])
def test_standardised_as_in_memory(tmp_path, memory_limit):
    x = normal(600, 3) * [1e-3, 1.0, 1e4] + [5.0, 0.0, -2e5]
    x[:, 1] = 0.1  # a constant, which rounding must not give a spread
    x = x.astype(np.float32)
    path = saved(tmp_path, x)
    plain = data.stream(path, memory_limit=memory_limit)
    scaled = data.stream(path, memory_limit=memory_limit, standardise=True)
    expected = Affine.standardising(plain.train[:])
    np.testing.assert_allclose(scaled.affine.location, expected.location, rtol=1e-13)
    np.testing.assert_allclose(scaled.affine.scale, expected.scale, rtol=1e-13)
    if memory_limit == 2**28:  # one block
        assert torch.equal(scaled.affine.location, expected.location)
        assert torch.equal(scaled.affine.scale, expected.scale)
    assert scaled.log_jacobian == scaled.affine.log_jacobian()
    whole = in_memory(plain).standardised()
    torch.testing.assert_close(scaled.test[:], whole.test, rtol=1e-6, atol=1e-6)
    assert scaled.kind == "real"


def test_moments_are_those_of_numpy_however_rows_are_cut():
    x = 1e6 + np.random.default_rng(0).gamma(2.0, 3.0, (1000, 3))
    moments = Moments()
    for part in np.array_split(x, [1, 2, 50, 400]):
        moments.add(torch.from_numpy(part))
    np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.spread, x.std(0), rtol=1e-9)
    assert (moments.least.numpy() == x.min(0)).all()
    assert (moments.largest.numpy() == x.max(0)).all()


def test_files_of_their_own_are_validation_and_test_data(tmp_path):
    one, two = saved(tmp_path, normal(300, 2)), saved(tmp_path, normal(40, 2, seed=1), "y.npy")
    streamed = data.stream(one, test=two)
    assert len(streamed.test) == 40
    assert len(streamed.train) + len(streamed.validation) == 300
    assert 0 < len(streamed.validation) < 80
    whole = data.stream(one, validation=two, test=two)
    assert len(whole.train) == 300
    with pytest.raises(DataError, match="rows of one shape in all splits"):
        data.stream(one, test=saved(tmp_path, normal(9, 3), "z.npy"))


def test_a_memmap_is_its_part_of_the_file(tmp_path):
    x = normal(300, 4)
    path = saved(tmp_path, x)
    mapped = np.load(path, mmap_mode="r")
    expected = data.stream(path, memory_limit=LITTLE).train[:]
    assert torch.equal(data.stream(mapped, memory_limit=LITTLE).train[:], expected)
    # A run finds the file again, and no part of one.
    assert data.stream(mapped).origin.files == {"all": str(path)}
    assert data.stream(mapped[100:], test=path).origin.files == {}
    half = data.stream(mapped[100:], shares=(1, 0, 0))
    assert (half.train[:].numpy() == x[100:]).all()
    raw = np.memmap(tmp_path / "raw.bin", dtype=">f4", mode="w+", shape=(60, 4), offset=12)
    raw[:] = x[:60]
    assert (data.stream(raw, shares=(1, 0, 0)).train[:].numpy() == x[:60]).all()
    with pytest.raises(DataError, match="do not lie one after another"):
        data.stream(mapped[:, 1:])


def test_it_is_sent_to_another_process_as_a_path(tmp_path):
    streamed = data.stream(saved(tmp_path, normal(20_000, 4)))
    streamed.train[torch.arange(500)]
    streamed.train[:500]
    content = pickle.dumps(streamed.train)
    assert len(content) < 10_000
    assert torch.equal(pickle.loads(content)[:50], streamed.train[:50])


def test_the_order_of_an_epoch_has_every_row_once_and_mixes_what_memory_holds(tmp_path):
    x = np.arange(4000, dtype=np.float32).reshape(-1, 1)
    path = saved(tmp_path, x)

    def order(seed, memory_limit):
        train = data.stream(path, memory_limit=memory_limit).train
        windows = list(train.windows(torch.Generator().manual_seed(seed)))
        return torch.cat(windows), len(windows)

    rows, windows = order(0, 2**28)
    assert windows == 1
    assert torch.equal(rows, torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)))
    rows, windows = order(0, LITTLE)
    assert windows > 4
    assert torch.equal(rows.sort().values, torch.arange(len(rows)))
    assert torch.equal(rows, order(0, LITTLE)[0])
    assert not torch.equal(rows, order(1, LITTLE)[0])
    # Neighbours in the order come from all over the file.
    assert (rows[:-1] - rows[1:]).abs().double().mean() > len(rows) / 20


def test_a_window_takes_no_more_than_its_memory(tmp_path):
    train = data.stream(saved(tmp_path, normal(5000, 8)), memory_limit=LITTLE).train
    for batch in torch.cat(list(train.windows(torch.Generator().manual_seed(0)))).split(50):
        train[batch]
        assert train._window.nbytes <= LITTLE


def test_a_sample_is_of_all_rows_or_drawn_from_them(tmp_path):
    x = np.arange(3000, dtype=np.float32).reshape(-1, 1)
    train = data.stream(saved(tmp_path, x), shares=(1, 0, 0), memory_limit=LITTLE).train
    assert torch.equal(train.sample(3000), torch.from_numpy(x))
    assert len(train.sample()) == LITTLE // 4  # as many as memory holds
    assert len(data.stream(tmp_path / "x.npy", shares=(1, 0, 0)).train.sample()) == 3000
    some = train.sample(200, seed=3)
    assert len(some.unique()) == 200
    assert torch.equal(some, some.sort(0).values)
    assert torch.equal(some, train.sample(200, seed=3))
    # Five standard errors of the mean of rows that are drawn without replacement.
    assert abs(float(some.mean()) - 1499.5) < 5 * 3000 / np.sqrt(12 * 200)


def test_equal_data_are_counted_as_in_memory(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (400, 3)).astype(np.float32)
    train = data.stream(saved(tmp_path, x), memory_limit=300).train
    assert occurrences(train).tolist() == occurrences(train[:])


def test_first_rows_and_what_is_known_of_the_features(tmp_path):
    x = np.random.default_rng(0).poisson(3.0, (300, 4))
    streamed = data.stream(saved(tmp_path, x), maximum=40)
    few = streamed.first_rows(20)
    assert torch.equal(few.train, streamed.train[:20])
    assert (few.kind, few.maximum, few.bounded) == ("counts", 40, True)
    assert (streamed.event_shape, streamed.num_features) == ((4,), 4)
    assert streamed.feature_names == ["0", "1", "2", "3"]
    assert "4, counts 0..40" in repr(streamed)
    assert len(streamed.train.first(7)[:]) == len(streamed.train.first(7)) == 7
    assert streamed.train.first(None) is streamed.train
    assert streamed.log_jacobians("test").tolist() == [0.0] * len(streamed.test)
    with pytest.raises(UnknownNameError):
        streamed.inputs("all")


def hole(x, row, value):
    x = x.copy()
    x[row, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (hole(normal(300, 2), 217, np.inf), {}, r"first in row 217, column 1 \(inf\)"),
        (hole(np.zeros((300, 2)), 217, 0.5), {"kind": "binary"}, "holds 0.5 in row 217, column 1"),
        (hole(np.zeros((300, 2)), 217, -1), {"kind": "counts"}, "holds -1 in row 217, column 1"),
        (hole(np.ones((300, 2)), 21, 2.5), {"kind": "counts"}, "holds 2.5 in row 21, .*whole"),
        (hole(np.ones((300, 2)), 21, 7), {"kind": "counts", "maximum": 6}, "7 in row 21, .*=6"),
        (np.zeros((300, 2)), {"maximum": 3}, "maximum got 3, and is for counts alone"),
        (np.zeros((300, 2)), {"standardise": True}, "binary data cannot be standardised"),
        (np.zeros(300), {}, r"a single column is \(n, 1\)"),
        (np.zeros((0, 2)), {}, "at least one value"),
        (np.zeros((300, 2), dtype=complex), {}, "they must be numbers"),
        (np.array([["a"]], dtype=object), {}, "without objects|they must be numbers"),
        (np.asfortranarray(normal(300, 2)), {}, "Fortran order"),
        (np.zeros((300, 2)), {"maximum": 1.5}, "maximum got 1.5, and counts need a whole"),
        (normal(300, 2), {"num_data": 300}, "num_data got 300, and x says itself"),
        (normal(300, 2), {"columns": "a=drop"}, "has no names of columns"),
        (normal(2, 2), {}, "leaves validation without a row"),
    ],
)
def test_what_cannot_be_streamed_is_refused_with_its_place(tmp_path, x, settings, message):
    with pytest.raises(DataError, match=message):
        data.stream(saved(tmp_path, x), memory_limit=LITTLE, **settings)


def test_sources_that_cannot_be_streamed(tmp_path):
    with pytest.raises(MissingDataError, match="does not exist"):
        data.stream(tmp_path / "none.npy")
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"cannot be streamed.*data\.read"):
        data.stream(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"in memory already.*data\.read"):
        data.stream(normal(3, 2))
    with pytest.raises(DataError, match="source got None"):
        data.stream(None)
    with pytest.raises(UnknownNameError):
        data.stream(saved(tmp_path, normal(30, 2)), kind="continuous")
    path = saved(tmp_path, normal(300, 2))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cut short"):
        data.stream(path)


def test_a_file_that_changes_under_the_reader_is_noticed(tmp_path):
    path = saved(tmp_path, normal(300, 2))
    streamed = data.stream(path)
    saved(tmp_path, normal(400, 2))
    with pytest.raises(DataError, match="has changed while it was read"):
        streamed.train[:5]


def test_models_with_side_information_are_refused(tmp_path):
    streamed = data.stream(saved(tmp_path, normal(300, 2)))
    with pytest.raises(DataError, match=r"streamed, and has no labels.*data\.read"):
        streamed.inputs("train", ["labels"])
    assert isinstance(streamed.inputs("train")["x"], StreamedArray)


def test_what_was_taken_stays_what_it_is_when_the_window_is_written_over(tmp_path):
    train = data.stream(saved(tmp_path, normal(900, 4)), memory_limit=LITTLE).train
    whole = train[:]
    train[torch.arange(20)]
    taken = [train[3:9], train[2], train[torch.arange(5)]]
    kept = [part.clone() for part in taken]
    for batch in torch.randperm(len(train)).split(30):
        assert torch.equal(train[batch], whole[batch])
        assert torch.equal(train[batch[0] : batch[0] + 3], whole[batch[0] : batch[0] + 3])
    assert all(map(torch.equal, taken, kept))


def test_an_interruption_leaves_a_window_that_can_be_gone_on_with(tmp_path, monkeypatch):
    train = data.stream(saved(tmp_path, normal(900, 4)), memory_limit=LITTLE).train
    whole, read = train[:], train._read
    calls = iter(range(10**6))

    def interrupted(at):
        if next(calls) % 5 == 4:
            raise KeyboardInterrupt
        return read(at)

    monkeypatch.setattr(train, "_read", interrupted)
    for batch in torch.randperm(len(train)).split(30):
        with contextlib.suppress(KeyboardInterrupt):
            assert torch.equal(train[batch], whole[batch])
    monkeypatch.undo()
    for batch in torch.randperm(len(train)).split(30):
        assert torch.equal(train[batch], whole[batch])
