"""Data of one's own at the command line: read, fit, evaluate, sample, report, score, compare."""

import json
import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae import VAE, data, evaluate, fit, load_data, load_model
from pyro_vae.disk.runs import Run
from pyro_vae.errors import DataError, RunError
from pyro_vae.models.likelihoods import Normal, PerColumn
from pyro_vae.pictures.decoded import draw_samples
from tests.cases import a_few_always
from tests.cli.test_commands import run
from tests.data.tables import mixed

COLUMNS = "id=drop, grade=ordinal(levels=[low,mid,high]), centre=label"
SMALL = ("--latent-dim", 2, "--hidden", "8", "--epochs", 2, "--batch-size", 50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a CSV, evaluated; with a file of other rows."""
    place = tmp_path_factory.mktemp("own")
    mixed().to_csv(place / "patients.csv", index=False)
    mixed(30, seed=9).to_csv(place / "new.csv", index=False)
    run(
        *("fit", "--run", place / "run", "--data", place / "patients.csv", *SMALL),
        *("--columns", COLUMNS, "--condition", "site"),
    )
    run("evaluate", place / "run", "--particles", 20)
    return place


def test_the_schema_is_shown_before_anything_is_fitted(folder, tmp_path):
    shown = run("data", folder / "patients.csv", "--columns", COLUMNS, "--out", tmp_path / "c.txt")
    for text in ("low < mid < high", "negative-binomial", "2020-01-0"):
        assert text in shown.stdout, text
    assert f"--columns {tmp_path / 'c.txt'}" in shown.stdout
    document = json.loads(
        run("data", folder / "patients.csv", "--columns", tmp_path / "c.txt", "--json").stdout
    )
    kinds = {c["name"]: c["kind"] for c in document["columns"]}
    assert kinds["grade"] == "ordinal"
    out = run("fit", "--run", tmp_path / "r", "--data", folder / "patients.csv", status=1)
    assert 'columns="id=drop"' in out.stderr
    assert not (tmp_path / "r").exists()


def test_a_run_finds_its_data_again_to_the_bit(folder):
    found = load_data(folder / "run")
    expected = data.read(folder / "patients.csv", columns=COLUMNS, condition=["site"])
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(found, split), getattr(expected, split))
        assert torch.equal(found.covariates[split], expected.covariates[split])
        assert torch.equal(found.labels[split], expected.labels[split])
    assert found.schema == expected.schema
    assert load_model(folder / "run").likelihood.to_config()["columns"][0]["name"] == "normal"


def test_results_are_those_of_the_functions(folder):
    results, found = Run.open(folder / "run").results(), load_data(folder / "run")
    model = load_model(folder / "run")
    again = evaluate(model, found.inputs("test", model.inputs), 20)
    np.testing.assert_array_equal(results["log_evidence"], again["log_evidence"])
    assert results.attrs["log_jacobian"] == found.log_jacobian


def test_draws_are_rows_of_the_table(folder, tmp_path):
    out = tmp_path / "draws.csv"
    run("sample", folder / "run", "--count", 50, "--out", out, "--seed", 3)
    drawn, rows = pd.read_csv(out), mixed()
    found, model = load_data(folder / "run"), load_model(folder / "run")
    assert list(drawn.columns) == list(found.schema.names)
    for name in ("grade", "smoker", "stage", "colour"):
        assert set(drawn[name]) <= set(rows[name])
    assert pd.to_datetime(drawn["seen"]).notna().all()
    assert (drawn["falls"] == drawn["falls"].round()).all()
    assert (drawn["crp"] > 0).all()
    given = found.inputs("test", model.inputs)
    at = torch.arange(50) % len(found.test)
    x = draw_samples(model, 50, given={"condition": given["condition"][at]}, seed=3)
    pd.testing.assert_frame_equal(
        drawn, pd.read_csv(_csv(found.to_frame(x), tmp_path)), check_exact=True
    )


def _csv(frame, folder):
    frame.to_csv(folder / "again.csv", index=False)
    return folder / "again.csv"


@pytest.mark.slow
def test_other_rows_are_measured_on_request(folder, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(folder, place)
    out = run("evaluate", place / "run", "--particles", 20, "--on", place / "new.csv")
    assert "30 rows of new.csv" in out.stdout
    assert Run.open(place / "run").results().sizes["datum"] == 30
    run("report", place / "run")
    assert "marginals" in (place / "run" / "report.html").read_text() or any(
        (place / "run" / "figures").glob("marginals.png")
    )
    # The report is of what was measured, and says so when that has changed.
    mixed(31, seed=9).to_csv(place / "new.csv", index=False)
    assert "has changed since" in run("report", place / "run", status=1).stderr
    (place / "new.csv").unlink()
    assert "is not there any more" in run("report", place / "run", status=1).stderr
    for frame, message in (
        (mixed(5).drop(columns="age"), "has no column 'age'"),
        (mixed(5).assign(colour="pink"), "has 'pink' in row 0, a level that"),
        (mixed(5).assign(age="old"), "'age' has 'old' in row 0"),
        (mixed(5).assign(falls=2.5), "'falls' has 2.5 in row 0, and is a column of counts"),
        (mixed(5).assign(seen="yesterday"), "'seen' has 'yesterday' in row 0"),
    ):
        frame.to_csv(place / "bad.csv", index=False)
        before = (place / "run" / "evidence.nc").read_bytes()
        refused = run("evaluate", place / "run", "--on", place / "bad.csv", status=1)
        assert message in refused.stderr
        assert (place / "run" / "evidence.nc").read_bytes() == before


def test_a_file_that_moved_is_found_and_one_that_changed_is_refused(folder, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(folder, place)
    settings = Run.open(place / "run").config()["data"]["origin"]
    was = settings["files"]["all"]
    hidden = tmp_path / "elsewhere.csv"
    shutil.move(was, hidden)
    try:
        with pytest.warns(UserWarning, match="has moved"):
            moved = load_data(place / "run")
        assert moved.origin.files["all"] == was
        out = run("fit", "--run", place / "run", "--resume")
        assert "has moved" in out.stderr
        (place / "patients.csv").unlink()
        with pytest.raises(RunError, match=r"is not there any more.*--on FILE"):
            load_data(place / "run")
        # Rows of the same schema stand for all of them.
        with pytest.warns(UserWarning, match="stand for all"):
            only = load_data(place / "run", on=place / "new.csv")
        assert len(only.test) == 30
        mixed(201).to_csv(was, index=False)
        with pytest.raises(DataError, match="has changed since the model was fitted"):
            load_data(place / "run")
        # Draws need no data, only the schema; those given a covariate need some.
        run("sample", place / "run", "--on", place / "new.csv", "--out", place / "s.csv")
    finally:
        shutil.move(hidden, was)


def test_a_resumed_run_is_the_one_that_was_not_stopped(folder, tmp_path):
    where = ("--data", folder / "patients.csv", "--columns", COLUMNS, *SMALL[:4], "--seed", 5)
    run("fit", "--run", tmp_path / "whole", *where, "--epochs", 3)
    run("fit", "--run", tmp_path / "cut", *where, "--epochs", 3)
    cut = tmp_path / "cut"
    (cut / "checkpoint.safetensors").unlink()
    run("fit", "--run", cut, "--resume")
    for name in ("weights.safetensors",):
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_frames_and_arrays_given_in_python_are_served_with_rows_from_a_file(folder, tmp_path):
    frame = mixed()
    found = data.Dataset.from_frame(frame, columns=COLUMNS)
    model = VAE(found.event_shape, 2, likelihood=PerColumn(found.schema.likelihoods))
    fit(model, found, epochs=1, run=tmp_path / "frame", progress=False)
    assert "was given in Python" in run("evaluate", tmp_path / "frame", status=1).stderr
    on = ("--on", folder / "new.csv")
    run("evaluate", tmp_path / "frame", "--particles", 20, *on)
    run("report", tmp_path / "frame")
    run("sample", tmp_path / "frame")
    assert list(pd.read_csv(tmp_path / "frame" / "samples.csv").columns) == list(found.columns)

    x = np.random.default_rng(0).normal(50, 9, (130, 3))
    own = data.Dataset.from_tensors(x).standardised()
    fit(VAE((3,), 1, likelihood=Normal()), own, epochs=1, run=tmp_path / "x", progress=False)
    np.save(tmp_path / "other.npy", x[:7])
    run("evaluate", tmp_path / "x", "--particles", 20, "--on", tmp_path / "other.npy")
    measured = load_data(tmp_path / "x", on=tmp_path / "other.npy")
    assert torch.equal(measured.test, own.train[:7])
    run("report", tmp_path / "x")
    run("sample", tmp_path / "x", "--count", 500)
    assert abs(np.load(tmp_path / "x" / "samples.npy").mean() - 50) < 10


@pytest.mark.slow
def test_runs_of_one_schema_are_compared_and_of_unlike_measures_are_not(folder, tmp_path):
    csv = folder / "patients.csv"
    chosen = f"{COLUMNS}, crp=normal, visits=poisson, wait=log-normal"
    run("fit", "--run", tmp_path / "bad", "--data", csv, *SMALL, "--columns", chosen)
    run("fit", "--run", tmp_path / "good", "--data", csv, *SMALL, "--columns", COLUMNS)
    out = run("compare", tmp_path / "good", tmp_path / "bad", "--particles", 20, "--json")
    assert "good" in out.stdout
    assert "bad" in out.stdout
    other = f"{COLUMNS}, stage=normal"
    run("fit", "--run", tmp_path / "other", "--data", csv, *SMALL, "--columns", other)
    refused = run("compare", tmp_path / "good", tmp_path / "other", "--particles", 20, status=1)
    assert "measure" in refused.stderr


@a_few_always(
    "model", ["mixture(components=3)", "vq-vae(num_codes=4)", "autoencoder"], ["autoencoder"]
)
def test_other_models_take_a_table(folder, tmp_path, model):
    name = model.partition("(")[0]
    extra = ("--components", 3) if name == "mixture" else ()
    run(
        *("fit", "--run", tmp_path / "r", "--data", folder / "patients.csv", *SMALL, *extra),
        *("--columns", COLUMNS, "--model", name),
    )
    if name != "autoencoder":
        run("evaluate", tmp_path / "r", "--particles", 10)
    run("report", tmp_path / "r")


@pytest.mark.slow
def test_pca_takes_the_real_columns_of_a_table(folder, tmp_path):
    drop = ", ".join(
        f"{c}=drop" for c in mixed(30).columns if c not in ("age", "crp", "change", "seen")
    )
    where = ("--data", folder / "patients.csv", "--columns", drop, "--latent-dim", 2)
    run("fit", "--run", tmp_path / "pca", *where, "--model", "pca")
    out = run("evaluate", tmp_path / "pca")
    assert "exact" in out.stdout
    refused = run(
        *("fit", "--run", tmp_path / "no", "--data", folder / "patients.csv", "--model", "pca"),
        *("--columns", COLUMNS),
        status=2,
    )
    assert "normal likelihood" in refused.stderr


def test_options_for_files_are_refused_for_sets_with_names(tmp_path):
    out = run("fit", "--run", tmp_path / "r", "--data", "iris", "--columns", "a=drop", status=2)
    assert "--columns is for a file" in out.stderr
    out = run("fit", "--run", tmp_path / "r", "--data", "irsi", status=2)
    assert "Did you mean 'iris'" in out.stderr
    out = run("fit", "--run", tmp_path / "r", "--data", "patients.csv", status=1)
    assert "does not exist" in out.stderr


def test_a_changed_origin_is_refused(folder, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(folder / "run", place)
    text = (place / "config.json").read_text()
    (place / "config.json").write_text(
        re.sub(r'"kind": "ordinal"', '"kind": "odd"', text, count=1)
    )
    with warnings.catch_warnings(), pytest.raises(RunError, match=r"config.json"):
        load_data(place)
