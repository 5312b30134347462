"""Tables with empty cells: read as they stand, from every format, and given back empty."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from pyro_vae import data
from pyro_vae.data.reading.origin import Origin
from pyro_vae.data.reading.parts import by_share
from pyro_vae.data.reading.reader import Form, read_again
from pyro_vae.disk.schema import checked
from pyro_vae.errors import DataError
from tests.data.tables import COLUMNS, mixed

SPLITS = ("train", "validation", "test")
BESIDE = ("site", "centre", "id")


def holed(frame, share=0.3, seed=1):
    """The table with empty cells in all columns that are data, in types that can be empty."""
    holes = np.random.default_rng(seed).random(frame.shape) < share
    holes[:, [frame.columns.get_loc(label) for label in BESIDE]] = False
    nullable = {"i": "Int64", "b": "boolean"}
    made = {
        label: cells.astype(nullable.get(cells.dtype.kind, cells.dtype)).mask(holes[:, d])
        for d, (label, cells) in enumerate(frame.items())
    }
    return pd.DataFrame(made), holes


@pytest.fixture(scope="module")
def frame():
    return mixed()


def test_every_format_has_the_same_cells_missing(frame, tmp_path):
    table, _ = holed(frame)
    expected = data.read(table, columns=COLUMNS)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t", na_rep="NA")
    table.to_parquet(tmp_path / "t.parquet")
    sources = [
        tmp_path / "t.csv",
        tmp_path / "t.tsv",
        tmp_path / "t.parquet",
        pl.from_pandas(table),
    ]
    for source in sources:
        found = data.read(source, columns=COLUMNS)
        for split in SPLITS:
            assert torch.equal(found.observed[split], expected.observed[split])
            assert torch.equal(getattr(found, split), getattr(expected, split))


def test_holes_come_back_as_empty_cells(frame):
    table, holes = holed(frame)
    found = data.read(table, columns=COLUMNS, shares=[1, 0, 0])
    back, known = found.to_frame("train"), list(found.columns)
    places = [table.columns.get_loc(label) for label in known]
    rows = np.argsort(by_share(len(table), (1, 0, 0), 0)["train"])
    assert np.array_equal(back.isna().to_numpy()[rows], holes[:, places])
    for label in known:
        ours, theirs = back[label].iloc[rows].dropna(), table[label].dropna()
        assert [str(v) for v in ours] == [str(v) for v in theirs]


def test_what_is_missing_moves_no_scale(frame):
    """Locations and scales are those of the cells that are there."""
    table, holes = holed(frame)
    given = {"validation": table[150:160], "test": table[160:]}
    found = data.read(table[:150], columns=COLUMNS, **given)
    at = frame.columns.get_loc("age")
    seen = frame["age"][:150].to_numpy()[~holes[:150, at]]
    column = next(c for c in found.schema.columns if c.name == "age")
    assert column.location == pytest.approx(seen.mean(), rel=1e-12)
    assert column.scale == pytest.approx(seen.std(), rel=1e-12)
    scales = found.affine.scale.log().numpy()
    there = ~holes[160:][:, [frame.columns.get_loc(c) for c in found.columns]]
    np.testing.assert_allclose(found.log_jacobians("test"), -(there * scales).sum(1), rtol=1e-12)


def test_only_columns_that_are_data_may_be_empty(frame):
    for label, role in (("site", "covariate"), ("centre", "label")):
        table = frame.astype({"centre": "Int64"})
        table.loc[17, label] = None
        with pytest.raises(DataError, match=rf"row 17, column '{label}', which is {role}.*drop"):
            data.read(table, columns=COLUMNS)
        found = data.read(table, columns=COLUMNS, drop_empty=True)
        assert sum(len(getattr(found, split)) for split in SPLITS) == len(table) - 1
        assert found.observed is None


def test_columns_and_rows_without_any_cell(frame):
    table = frame.copy()
    table["age"] = np.nan
    with pytest.raises(DataError, match=r"'age' \(every cell is empty\).*age=drop"):
        data.read(table, columns=COLUMNS)
    table = frame.copy()
    table.loc[150:, "age"] = np.nan  # all of the test rows
    found = data.read(table[:150], columns=COLUMNS, test=table[150:])
    at = found.columns.index("age")
    assert not found.observed["test"][:, at].any()
    assert found.observed["train"].all()
    table["part"] = ["test"] * 150 + ["train"] * 50
    with pytest.raises(DataError, match=r"'age' has no cell that is not empty among the training"):
        data.read(table, columns=COLUMNS, split_by="part")
    table, holes = holed(mixed(3000), share=0.99)
    found = data.read(table, columns=COLUMNS, shares=[1, 0, 0])
    places = [table.columns.get_loc(c) for c in found.columns]
    assert (~found.observed["train"]).sum() == holes[:, places].sum()
    table = frame.copy()
    table.loc[3, [c for c in table.columns if c not in BESIDE]] = None
    found = data.read(table, columns=COLUMNS, shares=[1, 0, 0])
    assert (~found.observed["train"]).all(1).sum() == 1


def test_a_run_finds_its_holes_again_and_takes_rows_with_others(frame, tmp_path):
    table, _ = holed(frame)
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    found = data.read(path, columns=COLUMNS, hide="cells(share=0.2)", seed=3)
    origin = checked(Origin, found.remembered())
    form = Form(hide=found.hide, seed=3)
    again = read_again(origin, form)
    for split in SPLITS:
        assert torch.equal(again.observed[split], found.observed[split])
        assert torch.equal(getattr(again, split), getattr(found, split))
        assert torch.equal(again.hidden[split].nan_to_num(), found.hidden[split].nan_to_num())
    other, holes = holed(frame, seed=2)
    other["smoker"] = None  # a column that is missing here alone
    holes[:, frame.columns.get_loc("smoker")] = True
    other.to_csv(tmp_path / "other.csv", index=False)
    for source in (other, tmp_path / "other.csv"):
        measured = read_again(origin, form, on=source)
        places = [frame.columns.get_loc(c) for c in found.columns]
        assert np.array_equal(~measured.observed["test"].numpy(), holes[:, places])
        assert torch.equal(measured.train, found.train)
        assert bool(measured.hidden["test"].isnan().all())
        assert measured.hidden["test"].shape == measured.test.shape
    path.unlink()
    with pytest.warns(UserWarning, match="Without them the rows"):
        alone = read_again(origin, form, on=tmp_path / "other.csv")
    assert torch.equal(alone.test, measured.test)
    x = found.rows(other)
    assert torch.equal(x.isnan(), ~measured.observed["test"])
    assert torch.equal(x.nan_to_num(), measured.test.where(measured.observed["test"], 0.0))


def test_nan_in_arrays_is_missing(tmp_path):
    x = np.random.default_rng(0).normal(3, 2, (50, 3))
    x[4, 1] = x[7, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    for source in (x, tmp_path / "x.npy"):
        found = data.read(source, shares=[1, 0, 0], standardise=True)
        assert (~found.observed["train"]).sum() == 2
        assert found.train[found.observed["train"]].isfinite().all()
        np.testing.assert_allclose(found.affine.location, np.nanmean(x, 0), rtol=1e-12)
        dropped = data.read(source, shares=[1, 0, 0], drop_empty=True)
        assert len(dropped.train) == 48
        assert dropped.observed is None
    assert data.read(np.where(np.isnan(x), np.nan, x > 3)).kind == "binary"


def test_what_is_hidden_is_kept_aside():
    whole = data.load("wine", standardise=True)
    for pattern in ("cells(share=0.5)", "above-mean", "above-mean(columns=[12])"):
        found = data.load("wine", standardise=True, hide=pattern, seed=1)
        original = whole.original("test")
        masks = {split: ~found.observed[split] for split in SPLITS}
        aside = found.hidden["test"]
        assert torch.equal(~aside.isnan(), masks["test"])
        np.testing.assert_allclose(aside[masks["test"]], original[masks["test"]], rtol=1e-6)
        train = whole.original("train").double().numpy()
        seen = np.where(masks["train"], np.nan, train)
        np.testing.assert_allclose(found.affine.location, np.nanmean(seen, 0), rtol=1e-6)
        if pattern.startswith("above"):
            chosen = range(7) if pattern == "above-mean" else [12]
            expected = train > train.mean(0)
            expected[:, [d for d in range(13) if d not in chosen]] = False
            assert np.array_equal(masks["train"].numpy(), expected)
        else:
            count = sum(mask.numel() for mask in masks.values())
            hidden = sum(int(mask.sum()) for mask in masks.values())
            assert abs(hidden - count / 2) < 4 * np.sqrt(count / 4)


def test_parts_of_images_are_hidden():
    digits = data.load("digits")
    lower = data.hide(digits, "lower-half", splits=["test"])
    mask = np.zeros((8, 8), bool)
    mask[4:] = True
    assert (lower.observed["test"].numpy() == ~mask).all()
    assert lower.observed["train"].all()
    with pytest.raises(DataError, match=r"leaves no training cell of 32 of the 64 features"):
        data.load("digits", hide="lower-half")
    for pattern, size in (("quadrant", 16), ("half", 32)):
        masks = ~data.load("digits", hide=pattern).observed["test"].numpy()
        assert (masks.sum((1, 2)) == size).all()
        kinds = np.unique(masks, axis=0)
        assert len(kinds) == 4
        # Each is a rectangle: as many pixels as its rows times its columns.
        for kind in kinds:
            assert kind.any(0).sum() * kind.any(1).sum() == size
        assert kinds.sum(0).min() == kinds.sum(0).max() == 4 * size // 64


def test_what_is_hidden_never_enters():
    """Other numbers in the cells that are hidden give the same data set to the bit."""
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    masks = data.hide(data.Dataset.from_tensors(x), "cells").observed["train"]
    other = torch.where(masks, x, 1e6)
    found = [data.hide(data.Dataset.from_tensors(y), "cells").standardised() for y in (x, other)]
    assert torch.equal(found[0].train, found[1].train)
    table = pd.DataFrame(x.numpy(), columns=list("abc"))
    moved = pd.DataFrame(x.numpy().copy(), columns=list("abc"))
    one = data.read(table, hide="cells", shares=[1, 0, 0])
    order = by_share(40, (1, 0, 0), 0)["train"]
    hidden = np.zeros((40, 3), bool)
    hidden[order] = ~one.observed["train"].numpy()
    moved[hidden] = 77.0
    two = data.read(moved, hide="cells", shares=[1, 0, 0])
    assert torch.equal(one.train, two.train)
    assert torch.equal(one.affine.scale, two.affine.scale)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("holes", "pattern to hide 'holes'"),
        ("cells(share=2)", "share got 2: give a number between 0 and 1"),
        ("quadrant(share=0.5)", "quadrant has no setting, and got 'share'"),
        ("quadrant", "are no images"),
        ("above-mean(columns=[99])", "columns got .*99.*from 0 to 3"),
    ],
)
def test_patterns_that_cannot_be(pattern, message):
    with pytest.raises(Exception, match=message):
        data.load("iris", hide=pattern)
    with pytest.raises(DataError, match="standardised, by a scale that knows"):
        data.hide(data.load("iris", standardise=True), "cells")


def test_complete_tables_keep_what_is_there(frame):
    table, holes = holed(frame)
    found = data.read(table[:150], columns=COLUMNS, test=table[150:])
    draws = found.test.repeat(2, 1, 1)  # what stands in the missing cells is a draw as good
    one, two = found.completed(draws.numpy())
    assert one.equals(two)
    assert not one.isna().to_numpy().any()
    for d, label in enumerate(found.columns):
        at = ~holes[150:, table.columns.get_loc(label)]
        ours, theirs = one[label][at], table[label].iloc[150:][at]
        assert [str(v) for v in ours] == [str(v) for v in theirs]
        column = found.schema.data[d]
        expected = column.cells(np.full(1, column.stand_in))
        rest = one[label][~at]
        if column.kind in ("real", "positive"):
            np.testing.assert_allclose(rest.to_numpy(float), float(expected.iloc[0]), rtol=1e-6)
    with pytest.raises(DataError, match=r"values has shape \(2, 51, .*give draws of the 50 rows"):
        found.completed(np.zeros((2, 51, 13)))
