"""``pyro-vae impute``: complete tables in the user's own columns, units and levels."""

import json

import numpy as np
import pandas as pd
import pytest

from pyro_vae import inference, load_data, load_model
from pyro_vae.disk.runs import Run
from pyro_vae.stored.imputed import hidden_errors, impute_run
from tests.cli.test_commands import run
from tests.data.tables import mixed

COLUMNS = (
    "id=drop, grade=ordinal(levels=[low,mid,high]), centre=drop, site=drop, change=drop, at=drop"
)
FIT = ("--latent-dim", 1, "--hidden", 4, "--epochs", 2, "--batch-size", 28)


def fails(*arguments, status=2):
    """What is said of a command that cannot be carried out."""
    made = run(*arguments, status=status)
    return " ".join(made.stderr.split())


def holed(count, seed=0):
    """A table with empty cells in columns of every kind."""
    table = mixed(count, seed=seed)
    holes = np.random.default_rng(seed).random(table.shape) < 0.3
    nullable = {"i": "Int64", "b": "boolean"}
    for d, (label, cells) in enumerate(table.items()):
        if label not in ("id", "site", "centre", "change", "at"):
            table[label] = cells.astype(nullable.get(cells.dtype.kind, cells.dtype)).mask(
                holes[:, d]
            )
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("imputed")
    holed(60).to_csv(place / "patients.csv", index=False)
    holed(15, seed=1).to_csv(place / "new.csv", index=False)
    run(
        "fit", "--run", place / "run", "--data", place / "patients.csv", "--columns", COLUMNS, *FIT
    )
    return place


@pytest.mark.slow
def test_every_table_is_whole_and_else_as_it_was(folder):
    run("impute", folder / "run", folder / "new.csv", "--draws", 3, "--particles", 20)
    given = pd.read_csv(folder / "new.csv")
    long = pd.read_csv(folder / "run" / "imputed.csv")
    assert list(long.columns) == [".imp", ".id", *given.columns]
    assert long.groupby(".imp")[".id"].apply(list).tolist() == [list(range(15))] * 4
    for number, table in long.groupby(".imp"):
        table = table.reset_index(drop=True)
        if number == 0:
            assert np.array_equal(table[given.columns].isna(), given.isna())
        else:
            assert not table.isna().to_numpy().any()
        for label in given:
            there = given[label].notna()
            assert table.loc[there, label].tolist() == given.loc[there, label].tolist()
    levels = set(mixed(60)["grade"])
    assert set(long["grade"].dropna()) <= levels
    assert (folder / "run" / "figures" / "imputations.png").is_file()


def test_a_line_for_each_missing_cell(folder, tmp_path):
    out = tmp_path / "whole.csv"
    run("impute", folder / "run", folder / "new.csv", "--particles", 20, "--out", out)
    given = pd.read_csv(folder / "new.csv")
    cells = pd.read_csv(tmp_path / "whole-cells.csv")
    modelled = load_data(folder / "run").columns
    assert len(cells) == given[list(modelled)].isna().to_numpy().sum()
    for row, column in zip(cells["row"], cells["column"], strict=True):
        assert pd.isna(given.loc[row, column])
    numbers = cells[cells["column"].isin(["age", "crp", "wait"])].astype(
        {"value": float, "lower": float, "upper": float}
    )
    assert (numbers["lower"] <= numbers["value"]).all()
    assert (numbers["value"] <= numbers["upper"]).all()
    assert cells[cells["column"] == "colour"]["lower"].isna().all()
    # The units of the table, from what the function says on the scale of the model.
    model, data = load_model(folder / "run"), load_data(folder / "run", on=folder / "new.csv")
    found = inference.impute(model, data.inputs("test", model.inputs), 20)
    at = data.columns.index("age")
    column = data.schema.data[at]
    mine = numbers[numbers["column"] == "age"]
    expected = column.location + column.scale * found["median"].values[mine["row"], at]
    np.testing.assert_allclose(mine["value"], expected, rtol=1e-6)
    expected = column.scale * found["sd"].values[mine["row"], at]
    np.testing.assert_allclose(mine["sd"], expected, rtol=1e-6)


@pytest.mark.slow
def test_one_table_alone_and_json(folder, tmp_path):
    out = tmp_path / "one.csv"
    where = ("--out", out, "--particles", 20, "--json")
    said = json.loads(
        run("impute", folder / "run", folder / "new.csv", "--draws", 0, *where).stdout
    )
    table = pd.read_csv(out)
    assert list(table.columns) == list(pd.read_csv(folder / "new.csv").columns)
    assert not table.isna().to_numpy().any()
    assert (
        said["rows"]
        == pd.read_csv(folder / "new.csv")[list(load_data(folder / "run").columns)]
        .isna()
        .any(axis=1)
        .sum()
    )
    assert said["written"] == [str(out), str(tmp_path / "one-cells.csv")]
    said = json.loads(run("impute", folder / "run", "--draws", 2, *where).stdout)
    assert said["columns"]["age"]["of"] == 12


def test_hidden_cells_are_compared(tmp_path):
    fit = ("fit", "--data", "wine", "--standardise", "--hide", "cells(share=0.4)")
    run(*fit, "--run", tmp_path / "run", "--model", "mixture", "--components", 2, "--epochs", 3)
    out = run("impute", tmp_path / "run", "--particles", 50, "--draws", 2).stdout
    found = impute_run(Run.open(tmp_path / "run"), num_particles=50, draws=2)
    errors = hidden_errors(found)
    truth = found.data.hidden["test"].numpy()
    mean = found.data.affine.inverse(
        found.data.test.new_tensor(found.results["mean"].values)
    ).numpy()
    scaled = (mean - truth) / np.nanstd(truth, axis=0)
    assert errors["rmse"] == pytest.approx(np.sqrt(np.nanmean(scaled**2)), rel=1e-6)
    assert errors["cells"] == np.isfinite(truth).sum()
    assert f"RMSE {errors['rmse']:.3f}" in out
    # Its z is summed out: no particles could tell more.
    assert "k-hat is not known" not in out
    lower, upper = (
        found.data.affine.inverse(found.data.test.new_tensor(found.results[name].values)).numpy()
        for name in ("lower", "upper")
    )
    inside = (lower <= truth) & (truth <= upper)
    assert errors["coverage"] == pytest.approx(inside[np.isfinite(truth)].mean(), abs=0.01)


def test_images_are_written_as_arrays(tmp_path):
    fit = ("fit", "--binarisation", "threshold", "--hide", "half", "--missing", "zeros")
    run(*fit, "--run", tmp_path / "run", "--hidden", 4, "--epochs", 1)
    out = run("impute", tmp_path / "run", "--limit", 5, "--particles", 20, "--draws", 3).stdout
    assert "of the levels are not the most probable ones" in out
    with np.load(tmp_path / "run" / "imputed.npz") as arrays:
        assert arrays["draws"].shape == (3, 5, 8, 8)
        assert arrays["khat"].shape == (5,)
        assert (arrays["observed"].sum((1, 2)) == 32).all()
        whole = load_data(tmp_path / "run").test[:5].numpy()
        there = arrays["observed"]
        assert np.array_equal(arrays["mean"][there], whole[there])
        assert set(np.unique(arrays["draws"])) == {0.0, 1.0}


def test_what_cannot_be_imputed_is_refused(folder, tmp_path):
    run("fit", "--data", "iris", "--run", tmp_path / "run", "--epochs", 1, "--hidden", 4)
    assert "a model of whole data" in fails("impute", tmp_path / "run")
    full = mixed(15).drop(columns=[])
    full.to_csv(tmp_path / "full.csv", index=False)
    assert "has no missing cell" in fails(
        "impute", folder / "run", tmp_path / "full.csv", status=1
    )
    where = ("--out", tmp_path / "x.parquet")
    assert "this is written as .csv" in fails("impute", folder / "run", *where)
    assert "--level got 2" in fails("impute", folder / "run", "--level", 2)
    assert "--draws got -1" in fails("impute", folder / "run", "--draws", -1)
    said = fails(
        "fit",
        "--data",
        folder / "patients.csv",
        "--columns",
        COLUMNS,
        "--run",
        tmp_path / "no",
        "--model",
        "pca",
    )
    assert "--model pca is for whole data, and patients has" in said
    assert "--drop-empty" in said
    assert not (tmp_path / "no").exists()
