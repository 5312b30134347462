"""A file of a run that is not what was written is refused; its types are checked first."""

import json
import os
import random
import shutil

import h5py
import pytest
import torch
import xarray as xr

from pyro_vae.disk import runs, schema
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import read_json, read_tensors, write_json, write_tensors
from pyro_vae.errors import PyroVAEError, RunError, SettingError
from pyro_vae.models import VAE, model_from_config
from pyro_vae.stored.loading import load_data, load_model
from pyro_vae.stored.measured import further_results, results_of_run
from tests.disk.small import small_fit

FILES = [
    "config.json",
    "weights.safetensors",
    "checkpoint.safetensors",
    "metrics.csv",
    "evidence.nc",
    "evidence-importance.nc",
    "gap.nc",
]


def values(tensors):
    return [(key, value.numpy().tobytes()) for key, value in sorted(tensors.items())]


def read(folder, name):
    """What a run gives of a file."""
    run = Run.open(folder)
    if name == "config.json":
        return repr(run.config())
    if name == "weights.safetensors":
        return values(load_model(run).state_dict())
    if name == "metrics.csv":
        return repr(run.metrics().to_dict())
    if name == "checkpoint.safetensors":
        return values(run.tensors(name)[0])
    return repr(run.results(name).to_dict())


def read_all(folder):
    load_data(folder)
    return [read(folder, name) for name in FILES]


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file_is_refused(folder, name):
    """Reading it would wait for ever."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(RunError):
        read(folder, name)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_or_changes_nothing(folder, name):
    before, path = read(folder, name), folder / name
    content = path.read_bytes()
    dice = random.Random(name)
    refused = 0
    for _ in range(40):
        place = dice.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        try:
            assert read(folder, name) == before
        except RunError:
            refused += 1
    assert refused >= 35  # the layout of a text means nothing
    path.write_bytes(content)
    assert read(folder, name) == before


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_names_the_file_and_what_to_do(folder, name):
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    (folder / name).write_bytes(content[:middle] + b"#" + content[middle + 1 :])
    with pytest.raises(RunError, match=name) as caught:
        read_all(folder)
    assert any(w in str(caught.value) for w in ("restore", "evaluate", "fit the run"))


def test_no_file_stands_for_another(folder, tmp_path):
    other = tmp_path / "other"
    small_fit(other, seed=1)
    for name, of in (
        ("weights.safetensors", other / "weights.safetensors"),
        ("checkpoint.safetensors", other / "checkpoint.safetensors"),
        ("metrics.csv", other / "metrics.csv"),
        ("config.json", other / "config.json"),
        ("weights.safetensors", folder / "checkpoint.safetensors"),
        ("evidence.nc", folder / "gap.nc"),
        ("gap.nc", folder / "evidence.nc"),
    ):
        kept = (folder / name).read_bytes()
        shutil.copy(of, folder / name)
        with pytest.raises(RunError):
            read_all(folder)
        (folder / name).write_bytes(kept)
    read_all(folder)


def test_results_of_weights_that_have_changed_are_not_used(folder):
    run = Run.open(folder)
    first = results_of_run(run, num_particles=5, limit=3)
    weights, notes = run.tensors("weights.safetensors")
    moved = {key: value + 0.1 for key, value in weights.items()}
    run.write_tensors("weights.safetensors", moved, {"epoch": notes["epoch"]})
    for read in (run.results, lambda: further_results(run)):
        with pytest.raises(RunError, match=r"other weights.*pyro-vae evaluate"):
            read()
    again = results_of_run(run, num_particles=5, limit=3)
    assert not again["elbo"].identical(first["elbo"])


def test_metrics_that_are_ahead_of_the_checkpoint_are_those_of_a_killed_process(folder):
    path = folder / "metrics.csv"
    before = Run.open(folder).metrics()
    path.write_text(path.read_text() + "3,1.0,1.0,0.1,9.0\n")
    assert Run.open(folder).metrics().equals(before)
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(RunError, match=r"metrics\.csv is not what was written"):
        Run.open(folder).metrics()


def test_tensors_and_netcdf_are_read_by_others_too(folder):
    with xr.open_dataset(folder / "evidence.nc", engine="h5netcdf") as found:
        assert found.sizes["datum"] == 3
    with h5py.File(folder / "gap.nc") as file:
        assert "gap" in file


def edited(folder, edit):
    """Write ``config.json`` anew after a change, with the checksum that fits it."""
    path = folder / "config.json"
    document, _ = read_json(path, remedy="")
    edit(document)
    write_json(path, document)


def put(*keys, value):
    def edit(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return edit


def gone(*keys):
    def edit(document):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("fit", "epochs", value="many"), "fit.epochs got 'many': it must be a valid integer"),
        (put("fit", "epochs", value=True), "fit.epochs got True"),
        (put("fit", "batch_size", value=0), "fit.batch_size got 0: it must be greater than 0"),
        (put("fit", "learning_rate", value=None), "fit.learning_rate got None"),
        (put("fit", "seed", value=10**80), "fit.seed got"),
        (put("fit", value=[]), "fit got []"),
        (put("data", "name", value={"a": 1}), "data.name got {'a': 1}"),
        (put("data", "colour", value=1), "data.colour is unknown"),
        (put("other", value=1), "other is unknown: it must be one of model, data, fit"),
        (gone("data", "seed"), "data.seed is missing"),
        (gone("model"), "model is missing"),
        (put("model", value=3), "model got 3"),
        (put("version", value="3"), "has version '3'"),
        (put("format", value=[[]]), "was not written by pyro_vae"),
    ],
)
def test_settings_of_a_wrong_type_are_named(folder, edit, message):
    edited(folder, edit)
    with pytest.raises(RunError) as caught:
        Run.open(folder)
    assert message in str(caught.value)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("model", "model", value=[]), "model.model got []"),
        (put("model", "model", value="vea"), "unknown model 'vea'"),
        (put("model", "latent_dim", value="2"), "model.latent_dim got '2'"),
        (put("model", "latent_dim", value=-2), "latent_dim got -2"),
        (put("model", "latent_dim", value=10**12), "model would have far more numbers"),
        (put("model", "encoder", "hidden", value=[10**12]), "model would have far more numbers"),
        (put("model", "encoder", "hidden", value=8), "model.encoder.hidden got 8"),
        (put("model", "encoder", "hidden", value=[8, None]), "model.encoder.hidden.1 got None"),
        (put("model", "encoder", "width", value=8), "model.encoder.'width' is unknown"),
        (put("model", "encoder", value=None), "model.encoder.name is missing"),
        (put("model", "likelihood", "total_count", value=1.5), "likelihood.total_count got 1.5"),
        (gone("model", "likelihood", "total_count"), "model.likelihood.total_count is missing"),
        (put("model", "likelihood", "name", value=7), "model.likelihood.name got 7"),
        (put("model", "likelihood", "name", value="binomail"), "Did you mean 'binomial'"),
        (put("model", "prior", value=[1]), "model.prior.name is missing"),
        (put("model", "condition", value={"name": "labels"}), "condition.num_classes is missing"),
        (gone("model", "guide"), "model.guide is missing"),
        (put("model", "guide", "link", value="log"), "model.guide.link got 'log'"),
        (put("model", "seed", value=10**30), "cannot be made"),
        (put("model", "event_shape", value=[8, 8, "x"]), "model.event_shape.2 got 'x'"),
        (put("model", "event_shape", value=[]), "event_shape"),
    ],
)
def test_a_model_that_cannot_be_is_named(folder, edit, message):
    edited(folder, edit)
    for name in ("weights.safetensors", "checkpoint.safetensors"):  # of these settings
        tensors, notes = read_tensors(folder / name, remedy="")
        del notes["checksum"]
        write_tensors(folder / name, tensors, {**notes, "config": Run(folder)._config_seal()})
    with pytest.raises(RunError) as caught:
        load_model(folder)
    assert message in str(caught.value)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": ' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "b": {"c": 1, "c": 2}}',
        "{}".encode("utf-16"),
        b"\xff\xfe",
        b"",
        b"null",
        b'"text"',
    ],
)
def test_text_that_is_no_object_of_json_is_refused(folder, content):
    with pytest.raises(SettingError):
        schema.parse_json(content)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=r"config\.json"):
        Run.open(folder)


def test_notes_of_a_wrong_type_are_named(folder):
    run = Run.open(folder)
    tensors, notes = run.tensors("checkpoint.safetensors")
    del notes["checksum"]
    for key, value in (("epoch", "2"), ("best_bound", "soon"), ("stopped", 1), ("metrics", None)):
        run.write_tensors("checkpoint.safetensors", tensors, {**notes, key: value})
        with pytest.raises(RunError, match=f"checkpoint.safetensors: in its header, {key} got"):
            small_fit(folder, resume=True)
    run.write_tensors("checkpoint.safetensors", {**tensors, "more/1": torch.zeros(1)}, notes)
    with pytest.raises(RunError, match="another model"):
        small_fit(folder, resume=True)


def test_results_without_their_variables_or_attributes_are_named(folder):
    run = Run.open(folder)
    results = run.results()
    run.write_results(results.drop_vars("khat"))
    with pytest.raises(RunError, match=r"evidence\.nc has no numbers 'khat'"):
        run.results()
    del results.attrs["exact"]
    run.write_results(results)
    with pytest.raises(RunError, match=r"evidence\.nc: its attribute exact is missing"):
        run.results()


def test_settings_are_checked_when_they_are_written(tmp_path):
    run = Run.create(tmp_path / "run")
    with pytest.raises(SettingError, match="data is missing"):
        run.write_config({"model": None, "fit": {}})
    assert not (tmp_path / "run" / "config.json").exists()


def test_models_read_their_settings_again():
    config = json.loads(json.dumps(VAE((3,), 2, encoder=(4,), decoder=(4,)).config))
    assert model_from_config(config).config == config
    for key in config:
        broken = {k: v for k, v in config.items() if k != key}
        if key in ("seed",):
            continue  # it has a default
        with pytest.raises(PyroVAEError):
            model_from_config(broken)


def test_a_later_release_with_a_further_setting_reads_the_run(folder, monkeypatch):
    class Later(runs._Config):
        novelty: str = "none"

    before = read_all(folder)
    monkeypatch.setattr(runs, "_Config", Later)
    assert Run.open(folder).config()["novelty"] == "none"
    assert read_all(folder)[1:] == before[1:]
