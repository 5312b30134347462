"""Reading files: every format gives the same tensors, and every fault a sentence."""

import gzip
import os
import re
import struct
import warnings

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
import xarray as xr
from PIL import Image

from pyro_vae import data
from pyro_vae.data.reading import memory
from pyro_vae.data.reading.origin import Origin
from pyro_vae.data.reading.parts import by_share
from pyro_vae.data.reading.reader import Form, read_again
from pyro_vae.disk.schema import checked
from pyro_vae.errors import DataError, MissingDataError
from tests.data.tables import COLUMNS, mixed

SPLITS = ("train", "validation", "test")


def write(frame, path):
    """The table in the form that the name of the file says."""
    suffix = "".join(path.suffixes)
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif suffix == ".csv.gz":
        with gzip.open(path, "wt") as file:
            frame.to_csv(file, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".feather":
        frame.to_feather(path)
    elif suffix == ".txt":  # as a spreadsheet in much of Europe writes it
        frame.to_csv(path, index=False, sep=";", decimal=",")
    return path


@pytest.fixture(scope="module")
def frame():
    return mixed()


@pytest.fixture(scope="module")
def expected(frame):
    return data.read(frame, columns=COLUMNS)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "txt", "parquet", "feather"])
def test_every_format_of_a_table_gives_the_same_tensors(frame, expected, suffix, tmp_path):
    found = data.read(write(frame, tmp_path / f"t.{suffix}"), columns=COLUMNS)
    assert found.name == "t"
    assert found.schema == expected.schema
    for split in SPLITS:
        assert torch.equal(getattr(found, split), getattr(expected, split))
        assert torch.equal(found.covariates[split], expected.covariates[split])
        assert torch.equal(found.labels[split], expected.labels[split])


def test_every_frame_gives_the_same_tensors(frame, expected):
    typed = frame.astype({"grade": "category", "falls": "int16", "smoker": object})
    # A declared order of categories is theirs, and "grade" has one said.
    for given in (pl.from_pandas(frame), typed, xr.Dataset.from_dataframe(frame.set_index("id"))):
        found = data.read(given, columns=COLUMNS)
        assert set(found.schema.names) == set(expected.schema.names)
        order = [found.schema.names.index(name) for name in expected.schema.names]
        assert torch.equal(found.test[:, order], expected.test)


NUMBERS = np.random.default_rng(0).poisson(1.5, (60, 7)).astype(np.int64)


def arrays(tmp_path):
    """The same counts in every form that has no names."""
    np.save(tmp_path / "a.npy", NUMBERS)
    np.savez(tmp_path / "b.npz", x=NUMBERS)
    scipy.sparse.save_npz(tmp_path / "c.npz", scipy.sparse.csr_matrix(NUMBERS))
    with gzip.open(tmp_path / "d.npy.gz", "wb") as file:
        np.save(file, NUMBERS)
    (tmp_path / "e.idx").write_bytes(
        struct.pack(">HBBII", 0, 12, 2, *NUMBERS.shape) + NUMBERS.astype(">i4").tobytes()
    )
    names = (pd.DataFrame(index=pd.Index(map(str, range(n)), dtype=object)) for n in NUMBERS.shape)
    with warnings.catch_warnings():  # it writes strings of pandas' older kind alone
        warnings.simplefilter("ignore")
        with pd.option_context("future.infer_string", False):
            annotated = anndata.AnnData(scipy.sparse.csr_matrix(NUMBERS, dtype=np.float32), *names)
            annotated.write_h5ad(tmp_path / "f.h5ad")
    return [*sorted(tmp_path.iterdir()), NUMBERS, annotated, xr.DataArray(NUMBERS)]


def test_every_form_of_an_array_gives_the_same_tensors(tmp_path):
    rows = by_share(60, (0.7, 0.1, 0.2), 0)
    for given in arrays(tmp_path):
        found = data.read(given)
        assert (found.kind, found.bounded) == ("counts", False), given
        for split in SPLITS:
            assert np.array_equal(getattr(found, split).numpy(), NUMBERS[rows[split]])


def test_splits_of_one_file_and_files_of_splits(tmp_path):
    np.savez(
        tmp_path / "s.npz", train=NUMBERS[:40], test=NUMBERS[40:], train_labels=NUMBERS[:40, 0]
    )
    found = data.read(tmp_path / "s.npz")
    assert (len(found.train), len(found.validation), len(found.test)) == (40, 0, 20)
    np.save(tmp_path / "train.npy", NUMBERS[:40])
    np.save(tmp_path / "test.npy", NUMBERS[40:])
    found = data.read(tmp_path / "train.npy", test=tmp_path / "test.npy")
    assert np.array_equal(found.test.numpy(), NUMBERS[40:])
    assert (len(found.train), len(found.validation)) == (35, 5)  # 0.7 to 0.1 of what is left


def test_pictures_of_a_folder_and_of_idx_files(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (12, 6, 5)).astype(np.uint8)
    for i, image in enumerate(grey):
        folder = tmp_path / "images" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    found = data.read(tmp_path / "images")
    assert (found.kind, found.event_shape, found.levels) == ("unit-interval", (6, 5), ("a", "b"))
    ordered = np.concatenate([grey[::2], grey[1::2]])
    rows = by_share(12, (0.7, 0.1, 0.2), 0)
    assert np.array_equal(found.train.numpy(), (ordered[rows["train"]] / 255).astype(np.float32))
    assert found.labels["test"].tolist() == [int(r >= 6) for r in rows["test"]]
    assert data.read(tmp_path / "images", resize=(4, 3)).event_shape == (4, 3)
    drawn = data.read(tmp_path / "images", binarisation="dynamic")
    assert (drawn.kind, drawn.binarisation) == ("binary", "dynamic")
    (tmp_path / "pictures-ubyte").write_bytes(
        struct.pack(">HBBIII", 0, 8, 3, *ordered.shape) + ordered.tobytes()
    )
    again = data.read(tmp_path / "pictures-ubyte")
    assert torch.equal(again.train, found.train)
    assert data.read(tmp_path / "pictures-ubyte", values="levels").maximum == 255
    Image.fromarray(grey[0][:3]).save(tmp_path / "images" / "a" / "00.png")
    with pytest.raises(DataError, match=r"3x5.*resize=\(3, 5\)|6x5.*resize"):
        data.read(tmp_path / "images")
    Image.fromarray(np.stack([grey[0]] * 3, -1)).save(tmp_path / "images" / "a" / "00.png")
    assert data.read(tmp_path / "images").event_shape == (3, 6, 5)


def test_shares_groups_and_columns_cut_rows(frame, tmp_path):
    rng = np.random.default_rng(1)
    patients = rng.integers(0, 40, len(frame)).astype(str)
    # Every row is known by its age.
    table = frame.assign(patient=patients, age=np.arange(len(frame)) / 8)
    found = data.read(table, columns=COLUMNS, group="patient", seed=3)
    of = {s: set(patients[(8 * found.to_frame(s)["age"]).astype(int)]) for s in SPLITS}
    assert sum(map(len, of.values())) == len(set(patients))
    assert abs(len(found.train) - 140) < 15
    other = data.read(table, columns=COLUMNS, group="patient", seed=4)
    assert not torch.equal(found.test[:5], other.test[:5])
    words = np.array(["train", "Test", "val"])[rng.integers(0, 3, len(frame))]
    found = data.read(frame.assign(part=words), columns=f"{COLUMNS}, part=split")
    assert found.to_frame("test")["age"].tolist() == frame["age"][words == "Test"].tolist()
    with pytest.raises(DataError, match=r"'part'.*has 'mine' in row 0"):
        data.read(frame.assign(part="mine"), columns=COLUMNS, split_by="part")
    given = data.read(frame[:150], columns=COLUMNS, test=frame[150:], validation=frame[:9])
    assert [len(getattr(given, s)) for s in SPLITS] == [150, 9, 50]


@pytest.mark.parametrize("count", [10, 37, 1000])
def test_shares_are_met_to_the_row(count):
    rows = by_share(count, (0.7, 0.1, 0.2), 0)
    found = [len(rows[split]) for split in SPLITS]
    assert sorted(np.concatenate(list(rows.values()))) == list(range(count))
    for have, share in zip(found, (0.7, 0.1, 0.2), strict=True):
        assert abs(have - share * count) <= 1


def test_rows_with_empty_cells_are_dropped_if_so_said(frame, tmp_path):
    holed = frame.copy()
    holed.loc[17, "age"] = np.nan
    holed.loc[[17, 60], "colour"] = None
    holed.loc[90, "id"] = None  # of a column that is dropped
    path = write(holed, tmp_path / "holes.csv")
    found = data.read(path, columns=COLUMNS, drop_empty=True)
    assert sum(len(getattr(found, s)) for s in SPLITS) == 198
    kept = pd.concat([found.to_frame(s) for s in SPLITS])["age"]
    assert sorted(kept) == sorted(frame["age"].drop([17, 60]))
    assert next(c for c in found.schema.columns if c.name == "colour").empty == 2
    kept = data.read(path, columns=COLUMNS)
    assert sum(int((~mask).sum()) for mask in kept.observed.values()) == 3


BROKEN = {
    "a ragged row": ("a,b\n1,2\n3\n4,5\n", r"has 1 cells in line 3, and its header names 2"),
    "a long row": ("a,b\n1,2\n3,4,5\n", r"has 3 cells in line 3"),
    "two headers": ("a,b\n1,2\na,b\n3,4\n", r"header again in line 3 \(row 1\)"),
    "a line of units": (
        "a,b\nkg,cm\n" + "1,2\n3,5\n" * 20,
        r"column 'a' has 'kg' in row 0 \(a second header\?\)",
    ),
    "two columns of a name": ("a,a\n1,2\n", r"two columns 'a'"),
    "no header": ("1,2\n3,4\n", r"begins with 1, 2, ... and not with names"),
    "a column of one value": ("a,b\n1,2\n1,4\n1,5\n", r"'a' \(one value in all rows, '1.0'\)"),
    "no rows": ("a,b\n", r"a header and no rows"),
    "nothing": ("", r"is empty"),
    "an unclosed quote": ('a,b\n1,"2\n3,4\n', r"cannot be read as a table"),
    "no name": ("a,,c\n1,2,3\n", r"no name for column 2"),
    "a separator at the end": ("a,b,\n1,2,\n", r"remove the separator at the end of each line"),
    "a comment": ("# by me\na,b\n1,2\n", r"begins with '# by me', a comment"),
    "too large": ("a,b\n1e300,2\n-2e300,3\n" + "3e300,4\n1,5\n" * 9, r"another unit"),
    "a share of one": ("a,b\n0.999999999999,2\n" + "0.5,3\n" * 9, r"'a', which float32 has as 1"),
    "nearly zero": ("a,b\n1e-60,2\n1e60,3\n" + "1.5,4\n2,5\n" * 20, r"outside of what a positive"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_gets_a_sentence(fault, tmp_path):
    content, message = BROKEN[fault]
    path = tmp_path / "broken.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as error:
        data.read(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value) or "broken" in str(error.value)


def test_a_header_that_is_broken_into_lines_is_on_one(tmp_path):
    (tmp_path / "t.csv").write_text('"weight\n(kg)",y\n' + "1.5,0\n2.5,1\n" * 9)
    assert data.read(tmp_path / "t.csv").columns == ("weight (kg)", "y")


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "wide.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    for path, message in (
        (tmp_path / "pipe.csv", "neither a file nor a folder"),
        (tmp_path / ("x" * 300 + ".csv"), "too long"),
        (tmp_path / "wide.csv", "iconv -f utf16"),
        ("", "source got ''"),
        (None, "source got None"),
    ):
        with pytest.raises(DataError, match=message):
            data.read(path)


def test_arrays_that_do_not_go_together_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=NUMBERS, y=NUMBERS[:5, 0])
    np.savez(tmp_path / "b.npz", train=NUMBERS, test=NUMBERS[:, :3])
    np.savez(tmp_path / "c.npz")
    for name, message in (
        ("a", "5 labels for 60 rows"),
        ("b", r"test has events of shape \(3,\), and train of \(7,\)"),
        ("c", "has no arrays"),
    ):
        with pytest.raises(DataError, match=message):
            data.read(tmp_path / f"{name}.npz")


def test_pictures_that_256_levels_cannot_say_are_refused(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (12, 4, 4)).astype(np.uint8)
    for name, given, ending, message in (
        ("sixteen", grey.astype(np.uint16) * 257, "png", "finer levels"),
        ("floats", grey.astype(np.float32) / 255, "tif", "finer levels"),
        ("clear", np.stack([grey, grey, grey, grey], -1), "png", "transparent"),
        ("clear-grey", np.stack([grey, grey], -1), "png", "transparent"),
        ("opaque", np.stack([grey, np.full_like(grey, 255)], -1), "png", None),
    ):
        (tmp_path / name).mkdir()
        for i, image in enumerate(given):
            Image.fromarray(image).save(tmp_path / name / f"{i:02}.{ending}")
        if message is None:
            train = data.read(tmp_path / name, shares=(1, 0, 0)).train
            assert np.array_equal(train.numpy(), (grey / 255).astype(np.float32))
            continue
        with pytest.raises(DataError, match=message):
            data.read(tmp_path / name)


def test_files_of_other_kinds_get_a_sentence(tmp_path):
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    (tmp_path / "x.csv").write_bytes("naïve,b\n1,2\n".encode("latin1"))
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY broken")
    (tmp_path / "x.npz").write_bytes(b"PK broken")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 broken")
    (tmp_path / "x.csv.gz").write_bytes(b"\x1f\x8b broken")
    (tmp_path / "x.idx").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x05abc")
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    (tmp_path / "folder").mkdir()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError) as error:
            data.read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(MissingDataError, match="does not exist"):
        data.read(tmp_path / "none.csv")


def test_a_file_that_does_not_fit_in_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n" + b"1,2\n3,5\n" * 8)
        file.truncate(2 * 2**30)  # two GiB that take no room on disk
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * 2**30)
    with pytest.raises(DataError, match=r"2.0 GiB.*16.0 GiB.*4.0 GiB are free.*num_rows"):
        data.read(path)
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    with pytest.raises(DataError, match=r"data\.stream \(--stream\)"):
        data.read(path.rename(tmp_path / "large.npy"))
    assert memory.available_memory() > 0


def test_the_first_rows_are_those_of_the_file(frame, tmp_path):
    path = write(frame, tmp_path / "t.csv")
    found = data.read(path, columns=COLUMNS, num_rows=100, shares=(1, 0, 0))
    assert found.to_frame("train")["age"].tolist() == frame["age"][:100].tolist()
    np.save(tmp_path / "a.npy", NUMBERS)
    assert len(data.read(tmp_path / "a.npy", num_rows=20, shares=(1, 0, 0)).train) == 20


def test_an_index_that_pandas_wrote_is_a_column_to_drop(frame, tmp_path):
    frame.to_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match=re.escape('columns="index=drop, id=drop"')):
        data.read(tmp_path / "t.csv")


def test_codes_with_leading_zeros_are_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("code,y\n" + "01234,1\n00123,0\n20000,1\n" * 9)
    schema = data.read(path).schema
    assert schema.columns[0].levels == ["00123", "01234", "20000"]


def test_long_whole_numbers_are_names_to_the_last_digit(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("code,y\n" + "12345678901234567,1\n12345678901234568,0\n7,1\n" * 9)
    levels = ["12345678901234567", "12345678901234568", "7"]
    assert data.read(path).schema.columns[0].levels == levels


def test_a_slip_among_numbers_is_refused_unless_it_is_said_to_be_a_class(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,0\n2,1\n3,1\n" * 12 + "10+,0\n")
    with pytest.raises(DataError, match=r"'x' has '10\+' in row 36, .* say x=category"):
        data.read(path)
    assert data.read(path, columns="x=category").schema.columns[0].levels == ["1", "10+", "2", "3"]
    assert data.read(path, columns="x=drop").columns == ("y",)


def test_a_decimal_comma_beside_a_decimal_point_is_not_guessed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x;y\n" + "1,200;1\n950.5;0\n3,400;1\n" * 9)
    with pytest.raises(DataError, match="numbers such as '1,200'"):
        data.read(path)


def test_settings_that_do_not_go_together_are_refused(frame, tmp_path):
    np.save(tmp_path / "a.npy", NUMBERS)
    for settings, message in (
        ({"columns": "a=drop"}, "is an array"),
        ({"group": "a"}, "group got 'a'"),
        ({"binarisation": "dynamic"}, "no grey levels"),
        ({"shares": (0.5, 0.2)}, "add up to 1"),
        ({"num_rows": 0}, "num_rows"),
        ({"resize": (3, 3)}, "folders of images"),
    ):
        with pytest.raises(ValueError, match=message):
            data.read(tmp_path / "a.npy", **settings)
    for settings, message in (
        ({"binarisation": "dynamic"}, "is a table"),
        ({"condition": ["nobody"]}, "'nobody'"),
        ({"condition": ["id"]}, "'id', which was said to be drop"),
        ({"group": "site", "condition": ["site"]}, "'site', which was said to be group"),
        ({"condition": [n for n in frame if n != "id"]}, "leaves no column to model"),
        ({"split_by": "nobody"}, "split_by got 'nobody'"),
        ({"group": "nobody"}, "group got 'nobody'"),
        ({"test": NUMBERS}, "is an array"),
        ({"split_by": "smoker", "test": frame}, "split_by"),
        ({"shares": (0.999, 0.0005, 0.0005)}, "without a row"),
    ):
        with pytest.raises(ValueError, match=message):
            data.read(frame, columns=COLUMNS, **settings)


def test_a_few_rows_stand_for_all_where_the_others_are_not_to_be_had(frame):
    """As few as one, and without the column that the table was split by."""
    where = np.array(["train", "test", "validation", "train"] * 50)
    table = frame.assign(part=where)
    found = data.read(table, columns=COLUMNS, split_by="part")
    again = read_again(found.origin, Form(), on=frame[:1])
    for split in SPLITS:
        assert torch.equal(getattr(again, split), found.rows(frame[:1]))
    assert again.schema == found.schema
    x = data.Dataset.from_tensors(NUMBERS.astype(float), name="own").standardised()
    origin = checked(Origin, x.remembered())
    again = read_again(origin, Form(standardise=True), on=NUMBERS[:2].astype(float))
    assert torch.equal(again.test, x.train[:2])
