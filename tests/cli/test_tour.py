"""The tour: every model of the story in one report, and its numbers where they come from."""

import inspect
import json
import math
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

from pyro_vae import data
from pyro_vae.cli import tour as tour_command
from pyro_vae.disk.runs import Run
from pyro_vae.inference.latents import fit_reference, halfway_test, hole_test
from pyro_vae.stored.loading import load_model
from pyro_vae.tour import STOPS
from tests.cli.test_commands import run

SMALL = ("--epochs", 2, "--latent-dim", 3, "--hidden", "16", "--particles", 20, "--limit", 12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tour") / "out"
    with mock.patch.dict(inspect.unwrap(fit_reference).__kwdefaults__, num_components=(1, 5)):
        return folder, run("tour", "--out", folder, *SMALL, "--json")


@pytest.mark.slow
def test_every_stop_is_fitted_and_is_in_the_report(whole):
    folder, done = whole
    printed = json.loads(done.stdout)
    assert list(printed["table"]) == [stop.title for stop in STOPS]
    html = (folder / "report.html").read_text()
    for stop in STOPS:
        # What was fitted is kept, and is the model that the stop says.
        assert (
            load_model(folder / stop.name).config == Run.open(folder / stop.name).config()["model"]
        )
        assert stop.title.replace("'", "&#39;") in html
    assert (
        html.count("data:image/png") == 3 * len(STOPS) - 2 + 2
    )  # a mixture, holes, moons: one each
    assert len(pd.read_csv(folder / "tour.csv")) == len(STOPS)


@pytest.mark.slow
def test_moons_are_judged_as_by_hand(whole):
    folder, done = whole
    printed = json.loads(done.stdout)["moons"]
    moons, (family, lit) = data.load("moon-phases"), data.every_moon()
    half, full = (moons.test[moons.labels["test"] == label] for label in (1, 2))
    model = load_model(folder / "moons" / "vae-all-phases")
    assert (model.latent_dim, model.config["model"]) == (2, "vae")
    found = halfway_test(model, half, full, family=family, state=lit, gain=(0.8, 1.0))
    shown = printed["VAE, all phases"]["mid-points to a moon"].split()[0]
    assert float(shown) == pytest.approx(float(found["midpoint_distance"].mean()), abs=6e-4)
    assert next(iter(printed)) == "Autoencoder, three phases"


@pytest.mark.slow
def test_a_model_has_log_px_only_where_it_is_defined(whole):
    _, done = whole
    table = json.loads(done.stdout)["table"]
    without = {title for title, row in table.items() if row["log p(x)"] == "-"}
    assert without == {"Shallow autoencoder", "Deep autoencoder", "Denoising autoencoder"}
    assert {t for t, row in table.items() if "density" in row["log p(x)"]} == {"PCA", "Linear VAE"}
    assert {t for t, row in table.items() if row["bits/dim"] == "-"} == {
        *without,
        "PCA",
        "Linear VAE",
    }
    for title in ("VQ-VAE", "VQ-VAE with a learned prior"):
        assert table[title]["log p(x)"].startswith("≥")
        assert table[title]["bits/dim"].startswith("≤")


@pytest.mark.slow
def test_numbers_of_the_table_are_those_of_their_sources(whole):
    folder, done = whole
    printed = json.loads(done.stdout)
    digits = data.load("digits")
    test = digits.test.flatten(1).double().numpy()
    pca = PCA(3).fit(digits.train.flatten(1).double().numpy())
    back = pca.inverse_transform(pca.transform(test))
    expected = np.square((test - back) / 16).mean()
    shown = float(printed["table"]["PCA"]["squared error"].split()[0])
    assert shown == pytest.approx(expected, abs=6e-5)
    evidence = Run.open(folder / "vae").results()
    assert evidence.sizes["datum"] == 12
    bits = -float(evidence["log_evidence"].mean()) / (64 * math.log(2))
    shown = printed["table"]["VAE"]["bits/dim"].removeprefix("≤ ").split()[0]
    assert float(shown) == pytest.approx(bits, abs=6e-4)
    reference = fit_reference(digits.train / 16, num_components=(1, 5), seed=0)
    holes = hole_test(
        load_model(folder / "deep-autoencoder"),
        *(digits.train, digits.test),
        reference=reference,
        labels=digits.labels["test"],
        scale=1 / 16,
    )
    shown = float(printed["holes"]["Deep autoencoder"]["mid-point density"].split()[0])
    assert shown == pytest.approx(float(holes["midpoint_log_density"].mean()), abs=0.06)


@pytest.mark.slow
def test_learned_prior_stands_on_the_codes_of_the_stop_before(whole):
    folder, done = whole
    first, second = (load_model(folder / name) for name in ("vq-vae", "vq-vae-prior"))
    torch.testing.assert_close(first.codebook.codes, second.codebook.codes)
    table = json.loads(done.stdout)["table"]
    assert (
        table["VQ-VAE"]["squared error"] == table["VQ-VAE with a learned prior"]["squared error"]
    )


def test_stopped_the_same_command_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    arguments = ("tour", "--out", folder, *SMALL, "--stops", "pca,autoencoder", "--json")
    fitted = []
    fit_stop = tour_command.fit_stop

    def stop_after_one(stop, *rest, **settings):
        if fitted:
            raise KeyboardInterrupt
        fitted.append(stop.name)
        return fit_stop(stop, *rest, **settings)

    monkeypatch.setattr(tour_command, "fit_stop", stop_after_one)
    run(*arguments, status=130)
    assert fitted == ["pca"]
    weights = (folder / "pca" / "weights.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(tour_command, "fit_stop", fit_stop)
    printed = json.loads(run(*arguments).stdout)
    assert list(printed["table"]) == ["PCA", "Shallow autoencoder"]
    assert printed["moons"] == {}
    assert (folder / "pca" / "weights.safetensors").stat().st_mtime_ns == weights
    refused = run(*arguments[:3], *SMALL, "--latent-dim", 4, "--stops", "pca", status=1).stderr
    assert "other data or settings" in refused


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--stops", "pca,gan"), 2, "unknown stop of the tour 'gan'"),
        (("--data", "moons"), 1, "moons has real values"),
        (("--data", "mnst"), 2, "Did you mean 'mnist'"),
        (("--hidden", "a"), 2, "--hidden got 'a'"),
    ],
)
def test_what_cannot_be_toured_is_refused_at_once(tmp_path, arguments, status, message):
    refused = run("tour", "--out", tmp_path / "out", *arguments, status=status)
    assert message in refused.stderr
    assert not (tmp_path / "out").exists()
