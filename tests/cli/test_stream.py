"""A file that is streamed, on the command line: fitted, measured, gone on with, looked at."""

import hashlib
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae import data, load_data, load_model
from pyro_vae.data import StreamedDataset
from pyro_vae.data.streamed.npy import NpyRows
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import checksum_of_arrays, checksum_of_rows
from pyro_vae.errors import DataError, RunError
from pyro_vae.inference import evaluate
from pyro_vae.inference.evidence.checkpoint import CheckpointInParts
from pyro_vae.stored.loading import load_rows
from pyro_vae.stored.measured import measure_run
from tests.cli.test_commands import run

FIT = ("--latent-dim", 2, "--hidden", 8, "--epochs", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and its file beside it."""
    folder = tmp_path_factory.mktemp("streamed")
    x = np.random.default_rng(0).normal(3.0, 2.0, (600, 4)).astype(np.float32)
    np.save(folder / "x.npy", x)
    given = ("--data", folder / "x.npy", "--standardise", "--stream", "--stream-mb", 1)
    out = run("fit", "--run", folder / "run", *given, *FIT)
    assert "next: pyro-vae evaluate" in out.stdout
    return folder


def test_a_run_opens_its_stream_again(folder):
    found = load_data(folder / "run")
    assert isinstance(found, StreamedDataset)
    assert (found.standardise, found.origin.streamed.memory_limit) == (True, 2**20)
    with warnings.catch_warnings(action="error"):
        rows = load_rows(folder / "run")
    assert torch.equal(rows.train, found.train[:])
    assert torch.equal(rows.affine.scale, found.affine.scale)


def test_it_is_measured_as_in_python(folder):
    out = run("evaluate", folder / "run", "--particles", 20, "--json")
    assert json.loads(out.stdout)["split"] == "test"
    kept, found = Run.open(folder / "run").results(), load_data(folder / "run")
    expected = evaluate(load_model(folder / "run"), found.test[:], 20)
    for name in expected.data_vars:
        np.testing.assert_array_equal(kept[name], expected[name], err_msg=name)
    assert kept.attrs["log_jacobian"] == found.log_jacobian
    assert "report.html" in run("report", folder / "run").stdout
    gap = run("evaluate", folder / "run", "--gap", "--limit", 5, "--particles", 20)
    assert "approximation gap" in gap.stdout


def test_other_rows_are_streamed_too(folder, tmp_path):
    np.save(tmp_path / "new.npy", np.full((30, 4), 3.0, dtype=np.float32))
    found = load_data(folder / "run", on=tmp_path / "new.npy")
    assert isinstance(found, StreamedDataset)
    assert len(found.test) == 30
    assert torch.equal(found.train[:], load_data(folder / "run").train[:])
    run("evaluate", folder / "run", "--on", tmp_path / "new.npy", "--particles", 20)


def test_a_fit_goes_on(folder, tmp_path):
    given = ("--data", folder / "x.npy", "--stream", "--stream-mb", 1)
    run("fit", "--run", tmp_path / "run", *given, *FIT)
    run("fit", "--run", tmp_path / "run", "--resume")


def test_what_is_measured_is_kept_in_parts_and_gone_on_with(folder, monkeypatch):
    opened = Run.open(folder / "run")
    monkeypatch.setattr("pyro_vae.inference.evidence.checkpoint._INTERVAL", 0.0)
    how = {"num_particles": 10, "seed": 7, "limit": 12}
    whole = measure_run(opened, **how)
    stop = 4

    def interrupt(done, total):
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_run(opened, progress=interrupt, **how)
    parts = sorted((folder / "run" / "evidence.partial").iterdir())
    assert [int(part.stem) for part in parts] == list(range(stop))
    begun = []
    again = measure_run(opened, progress=lambda done, total: begun.append(done), **how)
    assert begun[0] == stop + 1
    for name in whole.data_vars:
        np.testing.assert_array_equal(again[name], whole[name], err_msg=name)
    assert not (folder / "run" / "evidence.partial").exists()


def test_parts_of_another_measurement_or_after_a_gap_are_not_taken(tmp_path):
    one = CheckpointInParts(tmp_path / "parts", "key", interval=0.0)
    assert one.load() == {}
    for done in (2, 5, 9):
        one.save({"a": np.arange(done), "b": np.ones((done, 2))})
    again = CheckpointInParts(tmp_path / "parts", "key")
    assert again.load()["a"].tolist() == list(range(9))
    assert again.load()["b"].shape == (9, 2)
    assert CheckpointInParts(tmp_path / "parts", "other").load() == {}
    (tmp_path / "parts" / f"{2:012d}.nc").write_bytes(b"broken")
    assert again.load()["a"].tolist() == [0, 1]
    again.save({"a": np.arange(4), "b": np.ones((4, 2))}, now=True)
    assert again.load()["a"].tolist() == list(range(4))
    again.clear()
    assert not (tmp_path / "parts").exists()


def test_pictures_are_of_the_first_rows_and_say_so(folder, monkeypatch):
    monkeypatch.setattr(
        "pyro_vae.data.streamed.dataset.StreamedDataset.first_rows.__defaults__", (50,)
    )
    with pytest.warns(UserWarning, match="is streamed: what needs rows in memory"):
        rows = load_rows(folder / "run")
    assert len(rows.train) == len(rows.test) == 50
    run("evaluate", folder / "run", "--particles", 20)
    assert "is streamed" in run("report", folder / "run").stderr


def test_a_file_is_read_once_to_be_opened_and_once_to_be_opened_again(folder, monkeypatch):
    read = []

    class Counted(NpyRows):
        def read(self, block):
            read.append(block)
            return super().read(block)

    monkeypatch.setattr("pyro_vae.data.streamed.opening.NpyRows", Counted)
    monkeypatch.setattr("pyro_vae.data.streamed.reader.NpyRows", Counted)
    path = folder / "x.npy"
    found = data.stream(path, memory_limit=2**12)
    assert read == list(range(len(found.train.source.source.ends)))
    # As ``sha256sum`` prints it, though no other reader has seen the file.
    assert found.origin.checksums["all"] == hashlib.sha256(path.read_bytes()).hexdigest()
    read.clear()
    again = load_data(folder / "run")
    assert read == []
    expected = data.stream(path, memory_limit=2**20, standardise=True)
    assert torch.equal(again.train[:], expected.train[:])
    for name in ("kind", "maximum", "bounded", "base_measure", "standardise"):
        assert getattr(again, name) == getattr(expected, name), name


def test_a_checksum_of_rows_is_that_of_the_array():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    blocks = np.array_split(x, [3, 30])
    assert checksum_of_rows(blocks, "float32", x.shape) == checksum_of_arrays([x])


def test_options_for_data_in_memory_are_refused(folder, tmp_path):
    fit = ("fit", "--run", tmp_path / "run", "--stream")
    refused = run(*fit, "--data", folder / "x.npy", "--drop-empty", status=2)
    assert "--drop-empty is for data in memory" in refused.stderr
    refused = run(*fit, "--data", "digits", status=2)
    assert "--stream is for a file of yours" in refused.stderr


def test_a_file_that_has_changed_or_gone_is_refused(folder, tmp_path):
    x = np.load(folder / "x.npy")
    np.save(tmp_path / "y.npy", x)
    run("fit", "--run", tmp_path / "run", "--data", tmp_path / "y.npy", "--stream", *FIT)
    np.save(tmp_path / "y.npy", x + 1)
    with pytest.raises(DataError, match="has changed since"):
        load_data(tmp_path / "run")
    (tmp_path / "y.npy").unlink()
    with pytest.raises(RunError, match="is not there any more"):
        load_data(tmp_path / "run")


def test_a_table_is_streamed_with_its_schema(tmp_path):
    rng = np.random.default_rng(0)
    table = {
        "age": rng.normal(50, 9, 400),
        "visits": rng.poisson(3, 400),
        "site": rng.choice(["north", "south", "west"], 400),
        "number": np.arange(400),
    }
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet", row_group_size=50)
    shown = run("data", tmp_path / "t.parquet", "--columns", "number=drop", "--stream")
    assert "category" in shown.stdout
    assert "--stream" in shown.stdout
    run("data", tmp_path / "t.parquet", "--stream", "--drop-empty", status=2)
    given = ("--data", tmp_path / "t.parquet", "--columns", "number=drop", "--stream")
    out = run("fit", "--run", tmp_path / "run", *given, *FIT)
    assert "site" in out.stdout
    run("fit", "--run", tmp_path / "run", "--resume")
    found = load_data(tmp_path / "run")
    assert isinstance(found, StreamedDataset)
    assert found.schema.names == ("age", "visits", "site")
    assert found.remembered() == Run.open(tmp_path / "run").config()["data"]["origin"]
    run("evaluate", tmp_path / "run", "--particles", 10, "--limit", 20)
    run("report", tmp_path / "run")
    run("sample", tmp_path / "run")
    assert list(pd.read_csv(tmp_path / "run" / "samples.csv")) == ["age", "visits", "site"]
    pd.DataFrame(table).head(12).to_parquet(tmp_path / "new.parquet")
    scores = tmp_path / "scores.csv"
    run("score", tmp_path / "run", tmp_path / "new.parquet", "--out", scores, "--particles", 10)
    assert len(pd.read_csv(scores)) == 12


def test_a_table_with_holes_is_streamed(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(50, 9, 400), "visits": rng.poisson(3.0, 400) * 1.0})
    table.loc[rng.random(400) < 0.2, "age"] = np.nan
    table.to_parquet(tmp_path / "t.parquet", row_group_size=50)
    given = ("--data", tmp_path / "t.parquet", "--stream")
    run("fit", "--run", tmp_path / "run", *given, *FIT)
    run("fit", "--run", tmp_path / "run", "--resume")
    out = run("evaluate", tmp_path / "run", "--particles", 10)
    assert "observed cells" in out.stdout
    opened, found = Run.open(tmp_path / "run"), load_data(tmp_path / "run")
    model = load_model(tmp_path / "run")
    whole = load_rows(tmp_path / "run").inputs("test", model.inputs)
    expected = evaluate(model, whole, 10)
    np.testing.assert_array_equal(opened.results()["elbo"], expected["elbo"])
    np.testing.assert_allclose(opened.results()["log_jacobian"], found.log_jacobians("test"))
    assert found.num_missing == int(table["age"].isna().sum())
    refused = run("fit", "--run", tmp_path / "pca", *given, "--model", "pca", status=2)
    assert "missing cells" in refused.stderr
